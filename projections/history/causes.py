"""Which records made what holds now: for each thing the position of the last event that made it so; pure.

Rule 1: only positions are held; what happened there, when, by whom and why stands in the log, and is read when asked.
Rule 2: a record is taken before the tailnet takes it: an update is the cause of what it changes, and of nothing else.
Rule 3: what is gone is remembered as far as it goes: `GONE` connections, nodes and WireGuard-only peers, the last to go.
"""

from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Final

import msgspec

from engine.domain.aggregates import Connection, Node
from engine.domain.events import (
    BaseDomainSet,
    ConnectionAdded,
    ConnectionExported,
    ConnectionRemoved,
    ConnectionStale,
    ConnectionUpdated,
    DerpMapSet,
    DomainsSet,
    Event,
    NodeDeleted,
    NodeExpired,
    NodeExpirySet,
    NodeRegistered,
    NodeReregistered,
    NodeRoutesAdvertised,
    NodeRoutesApproved,
    NodeTagged,
    PeerBackendSet,
    PeerDisabled,
    PeerDrained,
    PeerEnabled,
    PeerEndpointsResolved,
    PeerExpired,
    PeerPoolSet,
    PeerRegistered,
    PeerRemoved,
    PeerSwitched,
    PeerTagged,
    PeerUndrained,
    PeerUpdated,
    PolicySet,
    ResolversSet,
    SelectorAdded,
    SelectorRemoved,
    UserRoleSet,
    WireGuardDnsSet,
    WireGuardModeSet,
)
from engine.domain.state import Tailnet
from engine.domain.values import NodeId, PeerId, Position
from engine.ports import Recorded

GONE: Final = 10_000
"""How many things that are gone are remembered: about 4 MiB."""

Thing = tuple[str | int, ...]
"""What a record made: `("peer.parked", 100000001)`, `("connection", 7, 100000001)`, `("policy",)`."""

_OF_NODE: Final = ("node", "node.key", "node.expiry", "node.tags", "node.client", "node.routes")
_OF_PEER: Final = (
    "peer",
    "peer.key",
    "peer.parked",
    "peer.expired",
    "peer.drained",
    "peer.allowed",
    "peer.endpoints",
    "peer.extra",
    "peer.tags",
    "peer.pool",
)
_OF_BACKEND: Final = ("peer.key", "peer.endpoints", "peer.extra")
_OF_CONNECTION: Final = ("connection.terms", "connection.exported", "connection.stale")
_FIELDS: Final = {"public_key": "peer.key", "allowed_ips": "peer.allowed", "endpoints": "peer.endpoints"}


class Gone(msgspec.Struct, frozen=True, kw_only=True):
    """Something that was there: where it ended, what it was called, and a connection's last terms."""

    position: Position
    name: str = ""
    connection: Connection | None = None


class CauseTables(msgspec.Struct, frozen=True, kw_only=True):
    """What `Causes` holds: where each thing was made; what is gone, the last to go at the end."""

    made: dict[Thing, Position]
    gone: tuple[tuple[Thing, Gone], ...]


