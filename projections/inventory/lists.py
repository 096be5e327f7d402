"""The tailnet's tables as rows, by id."""

import base64
from collections import Counter
from collections.abc import Callable, Iterator

import msgspec

from engine.domain.aggregates import ApiKey, AuthKey, Backend, Connection, Export, Node, Peer
from engine.domain.events import HostAnswer
from engine.domain.exports import export_command
from engine.domain.pairs import connected_part
from engine.domain.places import answer_for, hosts_of, places_of
from engine.domain.state import Tailnet
from engine.domain.values import NodeId, PeerId, UserId
from engine.domain.whom import domains_of
from projections.inventory.rows import (
    ApiKeyRow,
    AuthKeyRow,
    BackendRow,
    ConnectionRow,
    ExportRow,
    HostRow,
    NodeConnection,
    NodeRow,
    PeerRow,
    Presence,
    SelectorTerms,
    SettingsRow,
    StaleRow,
    UserRow,
)

PresenceOf = Callable[[NodeId], Presence | None]


def nobody(_node: NodeId) -> Presence | None:
    """Return that nothing is known: history's answer."""
    return None


def base64_of(key: str) -> str:
    """Return a key as WireGuard's tools write it; `key` is a prefix, a colon and 64 hex digits."""
    return base64.b64encode(bytes.fromhex(key.partition(":")[2])).decode("ascii")


def user_name(tailnet: Tailnet, number: UserId) -> str:
    """Return a user's name; empty when there is no such user."""
    user = tailnet.users.get(number)
    return "" if user is None else user.name


def nodes(tailnet: Tailnet, presence: PresenceOf = nobody) -> Iterator[NodeRow]:
    """Yield every node, by id."""
    return (node_row(tailnet, tailnet.nodes[number], presence) for number in sorted(tailnet.nodes))


def node_row(tailnet: Tailnet, node: Node, presence: PresenceOf = nobody) -> NodeRow:
    """Return a node's row."""
    known = presence(node.id)
    row = NodeRow(
        id=node.id,
        stable_id=node.stable_id,
        name=node.name,
        fqdn=f"{node.name}.{tailnet.settings.base_domain}",
        user=node.user,
        user_name=user_name(tailnet, node.user),
        tags=node.tags,
        ipv4=node.ipv4,
        ipv6=node.ipv6,
        node_key=node.node_key,
        node_key_base64=base64_of(node.node_key),
        machine_key=node.machine_key,
        created=node.created,
        expiry=node.expiry,
        expired=node.expired,
        ephemeral=node.ephemeral,
        auth_key=node.auth_key,
        hostname=node.hostname,
        os=node.os,
        os_version=node.os_version,
        capver=node.capver,
        advertised=node.advertised,
        approved=node.approved,
        serving=tuple(route for route in node.advertised if route in node.approved),
        connections=tuple(_node_connections(tailnet, node.id)),
        client_version=node.client_version,
    )
    return row if known is None else _present(row, known)


def _present(row: NodeRow, known: Presence) -> NodeRow:
    return msgspec.structs.replace(
        row,
        os=known.os or row.os,
        capver=known.capver or row.capver,
        online=known.online,
        last_seen=known.last_seen,
        endpoints=known.endpoints,
        home_derp=known.home_derp,
        client_version=known.client_version or row.client_version,
        frontend=known.frontend,
        exit_node=known.exit_node,
    )


def users(tailnet: Tailnet) -> Iterator[UserRow]:
    """Yield every user, by id."""
    own_nodes = Counter(node.user for node in tailnet.nodes.values())
    own_peers = Counter(peer.user for peer in tailnet.peers.values())
    for number in sorted(tailnet.users):
        user = tailnet.users[number]
        yield UserRow(
            id=user.id,
            name=user.name,
            display_name=user.display_name,
            email=user.email,
            role=user.role,
            created=user.created,
            nodes=own_nodes[number],
            wireguard_only_peers=own_peers[number],
        )


def auth_keys(tailnet: Tailnet) -> Iterator[AuthKeyRow]:
    """Yield every pre-auth key, by id."""
    return (_auth_key_row(tailnet, tailnet.auth_keys[number]) for number in sorted(tailnet.auth_keys))


