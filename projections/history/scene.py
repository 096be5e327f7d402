"""One moment of a tailnet, looked at from the side of a node and of a WireGuard-only peer; pure.

Rule 1: what a node is told comes from `engine/contracts/told.py` and from its extras, as frames do: there is no second opinion.
Rule 2: a client that has never said its capability version is taken for a new one, as it will be when it comes.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Final, NamedTuple

from engine.contracts.netmap import ConnectionExtra
from engine.contracts.told import Told, told_of
from engine.domain.aggregates import DEFAULT_ROUTES, Connection, Node, Peer
from engine.domain.values import Millis, NodeId, PeerId
from engine.policy.policy import Identity
from engine.policy.ranges import Span, overlap, span_of
from projections.history.causes import Causes
from projections.inventory.lists import PresenceOf, nobody
from projections.netmap.state import NetmapState

_NEW_CLIENT: Final = 1 << 16
"""A capability version that can do everything."""
OVERLAPS: Final = 1_000
"""Overlaps of one node's peers that are looked for."""
_Routed = tuple[Span, str, PeerId]
"""A prefix as numbers and as text, and whose it is."""


class Pair(NamedTuple):
    """A node and a WireGuard-only peer, and what the first is told of the second."""

    node: Node
    peer: Peer
    connection: Connection | None
    extra: ConnectionExtra | None
    """What the netmap says of the connection; None: there is none, or the policy leaves nothing of it."""
    told: Told | None
    """None: nothing."""
    capver: int
    """0: its client has never said."""


class Overlap(NamedTuple):
    """That a peer of a node and another one route the same addresses."""

    prefix: str
    other: PeerId
    others: str


class Scene:
    """A tailnet at one position; `now` is the moment's time, `presence` what frontends know."""

    def __init__(
        self, state: NetmapState, causes: Causes, now: Millis, presence: PresenceOf = nobody
    ) -> None:
        self.state: Final = state
        self.tailnet: Final = state.tailnet
        self.causes: Final = causes
        self.now: Final = now
        self.presence: Final = presence
        self._extras: dict[NodeId, dict[PeerId, ConnectionExtra]] = {}
        self._overlaps: dict[NodeId, dict[PeerId, list[Overlap]]] = {}
        self._routes: Final = tuple(span_of(prefix) for prefix in state.routers)

    def pair(self, node: Node, peer: Peer, capver: int | None = None) -> Pair:
        """Return the pair; `capver` is that of the node's client if not what is known of it."""
        version = self.capver(node) if capver is None else capver
        extra = self._extras_of(node.id).get(peer.id)
        return Pair(
            node,
            peer,
            self.tailnet.connections.get((node.id, peer.id)),
            extra,
            self._told(node, peer.id, extra, version or _NEW_CLIENT),
            version,
        )

    def extra_of(self, node: NodeId, peer: PeerId) -> ConnectionExtra | None:
        """Return what the netmap says of a connection; None: nothing."""
        return self._extras_of(node).get(peer)

    def capver(self, node: Node) -> int:
        """Return the last known capability version of a node's client; 0 if it never said one."""
        known = self.presence(node.id)
        return (known.capver if known is not None else 0) or node.capver

    def identity(self, node: Node) -> Identity | None:
        """Return what the policy takes the node for."""
        held = self.state.node(node.id)
        return None if held is None else self.state.identities.get(held.class_id)

    def overlaps(self, node: Node) -> Mapping[PeerId, Sequence[Overlap]]:
        """Return for the node's peers which others route the same addresses, default routes aside; `OVERLAPS` at most."""
        known = self._overlaps.get(node.id)
        if known is None:
            known = {}
            for one, other in islice(_overlaps(self._spans(node)), OVERLAPS):
                known.setdefault(one[2], []).append(Overlap(one[1], other[2], other[1]))
                known.setdefault(other[2], []).append(Overlap(other[1], one[2], one[1]))
            self._overlaps = {node.id: known}
        return known

    def is_routed(self, prefix: str) -> bool:
        """Return whether a node of the tailnet routes some of the prefix."""
        wanted = span_of(prefix)
        return any(overlap(span, wanted) for span in self._routes)

    def _extras_of(self, node: NodeId) -> dict[PeerId, ConnectionExtra]:
        known = self._extras.get(node)
        if known is None:
            known = {extra.peer: extra for extra in self.state.extras(node).connections}
            self._extras = {node: known}
        return known

    def _told(self, node: Node, peer: PeerId, extra: ConnectionExtra | None, capver: int) -> Told | None:
        held, mine = self.state.peer(peer), self.state.node(node.id)
        if extra is None or held is None or mine is None or mine.expired:
            return None
        return told_of(held, extra, capver)

    def _spans(self, node: Node) -> Iterator[_Routed]:
        for extra in self.state.extras(node.id).connections:
            peer = self.tailnet.peers[extra.peer]
            routes = peer.allowed_ips if extra.allowed_ips is None else extra.allowed_ips
            yield from ((span_of(route), route, peer.id) for route in routes if route not in DEFAULT_ROUTES)


def _overlaps(spans: Iterable[_Routed]) -> Iterator[tuple[_Routed, _Routed]]:
    """Yield what overlaps of different peers, each two once; the cost is that of sorting, and of what is found."""
    before: list[_Routed] = []
    for routed in sorted(spans):
        before = [one for one in before if overlap(one[0], routed[0])]
        yield from ((routed, one) for one in before if one[2] != routed[2])
        before.append(routed)


def frozen(state: NetmapState) -> NetmapState:
    """Return the state as it is now, for whoever looks at it while it goes on; its cost is that of its tables.

    What is in the tables never changes; lists that do are copied too.
    """
    other = NetmapState()
    for name, value in vars(state).items():
        setattr(other, name, dict(value) if isinstance(value, dict) else value)
    other.tailnet = state.tailnet.draft()
    other.sets = {name: list(classes) for name, classes in state.sets.items()}
    other.routers = {prefix: list(nodes) for prefix, nodes in state.routers.items()}
    return other