class Causes:
    """The positions of one log; `take` is the only writer."""

    def __init__(self, kept: int = GONE) -> None:
        self._kept = kept
        self._made: dict[Thing, Position] = {}
        self._gone: OrderedDict[Thing, Gone] = OrderedDict()

    def take(self, record: Recorded, tailnet: Tailnet) -> None:
        """Take in a record; `tailnet` is as it was before (rule 2)."""
        made = _MADE.get(type(record.event))
        if made is not None:
            for thing in made(record.event, tailnet):
                self._made[thing] = record.position
                self._gone.pop(thing, None)
            return
        ended = _ENDED.get(type(record.event))
        if ended is not None:
            ended(self, record.event, tailnet, record.position)

    def of(self, *things: Thing) -> tuple[Position, ...]:
        """Return where these things were made, without repetition, in order of the log; what nobody made is left out."""
        return tuple(sorted({self._made[thing] for thing in things if thing in self._made}))

    def gone(self, *thing: str | int) -> Gone | None:
        """Return what is known of something that is gone."""
        return self._gone.get(thing)

    def gone_by_name(self, kind: str, name: str) -> tuple[int, Gone] | None:
        """Return the last node or peer of this name that is gone, with its id; `kind` is `node` or `peer`."""
        for thing, gone in reversed(self._gone.items()):
            if thing[0] == kind and gone.name == name:
                return int(thing[1]), gone
        return None

    def copy(self) -> "Causes":
        """Return another index that says the same."""
        other = Causes(self._kept)
        other._made = dict(self._made)
        other._gone = OrderedDict(self._gone)
        return other

    def tables(self) -> "CauseTables":
        """Return what is held, to be written before the next record is taken."""
        return CauseTables(made=self._made, gone=tuple(self._gone.items()))

    @classmethod
    def of_tables(cls, tables: "CauseTables") -> "Causes":
        """Return an index that has these tables for its own."""
        causes = cls()
        causes._made = tables.made
        causes._gone = OrderedDict(tables.gone)
        return causes

    def end(self, thing: Thing, gone: Gone, parts: Iterable[Thing] = ()) -> None:
        """Take it that something is gone, with its parts."""
        for part in (thing, *parts):
            self._made.pop(part, None)
        self._gone.pop(thing, None)
        self._gone[thing] = gone
        if len(self._gone) > self._kept:
            self._gone.popitem(last=False)


def _peer_updated(event: PeerUpdated, tailnet: Tailnet) -> Iterator[Thing]:
    before = tailnet.peers.get(event.peer)
    for field, kind in _FIELDS.items():
        if before is None or getattr(before, field) != getattr(event, field):
            yield kind, event.peer
    if before is None or before.extra.tags != event.extra.tags:
        yield "peer.tags", event.peer
    if before is None or before.extra != event.extra:
        yield "peer.extra", event.peer


def _node_back(event: NodeReregistered, tailnet: Tailnet) -> Iterator[Thing]:
    before = tailnet.nodes.get(event.node)
    yield "node.expiry", event.node
    yield "node.client", event.node
    if before is None or before.node_key != event.node_key:
        yield "node.key", event.node
    if before is None or before.tags != event.tags:
        yield "node.tags", event.node


def _all_of(kinds: Iterable[str], number: int) -> list[Thing]:
    return [(kind, number) for kind in kinds]


def _node_gone(causes: Causes, event: NodeDeleted, tailnet: Tailnet, position: Position) -> None:
    node = tailnet.nodes.get(event.node)
    gone = Gone(position=position, name="" if node is None else node.name)
    causes.end(("node", event.node), gone, _all_of(_OF_NODE, event.node))


def _peer_gone(causes: Causes, event: PeerRemoved, tailnet: Tailnet, position: Position) -> None:
    peer = tailnet.peers.get(event.peer)
    parts = _all_of(_OF_PEER, event.peer)
    parts += [("selector", event.peer, held.selector) for held in (() if peer is None else peer.selectors)]
    gone = Gone(position=position, name="" if peer is None else peer.name)
    causes.end(("peer", event.peer), gone, parts)


def _connection_gone(causes: Causes, event: ConnectionRemoved, tailnet: Tailnet, position: Position) -> None:
    gone = Gone(position=position, connection=tailnet.connections.get((event.node, event.peer)))
    parts: list[Thing] = [(kind, event.node, event.peer) for kind in _OF_CONNECTION]
    causes.end(connection_thing(event.node, event.peer), gone, parts)


def _selector_gone(causes: Causes, event: SelectorRemoved, _tailnet: Tailnet, position: Position) -> None:
    causes.end(("selector", event.peer, event.selector), Gone(position=position, name=event.selector))


