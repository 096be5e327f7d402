"""What of a whole tailnet is not as it was: users, nodes, peers, connections, keys, providers, the policy, the settings; pure.

Rule 1: a thing is told by its row of the lists; what such a row counts of other things is left out, for those are told themselves.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Final

import msgspec

from engine.domain.state import Tailnet
from projections.inventory import devices, lists
from projections.netmap.diff import ChangeRow, changed, fields

Things = Mapping[tuple[int, ...], tuple[str, Mapping[str, object]]]
"""By id: what a thing is called, and its fields."""

_COUNTED: Final = frozenset(
    {"connections", "serving", "nodes", "wireguardOnlyPeers", "connectedNodes", "usedBy", "stale"}
)
"""Fields that speak of other things."""


def between(old: Tailnet, new: Tailnet) -> Iterator[ChangeRow]:
    """Yield what came, went or changed, by kind and id."""
    before, after = dict(_kinds(old)), dict(_kinds(new))
    for kind, things in after.items():
        yield from _rows(kind, before[kind], things)


def _rows(kind: str, old: Things, new: Things) -> Iterator[ChangeRow]:
    for key in sorted(old.keys() | new.keys()):
        before, after = old.get(key), new.get(key)
        if before == after:
            continue
        name, _ = after or before or ("", {})
        number = key[0] if len(key) == 1 else 0
        if before is None or after is None:
            what = "added" if before is None else "removed"
            whole = {"before": before and before[1], "after": after and after[1]}
            yield ChangeRow(what=what, kind=kind, id=number, name=name, **whole)
            continue
        yield changed(kind, number, name, before[1], after[1])


def _kinds(tailnet: Tailnet) -> Iterator[tuple[str, Things]]:
    policy = tailnet.policy
    digest = "" if policy is None else policy.digest
    yield "settings", {(): ("tailnet", _fields(lists.settings(tailnet)))}
    yield "policy", {(): (digest[:12] or "none", {"digest": digest})}
    yield "user", _things(tailnet.users, lists.users(tailnet))
    yield "node", _things(tailnet.nodes, lists.nodes(tailnet))
    yield "wireguard-only", _things(tailnet.peers, lists.peers(tailnet))
    yield "connection", _connections(tailnet)
    yield "preauthkey", _things(tailnet.auth_keys, lists.auth_keys(tailnet))
    yield "apikey", _things(tailnet.api_keys, lists.api_keys(tailnet))
    yield "provider", _things(tailnet.provided.providers, devices.providers(tailnet))


def _connections(tailnet: Tailnet) -> Things:
    return {
        (row.node, row.peer): (f"{row.node_name} ({row.node}) → {row.peer_name} ({row.peer})", _fields(row))
        for row in lists.connections(tailnet)
    }


def _things(held: Iterable[int], rows: Iterable[msgspec.Struct]) -> Things:
    known = {number: _fields(row) for number, row in zip(sorted(held), rows, strict=True)}
    return {(number,): (str(row.get("name") or row.get("prefix")), row) for number, row in known.items()}


def _fields(row: msgspec.Struct) -> Mapping[str, object]:
    return {name: _plain(value) for name, value in fields(row).items() if name not in _COUNTED}


def _plain(value: object) -> object:
    """Return JSON that is held as octets as what it says: only so can it be compared."""
    return msgspec.json.decode(value) if isinstance(value, msgspec.Raw) else value
