"""Packet filters: who may reach a node, in the form that its client's capability version understands.

    capver ≥ 109   "SrcIPs": ["cap:netmap.internal/set/5f1c…"]       the names stand in the peers' CapMap
    below          "SrcIPs": ["100.64.0.3", …]                       the addresses of the nodes of the sets' classes

Rule 1: the names stand in the CapMap of nodes only, so a WireGuard-only peer matches none. They are those of sets:
        a filter does not change when classes or their nodes come and go.
Rule 2: whoever is connected to a WireGuard-only peer gets no range as a source: behind one with default routes anybody may
        use any address that no other visible node has (wireguard-only-peers §0.10). What ranges would let in is cut to the
        addresses and routes of the nodes that the viewer sees.
        A WireGuard-only peer that may call is a source where a range is named that it lies in, and nowhere else: never by `*`
        or an autogroup, and never of capabilities.
Rule 3: address lists are exactly those of the hosted service: entries with equal sources are merged over the whole policy, and
        only then cut to what concerns the node (policy-semantics §3.3, 8).
Rule 4: the filter is a named one, always sent whole; without rules it is empty, and lets nothing in.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

import msgspec

from engine.contracts.netmap import PROGRAM_KEY, ClassObject, EntryObject, NodeObject, ProgramObject
from engine.policy.policy import INTERNET as INTERNET_TARGET
from engine.policy.policy import Entry, Reach, Target
from engine.policy.ranges import INTERNET, TAILNET
from frontends.control.confine import Owned
from frontends.control.replica import Replica
from frontends.control.sources import Sources
from frontends.control.steering import Steering
from frontends.wire.codec import encode
from frontends.wire.tailcfg.filter import NetPortRange, PortRange

FILTER: Final = "netmap"
_SET: Final = "netmap.internal/set/"
Texts = tuple[str, ...]


class _Rule(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, rename="pascal"):
    src_ips: Texts = msgspec.field(name="SrcIPs")
    dst_ports: tuple[NetPortRange, ...] | None = None
    ip_proto: tuple[int, ...] | None = msgspec.field(default=None, name="IPProto")
    cap_grant: tuple[msgspec.Raw, ...] | None = None


class _Grant(msgspec.Struct, frozen=True, kw_only=True, rename="pascal"):
    dsts: Texts
    cap_map: msgspec.Raw


def set_capability(name: str) -> str:
    """Return the capability that the nodes of a set's classes carry in their viewers' netmaps."""
    return f"{_SET}{name}"


class Rules:
    """The filters of a replica's classes."""

    def __init__(self, replica: Replica, sources: Sources, steering: Steering) -> None:
        self._replica: Final = replica
        self._sources: Final = sources
        self._steering: Final = steering
        self._settled: Final[dict[str, tuple[ClassObject, bool]]] = {}

    def is_settled(self, own: ClassObject) -> bool:
        """Return whether the filter by name stays as it is while nodes come and go: no source is a list of addresses."""
        known = self._settled.get(own.id)
        if known is None or known[0] is not own:
            settled = not any(self._entry(reach.entry).within for reach in own.rules)
            known = self._settled[own.id] = (own, settled)
        return known[1]

    def by_name(self, own: ClassObject, addresses: Texts, owned: Owned | None) -> bytes:
        """Return the value of `PacketFilters` for clients that know sources by capability.

        `addresses` are the node's own; `owned` is given for whoever must get no ranges (rule 2).
        """
        merged: dict[object, tuple[Texts, list[Reach]]] = {}
        for number, reach in enumerate(own.rules):
            entry = self._entry(reach.entry)
            texts = self._named(entry, reach.own, owned)
            key: object = number if entry.grant else (texts, entry.protocol)
            merged.setdefault(key, (texts, []))[1].append(reach)
        return encode({FILTER: [self._rule(texts, reaches, addresses) for texts, reaches in merged.values()]})

    def by_address(self, own: ClassObject, node: NodeObject, addresses: Texts, owned: Owned | None) -> bytes:
        """Return the value of `PacketFilters` for older clients (rule 3)."""
        reaches = {reach.entry: reach for reach in own.rules}
        merged: dict[object, tuple[Texts, list[Reach]]] = {}
        for name in self._program():
            entry, reach = self._entry(name), reaches.get(name)
            if reach is None and (entry.is_conditional or not _takes_part(entry, node)):
                continue
            texts = self._listed(entry, "" if reach is None else reach.own, owned)
            key = name if entry.grant else (texts, entry.protocol)
            slot = merged.setdefault(key, (texts, []))[1]
            if reach is not None:
                slot.append(reach)
        held = ((texts, slot) for texts, slot in merged.values() if slot)
        rules = (self._rule(texts, slot, addresses) for texts, slot in held)
        return encode({FILTER: [rule for rule in rules if rule.src_ips or rule.cap_grant]})

    def _rule(self, texts: Texts, reaches: Sequence[Reach], addresses: Texts) -> _Rule:
        return _rule(texts, self._entry(reaches[0].entry), reaches, addresses)

    def _program(self) -> Texts:
        value = self._replica.get(PROGRAM_KEY)
        return value.entries if isinstance(value, ProgramObject) else ()

    def _entry(self, name: str) -> Entry:
        value = self._replica.get(f"entry/{name}")
        return value.entry if isinstance(value, EntryObject) else Entry(id=name)

    def _named(self, entry: Entry, own: str, owned: Owned | None) -> Texts:
        if own:
            return (f"cap:{set_capability(own)}",)
        sets = (*entry.sets, entry.whole) if entry.whole else entry.sets
        texts = (
            *(self._steering.prefixes if entry.whole else ()),
            *(("*",) if entry.is_anyone else ()),
        )
        texts = (*self._within(entry), *texts)
        texts = (*entry.literals, *texts) if owned is None else _cut(owned, entry, texts)
        return tuple(dict.fromkeys((*(f"cap:{set_capability(name)}" for name in sets), *texts)))

    def _listed(self, entry: Entry, own: str, owned: Owned | None) -> Texts:
        devices = self._sources.of((own,) if own else entry.sets)
        texts: Texts = ()
        if not own:
            whole = (*TAILNET, *self._steering.prefixes) if entry.whole else ()
            texts = ("*",) if entry.is_anyone else (*whole, *self._within(entry))
        if owned is not None:
            wide = (*devices, *texts)
            return tuple(sorted(set(owned.cut(wide) if own else _cut(owned, entry, wide))))
        texts = texts if own or entry.is_anyone else (*entry.literals, *texts)
        return tuple(sorted({*devices, *texts})) if texts else devices

    def _within(self, entry: Entry) -> Iterator[str]:
        for part in entry.within:
            yield from Owned.of_addresses(self._sources.of((part.set,))).between(
                part.version, part.first, part.last
            )


