"""The rows of every list that an operator reads, as JSON has them.

Rule 1: times are Unix milliseconds, 0 is never; ids are numbers; keys are in the client's text form and, where
        WireGuard tools want them, in base64 too.
Rule 2: no row holds a secret, nor what could be mistaken for one.
Rule 3: soft state is not in the log: history cannot tell it, and says so by leaving it out.
"""

import msgspec

from engine.domain.events import ExtraConfig


class Presence(msgspec.Struct, frozen=True, kw_only=True):
    """What frontends know of a node right now."""

    online: bool
    last_seen: int = 0
    endpoints: tuple[str, ...] = ()
    home_derp: int = 0
    os: str = ""
    client_version: str = ""
    capver: int = 0
    frontend: str = ""
    exit_node: str = ""
    """The stable id of the exit that it uses."""


class ExportRow(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What the far side was told last of a connection."""

    node_key: str
    node_key_base64: str
    ipv4_masq_addr: str
    ipv6_masq_addr: str
    at: int
    style: str = msgspec.field(name="format")
    checksum: str


class StaleRow(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """That the far side knows something else than what holds: since when, by which event, and the way out."""

    node: int
    node_name: str
    since: int
    because: str
    """`ConnectionStale.v1`: the node's key is another; `ConnectionUpdated.v1`: its masquerade addresses are."""
    known_key_base64: str
    """The node's key that the far side knows."""
    fix: str


class NodeConnection(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A node's connection to a WireGuard-only peer."""

    peer: int
    peer_name: str
    ipv4_masq_addr: str
    ipv6_masq_addr: str
    exported: ExportRow | None = None
    stale: StaleRow | None = None


class NodeRow(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A node; from `online` on it is soft state: None or empty where nothing was heard, and always in history.

    Of its client's version the log has an earlier word.
    """

    id: int
    stable_id: str
    name: str
    fqdn: str
    user: int
    user_name: str
    tags: tuple[str, ...]
    ipv4: str
    ipv6: str
    node_key: str
    node_key_base64: str
    machine_key: str
    created: int
    expiry: int
    expired: bool
    ephemeral: bool
    auth_key: int | None
    hostname: str
    os: str
    os_version: str
    capver: int
    advertised: tuple[str, ...]
    """The routes that it offers, exit routes too."""
    approved: tuple[str, ...]
    """Those that it may route, offered or not."""
    serving: tuple[str, ...]
    """Those that are both."""
    connections: tuple[NodeConnection, ...]
    online: bool | None = None
    last_seen: int = 0
    endpoints: tuple[str, ...] = ()
    home_derp: int = 0
    client_version: str = ""
    frontend: str = ""
    exit_node: str = ""
    """The stable id of the exit that it uses, if its client says so."""


class UserRow(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A user, and how much belongs to it."""

    id: int
    name: str
    display_name: str
    email: str
    role: str
    created: int
    nodes: int
    wireguard_only_peers: int


class AuthKeyRow(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A pre-auth key without its secret; `spent` means that a one-off key has been used."""

    id: int
    user: int
    user_name: str
    prefix: str
    reusable: bool
    ephemeral: bool
    tags: tuple[str, ...]
    created: int
    expiry: int
    expired: bool
    used: int
    spent: bool


class ApiKeyRow(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A key for the HTTP API, without its secret; `peer` and `node` are those that it is bound to."""

    id: int
    prefix: str
    scope: str
    peer: int | None
    peer_name: str
    node: int | None
    node_name: str
    created: int
    expiry: int
    expired: bool


class HostRow(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A host name of a WireGuard-only peer's endpoints, and what looking it up gave; never looked up: nothing."""

    host: str
    addresses: tuple[str, ...] = ()
    """The last good ones."""
    changed: int = 0
    """Since when it has these."""
    failing_since: int = 0
    failure: str = ""


class BackendRow(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A far side that a WireGuard-only peer may be."""

    name: str
    present: bool
    """Whether the peer is this one now."""
    public_key: str
    public_key_base64: str
    endpoints: tuple[str, ...]
    resolvers: tuple[str, ...]


class SelectorTerms(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A selector of a WireGuard-only peer, and on which terms it connects; no `allowedIps`: all of the peer's."""

    selector: str
    allowed_ips: tuple[str, ...] | None
    jailed: bool


class PeerRow(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A WireGuard-only peer; `connectedNodes` are `id(name)`, as the user's document shows them."""

    id: int
    stable_id: str
    name: str
    fqdn: str
    user: int
    user_name: str
    public_key: str
    public_key_base64: str
    allowed_ips: tuple[str, ...]
    endpoints: tuple[str, ...]
    ipv4: str
    ipv6: str
    extra_config: ExtraConfig
    created: int
    disabled: bool
    expired_at: int
    connected_nodes: tuple[str, ...]
    drained: bool = False
    masq_pool_v4: str = ""
    masq_pool_v6: str = ""
    selectors: tuple[str, ...] = ()
    """Who is connected to it without being asked for by name."""
    provider: str = ""
    """Whose relay it is, if nodes are registered there by us."""
    stale: tuple[StaleRow, ...] = ()
    """The connected nodes of which its own side knows something else than what holds."""
    used_by: tuple[str, ...] = ()
    """The connected nodes whose clients say that they use it as exit now, as `id(name)`: soft state, as in `NodeRow`."""
    places: tuple[str, ...] = ()
    """The endpoints that clients get: those given, with host names looked up."""
    hosts: tuple[HostRow, ...] = ()
    backend: str = ""
    backends: tuple[BackendRow, ...] = ()
    selector_terms: tuple[SelectorTerms, ...] = ()
    """The same, with their terms."""
    managed_by: str = ""
    """Which declarative file keeps it; empty: none."""


class ConnectionRow(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A connection of a node with a WireGuard-only peer."""

    node: int
    node_name: str
    peer: int
    peer_name: str
    ipv4_masq_addr: str
    ipv6_masq_addr: str
    created: int
    allowed_ips: tuple[str, ...] = ()
    """What the node gets of the peer's, before any policy."""
    jailed: bool = True
    """Whether the far side may only answer."""
    selector: str = ""
    """Because of which selector it is there; empty: somebody asked for it."""
    exported: ExportRow | None = None
    """What the far side was told last; None: nothing was recorded."""
    stale: StaleRow | None = None
    node_key: str = ""
    node_expired: bool = False
    is_part: bool = False
    """Whether `allowedIps` were chosen for it; if not, they are whatever the peer's are."""


class SettingsRow(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What holds for the whole tailnet."""

    base_domain: str
    nodes_v4: str
    nodes_v6: str
    peers_v4: str
    peers_v6: str
    derp_map: msgspec.Raw
    domains: tuple[str, ...]
    """Those that belong to the tailnet, set or not."""
    wireguard_mode: str
    auto_updates: bool
    resolvers: tuple[str, ...] = ()
    wireguard_dns: str = "keep"
