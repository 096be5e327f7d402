"""Whether a node can use a WireGuard-only peer that it is told of: addresses, prefixes, names, the far side; pure.

Rule 1: what is asked about is what the client is told (`scene.py`), never what somebody typed.
Rule 2: what is so of the peer for every node is in `places.py`.
"""

import ipaddress
from collections.abc import Iterator

from msgspec.structs import replace

from engine.contracts.told import Told
from engine.domain.aggregates import DEFAULT_ROUTES, Peer
from engine.domain.exports import export_command
from engine.domain.pairs import command_line, connected_part, listed, named
from engine.domain.places import places_of
from engine.domain.values import PeerId
from engine.policy.ranges import overlap, span_of
from projections.history.causes import Thing, connection_thing
from projections.history.findings import Finding, extra_config
from projections.history.scene import Pair, Scene

_FIRST_MULTICAST, _LAST_MULTICAST = 224, 239
"""First octets of 224.0.0.0/4 (RFC 5771)."""
_FLAGS = {4: "--ipv4-masq-addr", 6: "--ipv6-masq-addr"}


def traffic(scene: Scene, pair: Pair) -> Iterator[Finding]:
    """Yield what concerns traffic between the two, others aside; nothing if the node is not told of the peer."""
    if pair.told is None or pair.connection is None:
        return
    yield from _masquerade(scene, pair, pair.told)
    yield from _routes(scene, pair, pair.told)
    yield from _resolvers(scene, pair, pair.told)
    yield from _far_side(scene, pair)


def _about(scene: Scene, pair: Pair, *things: Thing) -> Finding:
    """Return an empty finding about the pair, made by these things and the connection."""
    own = (connection_thing(pair.node.id, pair.peer.id), ("connection.terms", pair.node.id, pair.peer.id))
    return Finding(
        code="",
        verdict="ok",
        text="",
        made=scene.causes.of(*own, *things),
        node=pair.node.id,
        peer=pair.peer.id,
    )


def _masquerade(scene: Scene, pair: Pair, told: Told) -> Iterator[Finding]:
    about = _about(scene, pair, ("peer.allowed", pair.peer.id))
    fix = _update(pair)
    addresses = {4: told.ipv4_masq, 6: told.ipv6_masq}
    given = {4: told.ipv4_masq, 6: pair.connection.ipv6_masq if pair.connection is not None else ""}
    routed = {version for version in addresses if any((":" in r) == (version == 6) for r in told.routes)}  # noqa: PLR2004
    usable = {v for v, text in addresses.items() if text and not is_multicast(text)}
    if routed and not routed & usable:
        text = (
            f"nothing that node {named(pair.node)} sends to {named(pair.peer)} has a source that is answered"
        )
        yield replace(about, code="masq.none", verdict="blocks", text=text, fix=fix)
    elif routed:
        sources = listed(*(addresses[version] for version in sorted(routed & usable)))
        yield replace(
            about,
            code="masq.fits",
            text=f"node {named(pair.node)} comes to {named(pair.peer)} from {sources}",
        )
    for version in sorted(addresses):
        family, text = f"IPv{version}", ""
        if version in routed and not given[version]:
            text = f"{family} traffic of node {named(pair.node)} has its tailnet address at {named(pair.peer)}, and dies there"
            yield replace(about, code="masq.missing", verdict="warn", text=text, fix=fix)
        elif addresses[version] and version not in routed and told.routes:
            text = f"{addresses[version]} is never used: {named(pair.peer)} has no {family} prefix for node {named(pair.node)}"
            yield replace(about, code="masq.unused", verdict="warn", text=text)
        elif addresses[version] and version not in usable:
            text = f"{addresses[version]} of node {named(pair.node)} is multicast: no host can have it as a source"
            yield replace(about, code="masq.multicast", verdict="warn", text=text, fix=fix)


def is_multicast(address: str) -> bool:
    """Return whether a canonical address is a multicast one, which no host can have as its source: 224.0.0.0/4, ff00::/8."""
    first, colon, _ = address.partition(":")
    if colon:
        return len(first) == len("ff00") and first.startswith("ff")
    return _FIRST_MULTICAST <= int(first.partition(".")[0]) <= _LAST_MULTICAST


def _update(pair: Pair) -> str:
    """Return the command line that gives the connection both masquerade addresses."""
    held = pair.connection
    line = command_line("update", pair.node.id, pair.peer.id)
    for version, address in ((4, held and held.ipv4_masq), (6, held and held.ipv6_masq)):
        is_good = address and not is_multicast(address)
        line += f" {_FLAGS[version]} {address if is_good else 'ADDRESS'}"
    return line