def _cut(owned: Owned, entry: Entry, wide: Texts) -> Texts:
    """Return the entry's literals and what it means widely, cut to what is owned (rule 2)."""
    named = owned.cut(entry.literals) if entry.grant else owned.named(entry.literals)
    return tuple(dict.fromkeys((*named, *owned.cut(wide))))


def _takes_part(entry: Entry, node: NodeObject) -> bool:
    return not entry.via or any(tag in entry.via for tag in node.tags)


def _rule(texts: Texts, entry: Entry, reaches: Sequence[Reach], addresses: Texts) -> _Rule:
    if entry.grant:
        grant = _Grant(dsts=tuple(map(_prefix, addresses)), cap_map=msgspec.Raw(entry.grant.encode()))
        return _Rule(src_ips=texts, cap_grant=(msgspec.Raw(encode(grant)),))
    targets = (target for reach in reaches for target in reach.targets)
    return _Rule(
        src_ips=texts,
        dst_ports=tuple(where for target in targets for where in _ranges(target, addresses)),
        ip_proto=None if entry.protocol is None else (entry.protocol,),
    )


def _ranges(target: Target, addresses: Texts) -> Iterator[NetPortRange]:
    for ip in _places(target.ip, addresses):
        for first, last in target.ports:
            yield NetPortRange(ip=ip, ports=PortRange(first, last))


def _places(ip: str, addresses: Texts) -> Iterable[str]:
    if ip == INTERNET_TARGET:
        return INTERNET
    return (ip,) if ip else addresses


def _prefix(address: str) -> str:
    return f"{address}/128" if ":" in address else f"{address}/32"
