"""What changed between two views of one node's netmap; it knows views, never clients."""

from collections.abc import Iterable
from typing import Generic, TypeVar

import msgspec

from projections.netmap.view import NodeNetmap, NodeView, WireGuardPeerView

T = TypeVar("T", NodeView, WireGuardPeerView)


class Changed(msgspec.Struct, Generic[T], frozen=True, kw_only=True):
    """The same peer, before and after."""

    before: T
    after: T


class Difference(msgspec.Struct, Generic[T], frozen=True, kw_only=True):
    """Peers that came, went or changed, each by id."""

    added: tuple[T, ...] = ()
    removed: tuple[T, ...] = ()
    changed: tuple[Changed[T], ...] = ()


class NetmapDiff(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """From one view to another; `others` names the remaining fields that differ."""

    before: int
    """The first view's position."""
    after: int
    peers: Difference[NodeView]
    wireguard_only_peers: Difference[WireGuardPeerView]
    others: tuple[str, ...] = ()
    """Of `self`, `rules`, `ssh`, `capabilities`, `baseDomain`, `derp`, `epoch`."""


def diff(before: NodeNetmap, after: NodeNetmap) -> NetmapDiff:
    """Return what must happen to the first view to get the second."""
    pairs = (
        ("self", before.self_node, after.self_node),
        ("rules", before.rules, after.rules),
        ("ssh", before.ssh, after.ssh),
        ("capabilities", before.capabilities, after.capabilities),
        ("baseDomain", before.base_domain, after.base_domain),
        ("derp", bytes(before.derp), bytes(after.derp)),
        ("epoch", before.epoch, after.epoch),
    )
    return NetmapDiff(
        before=before.position,
        after=after.position,
        peers=_difference(before.peers, after.peers),
        wireguard_only_peers=_difference(before.wireguard_only_peers, after.wireguard_only_peers),
        others=tuple(name for name, old, new in pairs if old != new),
    )


def _difference(before: Iterable[T], after: Iterable[T]) -> Difference[T]:
    old = {peer.id: peer for peer in before}
    new = {peer.id: peer for peer in after}
    return Difference(
        added=tuple(new[number] for number in sorted(new.keys() - old.keys())),
        removed=tuple(old[number] for number in sorted(old.keys() - new.keys())),
        changed=tuple(
            Changed(before=old[number], after=new[number])
            for number in sorted(old.keys() & new.keys())
            if old[number] != new[number]
        ),
    )
