"""What happened to a tailnet; never edited once stored.

Rule 1: the struct's tag is the name in the store (`PeerRegistered.v1`), never a Python path.
Rule 2: additive change = a new field with a default; any other change = a new tag and an upcaster in the codec.
Rule 3: an event carries what happened; position, time, actor and cause live in the envelope.
Rule 4: `stream_of` names the aggregate that an event belongs to.
"""

from typing import Final, assert_never, get_args

import msgspec

from engine.domain.apikeyevents import ApiKeyCreated, ApiKeyDeleted, ApiKeyEvent, ApiKeyExpired
from engine.domain.providerevents import DeviceEvent, PeerProviderSet, ProviderEvent
from engine.domain.settingsevents import (
    AutoUpdatesSet,
    BaseDomainSet,
    DerpMapSet,
    DomainsSet,
    PolicySet,
    PoolsSet,
    ResolversSet,
    WireGuardModeSet,
)
from engine.domain.values import (
    NEVER,
    AuthKeyId,
    Epoch,
    MachineKey,
    Millis,
    NodeId,
    NodeKey,
    StableId,
    UserId,
)
from engine.domain.wgevents import (
    ConnectionAdded,
    ConnectionEvent,
    ConnectionExported,
    ConnectionRemoved,
    ConnectionStale,
    ConnectionUpdated,
    ExtraConfig,
    HostAnswer,
    Location,
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
    SelectorAdded,
    SelectorRemoved,
    WireGuardDnsSet,
)

__all__ = (
    "EVENTS",
    "ROLES",
    "ApiKeyCreated",
    "ApiKeyDeleted",
    "ApiKeyEvent",
    "ApiKeyExpired",
    "AuthKeyCreated",
    "AuthKeyEvent",
    "AuthKeyExpired",
    "AuthKeyUsed",
    "AutoUpdatesSet",
    "BaseDomainSet",
    "CommandHandled",
    "ConnectionAdded",
    "ConnectionEvent",
    "ConnectionExported",
    "ConnectionRemoved",
    "ConnectionStale",
    "ConnectionUpdated",
    "DerpMapSet",
    "DomainsSet",
    "Event",
    "ExtraConfig",
    "HostAnswer",
    "Location",
    "LogStarted",
    "NodeDeleted",
    "NodeEvent",
    "NodeExpired",
    "NodeExpirySet",
    "NodeRegistered",
    "NodeRenamed",
    "NodeReregistered",
    "NodeRoutesAdvertised",
    "NodeRoutesApproved",
    "NodeTagged",
    "PeerBackendRemoved",
    "PeerBackendSet",
    "PeerDisabled",
    "PeerDrained",
    "PeerEnabled",
    "PeerEndpointsResolved",
    "PeerEvent",
    "PeerExpired",
    "PeerMoved",
    "PeerPoolSet",
    "PeerRegistered",
    "PeerRemoved",
    "PeerRenamed",
    "PeerSwitched",
    "PeerTagged",
    "PeerUndrained",
    "PeerUpdated",
    "PolicySet",
    "PoolsSet",
    "ResolversSet",
    "SelectorAdded",
    "SelectorRemoved",
    "TailnetEvent",
    "UserCreated",
    "UserDeleted",
    "UserEvent",
    "UserRoleSet",
    "WireGuardDnsSet",
    "WireGuardModeSet",
    "stream_of",
    "tag_of",
)


class LogStarted(msgspec.Struct, frozen=True, kw_only=True, tag="LogStarted.v1"):
    """A history begins: the first record of a log, and again after a restore."""

    epoch: Epoch


class UserCreated(msgspec.Struct, frozen=True, kw_only=True, tag="UserCreated.v1"):
    """A user exists."""

    user: UserId
    name: str
    display_name: str = ""
    email: str = ""
    role: str = ""
    """As `UserRoleSet` has it; empty is `member`."""


class UserRoleSet(msgspec.Struct, frozen=True, kw_only=True, tag="UserRoleSet.v1"):
    """The user's role, one of `ROLES`, is this now."""

    user: UserId
    role: str


