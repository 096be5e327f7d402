"""What a WireGuard endpoint may be.

Rule 1: an endpoint is `ip:port`, `[ipv6]:port` or `name:port`. No client resolves a name for a WireGuard-only peer: the
        engine looks names up, and clients get what it found.
Rule 2: what no client can send to from anywhere is refused; what only some can reach is accepted with a warning.
Rule 3: endpoints are kept in canonical text, without repetitions, in the order given (clients try them all).
Rule 4: several ports of one place are `1.2.3.4:51820+53+443`, and are kept as an endpoint each.
Rule 5: a name is fully qualified, in lower case, and none that only the machine itself or its neighbours know.
"""

import ipaddress
import re
from collections.abc import Iterable, Sequence
from typing import Final

from engine.domain.addresses import Address, in_tailnet
from engine.domain.errors import Invalid
from engine.domain.state import DEFAULT_ROUTES

FIELD: Final = "endpoints"
MAX_ENDPOINTS: Final = 16
"""Endpoints that a peer may be given: clients with several send an echo to each every 10 s (reference §2.2)."""
_SHAPE: Final = re.compile(
    r"(?:\[(?P<v6>[^\[\]]+)\]|(?P<v4>[0-9.]+)|(?P<host>[^\[\]:]+)):(?P<ports>[0-9]{1,5}(?:\+[0-9]{1,5})*)"
)
_NAME: Final = re.compile(r"(?:[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?\.)+[a-z](?:[a-z0-9-]{0,61}[a-z0-9])?")
"""Labels of RFC 1123 §2.1, and the underscore that some have; the last one begins with a letter, so that no form of
an IPv4 address (`0x7f.1`, `127.1`) is a name."""
_LONGEST_NAME: Final = 253
_LOCAL: Final = (".localhost", ".local", ".onion", ".arpa", ".invalid")
"""Names that are answered by the machine, its neighbours or nobody (RFC 6761, RFC 6762, RFC 7686)."""
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
        Invalid: `endpoint.none`, `endpoint.many`, `endpoint.syntax`, `endpoint.host`, `endpoint.port`,
            `endpoint.address`, `endpoint.tailnet`, `endpoint.loop`.
    """
    if not texts:
        raise Invalid(
            "endpoint.none",
            "a WireGuard-only peer needs at least one endpoint: clients cannot wait to be called",
            field=FIELD,
            hint="--endpoints 192.0.2.1:51820",
        )
    warnings: list[str] = []
    found: dict[str, Address | None] = {}
    for text in texts:
        address, host, ports = _parse(text.strip())
        if address is not None:
            _refuse_loop(address, text.strip(), allowed_ips)
        for port in ports:
            canonical = f"{host}:{port}" if address is None else joined(address, port)
            if canonical in found:
                warnings.append(f"endpoint.duplicate: {canonical} is given more than once")
            found[canonical] = address
        _refuse_many(len(found))
    for canonical, known in found.items():
        if known is not None:
            warnings.extend(_doubts(canonical, known))
    if all(known is not None and known.version == 6 for known in found.values()):  # noqa: PLR2004
        warnings.append(
            "endpoint.no_ipv4: without an IPv4 endpoint, nodes on IPv4-only networks cannot reach it"
        )
    if all(known is not None and known.version == 4 for known in found.values()):  # noqa: PLR2004
        warnings.append(
            "endpoint.no_ipv6: without an IPv6 endpoint, nodes on IPv6-only networks may not reach it"
        )
    return tuple(found), warnings


def joined(address: Address, port: int | str) -> str:
    """Return an address and a port as an endpoint."""
    return f"{address}:{port}" if address.version == 4 else f"[{address}]:{port}"  # noqa: PLR2004


def refuse_loops(endpoints: Iterable[str], allowed_ips: Sequence[str]) -> None:
    """Refuse that canonical endpoints are reached through the tunnel itself; host names are passed over.

    Raises:
        Invalid: `endpoint.loop`.
    """
    for endpoint in endpoints:
        address = parse_address(endpoint.rpartition(":")[0].strip("[]"))
        if address is not None:
            _refuse_loop(address, endpoint, allowed_ips)


def wrong_with_answer(address: Address, allowed_ips: Sequence[str]) -> str:
    """Return why a looked-up address cannot be an endpoint of a peer with these allowed IPs, or nothing (rule 2).

    Private addresses are well: a name inside a site has no other.
    """
    if address in _METADATA:
        return "it is a cloud's metadata service"
    if in_tailnet(address):
        return "it is inside the tailnet's own range"
    wrong = _wrong_with(address)
    return wrong or ("it is inside the allowed IPs" if _outer(address, allowed_ips) else "")


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


def _parse(text: str) -> tuple[Address | None, str, list[int]]:
    """Return the address, or None and the host name; and the ports."""
    shape = _SHAPE.fullmatch(text)
    if shape is None:
        raise _syntax(text)
    ports = [int(port) for port in shape["ports"].split("+")]
    if not all(1 <= port <= _LAST_PORT for port in ports):
        raise Invalid("endpoint.port", f"{text[:80]!r}: a port must be 1 to {_LAST_PORT}", field=FIELD)
    if shape["host"] is not None:
        return None, _host(text, shape["host"]), ports
    address = parse_address(shape["v6"] or shape["v4"])
    if address is None or (address.version == 4) != (shape["v4"] is not None):  # noqa: PLR2004
        raise _syntax(text)
    wrong = _wrong_with(address)
    if wrong:
        raise Invalid("endpoint.address", f"{text!r} cannot be reached: {wrong}", field=FIELD)
    if in_tailnet(address):
        raise Invalid(
            "endpoint.tailnet",
            f"{text!r} is inside the tailnet's own range: packets to it would go into the tunnel",
            field=FIELD,
        )
    return address, "", ports


def _syntax(text: str) -> Invalid:
    return Invalid(
        "endpoint.syntax",
        f"{text[:80]!r} is not an endpoint: it must be ip:port, [ipv6]:port or name:port; several ports are "
        "51820+53",
        field=FIELD,
    )


def _host(text: str, given: str) -> str:
    name = given.lower().removesuffix(".")
    if len(name) > _LONGEST_NAME or not _NAME.fullmatch(name) or f".{name}".endswith(_LOCAL):
        raise Invalid(
            "endpoint.host",
            f"{text[:300]!r}: the name must be a fully qualified host name that every resolver knows",
            field=FIELD,
            hint="home.example.org:51820; a name in other letters is written in its xn-- form",
        )
    return name


def _refuse_many(count: int) -> None:
    if count > MAX_ENDPOINTS:
        raise Invalid("endpoint.many", f"more than {MAX_ENDPOINTS} endpoints, each port counted", field=FIELD)


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
    prefix = _outer(address, allowed_ips)
    if prefix:
        raise Invalid(
            "endpoint.loop",
            f"{text!r} is inside the allowed IPs {prefix}: the tunnel would run through itself",
            field=FIELD,
        )


def _outer(address: Address, allowed_ips: Sequence[str]) -> str:
    """Return the first prefix, other than the default routes, that has the address; or nothing."""
    networks = (prefix for prefix in allowed_ips if prefix not in DEFAULT_ROUTES)
    return next((prefix for prefix in networks if address in ipaddress.ip_network(prefix)), "")


def _doubts(canonical: str, address: Address) -> Iterable[str]:
    if address in _METADATA:
        yield f"endpoint.metadata: {canonical} is a cloud's metadata service"
    elif any(address in network for network in _PRIVATE):
        yield f"endpoint.private: {canonical} is private: only nodes at that site can reach it"
    if zone_of(address):
        yield f"endpoint.zone: {canonical} names an interface: only nodes that have it can reach it"
