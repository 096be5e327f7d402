"""The part of a standing that is a node's own: its self node, its packet filter, its WireGuard-only peers; pure.

Rule 1: it is made once for each kind of client (`_GATES`) and kept until something that it depends on is otherwise: `forget` is for
        what concerns this node, the stamp for what concerns many.
Rule 2: what did not change stays the same object: sessions compare by identity first.
Rule 3: a WireGuard-only peer that has changed costs its nodes that peer, and not their filters unless those speak of it.
"""

from bisect import bisect_right
from collections.abc import Callable, Iterable, Mapping
from typing import Final, NamedTuple

from engine.contracts.netmap import (
    PROGRAM_KEY,
    ClassObject,
    NodeObject,
    TailnetObject,
)
from engine.domain.values import NodeId
from frontends.control.confine import Owned
from frontends.control.fragment import Fragment
from frontends.control.relayed import NONE, Relayed, callers, moved
from frontends.control.render import self_node
from frontends.control.replica import Replica
from frontends.control.rules import Rules
from frontends.control.scope import Scope
from frontends.control.sources import Sources, bare, senders
from frontends.control.steering import Steering
from frontends.wire import capver

_GATES: Final = (capver.WIREGUARD_ONLY, capver.JAILED, capver.MASQUERADE_V6, capver.FILTER_BY_CAP)
"""Capability versions between which a standing reads differently."""
_ALONE: Final = ClassObject(id="", sees=())
Peers = Callable[[], Mapping[NodeId, Fragment]]


class Own(NamedTuple):
    """What was made for one kind of client."""

    stamp: object
    """What it was made for; another one means that it must be looked at again."""
    me: bytes
    filters: bytes
    extras: tuple[Fragment, ...]


class Owns:
    """What is each node's own; `begin` says what holds for all of them."""

    def __init__(self, replica: Replica, steering: Steering, sources: Sources) -> None:
        self.base = ""
        self.auto_updates = False
        self._replica: Final = replica
        self._steering: Final = steering
        self._sources: Final = sources
        self._rules: Final = Rules(replica, sources, steering)
        self._known: Final[dict[NodeId, dict[int, Own]]] = {}
        self._relayed: Final = Relayed(replica)

    def begin(self, tailnet: TailnetObject | None) -> None:
        """Take over what holds for the whole tailnet."""
        self.base = "" if tailnet is None else tailnet.base_domain
        self.auto_updates = tailnet is not None and tailnet.auto_updates
        self._known.clear()
        self._relayed.begin()

    def forget(self, numbers: Iterable[NodeId]) -> None:
        """Take it that something of these nodes is otherwise."""
        for number in numbers:
            self._known.pop(number, None)

    def drop(self, numbers: Iterable[NodeId]) -> None:
        """Let go of what was made of the WireGuard-only peers of those of these nodes that have none any more."""
        for number in numbers:
            if self._replica.get(f"extras/{number}") is None:
                self._relayed.forget(number)

    def peer_changed(self, key: str) -> set[NodeId]:
        """Take it that a WireGuard-only peer is otherwise; return the nodes that have it."""
        return self._relayed.changed(key)

    def of(self, node: NodeObject, own: ClassObject | None, version: int, scope: Scope, peers: Peers) -> Own:
        """Return a node's own part for a client of this capability version; without a class it stands alone.

        `peers` gives the nodes that it sees.
        """
        known = self._known.setdefault(node.id, {})
        gates = bisect_right(_GATES, version)
        before = known.get(gates)
        stamp = self._stamp(node, own, version, scope)
        extras = NONE if own is None else self._relayed.of(node.id, self.base, version, gates)
        if before is not None and before.stamp == stamp:
            if before.extras is extras:
                return before
            if not _speaks_otherwise(before.extras, extras):
                known[gates] = before._replace(extras=extras)
                return known[gates]
        seen = {number: f for number, f in peers().items() if number != node.id} if extras else {}
        owned = self._owned(scope, seen, extras) if extras else None
        filters = self._filters(node, own or _ALONE, version, owned)
        now = Own(stamp, self._me(node, own), filters, extras)
        known[gates] = now if before is None else _kept(before, now)
        return known[gates]

    def _stamp(self, node: NodeObject, own: ClassObject | None, version: int, scope: Scope) -> object:
        is_confined = self._replica.get(f"extras/{node.id}") is not None
        is_named = version >= capver.FILTER_BY_CAP and not is_confined
        if own is None or (is_named and self._rules.is_settled(own)):
            return self._steering.prefixes
        return self._steering.prefixes, self._sources.tick, self._replica.get(PROGRAM_KEY), scope

    def _me(self, node: NodeObject, own: ClassObject | None) -> bytes:
        capabilities = () if own is None else own.capabilities
        primaries = self._steering.primaries(node.id)
        return Fragment(
            self_node(node, self.base, capabilities, primaries, auto_updates=self.auto_updates)
        ).data

    def _filters(self, node: NodeObject, own: ClassObject, version: int, owned: Owned | None) -> bytes:
        if version >= capver.FILTER_BY_CAP:
            return self._rules.by_name(own, senders(node), owned)
        return self._rules.by_address(own, node, senders(node), owned)

    def _owned(self, scope: Scope, seen: Mapping[NodeId, Fragment], extras: Iterable[Fragment]) -> Owned:
        """Return the addresses and routes of the nodes that a viewer sees: nothing else can come in but from a relay.

        Beside them stands what those relays have that may call.
        """
        addresses = {bare(text) for f in seen.values() for text in f.node.addresses if not f.node.expired}
        routes = (prefix for number in seen for prefix in scope.routes.get(number, ()))
        return Owned(addresses, routes, callers(extras))


def _kept(before: Own, now: Own) -> Own:
    """Return the new part, with what did not change as the same objects: they are compared by identity first."""
    return Own(
        now.stamp,
        before.me if before.me == now.me else now.me,
        before.filters if before.filters == now.filters else now.filters,
        now.extras,
    )


def _speaks_otherwise(before: tuple[Fragment, ...], now: tuple[Fragment, ...]) -> bool:
    """Return whether a filter may read differently with these WireGuard-only peers."""
    if not before or not now:
        return True
    gone, came = moved(before, now)
    held = [old for old, _ in came if old is not None]
    return callers((*gone, *held)) != callers(new for _, new in came)
