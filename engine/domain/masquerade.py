"""What a masquerade address may be: the source under which a WireGuard-only peer knows one node.

Rule 1: one address per family and connection; a prefix only as /32 or /128.
Rule 2: two nodes never have the same one at the same peer: the far side could not tell them apart.
Rule 3: an address that the tailnet hands out is never one; the rest of the tailnet's ranges is doubtful only
        (some providers number their customers from 100.64.0.0/10).
Rule 4: multicast is accepted with a warning: the user's document gives one as its example, and its commands work
        word for word. No client can use it.
"""

import ipaddress
from collections.abc import Iterable
from typing import Final

import msgspec

from engine.domain.addresses import POOL_NAMES, Address, in_pool, in_tailnet
from engine.domain.aggregates import Node, Peer
from engine.domain.endpoints import is_mapped, is_unusable_v4, parse_address, zone_of
from engine.domain.errors import Conflict, Invalid
from engine.domain.prefixes import has_family
from engine.domain.state import Tailnet

FIELDS: Final = {4: "ipv4MasqAddr", 6: "ipv6MasqAddr"}
FLAGS: Final = {4: "--ipv4-masq-addr", 6: "--ipv6-masq-addr"}
_PLAUSIBLE: Final = tuple(
    ipaddress.ip_network(text) for text in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7")
)
"""RFC 1918, RFC 4193: what providers and sites number hosts from, beside public addresses and 100.64.0.0/10."""
V6_MASQ_CAPVER: Final = 104
"""Clients translate an IPv6 masquerade address from here on (measured: at 102, 1.70.0, IPv4 works and IPv6 fails)."""


class Masquerade(msgspec.Struct, frozen=True, kw_only=True):
    """The addresses of one connection, canonical; an empty text is none."""

    ipv4: str
    ipv6: str


def parse_masquerade(
    tailnet: Tailnet, node: Node, peer: Peer, ipv4: str, ipv6: str
) -> tuple[Masquerade, list[str]]:
    """Return the masquerade addresses of the node at the peer, and warnings.

    Raises:
        Invalid: `masq.none`, `masq.syntax`, `masq.family`, `masq.address`, `masq.gateway`, `masq.pool_edge`.
        Conflict: `masq.in_use`, `masq.taken`.
    """
    warnings: list[str] = []
    found = {4: "", 6: ""}
    for version, text in ((4, ipv4.strip()), (6, ipv6.strip())):
        if text:
            address = _parse(text, version)
            _refuse_taken(tailnet, node, peer, address)
            _refuse_edge(tailnet, node, peer, address)
            found[version] = str(address)
            warnings.extend(_doubts(address))
            warnings.extend(_outside_pool(peer, address))
    if not any(found.values()):
        raise Invalid(
            "masq.none",
            "a connection needs at least one masquerade address: the one that the peer expects this node to have",
            field=FIELDS[4],
            hint="--ipv4-masq-addr, --ipv6-masq-addr, or both; or a pool: netmap wg set-masq-pool",
        )
    warnings.extend(_mismatches(node, peer, found))
    return Masquerade(ipv4=found[4], ipv6=found[6]), warnings


def _parse(text: str, version: int) -> Address:
    bare, slash, bits = text.partition("/")
    address = parse_address(bare)
    if address is None or zone_of(address) or (slash and bits != str(address.max_prefixlen)):
        raise Invalid(
            "masq.syntax",
            f"{text[:80]!r} is not a masquerade address: it is one IP address, without a zone; "
            "a prefix only as /32 or /128",
            field=FIELDS[version],
        )
    if is_mapped(address) or address.version != version:
        raise Invalid(
            "masq.family",
            f"{text!r} is not an IPv{version} address",
            field=FIELDS[version],
            hint="write an IPv4 address as such"
            if is_mapped(address)
            else f"{FLAGS[address.version]} is for it",
        )
    wrong = _wrong_with(address)
    if wrong:
        raise Invalid("masq.address", f"{text!r} cannot be a source: {wrong}", field=FIELDS[version])
    return address


def _wrong_with(address: Address) -> str:
    rules: Iterable[tuple[bool, str]] = (
        (address.is_unspecified, "it is the unspecified address"),
        (address.is_loopback, "it is a loopback address"),
        (address.is_link_local, "it is a link-local address"),
        (is_unusable_v4(address), "nobody can have an address in 0.0.0.0/8 or 240.0.0.0/4"),
    )
    return next((why for is_wrong, why in rules if is_wrong), "")


