"""Decisions about what holds for the whole tailnet.

Rule 1: pools contain every address in use, and lie inside the ranges that clients take for tailnet addresses.
Rule 2: a DERP map is checked before anybody gets it: Tailscale 1.70 exits on a region that is null or has no nodes.
Rule 3: what is set already is not set again.
Rule 4: e-mail domains cannot be taken away from under a policy that speaks of them.
"""

import ipaddress
import re
from collections.abc import Mapping
from typing import Final

import msgspec

from engine.domain.addresses import POOL_NAMES, TAILNET_V4, TAILNET_V6, Network, PoolName, pool_of
from engine.domain.aggregates import NO_RELAY, Node, Peer
from engine.domain.commands import (
    SetAutoUpdates,
    SetBaseDomain,
    SetDerpMap,
    SetDomains,
    SetPools,
    SetWireGuardMode,
)
from engine.domain.decision import Decision
from engine.domain.document import understood
from engine.domain.errors import Conflict, Invalid
from engine.domain.events import (
    AutoUpdatesSet,
    BaseDomainSet,
    DerpMapSet,
    DomainsSet,
    PoolsSet,
    WireGuardModeSet,
)
from engine.domain.peerdoubts import relay_doubts
from engine.domain.state import Tailnet
from engine.domain.whom import domains_of
from engine.policy.faults import PolicyFault

_LABEL: Final = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
_MAX_DOMAIN: Final = 253 - 63 - 1
"""Octets of a base domain: a label of 63 and a dot before it still make a domain name (RFC 1035 §2.3.4)."""
_MAX_DOMAINS: Final = 100
WIREGUARD_MODES: Final = ("bypass", "enforce")
_SMALLEST: Final = 2
"""Bits that number the hosts of the smallest pool: two addresses, and the first and last that nobody gets."""
_LAST_REGION: Final = 65_535
"""Clients use region ids as pseudo ports (tailscale wgengine/magicsock: DerpMagicIPAddr and a port)."""
_LAST_PORT: Final = 65_535
_DERP_TYPES: Final[Mapping[str, tuple[type, ...]]] = {
    **dict.fromkeys(("regioncode", "regionname", "certname", "ipv4", "ipv6", "stuntestip"), (str,)),
    **dict.fromkeys(("avoid", "nomeasurenohome", "stunonly", "insecurefortests", "canport80"), (bool,)),
    **dict.fromkeys(("latitude", "longitude"), (int, float)),
}
"""Types of a region's and a node's other fields, as clients find them: in any case (tailscale tailcfg/derpmap.go)."""


def set_base_domain(tailnet: Tailnet, command: SetBaseDomain) -> Decision:
    """Decide on the domain of MagicDNS names.

    Raises:
        Invalid: `domain.syntax`.
    """
    domain = command.domain
    labels = domain.split(".")
    if not _is_domain(domain):
        raise Invalid(
            "domain.syntax",
            f"{domain[:80]!r} cannot be the base domain: labels of a-z, 0-9 and - with dots between, at most "
            f"{_MAX_DOMAIN} octets, no dot at the end",
            field="domain",
            hint="netmap.internal",
        )
    warnings: tuple[str, ...] = ()
    if labels[-1] in {"local", "localhost"}:
        warnings = (f"domain.special: hosts resolve .{labels[-1]} by themselves, and never ask MagicDNS",)
    events = () if domain == tailnet.settings.base_domain else (BaseDomainSet(domain=domain),)
    return Decision(events=events, result={"domain": domain}, warnings=warnings)


def set_domains(tailnet: Tailnet, command: SetDomains) -> Decision:
    """Decide which e-mail domains belong to the tailnet.

    Raises:
        Invalid: `domain.syntax`, `domain.many`.
        Conflict: `domain.in_policy`.
    """
    domains = tuple(sorted({text.strip().lower() for text in command.domains}))
    for domain in domains:
        if not _is_domain(domain) or "." not in domain:
            raise Invalid("domain.syntax", f"{domain[:80]!r} is not an e-mail domain", field="domains")
    if len(domains) > _MAX_DOMAINS:
        raise Invalid("domain.many", f"at most {_MAX_DOMAINS} domains can be set", field="domains")
    same = domains == tailnet.settings.domains
    if not same:
        _refuse_unreadable(tailnet, domains)
    events = () if same else (DomainsSet(domains=domains),)
    return Decision(events=events, result={"domains": list(domains)})


def set_auto_updates(tailnet: Tailnet, command: SetAutoUpdates) -> Decision:
    """Decide whether clients update themselves; what a person chose on a client stays."""
    same = command.on is tailnet.settings.auto_updates
    return Decision(events=() if same else (AutoUpdatesSet(on=command.on),), result={"on": command.on})


