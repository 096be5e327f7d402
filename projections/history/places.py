"""What is so of a WireGuard-only peer for every node: its state, where it is, whether clients suggest it; pure."""

import ipaddress
from collections.abc import Iterator
from functools import lru_cache

import msgspec
from msgspec.structs import replace

from engine.domain.addresses import in_tailnet
from engine.domain.aggregates import DEFAULT_ROUTES, Peer
from engine.domain.pairs import listed, named
from engine.domain.places import hosts_of, places_of
from engine.domain.values import NodeId
from projections.history.causes import Thing
from projections.history.findings import Finding, extra_config
from projections.history.scene import Scene
from projections.history.traffic import is_half_exit


def of_peer(scene: Scene, peer: Peer) -> Iterator[Finding]:
    """Yield what is so of the peer, whoever is connected to it."""
    yield from _state(scene, peer)
    yield from _told(scene, peer)
    yield from _endpoints(scene, peer)
    yield from _exit(scene, peer)
    yield from _resolvers(scene, peer)


def of_place(scene: Scene, peer: Peer, node: NodeId) -> Iterator[Finding]:
    """Yield what is so of the peer's location as the node's client shows it, beside the other peers that it sees."""
    yield from _coordinates(scene, peer)
    place = peer.extra.location
    if place is None:
        return
    for country, other in sorted(scene.tailnet.peers_by_city.get(place.city_code, set())):
        if country != place.country_code and (node, other) in scene.tailnet.connections:
            held = scene.tailnet.peers[other]
            about = _about(scene, peer, ("peer.extra", peer.id), ("peer.extra", other))
            yield replace(about, verdict="warn", node=node, **_clash(place.city_code, peer, held))


def _clash(code: str, peer: Peer, other: Peer) -> dict[str, str]:
    return {
        "code": "location.city",
        "text": f"{named(peer)} and {named(other)} have the city code {code} in two countries: lists show only one",
        "fix": f"netmap wg update {peer.name} --extra-config JSON   # a location with another cityCode",
    }


def clashes(scene: Scene) -> Iterator[Finding]:
    """Yield the city codes that stand in two countries, each once."""
    for code, held in sorted(scene.tailnet.peers_by_city.items()):
        countries: dict[str, Peer] = {}
        for country, number in sorted(held):
            countries.setdefault(country, scene.tailnet.peers[number])
        if len(countries) > 1:
            first, second, *_ = countries.values()
            about = _about(scene, second, ("peer.extra", first.id), ("peer.extra", second.id))
            yield replace(about, verdict="warn", **_clash(code, second, first))


def has_coordinates(derp_map: bytes) -> bool:
    """Return whether any region of the DERP map says where it is; clients compare distances from there."""
    return _has_coordinates(bytes(derp_map))


@lru_cache(maxsize=4)
def _has_coordinates(derp_map: bytes) -> bool:
    regions = _member(msgspec.json.decode(derp_map), "regions")
    found = regions.values() if isinstance(regions, dict) else ()
    return any(_member(region, "latitude") or _member(region, "longitude") for region in found)


def _member(value: object, name: str) -> object:
    """Return a field of a JSON object, in any case, as clients find it."""
    if not isinstance(value, dict):
        return None
    return next((inner for key, inner in value.items() if str(key).lower() == name), None)


def _about(scene: Scene, peer: Peer, *things: Thing) -> Finding:
    return Finding(code="", verdict="ok", text="", made=scene.causes.of(*things), peer=peer.id)


def _state(scene: Scene, peer: Peer) -> Iterator[Finding]:
    parked = _about(scene, peer, ("peer.parked", peer.id))
    expired = _about(scene, peer, ("peer.expired", peer.id))
    fix = f"netmap wg enable {peer.name}"
    if peer.parked_key is not None:
        text = f"{named(peer)} is disabled: clients have a key of it that nobody has, and nothing passes"
        yield replace(parked, code="peer.disabled", verdict="blocks", text=text, fix=fix)
    if peer.expired_at:
        text = (
            f"{named(peer)} has expired: clients do not use it, and those in userspace mode go out directly"
        )
        yield replace(expired, code="peer.expired", verdict="blocks", text=text, fix=fix)
    if peer.drained:
        text = f"{named(peer)} is drained: clients that choose their exit themselves choose another"
        fix = f"netmap wg undrain {peer.name}"
        about = _about(scene, peer, ("peer.drained", peer.id))
        yield replace(about, code="peer.drained", verdict="warn", text=text, fix=fix)
    if not (peer.parked_key or peer.expired_at or peer.drained):
        states = ("peer", "peer.parked", "peer.expired", "peer.drained")
        about = _about(scene, peer, *((state, peer.id) for state in states))
        yield replace(about, code="peer.enabled", text=f"{named(peer)} is enabled")


def _told(scene: Scene, peer: Peer) -> Iterator[Finding]:
    """Yield what clients are told of the peer, and since when it is that."""
    if peer.parked_key is None:
        key = _about(scene, peer, ("peer.key", peer.id))
        yield replace(key, code="peer.key", text=f"clients have the key of {named(peer)} that was set last")
    routes = _about(scene, peer, ("peer.allowed", peer.id))
    text = f"{named(peer)} routes {listed(*peer.allowed_ips) or 'nothing but its own addresses'}"
    yield replace(routes, code="peer.routes", text=text)