class UserDeleted(msgspec.Struct, frozen=True, kw_only=True, tag="UserDeleted.v1"):
    """The user is gone, and its number is never used again; nothing belonged to it any more."""

    user: UserId


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
    os_version: str = ""
    client_version: str = ""


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
    os_version: str = ""
    client_version: str = ""


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


class NodeTagged(msgspec.Struct, frozen=True, kw_only=True, tag="NodeTagged.v1"):
    """The node acts for these tags now, and no longer for its user."""

    node: NodeId
    tags: tuple[str, ...]


class NodeRoutesAdvertised(msgspec.Struct, frozen=True, kw_only=True, tag="NodeRoutesAdvertised.v1"):
    """The node offers to route these prefixes: all that it offers, canonical and sorted, exit routes too."""

    node: NodeId
    routes: tuple[str, ...]


class NodeRoutesApproved(msgspec.Struct, frozen=True, kw_only=True, tag="NodeRoutesApproved.v1"):
    """The node may route these prefixes: all that it may, canonical and sorted, whether it offers them or not."""

    node: NodeId
    routes: tuple[str, ...]


class NodeDeleted(msgspec.Struct, frozen=True, kw_only=True, tag="NodeDeleted.v1"):
    """The node left; its connections went with it, in the same transaction."""

    node: NodeId


class CommandHandled(msgspec.Struct, frozen=True, kw_only=True, tag="CommandHandled.v1"):
    """The receipt of a command that was accepted: the answer that every resend gets.

    `digest` is SHA-256 in hex over the command's name and body; `result` is the reply's JSON without its
    position and without secrets.
    """

    name: str
    digest: str
    result: msgspec.Raw


ROLES: Final = ("owner", "admin", "it-admin", "network-admin", "billing-admin", "auditor", "member")
"""What a user may be; one of them, and there is one owner at most."""

TailnetEvent = (
    LogStarted
    | BaseDomainSet
    | PoolsSet
    | DerpMapSet
    | DomainsSet
    | WireGuardModeSet
    | AutoUpdatesSet
    | ResolversSet
    | WireGuardDnsSet
)
UserEvent = UserCreated | UserRoleSet | UserDeleted
AuthKeyEvent = AuthKeyCreated | AuthKeyUsed | AuthKeyExpired
NodeEvent = (
    NodeRegistered
    | NodeReregistered
    | NodeExpired
    | NodeExpirySet
    | NodeRenamed
    | NodeTagged
    | NodeRoutesAdvertised
    | NodeRoutesApproved
    | NodeDeleted
)
Event = (
    TailnetEvent
    | PolicySet
    | UserEvent
    | AuthKeyEvent
    | ApiKeyEvent
    | NodeEvent
    | PeerEvent
    | ConnectionEvent
    | ProviderEvent
    | DeviceEvent
    | PeerProviderSet
    | CommandHandled
)

EVENTS: Final[tuple[type[Event], ...]] = get_args(Event)
"""Every type of the union, in its order."""


def tag_of(event: Event) -> str:
    """Return the event's name in the store, as `PeerRegistered.v1`."""
    return str(event.__struct_config__.tag)


def stream_of(event: Event, command_id: str) -> str:  # noqa: C901 (an arm for each noun)
    """Return the aggregate that the event belongs to, as `node/7`; a receipt's is named by its command."""
    if isinstance(event, CommandHandled):  # every other event of a log
        return f"receipt/{command_id}"
    if isinstance(event, NodeEvent):
        return f"node/{event.node}"
    if isinstance(event, PeerEvent | PeerProviderSet):
        return f"peer/{event.peer}"
    if isinstance(event, ConnectionEvent):
        return f"connection/{event.node}-{event.peer}"
    if isinstance(event, DeviceEvent):
        return f"device/{event.device}"
    if isinstance(event, ProviderEvent):
        return f"provider/{event.provider}"
    if isinstance(event, AuthKeyEvent):
        return f"authkey/{event.key}"
    if isinstance(event, ApiKeyEvent):
        return f"apikey/{event.key}"
    if isinstance(event, UserEvent):
        return f"user/{event.user}"
    if isinstance(event, PolicySet):
        return "policy"
    if isinstance(event, TailnetEvent):
        return "tailnet"
    assert_never(event)