def _refuse_taken(tailnet: Tailnet, node: Node, peer: Peer, address: Address) -> None:
    field = FIELDS[address.version]
    holder = tailnet.holders.get(int(address))
    for name in POOL_NAMES:
        pool = tailnet.pools[name]
        if (":" in pool.prefix) == (address.version == 6) and in_pool(pool, address):  # noqa: PLR2004
            owner = f", and is that of {holder}" if holder else ""
            raise Conflict(
                "masq.in_use",
                f"{address} is inside {pool.prefix}, from which the tailnet numbers its own{owner}",
                field=field,
                hint="give the address that the peer's side assigned to this node",
            )
    other = tailnet.masq_by_peer.get((peer.id, str(address)))
    if other is not None and other != node.id:
        raise Conflict(
            "masq.taken",
            f"{address} is already the masquerade address of node {other}({tailnet.nodes[other].name}) at "
            f"{peer.id}({peer.name}): the peer could not tell the two apart",
            field=field,
        )
    if is_the_peers_own(peer, str(address)):
        raise Invalid(
            "masq.gateway",
            f"{address} is an address of {peer.id}({peer.name}) itself, by its allowed IPs or its resolvers",
            field=field,
        )


def _refuse_edge(tailnet: Tailnet, node: Node, peer: Peer, address: Address) -> None:
    """Refuse the network's address and the broadcast of the peer's IPv4 pool, unless the node has it already."""
    if address.version != 4 or not peer.masq_v4:  # noqa: PLR2004
        return
    pool = ipaddress.ip_network(peer.masq_v4)
    is_edge = address in (pool.network_address, pool.broadcast_address)
    if is_edge and tailnet.masq_by_peer.get((peer.id, str(address))) != node.id:
        what = "the network's own address" if address == pool.network_address else "the broadcast address"
        raise Invalid("masq.pool_edge", f"{address} is {what} of the pool {pool}", field=FIELDS[4])


def _outside_pool(peer: Peer, address: Address) -> Iterable[str]:
    pool = peer.masq_v4 if address.version == 4 else peer.masq_v6  # noqa: PLR2004
    if pool and address not in ipaddress.ip_network(pool):
        yield f"masq.outside_pool: {address} is not from {pool}, the masquerade pool of {peer.id}({peer.name})"


def is_the_peers_own(peer: Peer, address: str) -> bool:
    """Return whether the address is one that the peer itself has, by its allowed IPs or its resolvers."""
    return (
        f"{address}/32" in peer.allowed_ips
        or f"{address}/128" in peer.allowed_ips
        or address in peer.extra.exit_node_dns_resolvers
    )


def _doubts(address: Address) -> Iterable[str]:
    if address.is_multicast:
        yield (
            f"masq.multicast: {address} is multicast: no host can have it as a source, so nothing that is sent "
            "from it is answered; clients cannot use it"
        )
    elif in_tailnet(address):
        yield f"masq.tailnet: {address} is inside the tailnet's ranges, though not handed out by it"
    elif address.is_global:
        yield f"masq.public: {address} is a public address: is it the one that the peer assigned?"
    elif not any(address in network for network in _PLAUSIBLE):
        yield f"masq.implausible: {address} is in a range that nobody numbers hosts from: is it the one that the peer assigned?"


def _mismatches(node: Node, peer: Peer, found: dict[int, str]) -> Iterable[str]:
    for version, address in found.items():
        is_routed = has_family(peer.allowed_ips, version)
        if address and not is_routed:
            yield f"masq.unused: {peer.name} has no IPv{version} in its allowed IPs: {address} is never used"
        if is_routed and not address:
            yield (
                f"masq.missing: IPv{version} traffic to {peer.name} goes out from the node's tailnet address, "
                f"and the peer will drop it: {FLAGS[version]} is not given"
            )
    if found[6] and 0 < node.capver < V6_MASQ_CAPVER:
        yield (
            f"masq.capver: the client of {node.id}({node.name}) is too old for an IPv6 masquerade address "
            f"(capability version {node.capver}, needed {V6_MASQ_CAPVER}): it is not sent to it"
        )
