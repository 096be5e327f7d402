"""What there is, of the rows of the lists; and the same as a declarative file.

Rule 1: a file that is made of what there is, planned, changes nothing.
Rule 2: connections that are there because of a selector are not declared: the selector is.
"""

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import msgspec
import yaml

from engine.domain.events import ExtraConfig

Row = Mapping[str, Any]


class NowSelector(NamedTuple):
    """A selector of a peer."""

    selector: str
    allowed_ips: tuple[str, ...] | None
    jailed: bool


class NowPeer(NamedTuple):
    """A WireGuard-only peer."""

    id: int
    name: str
    user: str
    public_key: str
    allowed_ips: tuple[str, ...]
    endpoints: tuple[str, ...]
    extra: ExtraConfig
    pool_v4: str
    pool_v6: str
    disabled: bool
    drained: bool
    managed_by: str
    selectors: tuple[NowSelector, ...]


class NowConnection(NamedTuple):
    """A connection; `allowed_ips` is None when it has all of the peer's."""

    node: int
    peer: int
    ipv4: str
    ipv6: str
    allowed_ips: tuple[str, ...] | None
    jailed: bool
    selector: str


class Present(NamedTuple):
    """All of it; `nodes` are ids by everything that a node is called, `users` names by id and by name in lower case."""

    peers: tuple[NowPeer, ...]
    connections: tuple[NowConnection, ...]
    nodes: Mapping[str, int]
    node_names: Mapping[int, str]
    users: Mapping[str, str]


def present(
    nodes: Iterable[Row], peers: Iterable[Row], connections: Iterable[Row], users: Iterable[Row]
) -> Present:
    """Return what the lists say."""
    by_name: dict[str, int] = {}
    names: dict[int, str] = {}
    for row in nodes:
        names[row["id"]] = str(row["name"])
        for called in ("id", "name", "ipv4", "ipv6", "nodeKey", "nodeKeyBase64"):
            by_name.setdefault(str(row.get(called)), row["id"])
    known = {str(row["id"]): str(row["name"]) for row in users}
    known |= {name.lower(): name for name in list(known.values())}
    return Present(
        tuple(_peer(row) for row in peers),
        tuple(_connection(row) for row in connections),
        by_name,
        names,
        known,
    )


def _peer(row: Row) -> NowPeer:
    return NowPeer(
        id=row["id"],
        name=row["name"],
        user=row["userName"],
        public_key=row["publicKey"],
        allowed_ips=tuple(row["allowedIps"]),
        endpoints=tuple(row["endpoints"]),
        extra=msgspec.convert(row.get("extraConfig") or {}, ExtraConfig),
        pool_v4=row.get("masqPoolV4") or "",
        pool_v6=row.get("masqPoolV6") or "",
        disabled=bool(row.get("disabled")),
        drained=bool(row.get("drained")),
        managed_by=row.get("managedBy") or "",
        selectors=tuple(
            NowSelector(one["selector"], _texts(one.get("allowedIps")), one["jailed"])
            for one in row.get("selectorTerms") or ()
        ),
    )


def _connection(row: Row) -> NowConnection:
    return NowConnection(
        node=row["node"],
        peer=row["peer"],
        ipv4=row.get("ipv4MasqAddr") or "",
        ipv6=row.get("ipv6MasqAddr") or "",
        allowed_ips=tuple(row["allowedIps"]) if row.get("isPart") else None,
        jailed=row.get("jailed", True),
        selector=row.get("selector") or "",
    )


def _texts(value: Iterable[str] | None) -> tuple[str, ...] | None:
    return None if value is None else tuple(value)


def dump(there: Present, managed_by: str | None = None) -> str:
    """Return what there is as a file; with a mark, only the peers that it keeps and what hangs on them."""
    peers = [peer for peer in there.peers if managed_by is None or peer.managed_by == managed_by]
    names = {peer.id: peer.name for peer in peers}
    document: dict[str, object] = {"managedBy": managed_by} if managed_by else {}
    document["peers"] = [_said(peer) for peer in peers]
    document["connections"] = [
        _filled(
            {
                "node": there.node_names[one.node],
                "peer": names[one.peer],
                "ipv4MasqAddr": one.ipv4,
                "ipv6MasqAddr": one.ipv6,
            }
        )
        | _terms(one.allowed_ips, jailed=one.jailed)
        for one in there.connections
        if one.peer in names and one.node in there.node_names and not one.selector
    ]
    document["selectors"] = [
        {"selector": one.selector, "peer": peer.name, **_terms(one.allowed_ips, jailed=one.jailed)}
        for peer in peers
        for one in peer.selectors
    ]
    kept = {name: value for name, value in document.items() if value} or {"peers": []}
    return yaml.safe_dump(kept, sort_keys=False, allow_unicode=True, width=120)


def _said(peer: NowPeer) -> dict[str, object]:
    extra: dict[str, object] = msgspec.to_builtins(peer.extra)
    tags = extra.pop("tags", ())
    return _filled(
        {
            "name": peer.name,
            "user": peer.user,
            "publicKey": _base64(peer.public_key),
            "allowedIps": list(peer.allowed_ips),
            "endpoints": list(peer.endpoints),
            "extraConfig": {
                name: list(one) if isinstance(one, tuple) else one for name, one in extra.items()
            },
            "tags": list(tags) if isinstance(tags, tuple | list) else [],
            "masqPool": _filled({"ipv4": peer.pool_v4, "ipv6": peer.pool_v6}),
            "disabled": peer.disabled,
            "drained": peer.drained,
        }
    )


def _base64(key: str) -> str:
    from engine.domain.keys import wireguard_base64
    from engine.domain.values import NodeKey

    return wireguard_base64(NodeKey(key))


def _terms(allowed_ips: tuple[str, ...] | None, *, jailed: bool) -> dict[str, object]:
    part: dict[str, object] = {} if allowed_ips is None else {"allowedIps": list(allowed_ips)}
    return part if jailed else {**part, "jailed": False}


def _filled(fields: Mapping[str, object]) -> dict[str, object]:
    """Return the fields that say something that is not the default."""
    return {name: value for name, value in fields.items() if value}