def set_wireguard_mode(tailnet: Tailnet, command: SetWireGuardMode) -> Decision:
    """Decide whether the policy rules over WireGuard-only peers too.

    Raises:
        Invalid: `wgmode.unknown`.
    """
    if command.mode not in WIREGUARD_MODES:
        raise Invalid(
            "wgmode.unknown",
            f"{command.mode[:80]!r} is not a mode: {' or '.join(WIREGUARD_MODES)}",
            field="mode",
        )
    same = command.mode == tailnet.settings.wireguard_mode
    events = () if same else (WireGuardModeSet(mode=command.mode),)
    return Decision(events=events, result={"mode": command.mode})


def set_pools(tailnet: Tailnet, command: SetPools) -> Decision:
    """Decide where addresses come from; what is in use must stay inside.

    Raises:
        Invalid: `pool.syntax`, `pool.range`, `pool.overlap`.
        Conflict: `pool.in_use`, `pool.masquerade`.
    """
    networks: dict[PoolName, Network] = {
        "nodes_v4": _pool(command.nodes_v4, TAILNET_V4, "nodesV4"),
        "nodes_v6": _pool(command.nodes_v6, TAILNET_V6, "nodesV6"),
        "peers_v4": _pool(command.peers_v4, TAILNET_V4, "peersV4"),
        "peers_v6": _pool(command.peers_v6, TAILNET_V6, "peersV6"),
    }
    for nodes, peers, field in (
        (networks["nodes_v4"], networks["peers_v4"], "peersV4"),
        (networks["nodes_v6"], networks["peers_v6"], "peersV6"),
    ):
        if nodes.overlaps(peers):
            raise Invalid("pool.overlap", f"{nodes} and {peers} overlap", field=field)
    _refuse_loss(tailnet, networks)
    wanted: dict[str, str] = {name: str(network) for name, network in networks.items()}
    event = PoolsSet(**wanted)
    same = all(tailnet.pools[name].prefix == wanted[name] for name in POOL_NAMES)
    return Decision(events=() if same else (event,), result=dict(wanted))


def set_derp_map(tailnet: Tailnet, command: SetDerpMap) -> Decision:
    """Decide on the DERP map; it is kept as JSON with sorted keys.

    Raises:
        Invalid: `derp.regions`, `derp.region`, `derp.node`.
    """
    regions = command.derp_map.get("Regions")
    if not isinstance(regions, Mapping) or not regions:
        raise Invalid(
            "derp.regions",
            "a DERP map needs an object Regions with at least one region: without, clients never start",
            field="derpMap.Regions",
        )
    names: set[str] = set()
    for key, region in regions.items():
        _check_region(str(key), region, names)
    canonical = msgspec.json.encode(command.derp_map, order="deterministic")
    held = msgspec.json.decode(tailnet.settings.derp_map)
    was_given = bytes(tailnet.settings.derp_map) != bytes(NO_RELAY)
    gone = sorted(set(held.get("Regions", {})) - set(regions), key=int) if was_given else []
    warnings = tuple(
        f"derp.gone: region {key} is gone: clients at home there have no relay until they measure again"
        for key in gone
    )
    warnings += relay_doubts(tailnet, command.derp_map)
    same = canonical == bytes(tailnet.settings.derp_map)
    events = () if same else (DerpMapSet(derp_map=msgspec.Raw(canonical)),)
    return Decision(events=events, result={"regions": sorted(int(key) for key in regions)}, warnings=warnings)


def _is_domain(domain: str) -> bool:
    labels = domain.split(".")
    is_good = len(domain) <= _MAX_DOMAIN and all(_LABEL.fullmatch(label) for label in labels)
    return is_good and not labels[-1].isdigit()


def _refuse_unreadable(tailnet: Tailnet, domains: tuple[str, ...]) -> None:
    """Refuse domains under which the policy in force, if it can be read now, could not be (rule 4)."""
    if tailnet.policy is None:
        return
    try:
        understood(tailnet.policy.text, domains_of(tailnet))
    except PolicyFault:
        return
    try:
        understood(tailnet.policy.text, domains_of(tailnet, domains))
    except PolicyFault as fault:
        raise Conflict(
            "domain.in_policy",
            f"the policy speaks of a domain that would no longer belong to the tailnet: line {fault.line}: {fault.message}",
            field="domains",
            hint="netmap policy set first",
        ) from None


def _pool(text: str, outer: Network, field: str) -> Network:
    try:
        network: Network = ipaddress.ip_network(text.strip())
    except ValueError:
        raise Invalid(
            "pool.syntax", f"{text[:80]!r} is not a prefix without host bits", field=field
        ) from None
    is_inside = network.version == outer.version and network.network_address in outer
    if not is_inside or network.prefixlen < outer.prefixlen:
        raise Invalid(
            "pool.range",
            f"{network} is not inside {outer}: clients take only that for tailnet addresses",
            field=field,
        )
    if network.max_prefixlen - network.prefixlen < _SMALLEST or pool_of(str(network)).capacity < 1:
        raise Invalid("pool.range", f"{network} has no address to give", field=field)
    return network


