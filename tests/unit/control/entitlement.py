"""What a node may hold, computed the slow way from the tailnet's objects alone: the oracle of the session tests.

It knows nothing of views, journals or fragments: for each viewer it looks at everything, in wire names.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import msgspec

from engine.contracts.netmap import (
    ClassObject,
    ClassSetObject,
    ExtrasObject,
    NetmapObject,
    NodeObject,
    TailnetObject,
    UserObject,
    WireGuardPeerObject,
)
from engine.contracts.soft import SoftFact
from tests.kit.client_view import normal

Json = dict[str, Any]
Objects = Mapping[str, NetmapObject]
Facts = Mapping[int, SoftFact]


class Entitlement(msgspec.Struct):
    """The whole of what one client may hold."""

    node: Json
    peers: dict[int, Json]
    rules: list[Json]
    profiles: dict[int, Json]
    dns: Json
    derp: Json
    domain: str


def entitlement(objects: Objects, facts: Facts, viewer: int, capver: int) -> Entitlement | None:
    """Return what the viewer may hold, or None if there is no such node."""
    tailnet, me = objects.get("tailnet"), objects.get(f"node/{viewer}")
    if not isinstance(tailnet, TailnetObject) or not isinstance(me, NodeObject):
        return None
    base = tailnet.base_domain
    nodes = [value for value in objects.values() if isinstance(value, NodeObject)]
    own = objects.get(f"class/{me.class_id}")
    alone = me.expired or not isinstance(own, ClassObject)
    seen = [] if alone else [n for n in nodes if n.id != me.id and _sets(objects, n) & set(own.sees)]  # type: ignore[union-attr]
    peers: dict[int, Json] = {
        n.id: normal(_peer(n, _sets(objects, n), facts.get(n.id), base), capver) for n in seen
    }
    extras = objects.get(f"extras/{viewer}")
    if isinstance(extras, ExtrasObject) and not me.expired:
        for connection in extras.connections:
            peer = objects.get(f"peer/{connection.peer}")
            if isinstance(peer, WireGuardPeerObject):
                masks = (connection.ipv4_masq, connection.ipv6_masq if capver >= 104 else "")
                peers[peer.id] = normal(_external(peer, masks, base, capver), capver)
    rules = [] if alone else [_rule(rule, me, objects, capver) for rule in own.rules]  # type: ignore[union-attr]
    users = {_user(n) for n in [me, *seen]}
    profiles = {n: p for n in users if (p := _profile(objects, n)) is not None}
    if any(n > 100_000_000 for n in peers):
        profiles[2147455556] = _named(2147455556, "wireguard-peers", "WireGuard peers")
    return Entitlement(
        node=normal(_self(me, base), capver),
        peers=peers,
        rules=rules,
        profiles=profiles,
        dns={"Proxied": True, "Domains": [base], "Routes": {base: []}},
        derp=msgspec.json.decode(tailnet.derp_map),
        domain=base,
    )


def _sets(objects: Objects, node: NodeObject) -> set[str]:
    """The sets that a node's class is in."""
    sets = [value for value in objects.values() if isinstance(value, ClassSetObject)]
    return {value.id for value in sets if node.class_id in value.classes}


def _user(node: NodeObject) -> int:
    return 2147455555 if node.tags else node.user


def _profile(objects: Objects, user: int) -> Json | None:
    if user == 2147455555:
        return _named(user, "tagged-devices", "Tagged Devices")
    value = objects.get(f"user/{user}")
    if not isinstance(value, UserObject):
        return None
    return _named(user, value.name, value.display_name or value.name)


def _named(number: int, login: str, name: str) -> Json:
    return {"ID": number, "LoginName": login, "DisplayName": name}


def _time(millis: int) -> str:
    moment = datetime.fromtimestamp(millis / 1000, UTC)
    text = moment.strftime("%Y-%m-%dT%H:%M:%S")
    return f"{text}.{millis % 1000:03}Z" if millis % 1000 else f"{text}Z"


