"""Who is entitled to what, after each event of a log: the judge of a long run, at a cost that follows what changes.

Written from the rules' text, and from no code of the engine but the events; `tests.kit.oracle` says the same the slow way,
and a test compares the two. What a node holds is a set of entries, and is known by the sum of their digests.

Rule 1: nodes of one user, or of the same tags, see the same: they are a kind. Whether two kinds see each other is asked of
        the naive evaluator, with one node of each, or two of one. That holds for policies without addresses, routes or
        postures, which are all that a soak sets.
Rule 2: a WireGuard-only peer is seen by who is connected to it; nobody else.
Rule 3: an event that this module does not know is an error: it might be a revocation.
"""

import json
from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

import msgspec

from engine.domain.events import (
    AuthKeyCreated,
    AuthKeyUsed,
    CommandHandled,
    ConnectionAdded,
    ConnectionRemoved,
    ConnectionUpdated,
    DerpMapSet,
    Event,
    LogStarted,
    NodeDeleted,
    NodeRegistered,
    NodeRenamed,
    NodeTagged,
    PeerDisabled,
    PeerEnabled,
    PeerExpired,
    PeerRegistered,
    PeerRemoved,
    PolicySet,
    UserCreated,
)
from tests.kit.naive_policy import Node, Reading, User
from tests.kit.naive_policy import World as Ground
from tests.kit.naive_world import any_overlap
from tests.soak.records import MODULUS, Entry, digest, sender

PASSED_OVER: Final = (LogStarted, CommandHandled, AuthKeyCreated, AuthKeyUsed, DerpMapSet)
Kind = tuple[int, tuple[str, ...]]
"""The user, or 0 for a node with tags; and the tags, sorted."""
Users = tuple[tuple[int, str], ...]


class Device(msgspec.Struct, frozen=True):
    """A node as the events say."""

    id: int
    user: int
    key: str
    name: str
    tags: tuple[str, ...]
    ipv4: str

    @property
    def kind(self) -> Kind:
        tags = tuple(sorted(self.tags))
        return (0 if tags else self.user, tags)

    def entry(self, how: str = "peer") -> Entry:
        return Entry(self.id, (how, self.key, self.name, ",".join(sorted(self.tags)), self.ipv4))


class Relay(msgspec.Struct, frozen=True):
    """A WireGuard-only peer as the events say."""

    id: int
    own_key: str
    key: str
    is_expired: bool

    def entry(self, masquerade: tuple[str, str]) -> Entry:
        ended = "expired" if self.is_expired else ""
        return Entry(self.id, ("wireguard", self.key, ended, *masquerade))


class Meeting(NamedTuple):
    """What a node is entitled to of another one."""

    sees: bool
    hears: bool
    """Whether its packet filter lets the other one in."""


def meet(policy: str, users: Users, one: Kind, two: Kind) -> Meeting:
    """What a node of one kind is entitled to of another node, of the other kind, under a policy."""
    if not policy:
        return Meeting(sees=True, hears=True)
    first, second = _stand_in(1, one), _stand_in(2, two)
    ground = Ground(tuple(User(number, login) for number, login in users), (first, second), ())
    reading = Reading(ground, json.JSONDecoder().raw_decode(policy)[0])
    hears = any(any_overlap(entry.sources, second.addresses) for entry in reading.entries[first.id])
    return Meeting(reading.sees(first, second), hears)


def _stand_in(number: int, kind: Kind) -> Node:
    user, tags = kind
    addresses = (f"100.64.0.{number}", f"fd7a:115c:a1e0::{number}")
    return Node(number, f"n{number}", user or None, tags, *addresses)


