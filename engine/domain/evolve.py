"""(aggregate, event, recorded time) → aggregate; pure, and cannot fail.

Rule 1: an event that does not fit (its aggregate is not there) changes nothing: the log is never wrong.
Rule 2: every match is closed: a new event that is not treated here fails the type check.
"""

from typing import assert_never

from msgspec.structs import replace

from engine.domain.aggregates import (
    ApiKey,
    AuthKey,
    Connection,
    Export,
    Node,
    Peer,
    Selector,
    Settings,
    User,
)
from engine.domain.backendlife import updated, with_backend
from engine.domain.events import (
    ApiKeyCreated,
    ApiKeyDeleted,
    ApiKeyEvent,
    ApiKeyExpired,
    AuthKeyCreated,
    AuthKeyEvent,
    AuthKeyExpired,
    AuthKeyUsed,
    AutoUpdatesSet,
    BaseDomainSet,
    ConnectionAdded,
    ConnectionEvent,
    ConnectionExported,
    ConnectionRemoved,
    ConnectionStale,
    ConnectionUpdated,
    DerpMapSet,
    DomainsSet,
    LogStarted,
    NodeDeleted,
    NodeEvent,
    NodeExpired,
    NodeExpirySet,
    NodeRegistered,
    NodeRenamed,
    NodeReregistered,
    NodeRoutesAdvertised,
    NodeRoutesApproved,
    NodeTagged,
    PeerBackendRemoved,
    PeerBackendSet,
    PeerDisabled,
    PeerDrained,
    PeerEnabled,
    PeerEndpointsResolved,
    PeerEvent,
    PeerExpired,
    PeerMoved,
    PeerPoolSet,
    PeerRegistered,
    PeerRemoved,
    PeerRenamed,
    PeerSwitched,
    PeerTagged,
    PeerUndrained,
    PeerUpdated,
    PoolsSet,
    ResolversSet,
    SelectorAdded,
    SelectorRemoved,
    TailnetEvent,
    UserCreated,
    UserDeleted,
    UserEvent,
    UserRoleSet,
    WireGuardDnsSet,
    WireGuardModeSet,
)
from engine.domain.values import NEVER, Millis


def evolve_settings(settings: Settings, event: TailnetEvent) -> Settings:
    """Return the settings after the event."""
    match event:
        case BaseDomainSet(domain=domain):
            return replace(settings, base_domain=domain)
        case PoolsSet():
            return replace(
                settings,
                nodes_v4=event.nodes_v4,
                nodes_v6=event.nodes_v6,
                peers_v4=event.peers_v4,
                peers_v6=event.peers_v6,
            )
        case DerpMapSet(derp_map=derp_map):
            # A decoded Raw is a window into the record that it came in: a copy lets the record go.
            return replace(settings, derp_map=derp_map.copy())
        case DomainsSet(domains=domains):
            return replace(settings, domains=domains)
        case AutoUpdatesSet(on=on):
            return replace(settings, auto_updates=on)
        case WireGuardModeSet(mode=mode):
            return replace(settings, wireguard_mode=mode)
        case ResolversSet(resolvers=resolvers):
            return replace(settings, resolvers=resolvers)
        case WireGuardDnsSet(mode=mode):
            return replace(settings, wireguard_dns=mode)
        case LogStarted():
            return settings
        case _:
            assert_never(event)


def evolve_user(user: User | None, event: UserEvent, at: Millis) -> User | None:
    """Return the user after the event."""
    match event:
        case UserCreated():
            return User(
                id=event.user,
                name=event.name,
                display_name=event.display_name,
                email=event.email,
                role=event.role or "member",
                created=at,
            )
        case UserRoleSet(role=role):
            return user and replace(user, role=role)
        case UserDeleted():
            return None
        case _:
            assert_never(event)


def evolve_auth_key(key: AuthKey | None, event: AuthKeyEvent, at: Millis) -> AuthKey | None:
    """Return the pre-auth key after the event."""
    match event:
        case AuthKeyCreated():
            return AuthKey(
                id=event.key,
                user=event.user,
                prefix=event.prefix,
                digest=event.digest,
                reusable=event.reusable,
                ephemeral=event.ephemeral,
                tags=event.tags,
                expiry=event.expiry,
                created=at,
            )
        case AuthKeyUsed():
            return key and replace(key, used=key.used + 1)
        case AuthKeyExpired():
            return key and replace(key, expired=True)
        case _:
            assert_never(event)


def evolve_api_key(key: ApiKey | None, event: ApiKeyEvent, at: Millis) -> ApiKey | None:
    """Return the API key after the event; None when there is none any more."""
    match event:
        case ApiKeyCreated():
            return ApiKey(
                id=event.key,
                prefix=event.prefix,
                digest=event.digest,
                scope=event.scope,
                peer=event.peer,
                node=event.node,
                expiry=event.expiry,
                created=at,
            )
        case ApiKeyExpired():
            return key and replace(key, expired=True)
        case ApiKeyDeleted():
            return None
        case _:
            assert_never(event)


def evolve_node(node: Node | None, event: NodeEvent, at: Millis) -> Node | None:
    """Return the node after the event; None when there is none any more."""
    match event:
        case NodeRegistered():
            return _new_node(event, at)
        case NodeReregistered():
            return node and replace(
                node,
                node_key=event.node_key,
                expiry=event.expiry,
                expired=False,
                tags=event.tags,
                ephemeral=event.ephemeral,
                auth_key=event.auth_key,
                registered_at=at,
                os=event.os,
                capver=event.capver,
                os_version=event.os_version,
                client_version=event.client_version,
            )
        case NodeExpired(at=since):
            return node and replace(node, expired=True, expiry=since)
        case NodeExpirySet(expiry=expiry):
            return node and replace(node, expired=False, expiry=expiry)
        case NodeRenamed(name=name):
            return node and replace(node, name=name)
        case NodeTagged(tags=tags):
            return node and replace(node, tags=tags)
        case NodeRoutesAdvertised(routes=routes):
            return node and replace(node, advertised=routes, advertised_at=at)
        case NodeRoutesApproved(routes=routes):
            return node and replace(node, approved=routes)
        case NodeDeleted():
            return None
        case _:
            assert_never(event)