def _backend_set(event: PeerBackendSet, tailnet: Tailnet) -> Iterable[Thing]:
    """A backend that is not the present one makes nothing of the peer."""
    peer = tailnet.peers.get(event.peer)
    is_present = peer is not None and event.backend == peer.backend
    return _all_of(_OF_BACKEND, event.peer) if is_present else ()


def identity_things(node: Node) -> tuple[Thing, ...]:
    """Return what made a node what a policy takes it for."""
    of_node = ("node", "node.tags", "node.expiry", "node.client", "node.routes")
    return *((kind, node.id) for kind in of_node), ("user.role", node.user), ("domains",)


def connection_thing(node: NodeId, peer: PeerId) -> Thing:
    """Return under what a connection is held."""
    return "connection", node, peer


_MADE: Final[Mapping[type[Event], Callable[[Any, Tailnet], Iterable[Thing]]]] = {
    BaseDomainSet: lambda _event, _tailnet: [("domain",)],
    DerpMapSet: lambda _event, _tailnet: [("derp",)],
    PolicySet: lambda _event, _tailnet: [("policy",)],
    WireGuardModeSet: lambda _event, _tailnet: [("mode",)],
    ResolversSet: lambda _event, _tailnet: [("resolvers",)],
    WireGuardDnsSet: lambda _event, _tailnet: [("wireguard_dns",)],
    NodeRegistered: lambda event, _tailnet: _all_of(_OF_NODE, event.node),
    NodeReregistered: _node_back,
    NodeExpired: lambda event, _tailnet: [("node.expiry", event.node)],
    NodeExpirySet: lambda event, _tailnet: [("node.expiry", event.node)],
    NodeTagged: lambda event, _tailnet: [("node.tags", event.node)],
    NodeRoutesAdvertised: lambda event, _tailnet: [("node.routes", event.node)],
    NodeRoutesApproved: lambda event, _tailnet: [("node.routes", event.node)],
    UserRoleSet: lambda event, _tailnet: [("user.role", event.user)],
    DomainsSet: lambda _event, _tailnet: [("domains",)],
    PeerRegistered: lambda event, _tailnet: _all_of(
        ("peer", "peer.key", "peer.allowed", "peer.endpoints", "peer.extra", "peer.tags"), event.peer
    ),
    PeerUpdated: _peer_updated,
    PeerEndpointsResolved: lambda event, _tailnet: [("peer.endpoints", event.peer)],
    PeerBackendSet: _backend_set,
    PeerSwitched: lambda event, _tailnet: _all_of(_OF_BACKEND, event.peer),
    PeerDisabled: lambda event, _tailnet: [("peer.parked", event.peer)],
    PeerExpired: lambda event, _tailnet: [("peer.expired", event.peer)],
    PeerEnabled: lambda event, _tailnet: _all_of(("peer.parked", "peer.expired"), event.peer),
    PeerDrained: lambda event, _tailnet: [("peer.drained", event.peer)],
    PeerUndrained: lambda event, _tailnet: [("peer.drained", event.peer)],
    PeerTagged: lambda event, _tailnet: [("peer.tags", event.peer)],
    PeerPoolSet: lambda event, _tailnet: [("peer.pool", event.peer)],
    SelectorAdded: lambda event, _tailnet: [("selector", event.peer, event.selector)],
    ConnectionAdded: lambda event, _tailnet: [connection_thing(event.node, event.peer)],
    ConnectionUpdated: lambda event, _tailnet: [("connection.terms", event.node, event.peer)],
    ConnectionExported: lambda event, _tailnet: [("connection.exported", event.node, event.peer)],
    ConnectionStale: lambda event, _tailnet: [("connection.stale", event.node, event.peer)],
}
_ENDED: Final[Mapping[type[Event], Callable[[Causes, Any, Tailnet, Position], None]]] = {
    NodeDeleted: _node_gone,
    PeerRemoved: _peer_gone,
    ConnectionRemoved: _connection_gone,
    SelectorRemoved: _selector_gone,
}
