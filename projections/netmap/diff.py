"""What changed between two views of one node's netmap; it knows views, never clients."""

from collections.abc import Iterable, Iterator, Mapping
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
    """Of `self`, `rules`, `ssh`, `capabilities`, `baseDomain`, `resolvers`, `fallbackResolvers`, `derp`, `epoch`."""


def diff(before: NodeNetmap, after: NodeNetmap) -> NetmapDiff:
    """Return what must happen to the first view to get the second."""
    pairs = (
        ("self", before.self_node, after.self_node),
        ("rules", before.rules, after.rules),
        ("ssh", before.ssh, after.ssh),
        ("capabilities", before.capabilities, after.capabilities),
        ("baseDomain", before.base_domain, after.base_domain),
        ("resolvers", before.resolvers, after.resolvers),
        ("fallbackResolvers", before.fallback_resolvers, after.fallback_resolvers),
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


class ChangeRow(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """One thing of a netmap that is not as it was, as an operator reads it."""

    what: str
    """`added`, `removed` or `changed`."""
    kind: str
    """`node`, `wireguard-only`, or `netmap` for the fields that `NetmapDiff.others` names."""
    id: int = 0
    name: str
    before: object = None
    """What it was; of a changed peer the fields that changed."""
    after: object = None


def rows(before: NodeNetmap | None, after: NodeNetmap | None) -> Iterator[ChangeRow]:
    """Yield what is not as it was, the netmap's own fields first; None is a netmap that is not there."""
    if before is None or after is None:
        for what, whole in (("removed", before), ("added", after)):
            if whole is not None:
                yield from (_one(what, peer) for peer in whole.peers)
                yield from (_one(what, peer) for peer in whole.wireguard_only_peers)
        return
    found = diff(before, after)
    old, new = fields(before), fields(after)
    for name in found.others:
        yield ChangeRow(what="changed", kind="netmap", name=name, before=old[name], after=new[name])
    yield from _rows(found.peers)
    yield from _rows(found.wireguard_only_peers)


def _rows(found: Difference[T]) -> Iterator[ChangeRow]:
    for what, peers in (("removed", found.removed), ("added", found.added)):
        for peer in peers:
            yield _one(what, peer)
    for pair in found.changed:
        name, number = pair.after.name, pair.after.id
        yield changed(_kind(pair.after), number, name, fields(pair.before), fields(pair.after))


def changed(
    kind: str, number: int, name: str, before: Mapping[str, object], after: Mapping[str, object]
) -> ChangeRow:
    """Return the row of a thing that changed, with the fields that did; both have the same ones."""
    names = [field for field in after if before[field] != after[field]]
    return ChangeRow(
        what="changed",
        kind=kind,
        id=number,
        name=name,
        before={field: before[field] for field in names},
        after={field: after[field] for field in names},
    )


def _one(what: str, peer: NodeView | WireGuardPeerView) -> ChangeRow:
    side = {"before" if what == "removed" else "after": fields(peer)}
    return ChangeRow(what=what, kind=_kind(peer), id=peer.id, name=peer.name, **side)


def _kind(peer: NodeView | WireGuardPeerView) -> str:
    return "node" if isinstance(peer, NodeView) else "wireguard-only"


def fields(value: msgspec.Struct) -> dict[str, object]:
    """Return what a struct holds, by the names that it has in JSON."""
    return {field.encode_name: getattr(value, field.name) for field in msgspec.structs.fields(value)}
