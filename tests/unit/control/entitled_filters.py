"""The packet filter that a node may hold, in both wire forms, worked out from the objects alone.

1. Sources of an entry are the addresses of its sets' nodes, its literals, what its `within` leaves of a set, and with `whole` the
   tailnet's ranges and all approved prefixes. Clients that know sources by capability get the names of sets, `whole` too.
2. Whoever is connected to a WireGuard-only peer gets no address and no range that none of the nodes that it sees has, in
   its view: an address of one, or what of a range leads to one and to no such peer that may call. It does not see itself. What
   such peers have that may call is a source where a literal of an entry that is no grant names it.
3. Addresses: all entries in the policy's order; those of equal sources and protocol are one rule, where the first of them stands;
   conditional ones only where the class has them, those with `via` only on nodes with one of these tags. Then what the class
   does not have is left out.
4. Names: what the rules say together is what counts (`said`), since no recording pins their order.
"""

from collections.abc import Iterable
from typing import Any, Final, NamedTuple

import msgspec

from engine.contracts.netmap import ClassObject, NodeObject
from engine.policy.policy import Entry, Reach, Target
from tests.unit.control.world import World, common, span, without

Json = dict[str, Any]
BY_NAME: Final = 109
TAILNET: Final = ["100.64.0.0-100.115.91.255", "100.115.94.0-100.127.255.255", "fd7a:115c:a1e0::/48"]
INTERNET: Final = [
    "0.0.0.0-9.255.255.255",
    "11.0.0.0-100.63.255.255",
    "100.128.0.0-169.253.255.255",
    "169.255.0.0-172.15.255.255",
    "172.32.0.0-192.167.255.255",
    "192.169.0.0-255.255.255.255",
    "2000::-3fff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
]


class Owned(NamedTuple):
    """What those have who may send to somebody: nodes' addresses and routes, and what belongs to callers."""

    addresses: list[str]
    prefixes: list[str]
    callers: list[str]


def filters(world: World, me: NodeObject, capver: int, callers: list[str] | None) -> list[Json]:
    """Return the node's rules; `callers` is what WireGuard-only peers have that may call, None where there are none at all."""
    own = world.class_of(me)
    if own is None:
        return []
    owned = None if callers is None else _owned(world, me, callers)
    return _named(world, me, own, owned) if capver >= BY_NAME else _listed(world, me, own, owned)


def said(rules: Iterable[Json]) -> list[Any]:
    """What rules say, whatever their order, and however many rules they need to say it."""
    found: list[Any] = []
    for rule in rules:
        sources = sorted(set(rule["SrcIPs"]))
        if "CapGrant" in rule:
            found.append(("grant", str(sources), str(rule["CapGrant"])))
        for where in rule.get("DstPorts", []) if sources else []:
            found += [(source, str(where), str(rule.get("IPProto"))) for source in sources]
    return sorted(found)


# Sources -------------------------------------------------------------------------------------------------------


def _owned(world: World, me: NodeObject, callers: list[str]) -> Owned:
    seen = world.seen_by(me)
    addresses = {address for n in seen if not n.expired for address in world.shown(n)}
    routes = {prefix for n in seen for prefix in world.routes_on(n, me)}
    return Owned(sorted(addresses), [part for route in routes for part in without(route, callers)], callers)


def _cut(texts: Iterable[str], owned: Owned | None) -> set[str]:
    """What is left of texts by which an entry means nodes."""
    if owned is None:
        return set(texts)
    found: set[str] = set()
    for text in texts:
        if text == "*":
            found.update(owned.addresses, owned.prefixes)
            continue
        found.update(address for address in owned.addresses if common(address, text))
        found.update(part for prefix in owned.prefixes for part in common(prefix, text))
    return found


def _literals(entry: Entry, owned: Owned | None) -> set[str]:
    """What is left of the ranges that an entry names."""
    found = _cut(entry.literals, owned)
    if owned is not None and not entry.grant:
        found |= {
            part for text in entry.literals for prefix in owned.callers for part in common(prefix, text)
        }
    return found


