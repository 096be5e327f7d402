"""What happened to a tailnet; never edited once stored.

Rule 1: the struct's tag is the name in the store (`PeerRegistered.v1`), never a Python path.
Rule 2: additive change = a new field with a default; any other change = a new tag and an upcaster in the codec.
Rule 3: an event carries what happened; position, time, actor and cause live in the envelope.
Rule 4: `stream_of` names the aggregate that an event belongs to.
"""

from typing import Final, assert_never

import msgspec

from engine.domain.values import (
    NEVER,
    AuthKeyId,
    Epoch,
    MachineKey,
    Millis,
    NodeId,
    NodeKey,
    PeerId,
    StableId,
    UserId,
)


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


class LogStarted(msgspec.Struct, frozen=True, kw_only=True, tag="LogStarted.v1"):
    """A history begins: the first record of a log, and again after a restore."""

    epoch: Epoch


class BaseDomainSet(msgspec.Struct, frozen=True, kw_only=True, tag="BaseDomainSet.v1"):
    """MagicDNS names end in this domain: lower case, no dot at the end."""

    domain: str


class PoolsSet(msgspec.Struct, frozen=True, kw_only=True, tag="PoolsSet.v1"):
    """Where addresses come from: four prefixes that do not overlap."""

    nodes_v4: str
    nodes_v6: str
    peers_v4: str
    peers_v6: str


class DerpMapSet(msgspec.Struct, frozen=True, kw_only=True, tag="DerpMapSet.v1"):
    """The DERP map that every node gets, as canonical JSON of the wire form."""

    derp_map: msgspec.Raw


class UserCreated(msgspec.Struct, frozen=True, kw_only=True, tag="UserCreated.v1"):
    """A user exists."""

    user: UserId
    name: str
    display_name: str = ""
    email: str = ""


class AuthKeyCreated(msgspec.Struct, frozen=True, kw_only=True, tag="AuthKeyCreated.v1"):
    """A pre-auth key exists; the store keeps only `digest`, SHA-256 of the secret in hex."""

    key: AuthKeyId
    user: UserId
    prefix: str
    digest: str
    reusable: bool = False
    ephemeral: bool = False
    tags: tuple[str, ...] = ()
    expiry: Millis = NEVER


class AuthKeyUsed(msgspec.Struct, frozen=True, kw_only=True, tag="AuthKeyUsed.v1"):
    """A node was registered with the key; a one-off key is spent by this."""

    key: AuthKeyId
    node: NodeId


class AuthKeyExpired(msgspec.Struct, frozen=True, kw_only=True, tag="AuthKeyExpired.v1"):
    """The key was ended by hand; it opens nothing any more."""

    key: AuthKeyId


class NodeRegistered(msgspec.Struct, frozen=True, kw_only=True, tag="NodeRegistered.v1"):
    """A node joined the tailnet."""

    node: NodeId
    stable_id: StableId
    machine_key: MachineKey
    node_key: NodeKey
    user: UserId
    name: str
    hostname: str
    ipv4: str
    ipv6: str
    tags: tuple[str, ...] = ()
    ephemeral: bool = False
    auth_key: AuthKeyId | None = None
    expiry: Millis = NEVER
    os: str = ""
    capver: int = 0


class NodeReregistered(msgspec.Struct, frozen=True, kw_only=True, tag="NodeReregistered.v1"):
    """The same node logged in again: a new node key perhaps, a new expiry; identity and addresses stay."""

    node: NodeId
    node_key: NodeKey
    expiry: Millis = NEVER
    tags: tuple[str, ...] = ()
    ephemeral: bool = False
    auth_key: AuthKeyId | None = None
    os: str = ""
    capver: int = 0


class NodeExpired(msgspec.Struct, frozen=True, kw_only=True, tag="NodeExpired.v1"):
    """The node's key is no longer good, from `at` on: by logout, by hand, or because its time came."""

    node: NodeId
    at: Millis
    why: str
    """`logout`, `operator` or `deadline`."""


class NodeExpirySet(msgspec.Struct, frozen=True, kw_only=True, tag="NodeExpirySet.v1"):
    """The node's key is good until then; 0 is for ever."""

    node: NodeId
    expiry: Millis


class NodeRenamed(msgspec.Struct, frozen=True, kw_only=True, tag="NodeRenamed.v1"):
    """The node's name in MagicDNS changed."""

    node: NodeId
    name: str


