"""The aggregates of a tailnet: what each noun is, between two events.

Rule 1: aggregates are frozen; `evolve` replaces them; only `Tailnet.apply` puts them into tables.
"""

from typing import Final

import msgspec

from engine.domain.events import ExtraConfig, HostAnswer
from engine.domain.values import (
    NEVER,
    ApiKeyId,
    AuthKeyId,
    MachineKey,
    Millis,
    NodeId,
    NodeKey,
    PeerId,
    StableId,
    UserId,
)

NO_RELAY: Final = msgspec.Raw(
    b'{"Regions":{"900":{"Nodes":[{"DERPPort":1,"HostName":"127.0.0.1","IPv4":"127.0.0.1","IPv6":"none",'
    b'"Name":"900a","RegionID":900,"STUNPort":-1}],"RegionCode":"none","RegionID":900,"RegionName":"No relay"}},'
    b'"omitDefaultRegions":true}'
)
"""The DERP map of a tailnet that was given none: one region at a closed port. Without any region a client never gets
beyond `Starting`, a failing one is enough for it to run (reference: control-protocol §8.2, seen on real clients); ids
from 900 are for private use (tailcfg/derpmap.go)."""


DEFAULT_ROUTES: Final = frozenset({"0.0.0.0/0", "::/0"})


class User(msgspec.Struct, frozen=True, kw_only=True):
    """A person or a team that owns nodes and peers."""

    id: UserId
    name: str
    display_name: str = ""
    email: str = ""
    role: str = "member"
    created: Millis = NEVER


class AuthKey(msgspec.Struct, frozen=True, kw_only=True):
    """A pre-auth key, without its secret."""

    id: AuthKeyId
    user: UserId
    prefix: str
    digest: str
    reusable: bool
    ephemeral: bool
    tags: tuple[str, ...]
    expiry: Millis
    created: Millis = NEVER
    used: int = 0
    expired: bool = False


class ApiKey(msgspec.Struct, frozen=True, kw_only=True):
    """A key for the HTTP API, without its secret."""

    id: ApiKeyId
    prefix: str
    digest: str
    scope: str
    peer: PeerId | None = None
    """The one WireGuard-only peer that it is for; None: the scope is not `export`."""
    node: NodeId | None = None
    """The one node that it is for; None: every one."""
    expiry: Millis = NEVER
    created: Millis = NEVER
    expired: bool = False

    def is_good(self, now: Millis) -> bool:
        """Return whether the key still opens something at `now`."""
        return not self.expired and not NEVER < self.expiry <= now


class Node(msgspec.Struct, frozen=True, kw_only=True):
    """A thing with a node key, in this tailnet."""

    id: NodeId
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
    expired: bool = False
    created: Millis = NEVER
    registered_at: Millis = NEVER
    """When it last came in or came back with something new."""
    os: str = ""
    capver: int = 0
    os_version: str = ""
    client_version: str = ""
    advertised: tuple[str, ...] = ()
    """What it offers to route, exit routes too; sorted."""
    advertised_at: Millis = NEVER
    """When it last offered something else than before."""
    approved: tuple[str, ...] = ()
    """What it may route, whether it offers it or not; sorted."""

    @property
    def routes(self) -> tuple[str, ...]:
        """What it routes: offered and approved, without the default routes; sorted."""
        return tuple(
            route for route in self.advertised if route in self.approved and route not in DEFAULT_ROUTES
        )

    @property
    def exit_routes(self) -> tuple[str, ...]:
        """The default routes that are offered and approved; sorted."""
        return tuple(route for route in self.advertised if route in self.approved and route in DEFAULT_ROUTES)

    @property
    def is_exit(self) -> bool:
        """Whether it is an exit, for one IP version at least."""
        return bool(self.exit_routes)

    def is_expired(self, now: Millis) -> bool:
        """Return whether the node's key is no longer good at `now`."""
        return self.expired or NEVER < self.expiry <= now


class Selector(msgspec.Struct, frozen=True, kw_only=True):
    """Nodes that are connected to a WireGuard-only peer because of what they are, and on which terms."""

    selector: str
    """`tag:…`, `group:…`, or `user:…` with a user's name."""
    allowed_ips: tuple[str, ...] | None = None
    jailed: bool = True


class Backend(msgspec.Struct, frozen=True, kw_only=True):
    """One of the far sides that a WireGuard-only peer may be."""

    name: str
    public_key: NodeKey
    endpoints: tuple[str, ...]
    resolvers: tuple[str, ...] = ()