def _routes(scene: Scene, pair: Pair, told: Told) -> Iterator[Finding]:
    about = _about(scene, pair, ("peer.allowed", pair.peer.id))
    defaults = DEFAULT_ROUTES.intersection(told.routes)
    others = [prefix for prefix in told.routes if prefix not in DEFAULT_ROUTES]
    if len(defaults) == len(DEFAULT_ROUTES):
        text = f"{named(pair.peer)} is an exit for node {named(pair.node)}, once it is chosen there"
        yield replace(about, code="exit.ready", text=text)
        known = scene.presence(pair.node.id)
        if known is not None and known.exit_node == pair.peer.stable_id:
            text = (
                f"the client of node {named(pair.node)} says that it uses {named(pair.peer)} as its exit now"
            )
            yield replace(about, code="exit.used", text=text)
    elif defaults and not is_half_exit(pair.peer.allowed_ips):
        (missing,) = DEFAULT_ROUTES - defaults
        text = (
            f"node {named(pair.node)} is not given {missing}: its client takes {named(pair.peer)} for no exit"
        )
        fix = "netmap policy edit"
        if missing not in connected_part(pair.connection, pair.peer):  # type: ignore[arg-type]
            fix = f"{command_line('update', pair.node.id, pair.peer.id)} --all-allowed-ips"
        policy = (("policy",), ("mode",)) if scene.tailnet.settings.is_enforced else ()
        about = _about(scene, pair, *policy)
        yield replace(about, code="exit.half", verdict="warn", text=text, fix=fix)
    if others:
        text = (
            f"{listed(*others)} needs --accept-routes on the node, and clients do not say whether it is set"
        )
        fix = "tailscale set --accept-routes   # on the node"
        yield replace(about, code="routes.accept", verdict="note", text=text, fix=fix)
    if not told.routes:
        text = f"only the own addresses of {named(pair.peer)} lead to it: {listed(*told.addresses)}"
        yield replace(about, code="routes.own", verdict="note", text=text)
    for prefix in others:
        if scene.is_routed(prefix):
            text = f"{prefix} of {named(pair.peer)} overlaps a route of the tailnet: where both are seen, the narrower wins"
            yield replace(
                about, code="routes.overlap", verdict="warn", text=text, fix="netmap node list-routes"
            )


def is_half_exit(allowed_ips: tuple[str, ...]) -> bool:
    """Return whether a peer has one of the default routes only."""
    return len(DEFAULT_ROUTES.intersection(allowed_ips)) == 1


def endpoints_of(peer: Peer) -> tuple[str, ...]:
    """Return what a peer's endpoints are by name and by address."""
    return tuple(dict.fromkeys((*peer.endpoints, *places_of(peer))))


def mutual(scene: Scene, pair: Pair) -> Iterator[Finding]:
    """Yield what the peer has in common with others of the node, and may not."""
    node, peer, tailnet = pair.node, pair.peer, scene.tailnet
    for found in scene.overlaps(node).get(peer.id, ()):
        about, other = _common(scene, pair, "peer.allowed", found.other), tailnet.peers[found.other]
        text = f"{found.prefix} of {named(peer)} overlaps {found.others} of {named(other)}, to which node {named(node)} is connected too"
        fix = command_line("remove", node.id, other.id)
        yield replace(about, code="allowedips.overlap", verdict="warn", text=text, fix=fix)
    for endpoint in endpoints_of(peer):
        for number in sorted(tailnet.peers_by_endpoint.get(endpoint, set()) - {peer.id}):
            if (node.id, number) not in tailnet.connections:
                continue
            about, other = _common(scene, pair, "peer.endpoints", number), tailnet.peers[number]
            text = f"{endpoint} is an endpoint of {named(peer)} and of {named(other)}: node {named(node)} mistakes their answers"
            fix = command_line("remove", node.id, number)
            yield replace(about, code="endpoint.shared", verdict="warn", text=text, fix=fix)


def _common(scene: Scene, pair: Pair, kind: str, other: PeerId) -> Finding:
    """Return an empty finding about what the peer and another one of the node have in common."""
    theirs = (connection_thing(pair.node.id, other), ("connection.terms", pair.node.id, other))
    return _about(scene, pair, (kind, pair.peer.id), (kind, other), *theirs)


def _resolvers(scene: Scene, pair: Pair, told: Told) -> Iterator[Finding]:
    about = _about(scene, pair, ("peer.extra", pair.peer.id), ("peer.allowed", pair.peer.id))
    resolvers = pair.peer.extra.exit_node_dns_resolvers
    if not resolvers:
        if set(told.routes) >= DEFAULT_ROUTES:
            text = f"{named(pair.peer)} has no resolvers: with it as exit, names are asked where the node asks them now"
            fix = extra_config(pair.peer.name, '{"exitNodeDNSResolvers": ["ADDRESS"]}')
            yield replace(about, code="dns.none", verdict="note", text=text, fix=fix)
        return
    spans = [span_of(prefix) for prefix in (*told.routes, *told.addresses)]
    for resolver in resolvers:
        address = _address_of(resolver)
        if address and not any(overlap(span_of(address), span) for span in spans):
            text = f"the resolver {resolver} is not inside what {named(pair.peer)} routes for node {named(pair.node)}: it is asked outside the tunnel"
            fix = extra_config(pair.peer.name, '{"exitNodeDNSResolvers": ["ADDRESS"]}')
            yield replace(about, code="dns.outside", verdict="warn", text=text, fix=fix)


def _address_of(resolver: str) -> str:
    """Return a resolver's address; empty if it is a URL."""
    for text in (resolver, resolver.rpartition(":")[0].strip("[]")):
        try:
            return str(ipaddress.ip_address(text))
        except ValueError:
            continue
    return ""


def _far_side(scene: Scene, pair: Pair) -> Iterator[Finding]:
    node, peer, held = pair.node, pair.peer, pair.connection
    if held is None:
        return
    about = replace(_about(scene, pair), fix=export_command(peer, node))
    told: Thing = ("connection.exported", node.id, peer.id)
    if held.stale_since:
        by_key = held.stale_since == held.key_stale_since
        what = "another key" if by_key else "other masquerade addresses"
        text = f"the far side of {named(peer)} knows {what} of node {named(node)} than holds: nothing passes"
        because: Thing = ("connection.stale" if by_key else "connection.terms", node.id, peer.id)
        made = scene.causes.of(told, because)
        yield replace(about, code="farside.stale", verdict="warn", text=text, made=made)
    elif held.exported is not None:
        text = f"the far side of {named(peer)} was told what holds of node {named(node)}"
        yield replace(about, code="farside.told", text=text, made=scene.causes.of(told))
    else:
        text = f"nothing is recorded of what the far side of {named(peer)} was told of node {named(node)}"
        yield replace(about, code="farside.unrecorded", verdict="note", text=text)
