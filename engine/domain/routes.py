"""What nodes offer to route, and what of it they may.

Rule 1: routes are canonical prefixes, sorted as text. What a client offers is made to fit: what is no route is left
        out, and so is what goes beyond `MAX_ROUTES`. What an operator approves is taken as it is, or refused.
Rule 2: the tailnet's own ranges stay the tailnet's, but for the addresses that stand for the IPv4 of a site (4via6).
Rule 3: who approves one default route approves both: an exit needs both, or one family leaks.
Rule 4: a policy only adds approvals, for what a node begins to offer, and for all that it offers when its tags or the
        policy change. What an operator took away comes back then, and not before.
Rule 5: a node's offer changes at most once in `QUIET_MILLIS`: a client that flaps must not make the log grow with it.
"""

import ipaddress
from collections.abc import Collection, Iterable
from typing import Final

from engine.domain.addresses import TAILNET_V4, TAILNET_V6, Network
from engine.domain.aggregates import DEFAULT_ROUTES, Node
from engine.domain.commands import ApproveRoutes
from engine.domain.decision import Decision
from engine.domain.document import document_of
from engine.domain.errors import Invalid
from engine.domain.events import NodeEvent, NodeRoutesAdvertised, NodeRoutesApproved
from engine.domain.refs import node_of
from engine.domain.state import Tailnet
from engine.domain.values import Millis
from engine.domain.whom import device_of, person_of
from engine.policy.approval import approves
from engine.policy.document import Document

MAX_ROUTES: Final = 1_000
QUIET_MILLIS: Final = 1_000
_SITES: Final = ipaddress.IPv6Network("fd7a:115c:a1e0:b1a::/64")
"""What clients take for an IPv4 subnet behind an IPv6 route (tailscale net/tsaddr: TailscaleViaRange)."""
_UNROUTABLE: Final[tuple[Network, ...]] = (
    ipaddress.IPv4Network("127.0.0.0/8"),
    ipaddress.IPv4Network("224.0.0.0/4"),
    ipaddress.IPv6Network("::1/128"),
    ipaddress.IPv6Network("ff00::/8"),
    ipaddress.IPv6Network("::ffff:0:0/96"),
)
"""Loopback, multicast, and IPv4 inside IPv6, which makes clients discard the whole frame."""
_MAX_SHOWN: Final = 5


def offered(texts: Iterable[str]) -> tuple[str, ...]:
    """Return the routes that a client offers, as they are kept (rule 1)."""
    found: dict[str, None] = {}
    for text in texts:
        network = _network(text)
        if network is not None and not _fault(network):
            found[str(network)] = None
        if len(found) == MAX_ROUTES:
            break
    return tuple(sorted(found))


def approve_routes(tailnet: Tailnet, command: ApproveRoutes) -> Decision:
    """Decide what the node may route, in the place of all that it might before.

    Raises:
        NotFound: `node.not_found`.
        Invalid: `route.syntax`, `route.range`, `route.tailnet_range`.
    """
    node = node_of(tailnet, command.node)
    found = {_approvable(text) for text in command.routes}
    if not DEFAULT_ROUTES.isdisjoint(found):
        found |= DEFAULT_ROUTES
    routes = tuple(sorted(found))
    missing = [route for route in routes if route not in node.advertised]
    warnings: tuple[str, ...] = ()
    if missing:
        more = f" and {len(missing) - _MAX_SHOWN} more" if len(missing) > _MAX_SHOWN else ""
        warnings = (
            f"route.not_offered: the node does not offer {', '.join(missing[:_MAX_SHOWN])}{more} now",
        )
    return Decision(
        events=() if routes == node.approved else (NodeRoutesApproved(node=node.id, routes=routes),),
        result={
            "id": node.id,
            "name": node.name,
            "approved": list(routes),
            "serving": [route for route in routes if route in node.advertised],
        },
        warnings=warnings,
    )


def route_events(
    tailnet: Tailnet, before: Node | None, after: Node, told: Iterable[str] | None, now: Millis
) -> tuple[NodeEvent, ...]:
    """Return what follows for a node's routes when it becomes `after` and offers what is `told`; None: nothing is.

    A node that comes in has no `before`.
    """
    offers = after.advertised if told is None or is_quiet(after, now) else offered(told)
    is_same = before is not None and set(before.tags) == set(after.tags)
    news = [route for route in offers if not (is_same and route in after.advertised)]
    events: list[NodeEvent] = []
    if offers != after.advertised:
        events.append(NodeRoutesAdvertised(node=after.id, routes=offers))
    events.extend(approval_events(tailnet, document_of(tailnet), after, news) if news else ())
    return tuple(events)


def approval_events(
    tailnet: Tailnet, document: Document, node: Node, routes: Collection[str]
) -> tuple[NodeEvent, ...]:
    """Return the approval of those of the node's routes that the policy approves and nobody has before."""
    device = device_of(tailnet, node)
    owner = tailnet.users.get(node.user)
    person = None if owner is None else person_of(owner)
    new = {
        route
        for route in routes
        if route not in node.approved and approves(document, device, route, person=person)
    }
    if not new:
        return ()
    return (NodeRoutesApproved(node=node.id, routes=tuple(sorted(new.union(node.approved)))),)


def is_quiet(node: Node, now: Millis) -> bool:
    """Return whether the node's offer changed too lately to change again (rule 5)."""
    return bool(node.advertised_at) and now - node.advertised_at < QUIET_MILLIS


def _approvable(text: str) -> str:
    network = _network(text.strip())
    if network is None or str(network) != text.strip().lower():
        hint = "" if network is None else f"{network} is what it means"
        raise Invalid(
            "route.syntax",
            f"{text[:80]!r} is not a route: write a prefix in its shortest form, with its host bits zero",
            field="routes",
            hint=hint,
        )
    fault = _fault(network)
    if fault:
        raise Invalid(fault, f"{network} cannot be routed: {_FAULTS[fault]}", field="routes")
    return str(network)


def _network(text: str) -> Network | None:
    """Return the prefix that a text is, its host bits cut; None for anything else, a bare address too."""
    address, slash, bits = text.partition("/")
    if not slash or "%" in address or not (bits.isascii() and bits.isdigit()):
        return None
    try:
        return ipaddress.ip_network(text, strict=False)
    except ValueError:
        return None


def _fault(network: Network) -> str:
    """Return the code of why the prefix can be nobody's route; empty when it can."""
    if not network.prefixlen:
        return ""
    if isinstance(network, ipaddress.IPv6Network) and network.subnet_of(_SITES):
        return ""
    tailnet = TAILNET_V4 if network.version == 4 else TAILNET_V6  # noqa: PLR2004
    if network.overlaps(tailnet):
        return "route.tailnet_range"
    is_inside = any(
        network.version == outer.version
        and network.prefixlen >= outer.prefixlen
        and network.network_address in outer
        for outer in _UNROUTABLE
    )
    return "route.range" if is_inside else ""


_FAULTS: Final = {
    "route.tailnet_range": "it touches the tailnet's own range",
    "route.range": "it is loopback, multicast, or IPv4 inside IPv6",
}