class Peer(msgspec.Struct, frozen=True, kw_only=True):
    """A WireGuard-only peer."""

    id: PeerId
    stable_id: StableId
    name: str
    user: UserId
    public_key: NodeKey
    allowed_ips: tuple[str, ...]
    endpoints: tuple[str, ...]
    """As given: some may have host names; what clients get is `places.places_of`."""
    ipv4: str
    ipv6: str
    extra: ExtraConfig
    created: Millis = NEVER
    parked_key: NodeKey | None = None
    """Set while it is disabled: what clients get instead of its public key."""
    expired_at: Millis = NEVER
    drained: bool = False
    """Whether clients count it as offline, though traffic passes."""
    masq_v4: str = ""
    masq_v6: str = ""
    """From where connections get their masquerade addresses: prefixes, or nothing."""
    selectors: tuple[Selector, ...] = ()
    """Who is connected to it without being asked for by name, in the order in which they were added."""
    managed_by: str = ""
    """Which declarative file keeps it; empty: none."""
    resolved: tuple[HostAnswer, ...] = ()
    """What is known of the host names of its endpoints, and of its backends'."""
    resolved_at: Millis = NEVER
    """When that last changed."""
    backends: tuple[Backend, ...] = ()
    """The far sides that it may be; none: it is what it was registered as."""
    backend: str = ""
    """Which of them it is now; key, endpoints and resolvers above are that one's."""

    @property
    def keys(self) -> tuple[NodeKey, ...]:
        """The public keys of it and of all its backends, the present one first."""
        return tuple(dict.fromkeys((self.public_key, *(held.public_key for held in self.backends))))


class Export(msgspec.Struct, frozen=True, kw_only=True):
    """What the far side was told last of a connection."""

    node_key: NodeKey
    ipv4_masq: str
    ipv6_masq: str
    at: Millis
    style: str = ""
    checksum: str = ""


class Connection(msgspec.Struct, frozen=True, kw_only=True):
    """A node's right to a WireGuard-only peer, and the addresses under which that peer knows it."""

    node: NodeId
    peer: PeerId
    ipv4_masq: str = ""
    ipv6_masq: str = ""
    created: Millis = NEVER
    allowed_ips: tuple[str, ...] | None = None
    """Which of the peer's allowed IPs the node gets; None: all."""
    jailed: bool = True
    """Whether the far side may only answer."""
    selector: str = ""
    """Because of which selector it is there; empty: somebody asked for it."""
    exported: Export | None = None
    """What the far side was told last, if that was recorded."""
    former_key: NodeKey | None = None
    """The node's key before the change that the far side was not told of yet."""
    key_stale_since: Millis = NEVER
    """Since when the far side knows another key than the node's."""
    masq_stale_since: Millis = NEVER
    """Since when the far side, by what was recorded, knows other masquerade addresses."""

    @property
    def stale_since(self) -> Millis:
        """Since when the far side knows something else than what holds; NEVER while it does not."""
        return min(filter(None, (self.key_stale_since, self.masq_stale_since)), default=NEVER)


class PolicyText(msgspec.Struct, frozen=True, kw_only=True):
    """The policy in force, as it was written."""

    text: str
    digest: str
    at: Millis
    """When it was set."""


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """What holds for the whole tailnet; pools are prefixes (see `addresses.py` for the defaults' reasons)."""

    base_domain: str = "netmap.internal"
    nodes_v4: str = "100.64.0.0/11"
    nodes_v6: str = "fd7a:115c:a1e0:1::/64"
    peers_v4: str = "100.96.0.0/14"
    peers_v6: str = "fd7a:115c:a1e0:2::/64"
    derp_map: msgspec.Raw = NO_RELAY
    domains: tuple[str, ...] = ()
    """The e-mail domains that belong to the tailnet; empty: those of its users' addresses."""
    auto_updates: bool = False
    """Whether clients whose person has not said otherwise update themselves."""
    wireguard_mode: str = "bypass"
    """Whether the policy rules over WireGuard-only peers too: `bypass` or `enforce`."""

    resolvers: tuple[str, ...] = ()
    """What every node asks instead of its own resolvers."""
    wireguard_dns: str = "keep"
    """Whether those go before the resolvers of a WireGuard-only exit: `keep` (they do) or `demote`."""

    @property
    def is_demoting(self) -> bool:
        """Whether a WireGuard-only exit's resolvers go before the tailnet's."""
        return self.wireguard_dns == "demote"

    @property
    def is_enforced(self) -> bool:
        """Whether the policy rules over WireGuard-only peers too."""
        return self.wireguard_mode == "enforce"