def _devices(world: World, sets: Iterable[str]) -> set[str]:
    return {address for n in world.members(sets) for address in world.addresses(n)}


def _within(world: World, entry: Entry) -> set[str]:
    found: set[str] = set()
    for part in entry.within:
        for address in _devices(world, [part.set]):
            version, number, _ = span(address)
            if version == part.version and part.first <= number <= part.last:
                found.add(address)
    return found


def _named(world: World, me: NodeObject, own: ClassObject, owned: Owned | None) -> list[Json]:
    rules = []
    for reach in own.rules:
        entry = world.entry(reach.entry)
        sets = [reach.own] if reach.own else [*entry.sets, *([entry.whole] if entry.whole else [])]
        texts: set[str] = set()
        if not reach.own:
            wide = {*(world.prefixes if entry.whole else []), *(["*"] if entry.is_anyone else [])}
            within = _within(world, entry)
            texts = _literals(entry, owned) | _cut(wide, owned)
            texts |= _cut(within, owned)
        names = {f"cap:netmap.internal/set/{name}" for name in sets}
        rules.append(_rule(world, me, names | texts, entry, [reach]))
    return rules


def _listed(world: World, me: NodeObject, own: ClassObject, owned: Owned | None) -> list[Json]:
    reaches = {reach.entry: reach for reach in own.rules}
    places: list[tuple[tuple[str, ...], Entry, list[Reach]]] = []
    for entry in world.program():
        reach = reaches.get(entry.id)
        if reach is None and not _takes_part(entry, me):
            continue
        sources = tuple(sorted(_sources(world, entry, reach, owned)))
        mine = [] if reach is None else [reach]
        for texts, other, there in places:
            is_alike = (texts, other.protocol) == (sources, entry.protocol)
            if is_alike and not other.grant and not entry.grant:
                there.extend(mine)
                break
        else:
            places.append((sources, entry, mine))
    held = [place for place in places if place[2] and (place[0] or place[1].grant)]
    return [_rule(world, me, texts, entry, there) for texts, entry, there in held]


def _takes_part(entry: Entry, me: NodeObject) -> bool:
    """Whether an entry has a place among the rules of a node that it is not for."""
    return not entry.is_conditional and (not entry.via or bool(set(entry.via) & set(me.tags)))


def _sources(world: World, entry: Entry, reach: Reach | None, owned: Owned | None) -> set[str]:
    if reach is not None and reach.own:
        return _cut(_devices(world, [reach.own]), owned)
    wide = {*_devices(world, entry.sets), *_within(world, entry), *(["*"] if entry.is_anyone else [])}
    whole = [*TAILNET, *world.prefixes] if entry.whole else []
    return _literals(entry, owned) | _cut({*wide, *whole}, owned)


# Rules ---------------------------------------------------------------------------------------------------------


def _rule(world: World, me: NodeObject, sources: Iterable[str], entry: Entry, reaches: list[Reach]) -> Json:
    texts, own = sorted(sources), world.addresses(me)
    if entry.grant:
        wholes = [f"{address}/{128 if ':' in address else 32}" for address in own]
        return {
            "SrcIPs": texts,
            "CapGrant": [{"Dsts": wholes, "CapMap": msgspec.json.decode(entry.grant)}],
        }
    targets = [target for reach in reaches for target in reach.targets]
    ports = [
        {"IP": ip, "Ports": {"First": first, "Last": last}}
        for target in targets
        for ip in _places(target, own)
        for first, last in target.ports
    ]
    protocol = {} if entry.protocol is None else {"IPProto": [entry.protocol]}
    return {"SrcIPs": texts, "DstPorts": ports, **protocol}


def _places(target: Target, own: list[str]) -> list[str]:
    if target.ip == "internet":
        return INTERNET
    return [target.ip] if target.ip else own