def _new_node(event: NodeRegistered, at: Millis) -> Node:
    return Node(
        id=event.node,
        stable_id=event.stable_id,
        machine_key=event.machine_key,
        node_key=event.node_key,
        user=event.user,
        name=event.name,
        hostname=event.hostname,
        ipv4=event.ipv4,
        ipv6=event.ipv6,
        tags=event.tags,
        ephemeral=event.ephemeral,
        auth_key=event.auth_key,
        expiry=event.expiry,
        created=at,
        registered_at=at,
        os=event.os,
        capver=event.capver,
        os_version=event.os_version,
        client_version=event.client_version,
    )


def evolve_peer(  # noqa: C901 (an arm for each event)
    peer: Peer | None, event: PeerEvent, at: Millis
) -> Peer | None:
    """Return the WireGuard-only peer after the event; None when there is none any more."""
    match event:
        case PeerRegistered():
            return Peer(
                id=event.peer,
                stable_id=event.stable_id,
                name=event.name,
                user=event.user,
                public_key=event.public_key,
                allowed_ips=event.allowed_ips,
                endpoints=event.endpoints,
                ipv4=event.ipv4,
                ipv6=event.ipv6,
                extra=event.extra,
                created=at,
                managed_by=event.managed_by,
            )
        case PeerRemoved():
            return None
        case PeerDisabled(parked_key=parked_key):
            return peer and replace(peer, parked_key=parked_key)
        case PeerExpired(at=since):
            return peer and replace(peer, expired_at=since)
        case PeerEnabled():
            return peer and replace(peer, parked_key=None, expired_at=NEVER)
        case PeerUpdated():
            return peer and updated(peer, event)
        case PeerEndpointsResolved(hosts=hosts):
            return peer and replace(peer, resolved=hosts, resolved_at=at)
        case PeerBackendSet() | PeerBackendRemoved() | PeerSwitched():
            return peer and with_backend(peer, event)
        case PeerRenamed(name=name):
            return peer and replace(peer, name=name)
        case PeerTagged(tags=tags):
            return peer and replace(peer, extra=replace(peer.extra, tags=tags))
        case PeerMoved(user=user):
            return peer and replace(peer, user=user)
        case PeerDrained() | PeerUndrained():
            return peer and replace(peer, drained=isinstance(event, PeerDrained))
        case PeerPoolSet():
            return peer and replace(peer, masq_v4=event.ipv4, masq_v6=event.ipv6)
        case SelectorAdded() | SelectorRemoved():
            return peer and replace(peer, selectors=_selectors(peer, event))
        case _:
            assert_never(event)


def _selectors(peer: Peer, event: SelectorAdded | SelectorRemoved) -> tuple[Selector, ...]:
    others = tuple(held for held in peer.selectors if held.selector != event.selector)
    if isinstance(event, SelectorRemoved):
        return others
    added = Selector(selector=event.selector, allowed_ips=event.allowed_ips, jailed=event.jailed)
    return (*others, added)


def evolve_connection(connection: Connection | None, event: ConnectionEvent, at: Millis) -> Connection | None:
    """Return the connection after the event; None when there is none any more."""
    match event:
        case ConnectionAdded():
            return Connection(
                node=event.node,
                peer=event.peer,
                ipv4_masq=event.ipv4_masq,
                ipv6_masq=event.ipv6_masq,
                created=at,
                allowed_ips=event.allowed_ips,
                jailed=event.jailed,
                selector=event.selector,
            )
        case ConnectionUpdated():
            return connection and replace(
                connection,
                ipv4_masq=event.ipv4_masq,
                ipv6_masq=event.ipv6_masq,
                allowed_ips=event.allowed_ips,
                jailed=event.jailed,
                selector=event.selector,
                masq_stale_since=_masq_stale(connection, (event.ipv4_masq, event.ipv6_masq), at),
            )
        case ConnectionExported():
            return connection and _told(connection, event, at)
        case ConnectionStale():
            return connection and _stale(connection, event, at)
        case ConnectionRemoved():
            return None
        case _:
            assert_never(event)


def _masq_stale(connection: Connection, now: tuple[str, str], at: Millis) -> Millis:
    told = connection.exported
    if told is None or (told.ipv4_masq, told.ipv6_masq) == now:
        return NEVER
    return connection.masq_stale_since or at


def _told(connection: Connection, event: ConnectionExported, at: Millis) -> Connection:
    told = Export(
        node_key=event.node_key,
        ipv4_masq=event.ipv4_masq,
        ipv6_masq=event.ipv6_masq,
        at=at,
        style=event.style,
        checksum=event.checksum,
    )
    after = replace(
        connection,
        exported=told,
        former_key=None if event.is_key_current else event.node_key,
        key_stale_since=NEVER if event.is_key_current else connection.key_stale_since or at,
    )
    return replace(
        after, masq_stale_since=_masq_stale(after, (connection.ipv4_masq, connection.ipv6_masq), at)
    )


def _stale(connection: Connection, event: ConnectionStale, at: Millis) -> Connection:
    known = connection.former_key or event.former_key
    if event.node_key == known:
        return replace(connection, former_key=None, key_stale_since=NEVER)
    return replace(connection, former_key=known, key_stale_since=connection.key_stale_since or at)