def api_keys(tailnet: Tailnet) -> Iterator[ApiKeyRow]:
    """Yield every API key, by id."""
    return (api_key_row(tailnet, tailnet.api_keys[number]) for number in sorted(tailnet.api_keys))


def api_key_row(tailnet: Tailnet, key: ApiKey) -> ApiKeyRow:
    """Return an API key's row."""
    return ApiKeyRow(
        id=key.id,
        prefix=key.prefix,
        scope=key.scope,
        peer=key.peer,
        peer_name="" if key.peer is None else _peer_name(tailnet, key.peer),
        node=key.node,
        node_name="" if key.node is None else _node_name(tailnet, key.node),
        created=key.created,
        expiry=key.expiry,
        expired=key.expired,
    )


def peers(tailnet: Tailnet, presence: PresenceOf = nobody) -> Iterator[PeerRow]:
    """Yield every WireGuard-only peer, by id."""
    return (_peer_row(tailnet, tailnet.peers[number], presence) for number in sorted(tailnet.peers))


def peer_row(tailnet: Tailnet, number: PeerId, presence: PresenceOf = nobody) -> PeerRow:
    """Return a WireGuard-only peer's row."""
    return _peer_row(tailnet, tailnet.peers[number], presence)


def connections(
    tailnet: Tailnet, *, node: NodeId | None = None, peer: PeerId | None = None
) -> Iterator[ConnectionRow]:
    """Yield every connection, or those of the node, or of the peer, by node, then by peer; only these are looked at."""
    if node is not None:
        pairs = {(node, number) for number in tailnet.peers_of_node.get(node, ()) if peer in (None, number)}
    elif peer is not None:
        pairs = {(number, peer) for number in tailnet.nodes_of_peer.get(peer, ())}
    else:
        pairs = set(tailnet.connections)
    return (_connection_row(tailnet, tailnet.connections[pair]) for pair in sorted(pairs))


def settings(tailnet: Tailnet) -> SettingsRow:
    """Return what holds for the whole tailnet."""
    held = tailnet.settings
    return SettingsRow(
        base_domain=held.base_domain,
        nodes_v4=held.nodes_v4,
        nodes_v6=held.nodes_v6,
        peers_v4=held.peers_v4,
        peers_v6=held.peers_v6,
        derp_map=held.derp_map,
        domains=domains_of(tailnet),
        wireguard_mode=held.wireguard_mode,
        auto_updates=held.auto_updates,
        resolvers=held.resolvers,
        wireguard_dns=held.wireguard_dns,
    )


def _node_connections(tailnet: Tailnet, node: NodeId) -> Iterator[NodeConnection]:
    for number in sorted(tailnet.peers_of_node.get(node, ())):
        connection = tailnet.connections[node, number]
        yield NodeConnection(
            peer=number,
            peer_name=_peer_name(tailnet, number),
            ipv4_masq_addr=connection.ipv4_masq,
            ipv6_masq_addr=connection.ipv6_masq,
            exported=_export_row(connection.exported),
            stale=_stale_row(tailnet, connection),
        )


def _provider_name(tailnet: Tailnet, peer: PeerId) -> str:
    provider = tailnet.provided.provider_of_peer.get(peer)
    return "" if provider is None else tailnet.provided.providers[provider].name


def _peer_name(tailnet: Tailnet, number: PeerId) -> str:
    peer = tailnet.peers.get(number)
    return "" if peer is None else peer.name


def _node_name(tailnet: Tailnet, number: NodeId) -> str:
    node = tailnet.nodes.get(number)
    return "" if node is None else node.name


def _auth_key_row(tailnet: Tailnet, key: AuthKey) -> AuthKeyRow:
    return AuthKeyRow(
        id=key.id,
        user=key.user,
        user_name=user_name(tailnet, key.user),
        prefix=key.prefix,
        reusable=key.reusable,
        ephemeral=key.ephemeral,
        tags=key.tags,
        created=key.created,
        expiry=key.expiry,
        expired=key.expired,
        used=key.used,
        spent=key.used > 0 and not key.reusable,
    )


def _uses(known: Presence | None, peer: Peer) -> bool:
    return known is not None and known.online and known.exit_node == peer.stable_id