def _endpoints(scene: Scene, peer: Peer) -> Iterator[Finding]:
    about = _about(scene, peer, ("peer.endpoints", peer.id))
    fix = f"netmap wg update {peer.name} --endpoints ADDRESS:PORT"
    if not peer.endpoints:
        text = f"{named(peer)} has no endpoint: clients cannot wait to be called"
        yield replace(about, code="endpoint.none", verdict="blocks", text=text, fix=fix)
        return
    told = places_of(peer)
    if not told:
        names = ", ".join(hosts_of(peer))
        why = "; ".join(dict.fromkeys(held.failure for held in peer.resolved if held.failure))
        text = f"{named(peer)} has no endpoint yet: nothing was found under {names}" + (
            f" ({why})" if why else ""
        )
        yield replace(about, code="endpoint.unresolved", verdict="blocks", text=text, fix=fix)
        return
    inside = [endpoint for endpoint in told if _is_inside(peer, endpoint)]
    if inside:
        text = f"{', '.join(inside)} is inside the tunnel of {named(peer)}: packets to it would go through itself"
        about = _about(scene, peer, ("peer.endpoints", peer.id), ("peer.allowed", peer.id))
        verdict = "blocks" if len(inside) == len(told) else "warn"
        yield replace(about, code="endpoint.tunnel", verdict=verdict, text=text, fix=fix)
    else:
        yield replace(about, code="endpoint.known", text=f"{named(peer)} is at {', '.join(told)}")
    for held in peer.resolved:
        if held.failing_since and held.addresses:
            text = (
                f"lookups of {held.host} fail ({held.failure}): {named(peer)} keeps its last good addresses"
            )
            yield replace(about, code="endpoint.lookup", verdict="warn", text=text, fix=fix)


def _is_inside(peer: Peer, endpoint: str) -> bool:
    try:
        address = ipaddress.ip_address(endpoint.rpartition(":")[0].strip("[]"))
    except ValueError:
        return False
    prefixes = (ipaddress.ip_network(prefix) for prefix in peer.allowed_ips if prefix not in DEFAULT_ROUTES)
    return in_tailnet(address) or any(address in prefix for prefix in prefixes)


def _exit(scene: Scene, peer: Peer) -> Iterator[Finding]:
    extra = _about(scene, peer, ("peer.extra", peer.id), ("peer.allowed", peer.id))
    is_exit = set(peer.allowed_ips) >= DEFAULT_ROUTES
    if is_half_exit(peer.allowed_ips):
        missing = ", ".join(DEFAULT_ROUTES - set(peer.allowed_ips))
        text = f"{named(peer)} has no {missing}: clients offer it as an exit only with both default routes"
        fix = f"netmap wg update {peer.name} --allowed-ips {','.join((*peer.allowed_ips, missing))}"
        about = _about(scene, peer, ("peer.allowed", peer.id))
        yield replace(about, code="exit.one_default", verdict="warn", text=text, fix=fix)
    if peer.extra.suggest_exit_node and not is_exit:
        text = f"{named(peer)} is never suggested: it is no exit"
        fix = extra_config(peer.name, '{"suggestExitNode": false}')
        yield replace(extra, code="suggest.no_exit", verdict="warn", text=text, fix=fix)
    elif peer.extra.suggest_exit_node and peer.extra.location is None:
        text = f"{named(peer)} has no location: of such exits a client suggests any"
        yield replace(extra, code="suggest.nowhere", verdict="note", text=text)
    elif is_exit and not peer.extra.suggest_exit_node:
        text = f"{named(peer)} is an exit that clients do not suggest"
        fix = extra_config(peer.name, '{"suggestExitNode": true}')
        yield replace(extra, code="suggest.off", verdict="note", text=text, fix=fix)


def _resolvers(scene: Scene, peer: Peer) -> Iterator[Finding]:
    settings = scene.tailnet.settings
    if not settings.resolvers or not peer.extra.exit_node_dns_resolvers:
        return
    about = _about(scene, peer, ("resolvers",), ("wireguard_dns",), ("peer.extra", peer.id))
    if settings.is_demoting:
        text = f"the tailnet's resolvers give way to those of {named(peer)}"
        yield replace(about, code="dns.demoted", text=text)
    else:
        text = f"clients ignore the resolvers of {named(peer)} while the tailnet has its own"
        fix = "netmap settings set-wg-dns demote"
        yield replace(about, code="dns.override", verdict="warn", text=text, fix=fix)


def _coordinates(scene: Scene, peer: Peer) -> Iterator[Finding]:
    if peer.extra.location is None or not peer.extra.suggest_exit_node:
        return
    if has_coordinates(bytes(scene.tailnet.settings.derp_map)):
        return
    yield coordinates(_about(scene, peer, ("derp",), ("peer.extra", peer.id)))


def coordinates(about: Finding) -> Finding:
    """Return that the DERP map has no coordinates, made by the records of `about`."""
    return replace(
        about,
        code="derp.coordinates",
        verdict="warn",
        text="no region of the DERP map says where it is, so that clients cannot tell which exit is near",
        fix="netmap derp set FILE   # with Latitude and Longitude in its regions",
    )
