"""What a node may hold, computed the slow way from the tailnet's objects alone: the oracle of the session tests.

It knows nothing of views, journals or fragments: for each viewer it looks at everything, in wire names. Whom a node sees and
what leads where is `world.py`'s, packet filters are `entitled_filters.py`'s, SSH is `entitled_shells.py`'s.
"""

from datetime import UTC, datetime
from typing import Any, Final

import msgspec

from engine.contracts.netmap import (
    ConnectionExtra,
    ExtrasObject,
    NodeObject,
    TailnetObject,
    WireGuardPeerObject,
)
from tests.kit.client_view import normal
from tests.unit.control.entitled_filters import filters
from tests.unit.control.entitled_shells import shells
from tests.unit.control.world import World

Json = dict[str, Any]
TAGGED: Final = 2_147_455_555
WIREGUARD: Final = 2_147_455_556
EVERYBODY: Final = (
    "https://tailscale.com/cap/file-sharing",
    "https://tailscale.com/cap/ssh",
    "https://tailscale.com/cap/tailnet-lock",
    "probe-udp-lifetime",
    "ssh-behavior-v1",
    "ssh-env-vars",
    "store-appc-routes",
)
"""The base set of the policy vectors' README."""


class Entitlement(msgspec.Struct):
    """The whole of what one client may hold."""

    node: Json
    peers: dict[int, Json]
    rules: list[Json]
    ssh: Json
    profiles: dict[int, Json]
    dns: Json
    derp: Json
    domain: str


def entitlement(world: World, viewer: int, capver: int) -> Entitlement | None:
    """Return what the viewer may hold, or None if there is no such node."""
    tailnet, me = world.objects.get("tailnet"), world.node(viewer)
    if not isinstance(tailnet, TailnetObject) or me is None:
        return None
    base, seen = tailnet.base_domain, world.seen_by(me)
    externals = [] if world.class_of(me) is None else _connected(world, me)
    peers: dict[int, Json] = {n.id: normal(_peer(world, n, me, base), capver) for n in seen}
    peers |= {peer.id: normal(_external(peer, by, base, capver), capver) for peer, by in externals}
    profiles = {n: p for n in {_user(n) for n in [me, *seen]} if (p := _profile(world, n)) is not None}
    if externals:
        profiles[WIREGUARD] = _named(WIREGUARD, "wireguard-peers", "WireGuard peers")
    return Entitlement(
        node=normal(_self(world, me, tailnet), capver),
        peers=peers,
        rules=filters(world, me, capver, _callers(externals, capver) if externals else None),
        ssh={"rules": shells(world, me)},
        profiles=profiles,
        dns=_dns(world, me, tailnet),
        derp=msgspec.json.decode(tailnet.derp_map),
        domain=base,
    )


def _dns(world: World, me: NodeObject, tailnet: TailnetObject) -> Json:
    """The tailnet's resolvers, as a fall-back where one of the node's WireGuard-only peers answers names."""
    base = tailnet.base_domain
    dns: Json = {"Proxied": True, "Domains": [base], "Routes": {base: []}}
    extras = world.objects.get(f"extras/{me.id}")
    demotes = isinstance(extras, ExtrasObject) and extras.demotes and world.class_of(me) is not None
    if tailnet.resolvers:
        dns["FallbackResolvers" if demotes else "Resolvers"] = [{"Addr": text} for text in tailnet.resolvers]
    return dns


def _connected(world: World, me: NodeObject) -> list[tuple[WireGuardPeerObject, ConnectionExtra]]:
    extras = world.objects.get(f"extras/{me.id}")
    connections = extras.connections if isinstance(extras, ExtrasObject) else ()
    found = [(world.objects.get(f"peer/{connection.peer}"), connection) for connection in connections]
    return [(peer, connection) for peer, connection in found if isinstance(peer, WireGuardPeerObject)]


def _callers(externals: list[tuple[WireGuardPeerObject, ConnectionExtra]], capver: int) -> list[str]:
    """What WireGuard-only peers have that may call."""
    found = [_external(peer, by, "", capver) for peer, by in externals if not by.jailed]
    return [prefix for node in found for prefix in node["AllowedIPs"]]


def _user(node: NodeObject) -> int:
    return TAGGED if node.tags else node.user


def _profile(world: World, user: int) -> Json | None:
    if user == TAGGED:
        return _named(user, "tagged-devices", "Tagged Devices")
    value = world.user(user)
    return None if value is None else _named(user, value.name, value.display_name or value.name)


