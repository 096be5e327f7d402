"""What a WireGuard-only peer's allowed IPs may be.

Rule 1: prefixes are kept canonical and without repetitions, in the order given; host bits are cut with a warning
        (clients skip a prefix that has any).
Rule 2: the tailnet's own ranges stay the tailnet's: nothing that touches them, but for the default routes.
Rule 3: an exit node needs both default routes: with one, clients do not offer it.
"""

import ipaddress
from collections.abc import Sequence
from functools import lru_cache
from typing import Final

from engine.domain.addresses import TAILNET_V4, TAILNET_V6, Network
from engine.domain.errors import Invalid
from engine.domain.state import DEFAULT_ROUTES, Tailnet
from engine.domain.values import PeerId

FIELD: Final = "allowedIps"
_LOOPBACK: Final = (ipaddress.IPv4Network("127.0.0.0/8"), ipaddress.IPv6Network("::1/128"))
_MULTICAST: Final = (ipaddress.IPv4Network("224.0.0.0/4"), ipaddress.IPv6Network("ff00::/8"))
_MAPPED: Final = (ipaddress.IPv6Network("::ffff:0:0/96"),)
_MAX_SHOWN: Final = 5
_KNOWN: Final = 1_024
"""Prefixes that are remembered: parsing one takes 35 µs, a fifth of a whole registration."""


def parse_allowed_ips(
    tailnet: Tailnet, texts: Sequence[str], *, besides: PeerId | None = None
) -> tuple[tuple[str, ...], list[str]]:
    """Return the prefixes in canonical text, and warnings; `besides` is the peer whose they are, if there is one.

    Raises:
        Invalid: `allowedips.none`, `allowedips.syntax`, `allowedips.range`, `allowedips.tailnet`.
    """
    warnings: list[str] = []
    found: dict[str, None] = {}
    own = _own(tailnet, besides)
    for text in texts:
        if text.strip() in own:
            warnings.append(
                f"allowedips.own: {text.strip()} is the peer's own address, which is always there"
            )
            continue
        prefix, warning = _parse(text.strip())
        if warning:
            warnings.append(warning)
        if prefix in found:
            warnings.append(f"allowedips.duplicate: {prefix} is given more than once")
        found[prefix] = None
        warnings.extend(_shared(tailnet, prefix, besides))
    if not found:
        raise Invalid(
            "allowedips.none",
            "a WireGuard-only peer needs at least one allowed prefix",
            field=FIELD,
            hint="--allowed-ips 0.0.0.0/0,::/0 for an exit node",
        )
    defaults = DEFAULT_ROUTES & found.keys()
    if len(defaults) == 1:
        (missing,) = DEFAULT_ROUTES - defaults
        warnings.append(
            f"allowedips.one_default: without {missing}, clients will not offer it as an exit node"
        )
    return tuple(found), warnings


def _own(tailnet: Tailnet, number: PeerId | None) -> frozenset[str]:
    """Return how a peer's own addresses may be written."""
    peer = None if number is None else tailnet.peers.get(number)
    if peer is None:
        return frozenset()
    return frozenset((peer.ipv4, f"{peer.ipv4}/32", peer.ipv6, f"{peer.ipv6}/128"))


def parse_part(texts: Sequence[str] | None, whole: Sequence[str]) -> tuple[tuple[str, ...] | None, list[str]]:
    """Return some of a peer's canonical allowed IPs for one connection, and warnings; None is all of them.

    Raises:
        Invalid: `allowedips.syntax`, `allowedips.range`, `allowedips.tailnet`, `allowedips.outside`.
    """
    warnings: list[str] = []
    found: dict[str, None] = {}
    for text in texts or ():
        prefix, warning = _parse(text.strip())
        warnings += [warning] if warning else []
        if not is_covered(prefix, whole):
            raise Invalid(
                "allowedips.outside",
                f"{text[:80]!r} is outside of what the peer may route: {', '.join(whole)}",
                field=FIELD,
            )
        found[prefix] = None
    return tuple(found) or None, warnings


def is_covered(prefix: str, whole: Sequence[str]) -> bool:
    """Return whether a prefix lies in one of the others."""
    network = ipaddress.ip_network(prefix)
    return any(_is_inside(network, ipaddress.ip_network(outer)) for outer in whole)


def has_family(allowed_ips: Sequence[str], version: int) -> bool:
    """Return whether any of the canonical prefixes is of this IP version."""
    return any((":" in prefix) == (version == 6) for prefix in allowed_ips)  # noqa: PLR2004


@lru_cache(maxsize=_KNOWN)
def _parse(text: str) -> tuple[str, str]:
    """Return the canonical prefix, and a warning or nothing; the same few are given again and again."""
    try:
        interface = None if "%" in text else ipaddress.ip_interface(text)
    except ValueError:
        interface = None
    if interface is None or not _is_prefix_length(text):
        raise Invalid(
            "allowedips.syntax",
            f"{text[:80]!r} is not an IP prefix: write 192.0.2.0/24 or 2001:db8::/32, without a zone",
            field=FIELD,
        )
    network: Network = interface.network
    _refuse_range(network, text)
    if interface.ip == network.network_address:
        return str(network), ""
    return str(network), f"allowedips.host_bits: {text} has host bits; {network} is what it means"


def _is_prefix_length(text: str) -> bool:
    """Return whether what follows a slash, if one does, is a number of bits and not a net mask."""
    _, slash, bits = text.partition("/")
    return not slash or (bits.isascii() and bits.isdigit())


def _refuse_range(network: Network, text: str) -> None:
    tailnet = TAILNET_V4 if network.version == 4 else TAILNET_V6  # noqa: PLR2004
    if network.prefixlen and network.overlaps(tailnet):
        raise Invalid(
            "allowedips.tailnet",
            f"{text!r} touches the tailnet's own range {tailnet}, which belongs to its nodes",
            field=FIELD,
        )
    for ranges, what in ((_MULTICAST, "multicast"), (_LOOPBACK, "loopback"), (_MAPPED, "IPv4-mapped")):
        if any(_is_inside(network, outer) for outer in ranges):
            raise Invalid("allowedips.range", f"{text!r} is {what}: it cannot be routed", field=FIELD)


def _is_inside(network: Network, outer: Network) -> bool:
    return (
        network.version == outer.version
        and network.prefixlen >= outer.prefixlen
        and network.network_address in outer
    )


def _shared(tailnet: Tailnet, prefix: str, besides: PeerId | None) -> list[str]:
    others = sorted(tailnet.peers_by_prefix.get(prefix, set()) - {besides})
    if not others:
        return []
    named = ", ".join(f"{number}({tailnet.peers[number].name})" for number in others[:_MAX_SHOWN])
    more = f" and {len(others) - _MAX_SHOWN} more" if len(others) > _MAX_SHOWN else ""
    return [f"allowedips.shared: {prefix} is also routed by {named}{more}: no node can be connected to both"]
