"""From the tailnet's objects to `tailcfg.Node`: as oneself, as a peer, as a WireGuard-only peer; and patches.

Rule 1: what a patch can change is always there (`Endpoints: []`, `Online`, the zero disco key): a field left out
        leaves the client with the old value.
Rule 2: soft state is told to peers only: a self node that changed with every endpoint would make its client rebuild
        everything.
Rule 3: below a capability version that can jail or translate, a WireGuard-only peer is withheld or cut down.
"""

from collections.abc import Iterable
from typing import Any, Final

import msgspec

from engine.contracts.netmap import ConnectionExtra, NodeObject, WireGuardPeerObject
from engine.contracts.soft import SoftFact
from engine.contracts.told import told_of
from engine.domain.values import Millis, UserId
from engine.policy.attributes import DISABLE_IPV4
from frontends.control.profiles import TAGGED, WIREGUARD
from frontends.control.rules import set_capability
from frontends.wire import timetext
from frontends.wire.codec import fragment
from frontends.wire.keytext import ZERO_TEXT, Kind
from frontends.wire.tailcfg.derp import legacy
from frontends.wire.tailcfg.dns import Resolver
from frontends.wire.tailcfg.hostinfo import Hostinfo, Location
from frontends.wire.tailcfg.node import PATCH_FIELD, TRAVEL, CapMap, Node, PeerChange, Travel

SELF_CAPABILITIES: Final[CapMap] = {
    "https://tailscale.com/cap/file-sharing": None,
    "https://tailscale.com/cap/ssh": None,
    "https://tailscale.com/cap/tailnet-lock": None,
    "probe-udp-lifetime": None,
    "ssh-behavior-v1": None,
    "ssh-env-vars": None,
    "store-appc-routes": None,
}
"""What every node may do, as the hosted service has it (policy vectors, README); names from tailscale tailcfg/nodecap."""
AUTO_UPDATE: Final = "default-auto-update"
"""Whether a client updates itself as long as its person has not said: a list of one truth value."""
SUGGEST_EXIT_NODE: Final = "suggest-exit-node"
_DEFAULTS: Final = frozenset({"0.0.0.0/0", "::/0"})
_NO_DISCO: Final = ZERO_TEXT[Kind.DISCO]
_CLEARED: Final[dict[str, Any]] = {
    "endpoints": (),
    "cap_map": {},
    "key_signature": "",
    "key_expiry": timetext.ZERO_TIME,
    "last_seen": timetext.ZERO_TIME,
    "disco_key": _NO_DISCO,
    "online": False,
}
"""How `PeerChange` says none; what is not here cannot be cleared."""
_PATCHED: Final = tuple((name, PATCH_FIELD[name]) for name, how in TRAVEL.items() if how is Travel.AS_PATCH)
_WHOLE: Final = tuple(name for name, how in TRAVEL.items() if how is not Travel.AS_PATCH)


def user_of(node: NodeObject) -> UserId:
    """Return whose node it is on the wire."""
    return TAGGED.id if node.tags else node.user


def self_node(
    node: NodeObject,
    base: str,
    capabilities: Iterable[str],
    primaries: tuple[str, ...],
    *,
    auto_updates: bool = False,
) -> Node:
    """Return the node as its own client gets it; an expired one has a time of expiry in the past.

    `capabilities` are those beyond everybody's; `primaries` are the prefixes for which it is the primary router.
    """
    more = tuple(capabilities)
    addresses = addresses_of(node, has_ipv4=DISABLE_IPV4 not in more)
    routes = () if node.expired else (*node.routes, *node.exit_routes)
    return Node(
        id=node.id,
        stable_id=node.stable_id,
        name=_fqdn(node.name, base),
        user=user_of(node),
        key=node.node_key,
        machine=node.machine_key,
        addresses=addresses,
        allowed_ips=(*addresses, *routes),
        primary_routes=(() if node.expired else primaries) or None,
        hostinfo=_host_in_log(node),
        created=timetext.show(node.created),
        key_expiry=_expiry(node),
        expired=node.expired,
        cap=node.capver,
        tags=node.tags or None,
        machine_authorized=True,
        cap_map=SELF_CAPABILITIES | {AUTO_UPDATE: (auto_updates,)} | dict.fromkeys(more),
    )


