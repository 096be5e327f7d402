"""From what decisions know of settings, a user, a node or a WireGuard-only peer to its netmap object."""

from engine.contracts.netmap import NodeObject, TailnetObject, UserObject, WireGuardPeerObject
from engine.domain.aggregates import Node, Peer, Settings, User
from engine.domain.places import places_of


def tailnet_object(settings: Settings) -> TailnetObject:
    """Return the object of what holds for every node."""
    return TailnetObject(
        base_domain=settings.base_domain,
        derp_map=settings.derp_map,
        auto_updates=settings.auto_updates,
        resolvers=settings.resolvers,
    )


def user_object(user: User) -> UserObject:
    """Return a user's object."""
    return UserObject(id=user.id, name=user.name, display_name=user.display_name)


def node_object(node: Node, class_id: str) -> NodeObject:
    """Return a node's object; `class_id` is that of its identity."""
    return NodeObject(
        id=node.id,
        stable_id=node.stable_id,
        name=node.name,
        user=node.user,
        machine_key=node.machine_key,
        node_key=node.node_key,
        ipv4=node.ipv4,
        ipv6=node.ipv6,
        class_id=class_id,
        created=node.created,
        tags=node.tags,
        expiry=node.expiry,
        expired=node.expired,
        ephemeral=node.ephemeral,
        hostname=node.hostname,
        os=node.os,
        capver=node.capver,
        advertised=node.advertised,
        routes=node.routes,
        exit_routes=node.exit_routes,
    )


def peer_object(peer: Peer) -> WireGuardPeerObject:
    """Return a WireGuard-only peer's object."""
    return WireGuardPeerObject(
        id=peer.id,
        stable_id=peer.stable_id,
        name=peer.name,
        public_key=peer.public_key,
        allowed_ips=peer.allowed_ips,
        endpoints=places_of(peer),
        ipv4=peer.ipv4,
        ipv6=peer.ipv6,
        created=peer.created,
        extra=peer.extra,
        parked_key=peer.parked_key,
        expired_at=peer.expired_at,
        drained=peer.drained,
    )