def _common(node: NodeObject, base: str) -> Json:
    addresses = [f"{node.ipv4}/32", f"{node.ipv6}/128"]
    expiry = node.expiry or (node.created if node.expired else 0)
    return {
        "ID": node.id,
        "StableID": node.stable_id,
        "Name": f"{node.name}.{base}.",
        "User": _user(node),
        "Key": node.node_key,
        "Addresses": addresses,
        "AllowedIPs": addresses,
        "Created": _time(node.created),
        "KeyExpiry": _time(expiry) if expiry else None,
        "Expired": node.expired,
        "Tags": list(node.tags),
        "MachineAuthorized": True,
    }


def _self(node: NodeObject, base: str) -> Json:
    return {
        **_common(node, base),
        "Machine": node.machine_key,
        "Hostinfo": {"OS": node.os, "Hostname": node.hostname},
        "Cap": node.capver,
        "CapMap": {
            "https://tailscale.com/cap/file-sharing": None,
            "https://tailscale.com/cap/ssh": None,
            "https://tailscale.com/cap/is-admin": None,
            "default-auto-update": [False],
        },
    }


def _peer(node: NodeObject, sets: set[str], fact: SoftFact | None, base: str) -> Json:
    online = fact is not None and fact.online
    soft: Json = {}
    if fact is not None:
        soft = {
            "DiscoKey": fact.disco_key or None,
            "Endpoints": list(fact.endpoints),
            "HomeDERP": fact.home_derp,
            "DERP": f"127.3.3.40:{fact.home_derp}",
            "LastSeen": _time(fact.last_seen) if fact.last_seen and not online else None,
        }
    host = {"OS": node.os, "Hostname": node.hostname}
    if fact is not None and bytes(fact.hostinfo) != b"{}":
        host = msgspec.json.decode(fact.hostinfo)
    return {
        **_common(node, base),
        **soft,
        "Hostinfo": host,
        "Online": online,
        "Cap": (fact.capver if fact else 0) or node.capver,
        "CapMap": {} if node.expired else {f"netmap.internal/set/{name}": None for name in sets},
    }


def _external(peer: WireGuardPeerObject, masks: tuple[str, str], base: str, capver: int) -> Json:
    own = [f"{peer.ipv4}/32", f"{peer.ipv6}/128"]
    routes = [p for p in peer.allowed_ips if capver >= 104 or ":" not in p or p == "::/0"]
    return {
        "ID": peer.id,
        "StableID": peer.stable_id,
        "Name": f"{peer.name}.{base}.",
        "User": 2147455556,
        "Key": peer.public_key,
        "Addresses": own,
        "AllowedIPs": own + routes,
        "PrimaryRoutes": [p for p in routes if not p.endswith("/0")],
        "Endpoints": list(peer.endpoints),
        "Hostinfo": {"Hostname": peer.name},
        "Created": _time(peer.created),
        "Online": True,
        "MachineAuthorized": True,
        "CapMap": {"suggest-exit-node": None} if peer.extra.suggest_exit_node else {},
        "SelfNodeV4MasqAddrForThisPeer": masks[0],
        "SelfNodeV6MasqAddrForThisPeer": masks[1],
        "IsWireGuardOnly": True,
        "IsJailed": True,
    }


def _rule(rule: Any, me: NodeObject, objects: Objects, capver: int) -> Json:
    if capver >= 109:
        sources = [f"cap:netmap.internal/set/{name}" for name in rule.source_sets]
    else:
        nodes = [value for value in objects.values() if isinstance(value, NodeObject)]
        members = [n for n in nodes if not n.expired and _sets(objects, n) & set(rule.source_sets)]
        sources = [a for n in sorted(members, key=lambda n: n.id) for a in (f"{n.ipv4}/32", f"{n.ipv6}/128")]
    ports = [
        {"IP": address, "Ports": {"First": first, "Last": last}}
        for address in (me.ipv4, me.ipv6)
        for first, last in rule.ports
    ]
    return {
        "SrcIPs": sources,
        "DstPorts": ports,
        **({"IPProto": list(rule.protocols)} if rule.protocols else {}),
    }