def peer_node(
    node: NodeObject, fact: SoftFact | None, base: str, sets: Iterable[str], *, has_ipv4: bool = True
) -> Node:
    """Return the node as everybody else gets it who may see it, without the routes that depend on the viewer.

    `sets` are the sets that its class is in: filters name them as sources, and an expired node is no source.
    """
    addresses = addresses_of(node, has_ipv4=has_ipv4)
    exits = () if node.expired else node.exit_routes
    online = fact is not None and fact.online
    known = fact or SoftFact(node=node.id, origin="", generation=0, sequence=0)
    return Node(
        id=node.id,
        stable_id=node.stable_id,
        name=_fqdn(node.name, base),
        user=user_of(node),
        key=node.node_key,
        disco_key=known.disco_key or _NO_DISCO,
        addresses=addresses,
        allowed_ips=(*addresses, *exits),
        endpoints=known.endpoints,
        derp=legacy(known.home_derp),
        home_derp=known.home_derp,
        hostinfo=known.hostinfo if len(bytes(known.hostinfo)) > len("{}") else _host_in_log(node),
        created=timetext.show(node.created),
        key_expiry=_expiry(node),
        expired=node.expired,
        cap=known.capver or node.capver,
        tags=node.tags or None,
        online=online,
        last_seen=None if online else timetext.show_or_leave_out(known.last_seen),
        machine_authorized=True,
        cap_map=_carried(sets, is_exit=bool(exits)) if not node.expired else {},
    )


def wireguard_node(
    peer: WireGuardPeerObject, connection: ConnectionExtra, base: str, version: int
) -> Node | None:
    """Return a WireGuard-only peer as one connected node gets it; None if its client must not have it (rule 3)."""
    told = told_of(peer, connection, version)
    if told is None:
        return None
    extra = peer.extra
    return Node(
        id=peer.id,
        stable_id=peer.stable_id,
        name=_fqdn(peer.name, base),
        user=WIREGUARD.id,
        key=told.key,
        key_expiry=timetext.show_or_leave_out(told.expired_at),
        expired=bool(told.expired_at),
        addresses=told.addresses,
        allowed_ips=told.addresses + told.routes,
        primary_routes=tuple(prefix for prefix in told.routes if prefix not in _DEFAULTS) or None,
        endpoints=told.endpoints,
        hostinfo=_host_of_peer(peer),
        created=timetext.show(peer.created),
        tags=extra.tags or None,
        online=told.online,
        machine_authorized=True,
        cap_map={SUGGEST_EXIT_NODE: None} if extra.suggest_exit_node else {},
        self_node_v4_masq_addr_for_this_peer=told.ipv4_masq or None,
        self_node_v6_masq_addr_for_this_peer=told.ipv6_masq or None,
        is_wireguard_only=True,
        is_jailed=told.jailed,
        exit_node_dns_resolvers=tuple(Resolver(addr=a) for a in extra.exit_node_dns_resolvers) or None,
    )


def patch(before: Node, after: Node) -> PeerChange | None:
    """Return the change as a patch, or None if it needs the whole node."""
    if any(getattr(before, name) != getattr(after, name) for name in _WHOLE):
        return None
    changed: dict[str, Any] = {}
    for name, field in _PATCHED:
        value = getattr(after, name)
        if value == getattr(before, name) or name == "derp":  # the text goes with the number
            continue
        if not value and value != _CLEARED.get(field):
            if field not in _CLEARED:
                return None
            value = _CLEARED[field]
        changed[field] = value
    return PeerChange(node_id=after.id, **changed)


def _fqdn(name: str, base: str) -> str:
    return f"{name}.{base}."


def addresses_of(node: NodeObject, *, has_ipv4: bool = True) -> tuple[str, ...]:
    """Return the addresses as prefixes, IPv4 first; the log has them in canonical form."""
    found = (
        f"{node.ipv4}/32" if node.ipv4 and has_ipv4 else "",
        f"{node.ipv6}/128" if node.ipv6 else "",
    )
    return tuple(filter(None, found))


def _carried(sets: Iterable[str], *, is_exit: bool) -> CapMap:
    carried: CapMap = {set_capability(name): None for name in sets}
    return carried | {SUGGEST_EXIT_NODE: None} if is_exit else carried


def _expiry(node: NodeObject) -> str | None:
    """Return the time of expiry; a node that expired for another reason has been expired since it was made."""
    return timetext.show_or_leave_out(node.expiry or (node.created if node.expired else Millis(0)))


def _host_in_log(node: NodeObject) -> msgspec.Raw:
    return fragment(Hostinfo(os=node.os or None, hostname=node.hostname or node.name))


def _host_of_peer(peer: WireGuardPeerObject) -> msgspec.Raw:
    place = peer.extra.location
    location = None if place is None else Location(**msgspec.structs.asdict(place))
    return fragment(Hostinfo(hostname=peer.name, location=location))
