"""What happened to WireGuard-only peers and their connections; a part of `events.py`, whose rules hold here."""

import msgspec

from engine.domain.values import Millis, NodeId, NodeKey, PeerId, StableId, UserId


class Location(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, rename="camel"):
    """Where an exit is: all-or-nothing, validated (reference: the client's exit-node list crashes on halves)."""

    country: str
    country_code: str
    city: str
    city_code: str
    latitude: float
    longitude: float
    priority: int


class ExtraConfig(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, rename="camel"):
    """The optional part of a WireGuard-only peer, as the user's document names its fields."""

    exit_node_dns_resolvers: tuple[str, ...] = msgspec.field(default=(), name="exitNodeDNSResolvers")
    suggest_exit_node: bool = False
    tags: tuple[str, ...] = ()
    location: Location | None = None


class PeerRegistered(msgspec.Struct, frozen=True, kw_only=True, tag="PeerRegistered.v1"):
    """A WireGuard-only peer exists; nobody sees it until a connection is added."""

    peer: PeerId
    stable_id: StableId
    name: str
    user: UserId
    public_key: NodeKey
    allowed_ips: tuple[str, ...]
    endpoints: tuple[str, ...]
    ipv4: str
    ipv6: str
    extra: ExtraConfig = ExtraConfig()
    managed_by: str = ""
    """Which declarative file keeps it; empty: none."""


class PeerRemoved(msgspec.Struct, frozen=True, kw_only=True, tag="PeerRemoved.v1"):
    """The WireGuard-only peer is gone; its id is never used again."""

    peer: PeerId


class PeerDisabled(msgspec.Struct, frozen=True, kw_only=True, tag="PeerDisabled.v1"):
    """The WireGuard-only peer is parked: the same id and routes, but a key that nobody has the other half of.

    The only switch that cuts TUN and userspace clients alike, established sessions too (measured with 1.92.5).
    """

    peer: PeerId
    parked_key: NodeKey


class PeerExpired(msgspec.Struct, frozen=True, kw_only=True, tag="PeerExpired.v1"):
    """Clients count the WireGuard-only peer as expired, from `at` on; userspace clients then go out directly."""

    peer: PeerId
    at: Millis


class PeerEnabled(msgspec.Struct, frozen=True, kw_only=True, tag="PeerEnabled.v1"):
    """The WireGuard-only peer is as it was registered: neither parked nor expired."""

    peer: PeerId


class PeerUpdated(msgspec.Struct, frozen=True, kw_only=True, tag="PeerUpdated.v1"):
    """What the WireGuard-only peer is and where, all of it: id, stable id, name and addresses stay."""

    peer: PeerId
    public_key: NodeKey
    allowed_ips: tuple[str, ...]
    endpoints: tuple[str, ...]
    extra: ExtraConfig = ExtraConfig()
    managed_by: str = ""
    """Which declarative file keeps it; empty: none."""


class PeerRenamed(msgspec.Struct, frozen=True, kw_only=True, tag="PeerRenamed.v1"):
    """The WireGuard-only peer's name in MagicDNS changed."""

    peer: PeerId
    name: str


class PeerTagged(msgspec.Struct, frozen=True, kw_only=True, tag="PeerTagged.v1"):
    """The WireGuard-only peer has these tags now, and no others."""

    peer: PeerId
    tags: tuple[str, ...]


class PeerMoved(msgspec.Struct, frozen=True, kw_only=True, tag="PeerMoved.v1"):
    """The WireGuard-only peer belongs to another user; clients are not told whose it is."""

    peer: PeerId
    user: UserId