class NodeDeleted(msgspec.Struct, frozen=True, kw_only=True, tag="NodeDeleted.v1"):
    """The node left; its connections went with it, in the same transaction."""

    node: NodeId


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


class ConnectionAdded(msgspec.Struct, frozen=True, kw_only=True, tag="ConnectionAdded.v1"):
    """The node sees the WireGuard-only peer, and is seen by it under these masquerade addresses."""

    node: NodeId
    peer: PeerId
    ipv4_masq: str = ""
    ipv6_masq: str = ""


class ConnectionUpdated(msgspec.Struct, frozen=True, kw_only=True, tag="ConnectionUpdated.v1"):
    """The connection's masquerade addresses are these now."""

    node: NodeId
    peer: PeerId
    ipv4_masq: str = ""
    ipv6_masq: str = ""


class ConnectionRemoved(msgspec.Struct, frozen=True, kw_only=True, tag="ConnectionRemoved.v1"):
    """The node no longer sees the WireGuard-only peer."""

    node: NodeId
    peer: PeerId


class CommandHandled(msgspec.Struct, frozen=True, kw_only=True, tag="CommandHandled.v1"):
    """The receipt of a command that was accepted: the answer that every resend gets.

    `digest` is SHA-256 in hex over the command's name and body; `result` is the reply's JSON without its
    position and without secrets.
    """

    name: str
    digest: str
    result: msgspec.Raw


TailnetEvent = LogStarted | BaseDomainSet | PoolsSet | DerpMapSet
AuthKeyEvent = AuthKeyCreated | AuthKeyUsed | AuthKeyExpired
NodeEvent = NodeRegistered | NodeReregistered | NodeExpired | NodeExpirySet | NodeRenamed | NodeDeleted
PeerEvent = PeerRegistered | PeerRemoved | PeerDisabled | PeerExpired | PeerEnabled
ConnectionEvent = ConnectionAdded | ConnectionUpdated | ConnectionRemoved
Event = TailnetEvent | UserCreated | AuthKeyEvent | NodeEvent | PeerEvent | ConnectionEvent | CommandHandled

EVENTS: Final[tuple[type[Event], ...]] = (
    LogStarted,
    BaseDomainSet,
    PoolsSet,
    DerpMapSet,
    UserCreated,
    AuthKeyCreated,
    AuthKeyUsed,
    AuthKeyExpired,
    NodeRegistered,
    NodeReregistered,
    NodeExpired,
    NodeExpirySet,
    NodeRenamed,
    NodeDeleted,
    PeerRegistered,
    PeerRemoved,
    PeerDisabled,
    PeerExpired,
    PeerEnabled,
    ConnectionAdded,
    ConnectionUpdated,
    ConnectionRemoved,
    CommandHandled,
)


def tag_of(event: Event) -> str:
    """Return the event's name in the store, as `PeerRegistered.v1`."""
    return str(event.__struct_config__.tag)


def stream_of(event: Event, command_id: str) -> str:
    """Return the aggregate that the event belongs to, as `node/7`; a receipt's is named by its command."""
    match event:
        case CommandHandled():  # every other event of a log
            return f"receipt/{command_id}"
        case LogStarted() | BaseDomainSet() | PoolsSet() | DerpMapSet():
            return "tailnet"
        case UserCreated(user=user):
            return f"user/{user}"
        case AuthKeyCreated(key=key) | AuthKeyUsed(key=key) | AuthKeyExpired(key=key):
            return f"authkey/{key}"
        case (
            NodeRegistered(node=node)
            | NodeReregistered(node=node)
            | NodeExpired(node=node)
            | NodeExpirySet(node=node)
            | NodeRenamed(node=node)
            | NodeDeleted(node=node)
        ):
            return f"node/{node}"
        case (
            PeerRegistered(peer=peer)
            | PeerRemoved(peer=peer)
            | PeerDisabled(peer=peer)
            | PeerExpired(peer=peer)
            | PeerEnabled(peer=peer)
        ):
            return f"peer/{peer}"
        case (
            ConnectionAdded(node=node, peer=peer)
            | ConnectionUpdated(node=node, peer=peer)
            | ConnectionRemoved(node=node, peer=peer)
        ):
            return f"connection/{node}-{peer}"
        case _:
            assert_never(event)