def _peer_row(tailnet: Tailnet, peer: Peer, presence: PresenceOf) -> PeerRow:
    connected = sorted(tailnet.nodes_of_peer.get(peer.id, ()))
    return PeerRow(
        id=peer.id,
        stable_id=peer.stable_id,
        name=peer.name,
        fqdn=f"{peer.name}.{tailnet.settings.base_domain}",
        user=peer.user,
        user_name=user_name(tailnet, peer.user),
        public_key=peer.public_key,
        public_key_base64=base64_of(peer.public_key),
        allowed_ips=peer.allowed_ips,
        endpoints=peer.endpoints,
        ipv4=peer.ipv4,
        ipv6=peer.ipv6,
        extra_config=peer.extra,
        created=peer.created,
        disabled=peer.parked_key is not None,
        expired_at=peer.expired_at,
        connected_nodes=tuple(f"{number}({_node_name(tailnet, number)})" for number in connected),
        drained=peer.drained,
        masq_pool_v4=peer.masq_v4,
        masq_pool_v6=peer.masq_v6,
        selectors=tuple(held.selector for held in peer.selectors),
        used_by=tuple(
            f"{number}({_node_name(tailnet, number)})"
            for number in connected
            if _uses(presence(number), peer)
        ),
        provider=_provider_name(tailnet, peer.id),
        stale=tuple(
            filter(None, (_stale_row(tailnet, tailnet.connections[number, peer.id]) for number in connected))
        ),
        places=places_of(peer),
        hosts=tuple(_host_row(peer, host) for host in hosts_of(peer)),
        backend=peer.backend,
        backends=tuple(_backend_row(peer, held) for held in peer.backends),
        selector_terms=tuple(
            SelectorTerms(selector=held.selector, allowed_ips=held.allowed_ips, jailed=held.jailed)
            for held in peer.selectors
        ),
        managed_by=peer.managed_by,
    )


def _host_row(peer: Peer, host: str) -> HostRow:
    held = answer_for(peer, host) or HostAnswer(host=host)
    return HostRow(
        host=held.host,
        addresses=held.addresses,
        changed=held.changed,
        failing_since=held.failing_since,
        failure=held.failure,
    )


def _backend_row(peer: Peer, backend: Backend) -> BackendRow:
    return BackendRow(
        name=backend.name,
        present=backend.name == peer.backend,
        public_key=backend.public_key,
        public_key_base64=base64_of(backend.public_key),
        endpoints=backend.endpoints,
        resolvers=backend.resolvers,
    )


def _connection_row(tailnet: Tailnet, connection: Connection) -> ConnectionRow:
    node = tailnet.nodes.get(connection.node)
    return ConnectionRow(
        node=connection.node,
        node_name=_node_name(tailnet, connection.node),
        peer=connection.peer,
        peer_name=_peer_name(tailnet, connection.peer),
        ipv4_masq_addr=connection.ipv4_masq,
        ipv6_masq_addr=connection.ipv6_masq,
        created=connection.created,
        allowed_ips=_part(tailnet, connection),
        jailed=connection.jailed,
        selector=connection.selector,
        exported=_export_row(connection.exported),
        stale=_stale_row(tailnet, connection),
        node_key="" if node is None else node.node_key,
        node_expired=node is not None and node.expired,
        is_part=connection.allowed_ips is not None,
    )


def _export_row(told: Export | None) -> ExportRow | None:
    if told is None:
        return None
    return ExportRow(
        node_key=told.node_key,
        node_key_base64=base64_of(told.node_key),
        ipv4_masq_addr=told.ipv4_masq,
        ipv6_masq_addr=told.ipv6_masq,
        at=told.at,
        style=told.style,
        checksum=told.checksum,
    )


def _stale_row(tailnet: Tailnet, connection: Connection) -> StaleRow | None:
    if not connection.stale_since:
        return None
    node, peer = tailnet.nodes[connection.node], tailnet.peers[connection.peer]
    is_by_key = connection.stale_since == connection.key_stale_since
    return StaleRow(
        node=node.id,
        node_name=node.name,
        since=connection.stale_since,
        because="ConnectionStale.v1" if is_by_key else "ConnectionUpdated.v1",
        known_key_base64=base64_of(connection.former_key or node.node_key),
        fix=export_command(peer, node),
    )


def _part(tailnet: Tailnet, connection: Connection) -> tuple[str, ...]:
    peer = tailnet.peers.get(connection.peer)
    return () if peer is None else connected_part(connection, peer)