def _refuse_loss(tailnet: Tailnet, networks: Mapping[PoolName, Network]) -> None:
    for node in tailnet.nodes.values():
        _refuse_outside(node, node.ipv4, networks["nodes_v4"], "nodesV4")
        _refuse_outside(node, node.ipv6, networks["nodes_v6"], "nodesV6")
    for peer in tailnet.peers.values():
        _refuse_outside(peer, peer.ipv4, networks["peers_v4"], "peersV4")
        _refuse_outside(peer, peer.ipv6, networks["peers_v6"], "peersV6")
        for text in filter(None, (peer.masq_v4, peer.masq_v6)):
            for network in networks.values():
                if network.overlaps(ipaddress.ip_network(text)):
                    raise Conflict(
                        "pool.masquerade",
                        f"{network} overlaps {text}, the masquerade pool of {peer.id}({peer.name})",
                    )
    for connection in tailnet.connections.values():
        for text in filter(None, (connection.ipv4_masq, connection.ipv6_masq)):
            address = ipaddress.ip_address(text)
            for network in networks.values():
                if address in network:
                    raise Conflict(
                        "pool.masquerade",
                        f"{network} contains {text}, a masquerade address of node {connection.node}",
                    )


def _refuse_outside(thing: Node | Peer, text: str, network: Network, field: str) -> None:
    if ipaddress.ip_address(text) not in network:
        raise Conflict(
            "pool.in_use",
            f"{text} of {thing.id}({thing.name}) would be outside {network}",
            field=field,
            hint="a pool must contain every address that came from it",
        )


def _check_region(key: str, region: object, names: set[str]) -> None:
    field = f"derpMap.Regions.{key[:10]}"
    if not (key.isascii() and key.isdigit() and 1 <= int(key[:10]) <= _LAST_REGION and str(int(key)) == key):
        raise Invalid("derp.region", f"a region's id is a number, 1 to {_LAST_REGION}", field=field)
    if not isinstance(region, Mapping):
        raise Invalid("derp.region", f"region {key} is no object: a client of 1.70 would exit", field=field)
    if not _is(region.get("RegionID"), int(key)):
        raise Invalid("derp.region", f"region {key} must have RegionID {key}", field=f"{field}.RegionID")
    _check_types("derp.region", region, field)
    nodes = region.get("Nodes")
    if not isinstance(nodes, list | tuple) or not nodes:
        raise Invalid(
            "derp.region",
            f"region {key} needs Nodes: a client of 1.70 would exit",
            field=f"{field}.Nodes",
        )
    for index, node in enumerate(nodes):
        _check_node(key, node, f"{field}.Nodes[{index}]", names)


def _check_node(key: str, node: object, field: str, names: set[str]) -> None:
    if not isinstance(node, Mapping):
        raise Invalid("derp.node", f"a node of region {key} is no object", field=field)
    if not _is(node.get("RegionID"), int(key)):
        raise Invalid(
            "derp.node", f"a node of region {key} must have RegionID {key}", field=f"{field}.RegionID"
        )
    for wanted in ("Name", "HostName"):
        if not isinstance(node.get(wanted), str) or not node[wanted]:
            raise Invalid("derp.node", f"a node of region {key} needs a {wanted}", field=f"{field}.{wanted}")
    for port, lowest in (("DERPPort", 0), ("STUNPort", -1)):
        value = node.get(port, 0)
        if isinstance(value, bool) or not isinstance(value, int) or not lowest <= value <= _LAST_PORT:
            raise Invalid("derp.node", f"{port} must be {lowest} to {_LAST_PORT}", field=f"{field}.{port}")
    _check_types("derp.node", node, field)
    if node["Name"] in names:
        raise Invalid("derp.node", f"the name {node['Name'][:80]!r} is given twice", field=f"{field}.Name")
    names.add(node["Name"])


def _check_types(code: str, thing: Mapping[str, object], field: str) -> None:
    """Refuse a value of a type at which every client would discard the whole frame; null is a field left out."""
    for name, value in thing.items():
        wanted = _DERP_TYPES.get(name.lower())
        if wanted is None or value is None:
            continue
        if not isinstance(value, wanted) or (isinstance(value, bool) and bool not in wanted):
            kinds = " or ".join(kind.__name__ for kind in wanted)
            raise Invalid(code, f"{name} must be of type {kinds}", field=f"{field}.{name}")


def _is(value: object, number: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value == number
