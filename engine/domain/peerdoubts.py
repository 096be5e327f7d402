"""What is doubtful of a WireGuard-only peer beside the rest of the tailnet: warnings, never refusals.

Rule 1: a doubt is told when what it is about is given or changed; what stays is not doubted again.
Rule 2: relays have places: apps suggest the exit that is nearest to the relay that a client is at.
"""

import ipaddress
import re
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Final

import msgspec

from engine.domain.addresses import Network
from engine.domain.aggregates import Peer
from engine.domain.endpoints import parse_address
from engine.domain.events import ExtraConfig, Location, PeerRegistered
from engine.domain.pairs import named
from engine.domain.state import DEFAULT_ROUTES, Tailnet
from engine.domain.values import PeerId

_MAX_SHOWN: Final = 5
"""Nodes, peers or regions that one warning names."""
_LONG_PLACE: Final = 40
"""Characters of a country or a city: a phone's line shows "Country: City" with about twice as many."""
_WITH_PORT: Final = re.compile(r"\[(?P<v6>[^\[\]]+)\]:\d+|(?P<v4>[0-9.]+):\d+")


def peer_doubts(tailnet: Tailnet, peer: Peer | PeerRegistered, before: Peer | None = None) -> list[str]:
    """Return what is doubtful of a peer as it will be; `before` is how it was (rule 1)."""
    found: list[str] = []
    is_rerouted = before is None or before.allowed_ips != peer.allowed_ips
    if is_rerouted:
        found += _overlaps(tailnet, peer.allowed_ips, None if before is None else before.id)
    resolvers = peer.extra.exit_node_dns_resolvers
    if is_rerouted or before is None or before.extra.exit_node_dns_resolvers != resolvers:
        found += _outside(resolvers, peer.allowed_ips)
    if before is None or before.extra.exit_node_dns_resolvers != resolvers:
        found += override_doubts(tailnet, peer)
    if before is None or before.extra != peer.extra:
        found += _placed(tailnet, peer.extra)
    return found


def override_doubts(tailnet: Tailnet, peer: Peer | PeerRegistered) -> Iterator[str]:
    """Warn of resolvers that clients ignore, because the tailnet has its own."""
    settings = tailnet.settings
    if settings.resolvers and peer.extra.exit_node_dns_resolvers and not settings.is_demoting:
        yield (
            f"dns.override: clients ignore the resolvers of {peer.name} while the tailnet has its own; "
            "netmap settings set-wg-dns demote"
        )


def unplaced_regions(derp_map: Mapping[str, object]) -> list[str]:
    """Return the ids of the regions of a DERP map that say not where they are, in order."""
    regions = derp_map.get("Regions")
    if not isinstance(regions, Mapping):
        return []
    return sorted((str(key) for key, region in regions.items() if not _is_placed(region)), key=int)


def relay_doubts(tailnet: Tailnet, derp_map: Mapping[str, object]) -> tuple[str, ...]:
    """Warn of relays without a place while WireGuard-only peers have one."""
    unplaced = unplaced_regions(derp_map) if tailnet.peers_by_city else []
    if not unplaced:
        return ()
    which = _few(unplaced)
    what = "apps whose nearest relay is there cannot suggest the exit that is nearest"
    return (f"derp.coordinates: regions {which} have no Latitude and Longitude: {what}",)


def _is_placed(region: object) -> bool:
    if not isinstance(region, Mapping):
        return False
    values = {str(name).lower(): value for name, value in region.items()}
    return any(
        isinstance(values.get(name), int | float) and values[name] for name in ("latitude", "longitude")
    )


def _placed(tailnet: Tailnet, extra: ExtraConfig) -> Iterator[str]:
    place = extra.location
    if place is None:
        return
    yield from _long_names(place)
    if extra.suggest_exit_node and not _has_placed_relay(bytes(tailnet.settings.derp_map)):
        yield (
            "derp.coordinates: no region of the DERP map has Latitude and Longitude: apps suggest exits by how far they are "
            "from the nearest relay, and cannot; netmap derp set FILE"
        )


@lru_cache(maxsize=4)
def _has_placed_relay(derp_map: bytes) -> bool:
    decoded = msgspec.json.decode(derp_map, type=dict[str, object])
    regions = decoded.get("Regions")
    return isinstance(regions, Mapping) and any(map(_is_placed, regions.values()))


def _long_names(place: Location) -> Iterator[str]:
    for name, text in (("country", place.country), ("city", place.city)):
        if len(text) > _LONG_PLACE:
            yield f"location.long: location.{name} has {len(text)} characters: lists in apps cut it"


def _outside(resolvers: Sequence[str], allowed_ips: Sequence[str]) -> Iterator[str]:
    """Warn of resolvers that the tunnel does not lead to."""
    for text in resolvers:
        shape = _WITH_PORT.fullmatch(text)
        address = parse_address((shape["v6"] or shape["v4"]) if shape else text)
        if address is not None and not any(address in ipaddress.ip_network(prefix) for prefix in allowed_ips):
            yield f"resolver.outside: {text} is not inside the allowed IPs: queries to it do not go through the tunnel"


def _overlaps(tailnet: Tailnet, allowed_ips: Sequence[str], besides: PeerId | None) -> Iterator[str]:
    """Warn of prefixes that nodes route too, or that other peers have in part; equal ones are told of elsewhere."""
    for prefix in allowed_ips:
        if prefix in DEFAULT_ROUTES:
            continue
        network = ipaddress.ip_network(prefix)
        routers = [
            f"{node.id}({node.name})"
            for node in tailnet.nodes.values()
            if any(_meet(network, route) for route in node.approved)
        ]
        if routers:
            yield f"allowedips.route: {prefix} is, or meets, an approved route of node {_few(routers)}"
        others = {
            number
            for other, numbers in tailnet.peers_by_prefix.items()
            if other != prefix and _meet(network, other)
            for number in numbers
        } - {besides}
        if others:
            names = [named(tailnet.peers[number]) for number in sorted(filter(None, others))]
            yield f"allowedips.overlap: {prefix} meets what {_few(names)} may route: which of them a client takes is not defined"


def _meet(network: Network, text: str) -> bool:
    if text in DEFAULT_ROUTES or (":" in text) != (network.version == 6):  # noqa: PLR2004
        return False
    return network.overlaps(ipaddress.ip_network(text))


def _few(names: Sequence[str]) -> str:
    more = f" and {len(names) - _MAX_SHOWN} more" if len(names) > _MAX_SHOWN else ""
    return ", ".join(names[:_MAX_SHOWN]) + more