class HostAnswer(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What the last lookups of a host name gave: the last good addresses, and since when there is no good one."""

    host: str
    addresses: tuple[str, ...] = ()
    """Canonical, sorted; none: it was never found."""
    changed: Millis = Millis(0)
    """Since when it has these addresses."""
    failing_since: Millis = Millis(0)
    """Since when lookups fail; 0: the last one was good."""
    failure: str = ""
    """What was wrong when they began to fail."""


class PeerEndpointsResolved(msgspec.Struct, frozen=True, kw_only=True, tag="PeerEndpointsResolved.v1"):
    """The host names of the WireGuard-only peer's endpoints have these addresses now: all that is known of them."""

    peer: PeerId
    hosts: tuple[HostAnswer, ...]


class PeerBackendSet(msgspec.Struct, frozen=True, kw_only=True, tag="PeerBackendSet.v1"):
    """The WireGuard-only peer has a backend of this name, which it may be switched to, or is on already."""

    peer: PeerId
    backend: str
    public_key: NodeKey
    endpoints: tuple[str, ...]
    resolvers: tuple[str, ...] = ()


class PeerBackendRemoved(msgspec.Struct, frozen=True, kw_only=True, tag="PeerBackendRemoved.v1"):
    """The WireGuard-only peer has no such backend any more; its key is free."""

    peer: PeerId
    backend: str


class PeerSwitched(msgspec.Struct, frozen=True, kw_only=True, tag="PeerSwitched.v1"):
    """The WireGuard-only peer is this backend now; its id, routes and connections stay."""

    peer: PeerId
    backend: str
    public_key: NodeKey
    endpoints: tuple[str, ...]
    resolvers: tuple[str, ...] = ()


class PeerDrained(msgspec.Struct, frozen=True, kw_only=True, tag="PeerDrained.v1"):
    """Clients count the WireGuard-only peer as offline: those that choose their exit themselves take another."""

    peer: PeerId


class PeerUndrained(msgspec.Struct, frozen=True, kw_only=True, tag="PeerUndrained.v1"):
    """The WireGuard-only peer may be chosen again."""

    peer: PeerId


class PeerPoolSet(msgspec.Struct, frozen=True, kw_only=True, tag="PeerPoolSet.v1"):
    """Masquerade addresses at the WireGuard-only peer come from these prefixes; an empty text is none."""

    peer: PeerId
    ipv4: str = ""
    ipv6: str = ""


class SelectorAdded(msgspec.Struct, frozen=True, kw_only=True, tag="SelectorAdded.v1"):
    """Every node that the selector speaks of is to be connected to the peer; the connections are events of their own."""

    peer: PeerId
    selector: str
    """`tag:…`, `group:…`, or `user:…` with a user's name."""
    allowed_ips: tuple[str, ...] | None = None
    jailed: bool = True


class SelectorRemoved(msgspec.Struct, frozen=True, kw_only=True, tag="SelectorRemoved.v1"):
    """The selector connects nobody any more."""

    peer: PeerId
    selector: str


class ConnectionAdded(msgspec.Struct, frozen=True, kw_only=True, tag="ConnectionAdded.v1"):
    """The node sees the WireGuard-only peer, and is seen by it under these masquerade addresses."""

    node: NodeId
    peer: PeerId
    ipv4_masq: str = ""
    ipv6_masq: str = ""
    allowed_ips: tuple[str, ...] | None = None
    """Which of the peer's allowed IPs the node gets; None: all."""
    jailed: bool = True
    """Whether the far side may only answer."""
    from_pool: bool = False
    """Whether the addresses were handed out by the peer's pool."""
    selector: str = ""
    """Because of which selector it is there; empty: somebody asked for it."""


class ConnectionUpdated(msgspec.Struct, frozen=True, kw_only=True, tag="ConnectionUpdated.v1"):
    """The connection is this now, all of it."""

    node: NodeId
    peer: PeerId
    ipv4_masq: str = ""
    ipv6_masq: str = ""
    allowed_ips: tuple[str, ...] | None = None
    """Which of the peer's allowed IPs the node gets; None: all."""
    jailed: bool = True
    """Whether the far side may only answer."""
    from_pool: bool = False
    """Whether the addresses were handed out by the peer's pool."""
    selector: str = ""
    """Because of which selector it is there; empty: somebody asked for it."""


class ConnectionRemoved(msgspec.Struct, frozen=True, kw_only=True, tag="ConnectionRemoved.v1"):
    """The node no longer sees the WireGuard-only peer."""

    node: NodeId
    peer: PeerId


class ConnectionExported(msgspec.Struct, frozen=True, kw_only=True, tag="ConnectionExported.v1"):
    """The far side was told this of the connection: with which key and from which addresses the node comes."""

    node: NodeId
    peer: PeerId
    node_key: NodeKey
    ipv4_masq: str = ""
    ipv6_masq: str = ""
    is_key_current: bool = True
    """Whether that was the node's key when it was recorded."""
    style: str = ""
    """In which format, as `wg-quick`; empty: nobody said."""
    checksum: str = ""
    """Of the whole text, as its last line has it."""


class ConnectionStale(msgspec.Struct, frozen=True, kw_only=True, tag="ConnectionStale.v1"):
    """The node has another key: what the far side knows of the connection no longer holds."""

    node: NodeId
    peer: PeerId
    former_key: NodeKey
    node_key: NodeKey


class WireGuardDnsSet(msgspec.Struct, frozen=True, kw_only=True, tag="WireGuardDnsSet.v1"):
    """Whether the tailnet's resolvers go before those of a WireGuard-only exit: `keep` (they do) or `demote`."""

    mode: str


PeerEvent = (
    PeerRegistered
    | PeerRemoved
    | PeerDisabled
    | PeerExpired
    | PeerEnabled
    | PeerUpdated
    | PeerRenamed
    | PeerTagged
    | PeerMoved
    | PeerEndpointsResolved
    | PeerBackendSet
    | PeerBackendRemoved
    | PeerSwitched
    | PeerDrained
    | PeerUndrained
    | PeerPoolSet
    | SelectorAdded
    | SelectorRemoved
)
ConnectionEvent = (
    ConnectionAdded | ConnectionUpdated | ConnectionRemoved | ConnectionExported | ConnectionStale
)
