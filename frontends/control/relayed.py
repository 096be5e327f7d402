"""Each node's WireGuard-only peers in their wire form; pure.

Rule 1: of a node's peers those are rendered that changed: it may have hundreds of them.
Rule 2: what did not change stays the same object, each peer and the whole of them.
"""

from collections.abc import Iterable
from typing import Final, NamedTuple

from engine.contracts.netmap import ConnectionExtra, ExtrasObject, WireGuardPeerObject
from engine.domain.values import NodeId, PeerId
from frontends.control.fragment import Fragment
from frontends.control.render import wireguard_node
from frontends.control.replica import Replica

_PEER: Final = "peer/"
NONE: Final[tuple[Fragment, ...]] = ()


class _Worn(NamedTuple):
    """A peer as it was rendered for one node, and what it was made of; no fragment if the client must not have it."""

    peer: WireGuardPeerObject | None
    connection: ConnectionExtra
    fragment: Fragment | None


class _Kept:
    """What was rendered for one node and kind of client."""

    __slots__ = ("extras", "fragments", "stale", "worn")

    def __init__(self) -> None:
        self.extras: ExtrasObject | None = None
        self.worn: dict[PeerId, _Worn] = {}
        """Sorted by id."""
        self.fragments = NONE
        self.stale: set[PeerId] = set()
        """Peers that are otherwise now."""


class Relayed:
    """The WireGuard-only peers of a replica's nodes, for each kind of client (`gates`)."""

    def __init__(self, replica: Replica) -> None:
        self._replica: Final = replica
        self._kept: Final[dict[NodeId, dict[int, _Kept]]] = {}
        self._wearers: Final[dict[PeerId, set[NodeId]]] = {}
        """For each peer the nodes that were rendered with it, and perhaps some that no longer are."""

    def begin(self) -> None:
        """Forget everything: what all are made of is otherwise."""
        self._kept.clear()
        self._wearers.clear()

    def forget(self, node: NodeId) -> None:
        """Forget a node that has none."""
        for kept in self._kept.pop(node, {}).values():
            for peer in kept.worn:
                self._wearers.get(peer, set()).discard(node)

    def changed(self, key: str) -> set[NodeId]:
        """Take it that a peer is otherwise, by its key; return the nodes that have it."""
        peer = PeerId(int(key.removeprefix(_PEER)))
        nodes = {node for node in self._wearers.get(peer, ()) if node in self._kept}
        for node in nodes:
            for kept in self._kept[node].values():
                kept.stale.add(peer)
        if not nodes:
            self._wearers.pop(peer, None)
        return nodes

    def of(self, node: NodeId, base: str, version: int, gates: int) -> tuple[Fragment, ...]:
        """Return a node's peers, sorted by id, for a client of this capability version."""
        extras = self._replica.get(f"extras/{node}")
        if not isinstance(extras, ExtrasObject):
            return NONE
        kept = self._kept.setdefault(node, {}).setdefault(gates, _Kept())
        if kept.extras is not extras:
            self._rearrange(kept, node, extras)
        if kept.stale:
            self._render(kept, base, version)
        return kept.fragments

    def _rearrange(self, kept: _Kept, node: NodeId, extras: ExtrasObject) -> None:
        """Take over which peers there are; who is new or otherwise is stale."""
        before, kept.worn, kept.extras = kept.worn, {}, extras
        for connection in sorted(extras.connections, key=lambda connection: connection.peer):
            number = connection.peer
            worn = before.get(number)
            if worn is None:
                self._wearers.setdefault(number, set()).add(node)
                worn = _Worn(None, connection, None)
                kept.stale.add(number)
            elif worn.connection != connection:
                worn = worn._replace(peer=None, connection=connection)
                kept.stale.add(number)
            kept.worn[number] = worn
        if kept.worn.keys() != before.keys():
            kept.stale &= kept.worn.keys()
            self._gather(kept)

    def _render(self, kept: _Kept, base: str, version: int) -> None:
        stale, kept.stale = kept.stale, set()
        for number in stale & kept.worn.keys():
            worn, peer = kept.worn[number], self._replica.get(f"{_PEER}{number}")
            if not isinstance(peer, WireGuardPeerObject):
                kept.worn[number] = worn._replace(peer=None, fragment=None)
            elif worn.peer is not peer:
                node = wireguard_node(peer, worn.connection, base, version)
                fragment = None if node is None else _same_or(worn.fragment, Fragment(node))
                kept.worn[number] = worn._replace(peer=peer, fragment=fragment)
        self._gather(kept)

    @staticmethod
    def _gather(kept: _Kept) -> None:
        found = tuple(worn.fragment for worn in kept.worn.values() if worn.fragment is not None)
        if not is_same(found, kept.fragments):
            kept.fragments = found


def _same_or(before: Fragment | None, now: Fragment) -> Fragment:
    return before if before is not None and before.data == now.data else now


def is_same(one: tuple[Fragment, ...], other: tuple[Fragment, ...]) -> bool:
    """Return whether these are the same objects."""
    return len(one) == len(other) and not any(a is not b for a, b in zip(one, other, strict=True))


def moved(
    before: tuple[Fragment, ...], now: tuple[Fragment, ...]
) -> tuple[list[Fragment], list[tuple[Fragment | None, Fragment]]]:
    """Return who went, and who came or changed: what was there before, if anything, and what is now."""
    if len(before) == len(now):
        pairs = [(a, b) for a, b in zip(before, now, strict=True) if a is not b]
        if all(a.node.id == b.node.id for a, b in pairs):
            return [], list[tuple[Fragment | None, Fragment]](pairs)
    held: dict[int, Fragment] = {extra.node.id: extra for extra in before}
    kept = {extra.node.id for extra in now}
    gone = [extra for extra in before if extra.node.id not in kept]
    return gone, [(held.get(b.node.id), b) for b in now if held.get(b.node.id) is not b]


def callers(extras: Iterable[Fragment]) -> tuple[str, ...]:
    """Return what those peers have that may call the node."""
    return tuple(prefix for f in extras if not f.node.is_jailed for prefix in f.node.allowed_ips)