class World:
    """The tailnet so far; `apply` says whose holdings may be otherwise."""

    def __init__(self) -> None:
        self.devices: dict[int, Device] = {}
        self.relays: dict[int, Relay] = {}
        self.connections: dict[int, dict[int, tuple[str, str]]] = {}
        """For each node, the masquerade addresses of each peer that it is connected to."""
        self.policy = ""
        self._users: dict[int, str] = {}
        self._members: dict[Kind, set[int]] = {}
        self._sums: dict[Kind, int] = {}
        """Of the entries of all nodes of a kind, for whom sees them; `_senders` for whom hears them."""
        self._senders: dict[Kind, int] = {}
        self._known: dict[str, dict[tuple[Kind, Kind], Meeting]] = {}
        """Which kinds see each other under each policy, as far as it was asked."""

    def apply(self, event: Event) -> set[int]:
        """Take an event in; return the nodes that may hold something else than before."""
        match event:
            case NodeRegistered() | NodeRenamed() | NodeTagged() | NodeDeleted():
                return self._on_node(event)
            case PeerRegistered() | PeerRemoved() | PeerDisabled() | PeerEnabled() | PeerExpired():
                return self._on_relay(event)
            case ConnectionAdded() | ConnectionUpdated():
                masquerade = (event.ipv4_masq, event.ipv6_masq)
                self.connections.setdefault(event.node, {})[event.peer] = masquerade
                return {event.node}
            case ConnectionRemoved():
                self.connections.get(event.node, {}).pop(event.peer, None)
                return {event.node}
            case PolicySet():
                self.policy = event.text
                return set(self.devices)
            case UserCreated():
                self._users[event.user] = event.email or f"{event.name}@"
                self._known.clear()
                return set()
            case _ if isinstance(event, PASSED_OVER):
                return set()
            case _:
                raise AssertionError(f"what a {type(event).__name__} means is not said here")

    def sums(self, nodes: Iterable[int]) -> dict[int, int]:
        """The sum of the digests of what each of these nodes holds; those that are gone are left out."""
        shared: dict[Kind, int] = {}
        found: dict[int, int] = {}
        for number in nodes:
            device = self.devices.get(number)
            if device is None:
                continue
            kind = device.kind
            if kind not in shared:
                shared[kind] = sum(self._sums[other] for other in self._seen(kind))
                shared[kind] += sum(self._senders[other] for other in self._heard(kind))
            itself = self._meeting(kind, kind)
            own = digest(device.entry()) * itself.sees + digest(sender(number)) * itself.hears
            extras = sum(digest(entry) for entry in self._extras(number))
            found[number] = (shared[kind] - own + digest(device.entry("self")) + extras) % MODULUS
        return found

    def entries(self, node: int) -> set[Entry]:
        """Everything that a node holds; none if it is not in the tailnet."""
        device = self.devices.get(node)
        if device is None:
            return set()
        seen = {number for kind in self._seen(device.kind) for number in self._members[kind]} - {node}
        heard = {number for kind in self._heard(device.kind) for number in self._members[kind]} - {node}
        peers = {self.devices[number].entry() for number in seen}
        return {device.entry("self"), *peers, *map(sender, heard), *self._extras(node)}

    def _extras(self, node: int) -> Iterable[Entry]:
        held = self.connections.get(node, {})
        return (self.relays[peer].entry(held[peer]) for peer in held if peer in self.relays)

    def _seen(self, kind: Kind) -> Iterable[Kind]:
        return (other for other, who in self._members.items() if who and self._meeting(kind, other).sees)

    def _heard(self, kind: Kind) -> Iterable[Kind]:
        return (other for other, who in self._members.items() if who and self._meeting(kind, other).hears)

    def _meeting(self, one: Kind, two: Kind) -> Meeting:
        known = self._known.setdefault(self.policy, {})
        if (one, two) not in known:
            known[one, two] = meet(self.policy, tuple(self._users.items()), one, two)
        return known[one, two]

    def _viewers(self, kind: Kind) -> set[int]:
        """Who sees nodes of that kind: to see is mutual, and whoever hears sees."""
        return {number for other in self._seen(kind) for number in self._members[other]}

    def _on_node(self, event: NodeRegistered | NodeRenamed | NodeTagged | NodeDeleted) -> set[int]:
        before = self.devices.get(event.node)
        after = _changed(event, before)
        touched: set[int] = {event.node}
        if before is not None:
            touched |= self._viewers(before.kind)
            self._members[before.kind].discard(event.node)
            self._sums[before.kind] -= digest(before.entry())
            self._senders[before.kind] -= digest(sender(event.node))
        if after is None:
            self.devices.pop(event.node, None)
            self.connections.pop(event.node, None)
            return touched
        self.devices[event.node] = after
        self._members.setdefault(after.kind, set()).add(event.node)
        self._sums[after.kind] = self._sums.get(after.kind, 0) + digest(after.entry())
        self._senders[after.kind] = self._senders.get(after.kind, 0) + digest(sender(event.node))
        return touched | self._viewers(after.kind)

    def _on_relay(
        self, event: PeerRegistered | PeerRemoved | PeerDisabled | PeerEnabled | PeerExpired
    ) -> set[int]:
        was = self.relays.get(event.peer)
        match event:
            case PeerRegistered():
                key = event.public_key
                self.relays[event.peer] = Relay(event.peer, own_key=key, key=key, is_expired=False)
            case PeerRemoved():
                self.relays.pop(event.peer, None)
            case PeerDisabled() if was is not None:
                self.relays[event.peer] = msgspec.structs.replace(was, key=event.parked_key)
            case PeerExpired() if was is not None:
                self.relays[event.peer] = msgspec.structs.replace(was, is_expired=True)
            case PeerEnabled() if was is not None:
                self.relays[event.peer] = msgspec.structs.replace(was, key=was.own_key, is_expired=False)
            case _:
                raise AssertionError(f"{type(event).__name__} of a peer that is not there: {event.peer}")
        return {node for node, held in self.connections.items() if event.peer in held}


def _changed(
    event: NodeRegistered | NodeRenamed | NodeTagged | NodeDeleted, before: Device | None
) -> Device | None:
    match event:
        case NodeRegistered():
            return Device(event.node, event.user, event.node_key, event.name, event.tags, event.ipv4)
        case NodeRenamed() if before is not None:
            return msgspec.structs.replace(before, name=event.name)
        case NodeTagged() if before is not None:
            return msgspec.structs.replace(before, tags=event.tags)
        case NodeDeleted():
            return None
        case _:
            raise AssertionError(f"{type(event).__name__} of a node that is not there: {event.node}")


def after(events: Sequence[Event]) -> World:
    """The world after some events."""
    world = World()
    for event in events:
        world.apply(event)
    return world
