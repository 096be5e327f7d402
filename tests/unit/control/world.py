"""A tailnet's objects, and the plain questions that one may ask of them: the ground under the oracle of the session tests.

It knows nothing of views, journals, fragments or caches: every question looks at everything.

1. A class is in a set if the set's object says so; whoever sees a set sees the nodes of its classes, and never itself.
2. A prefix's primary router is the first of its routers that is online, and the first of all if none is.
3. A viewer is told of a prefix on the primary if its class is in any of the prefix's sets; else on the first router that is
   online, of the first of those that are steered and that it is among; else not at all.
"""

import ipaddress
from collections.abc import Iterable, Mapping
from typing import TypeVar

from engine.contracts.netmap import (
    ClassObject,
    ClassSetObject,
    EntryObject,
    NetmapObject,
    NodeObject,
    ProgramObject,
    RouteObject,
    SshRuleObject,
    UserObject,
)
from engine.contracts.soft import SoftFact
from engine.policy.policy import Entry, SshRule

Objects = Mapping[str, NetmapObject]
Facts = Mapping[int, SoftFact]
T = TypeVar("T")


class World:
    """Objects by key, and soft facts by node."""

    def __init__(self, objects: Objects, facts: Facts) -> None:
        self.objects = objects
        self.facts = facts

    def all(self, kind: type[T]) -> list[T]:
        return [value for value in self.objects.values() if isinstance(value, kind)]

    def node(self, number: int) -> NodeObject | None:
        value = self.objects.get(f"node/{number}")
        return value if isinstance(value, NodeObject) else None

    def user(self, number: int) -> UserObject | None:
        value = self.objects.get(f"user/{number}")
        return value if isinstance(value, UserObject) else None

    # Classes and sets ------------------------------------------------------------------------------------------

    def class_of(self, node: NodeObject) -> ClassObject | None:
        """A node's class; None for whoever stands alone."""
        value = self.objects.get(f"class/{node.class_id}")
        return value if isinstance(value, ClassObject) and not node.expired else None

    def sets_of(self, node: NodeObject) -> set[str]:
        return {value.id for value in self.all(ClassSetObject) if node.class_id in value.classes}

    def carried_by(self, node: NodeObject) -> set[str]:
        """The sets that a node says it is in: those that filters name, and none once its key has expired."""
        named = {value.id for value in self.all(ClassSetObject) if value.is_source}
        return set() if node.expired else self.sets_of(node) & named

    def members(self, sets: Iterable[str]) -> list[NodeObject]:
        """The nodes that may send, of these sets' classes."""
        wanted = set(sets)
        return [n for n in self.all(NodeObject) if not n.expired and self.sets_of(n) & wanted]

    def seen_by(self, node: NodeObject) -> list[NodeObject]:
        own = self.class_of(node)
        if own is None:
            return []
        return [n for n in self.all(NodeObject) if n.id != node.id and self.sets_of(n) & set(own.sees)]

    # Addresses -------------------------------------------------------------------------------------------------

    def shows_ipv4(self, node: NodeObject) -> bool:
        value = self.objects.get(f"class/{node.class_id}")
        return not isinstance(value, ClassObject) or "disable-ipv4" not in value.capabilities

    def addresses(self, node: NodeObject) -> list[str]:
        """From where a node sends, and where it is reached, shown or not."""
        return sorted([node.ipv4, node.ipv6])

    def shown(self, node: NodeObject) -> list[str]:
        """The addresses that others see, and itself."""
        return [node.ipv4, node.ipv6] if self.shows_ipv4(node) else [node.ipv6]

    # Routes ----------------------------------------------------------------------------------------------------

    def is_online(self, number: int) -> bool:
        fact = self.facts.get(number)
        return fact is not None and fact.online

    def first_there(self, routers: Iterable[int]) -> int:
        known = list(routers)
        return next((number for number in known if self.is_online(number)), known[0])

    @property
    def prefixes(self) -> list[str]:
        return sorted(route.prefix for route in self.all(RouteObject))

    def primaries(self, node: NodeObject) -> list[str]:
        """The prefixes for which a node is the primary router."""
        routes = self.all(RouteObject)
        return sorted(r.prefix for r in routes if self.first_there(r.routers) == node.id)

    def router(self, viewer: NodeObject, route: RouteObject) -> int | None:
        """Where a viewer is told that a prefix is."""
        if self.class_of(viewer) is None:
            return None
        mine = self.sets_of(viewer)
        if mine & set(route.sets):
            return self.first_there(route.routers)
        fitting = [one for one in route.steered if mine & set(one.sets)]
        return self.first_there(fitting[0].routers) if fitting else None

    def routes_on(self, peer: NodeObject, viewer: NodeObject) -> list[str]:
        """The prefixes that lead to a peer in a viewer's netmap."""
        return sorted(r.prefix for r in self.all(RouteObject) if self.router(viewer, r) == peer.id)

    # Policy ----------------------------------------------------------------------------------------------------

    def program(self) -> list[Entry]:
        """Every entry, in the order of the policy."""
        value = self.objects.get("program")
        return [self.entry(name) for name in value.entries] if isinstance(value, ProgramObject) else []

    def entry(self, name: str) -> Entry:
        value = self.objects[f"entry/{name}"]
        assert isinstance(value, EntryObject)
        return value.entry

    def shell(self, name: str) -> SshRule:
        value = self.objects[f"ssh/{name}"]
        assert isinstance(value, SshRuleObject)
        return value.rule


def span(text: str) -> tuple[int, int, int]:
    """IP version, first and last address as numbers, of an address, a prefix or a range."""
    if "-" in text:
        first, last = (ipaddress.ip_address(end) for end in text.split("-"))
        return first.version, int(first), int(last)
    network = ipaddress.ip_network(text)
    return network.version, int(network[0]), int(network[-1])


def common(one: str, two: str) -> list[str]:
    """What two texts have in common, as prefixes."""
    (version, first, last), (other, start, end) = span(one), span(two)
    low, high = max(first, start), min(last, end)
    if version != other or low > high:
        return []
    kind = ipaddress.IPv4Address if version == 4 else ipaddress.IPv6Address
    return [str(part) for part in ipaddress.summarize_address_range(kind(low), kind(high))]


def without(whole: str, others: Iterable[str]) -> list[str]:
    """What is left of a prefix without the others, as prefixes."""
    left = [whole]
    for other in others:
        left = [part for text in left for part in _less(text, other)]
    return left


def _less(whole: str, other: str) -> list[str]:
    one, two = ipaddress.ip_network(whole), ipaddress.ip_network(other)
    if not common(whole, other):
        return [whole]
    if common(whole, other) == [whole]:
        return []
    return [str(part) for part in one.address_exclude(two)]  # type: ignore[arg-type]
