"""What a WireGuard endpoint may be.

Rule 1: an endpoint is `ip:port` or `[ipv6]:port`: no released client resolves a name for a WireGuard-only peer.
Rule 2: what no client can send to from anywhere is refused; what only some can reach is accepted with a warning.
Rule 3: endpoints are kept in canonical text, without repetitions, in the order given (clients try them all).
"""

import ipaddress
import re
from collections.abc import Iterable, Sequence
from typing import Final

from engine.domain.addresses import Address, in_tailnet
from engine.domain.errors import Invalid
from engine.domain.state import DEFAULT_ROUTES

FIELD: Final = "endpoints"
_SHAPE: Final = re.compile(r"(?:\[(?P<v6>[^\[\]]+)\]|(?P<v4>[0-9.]+)):(?P<port>[0-9]{1,5})")
_LAST_PORT: Final = 65_535
_BROADCAST: Final = ipaddress.IPv4Address("255.255.255.255")
_UNUSABLE_V4: Final = (ipaddress.IPv4Network("0.0.0.0/8"), ipaddress.IPv4Network("240.0.0.0/4"))
"""RFC 1122 §3.2.1.3 "this network"; RFC 1112 §4 class E, of which 255.255.255.255 is the broadcast."""
_PRIVATE: Final = (
    ipaddress.IPv4Network("10.0.0.0/8"),
    ipaddress.IPv4Network("172.16.0.0/12"),
    ipaddress.IPv4Network("192.168.0.0/16"),
    ipaddress.IPv6Network("fc00::/7"),
)
"""RFC 1918, RFC 4193."""
_METADATA: Final = frozenset(
    ipaddress.ip_address(text) for text in ("fd00:ec2::254", "fd20:ce::254", "192.0.0.192", "168.63.129.16")
)
"""Clouds' metadata services, by their vendors' pages: Amazon's and Google's by IPv6, Oracle's, Azure's host agent (the common
169.254.169.254 is link-local, Alibaba's 100.100.100.200 the tailnet's: both are refused as such)."""


def parse_endpoints(texts: Sequence[str], allowed_ips: Sequence[str]) -> tuple[tuple[str, ...], list[str]]:
    """Return the endpoints in canonical text, and warnings; `allowed_ips` are canonical prefixes.

    Raises:
        Invalid: `endpoint.none`, `endpoint.syntax`, `endpoint.port`, `endpoint.address`, `endpoint.tailnet`,
            `endpoint.loop`.
    """
    if not texts:
        raise Invalid(
            "endpoint.none",
            "a WireGuard-only peer needs at least one endpoint: clients cannot wait to be called",
            field=FIELD,
            hint="--endpoints 192.0.2.1:51820",
        )
    warnings: list[str] = []
    found: dict[str, Address] = {}
    for text in texts:
        address, port = _parse(text.strip())
        _refuse_loop(address, text, allowed_ips)
        canonical = f"{address}:{port}" if address.version == 4 else f"[{address}]:{port}"  # noqa: PLR2004
        if canonical in found:
            warnings.append(f"endpoint.duplicate: {canonical} is given more than once")
        found[canonical] = address
    for canonical, address in found.items():
        warnings.extend(_doubts(canonical, address))
    if all(address.version == 6 for address in found.values()):  # noqa: PLR2004
        warnings.append(
            "endpoint.no_ipv4: without an IPv4 endpoint, nodes on IPv4-only networks cannot reach it"
        )
    if all(address.version == 4 for address in found.values()):  # noqa: PLR2004
        warnings.append(
            "endpoint.no_ipv6: without an IPv6 endpoint, nodes on IPv6-only networks may not reach it"
        )
    return tuple(found), warnings


def parse_address(text: str) -> Address | None:
    """Return the IP address in the text, or None; no zone is given meaning here."""
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        return None


def is_mapped(address: Address) -> bool:
    """Return whether the address is an IPv4 one in IPv6 clothes: clients never send to it."""
    return isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None


def is_unusable_v4(address: Address) -> bool:
    """Return whether the address lies in `0.0.0.0/8` or `240.0.0.0/4`, broadcast included."""
    return any(address in network for network in _UNUSABLE_V4)


def zone_of(address: Address) -> str:
    """Return the zone of an IPv6 address, or nothing."""
    return (address.scope_id or "") if isinstance(address, ipaddress.IPv6Address) else ""


def _parse(text: str) -> tuple[Address, int]:
    shape = _SHAPE.fullmatch(text)
    address = parse_address(shape["v6"] or shape["v4"]) if shape else None
    if shape is None or address is None or (address.version == 4) != (shape["v4"] is not None):  # noqa: PLR2004
        raise Invalid(
            "endpoint.syntax",
            f"{text[:80]!r} is not an endpoint: it must be ip:port or [ipv6]:port, and a host name is not enough",
            field=FIELD,
        )
    port = int(shape["port"])
    if not 1 <= port <= _LAST_PORT:
        raise Invalid("endpoint.port", f"{text!r}: the port must be 1 to {_LAST_PORT}", field=FIELD)
    wrong = _wrong_with(address)
    if wrong:
        raise Invalid("endpoint.address", f"{text!r} cannot be reached: {wrong}", field=FIELD)
    if in_tailnet(address):
        raise Invalid(
            "endpoint.tailnet",
            f"{text!r} is inside the tailnet's own range: packets to it would go into the tunnel",
            field=FIELD,
        )
    return address, port


def _wrong_with(address: Address) -> str:
    rules: Iterable[tuple[bool, str]] = (
        (is_mapped(address), "write an IPv4 address as such, not as ::ffff:…"),
        (address.is_unspecified, "it is the unspecified address"),
        (address.is_loopback, "it is a loopback address: each node would call itself"),
        (address.is_multicast, "it is a multicast address"),
        (address == _BROADCAST, "it is the broadcast address"),
        (is_unusable_v4(address), "nobody can have an address in 0.0.0.0/8 or 240.0.0.0/4"),
        (address.is_link_local and not zone_of(address), "it is link-local, without a zone"),
        (bool(zone_of(address)) and not address.is_link_local, "only a link-local address has a zone"),
    )
    return next((why for is_wrong, why in rules if is_wrong), "")


def _refuse_loop(address: Address, text: str, allowed_ips: Sequence[str]) -> None:
    for prefix in allowed_ips:
        if prefix not in DEFAULT_ROUTES and address in ipaddress.ip_network(prefix):
            raise Invalid(
                "endpoint.loop",
                f"{text.strip()!r} is inside the allowed IPs {prefix}: the tunnel would run through itself",
                field=FIELD,
            )


def _doubts(canonical: str, address: Address) -> Iterable[str]:
    if address in _METADATA:
        yield f"endpoint.metadata: {canonical} is a cloud's metadata service"
    elif any(address in network for network in _PRIVATE):
        yield f"endpoint.private: {canonical} is private: only nodes at that site can reach it"
    if zone_of(address):
        yield f"endpoint.zone: {canonical} names an interface: only nodes that have it can reach it"
