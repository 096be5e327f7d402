"""One node's netmap, put together for operators, for history and for tests; clients get theirs from frontends.

Rule 1: it is what the recipe says: self + the nodes of the classes in the sets that its class sees + its own extras.
Rule 2: it is canonical: peers by id, rules in the policy's order, the same fields always.
Rule 3: expired peers are in it, marked; what clients are told of them is the frontend's matter.
Rule 4: an expired node stands alone: it has its own self node, and no peers, no WireGuard-only peers, no rules.
Rule 5: rules name the classes that are in their sets now: an operator asks who may send, not what a policy calls them.
Rule 6: a prefix is shown on its first router, as if all were online: who is, is soft state, and not of the log.
"""

import msgspec

from engine.contracts.netmap import (
    NOWHERE,
    ClassObject,
    ConnectionExtra,
    NodeObject,
    RouteObject,
    WireGuardPeerObject,
)
from engine.domain.events import ExtraConfig
from engine.domain.values import Millis, NodeId
from engine.policy.policy import Entry, Reach
from engine.policy.ranges import TAILNET
from projections.netmap.state import NetmapState


class NodeView(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A node, as an operator reads it."""

    id: int
    stable_id: str
    name: str
    fqdn: str
    user: int
    user_name: str
    tags: tuple[str, ...]
    ipv4: str
    ipv6: str
    machine_key: str
    node_key: str
    created: Millis
    expiry: Millis
    expired: bool
    ephemeral: bool
    hostname: str
    os: str
    capver: int
    routes: tuple[str, ...] = ()
    """The prefixes that lead to it in this view, exit routes too."""
    node_class: str = msgspec.field(name="class")


class WireGuardPeerView(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A WireGuard-only peer with the masquerade addresses of the connection that shows it.

    A disabled one has the key and the endpoint that clients get of it.
    """

    id: int
    stable_id: str
    name: str
    fqdn: str
    public_key: str
    allowed_ips: tuple[str, ...]
    endpoints: tuple[str, ...]
    ipv4: str
    ipv6: str
    ipv4_masq_addr: str
    ipv6_masq_addr: str
    created: Millis
    extra_config: ExtraConfig
    disabled: bool
    expired: bool


class TargetView(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """Where packets may go: `self` is the node's own addresses."""

    to: str
    ports: tuple[tuple[int, int], ...]


class RuleView(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """Who may send to this node, or has capabilities towards it: members of these classes, and these ranges."""

    source_classes: tuple[str, ...]
    sources: tuple[str, ...] = ()
    targets: tuple[TargetView, ...]
    protocols: tuple[int, ...]
    capabilities: msgspec.Raw | None = None
    """A grant's; it has no targets."""


class SshView(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """Who may open a shell on this node, as whom."""

    action: str
    source_classes: tuple[str, ...]
    users: dict[str, str]
    own_only: bool
    """Whether only devices of the node's own user are meant."""


class NodeNetmap(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """Everything that one node is entitled to know at one position."""

    position: int
    epoch: str
    self_node: NodeView = msgspec.field(name="self")
    peers: tuple[NodeView, ...]
    wireguard_only_peers: tuple[WireGuardPeerView, ...]
    rules: tuple[RuleView, ...]
    ssh: tuple[SshView, ...]
    capabilities: tuple[str, ...]
    base_domain: str
    derp: msgspec.Raw
    resolvers: tuple[str, ...] = ()
    """What it asks instead of its own resolvers."""
    fallback_resolvers: tuple[str, ...] = ()
    """Those of the tailnet where a WireGuard-only exit's go before them."""


def view(state: NetmapState, number: NodeId) -> NodeNetmap | None:
    """Return the node's netmap; None when there is no such node."""
    node = state.node(number)
    settings = state.settings()
    if node is None or settings is None:
        return None
    is_demoted = state.extras(number).demotes and not node.expired
    own = None if node.expired else state.class_of(node.class_id)
    seen = state.classes_in(own.sees if own is not None else ())
    routes = _routes_shown(state, node.class_id)
    domain = settings.base_domain
    return NodeNetmap(
        position=state.position,
        epoch=state.epoch,
        self_node=_node(state, node, domain, node.routes),
        peers=tuple(
            _node(state, other, domain, routes.get(other.id, ()))
            for other in state.nodes()
            if other.id != number and other.class_id in seen
        ),
        wireguard_only_peers=() if node.expired else _extras(state, number, domain),
        rules=tuple(_rule(state, reach) for reach in own.rules) if own is not None else (),
        ssh=_ssh(state, own) if own is not None else (),
        capabilities=own.capabilities if own is not None else (),
        base_domain=domain,
        resolvers=() if is_demoted else settings.resolvers,
        fallback_resolvers=settings.resolvers if is_demoted else (),
        derp=settings.derp_map,
    )


def _routes_shown(state: NetmapState, viewer: str) -> dict[NodeId, tuple[str, ...]]:
    """Return for each router the prefixes that lead to it, as a class sees it."""
    mine = frozenset(state.standings[viewer].sets)
    found: dict[NodeId, tuple[str, ...]] = {}
    for prefix in sorted(state.routers):
        route = state.route(prefix)
        router = None if route is None else _router(route, mine)
        if router is not None:
            found[router] = (*found.get(router, ()), prefix)
    return found


def _router(route: RouteObject, mine: frozenset[str]) -> NodeId | None:
    if not mine.isdisjoint(route.sets):
        return route.routers[0]
    return next((one.routers[0] for one in route.steered if not mine.isdisjoint(one.sets)), None)


def _extras(state: NetmapState, number: NodeId, domain: str) -> tuple[WireGuardPeerView, ...]:
    pairs = ((extra, state.peer(extra.peer)) for extra in state.extras(number).connections)
    return tuple(_peer(peer, extra, domain) for extra, peer in pairs if peer is not None)


def _node(state: NetmapState, node: NodeObject, domain: str, routes: tuple[str, ...]) -> NodeView:
    user = state.user(node.user)
    return NodeView(
        id=node.id,
        stable_id=node.stable_id,
        name=node.name,
        fqdn=f"{node.name}.{domain}",
        user=node.user,
        user_name="" if user is None else user.name,
        tags=node.tags,
        ipv4=node.ipv4,
        ipv6=node.ipv6,
        machine_key=node.machine_key,
        node_key=node.node_key,
        created=node.created,
        expiry=node.expiry,
        expired=node.expired,
        ephemeral=node.ephemeral,
        hostname=node.hostname,
        os=node.os,
        capver=node.capver,
        routes=routes + node.exit_routes,
        node_class=node.class_id,
    )


def _peer(peer: WireGuardPeerObject, extra: ConnectionExtra, domain: str) -> WireGuardPeerView:
    return WireGuardPeerView(
        id=peer.id,
        stable_id=peer.stable_id,
        name=peer.name,
        fqdn=f"{peer.name}.{domain}",
        public_key=peer.parked_key or peer.public_key,
        allowed_ips=peer.allowed_ips if extra.allowed_ips is None else extra.allowed_ips,
        endpoints=(NOWHERE,) if peer.parked_key else peer.endpoints,
        ipv4=peer.ipv4,
        ipv6=peer.ipv6,
        ipv4_masq_addr=extra.ipv4_masq,
        ipv6_masq_addr=extra.ipv6_masq,
        created=peer.created,
        extra_config=peer.extra,
        disabled=peer.parked_key is not None,
        expired=bool(peer.expired_at),
    )


def _rule(state: NetmapState, reach: Reach) -> RuleView:
    entry = state.entry(reach.entry) or Entry(id="")
    sets = (
        (reach.own,)
        if reach.own
        else tuple(filter(None, (*entry.sets, entry.whole, *(part.set for part in entry.within))))
    )
    whole = (*TAILNET, *sorted(state.routers)) if entry.whole and not reach.own else ()
    return RuleView(
        source_classes=tuple(sorted(state.classes_in(sets))),
        sources=(*(("*",) if entry.is_anyone else ()), *entry.literals, *whole),
        targets=tuple(TargetView(to=target.ip or "self", ports=target.ports) for target in reach.targets),
        protocols=() if entry.protocol is None else (entry.protocol,),
        capabilities=msgspec.Raw(entry.grant.encode()) if entry.grant else None,
    )


def _ssh(state: NetmapState, own: ClassObject) -> tuple[SshView, ...]:
    rules = {rule.id: rule for rule in state.policy.ssh_rules}
    return tuple(
        SshView(
            action="check" if rules[use.rule].is_check else "accept",
            source_classes=tuple(sorted(state.classes_in((*rules[use.rule].sets, *rules[use.rule].each)))),
            users=dict(rules[use.rule].users),
            own_only=use.own,
        )
        for use in own.ssh
    )