def _named(number: int, login: str, name: str) -> Json:
    return {"ID": number, "LoginName": login, "DisplayName": name}


def _time(millis: int) -> str:
    moment = datetime.fromtimestamp(millis / 1000, UTC)
    text = moment.strftime("%Y-%m-%dT%H:%M:%S")
    return f"{text}.{millis % 1000:03}Z" if millis % 1000 else f"{text}Z"


def _common(world: World, node: NodeObject, base: str) -> Json:
    expiry = node.expiry or (node.created if node.expired else 0)
    return {
        "ID": node.id,
        "StableID": node.stable_id,
        "Name": f"{node.name}.{base}.",
        "User": _user(node),
        "Key": node.node_key,
        "Addresses": _wholes(world.shown(node)),
        "Created": _time(node.created),
        "KeyExpiry": _time(expiry) if expiry else None,
        "Expired": node.expired,
        "Tags": list(node.tags),
        "MachineAuthorized": True,
    }


def _wholes(addresses: list[str]) -> list[str]:
    return [f"{address}/{128 if ':' in address else 32}" for address in addresses]


def _self(world: World, node: NodeObject, tailnet: TailnetObject) -> Json:
    own = world.class_of(node)
    routes = [] if node.expired else [*node.routes, *node.exit_routes]
    more = dict.fromkeys(own.capabilities if own is not None else ())
    addresses = _wholes([node.ipv4, node.ipv6] if own is None else world.shown(node))
    return {
        **_common(world, node, tailnet.base_domain),
        "Addresses": addresses,
        "AllowedIPs": addresses + routes,
        "PrimaryRoutes": [] if node.expired else world.primaries(node),
        "Machine": node.machine_key,
        "Hostinfo": {"OS": node.os, "Hostname": node.hostname},
        "Cap": node.capver,
        "CapMap": {**dict.fromkeys(EVERYBODY), "default-auto-update": [tailnet.auto_updates], **more},
    }


def _peer(world: World, node: NodeObject, viewer: NodeObject, base: str) -> Json:
    fact, online = world.facts.get(node.id), world.is_online(node.id)
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
    exits, routes = [] if node.expired else list(node.exit_routes), world.routes_on(node, viewer)
    carried = {f"netmap.internal/set/{name}": None for name in world.carried_by(node)}
    return {
        **_common(world, node, base),
        **soft,
        "AllowedIPs": _wholes(world.shown(node)) + exits + routes,
        "PrimaryRoutes": routes,
        "Hostinfo": host,
        "Online": online,
        "Cap": (fact.capver if fact else 0) or node.capver,
        "CapMap": carried | ({"suggest-exit-node": None} if exits else {}),
    }


def _external(peer: WireGuardPeerObject, connection: ConnectionExtra, base: str, capver: int) -> Json:
    own = _wholes([peer.ipv4, peer.ipv6])
    allowed = peer.allowed_ips if connection.allowed_ips is None else connection.allowed_ips
    routes = [p for p in allowed if capver >= 104 or ":" not in p or p == "::/0"]
    gone = bool(peer.parked_key or peer.expired_at)
    return {
        "ID": peer.id,
        "StableID": peer.stable_id,
        "Name": f"{peer.name}.{base}.",
        "User": WIREGUARD,
        "Key": peer.parked_key or peer.public_key,
        "KeyExpiry": _time(peer.expired_at) if peer.expired_at else None,
        "Expired": bool(peer.expired_at),
        "Addresses": own,
        "AllowedIPs": own + routes,
        "PrimaryRoutes": [p for p in routes if not p.endswith("/0")],
        "Endpoints": ["192.0.2.1:9"] if peer.parked_key else list(peer.endpoints),
        "Hostinfo": {"Hostname": peer.name},
        "Created": _time(peer.created),
        "Tags": list(peer.extra.tags),
        "Online": not (gone or peer.drained),
        "MachineAuthorized": True,
        "CapMap": {"suggest-exit-node": None} if peer.extra.suggest_exit_node else {},
        "SelfNodeV4MasqAddrForThisPeer": connection.ipv4_masq,
        "SelfNodeV6MasqAddrForThisPeer": connection.ipv6_masq if capver >= 104 else "",
        "IsWireGuardOnly": True,
        "IsJailed": connection.jailed,
    }
