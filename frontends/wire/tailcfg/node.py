"""Nodes as clients hold them, patches of nodes, and how a change of each field travels.

Rule 1: every field of `Node` has a row in TRAVEL; a field without one fails a test.
Rule 2: clients turn a whole node into a patch if what changed fits into one, and a patch cannot say "none": an
        absent value leaves the old one. PeerChange says how each field is cleared.
Rule 3: clients compare nodes with the state before PeersRemoved: never remove and change one id in one frame.
Rule 4: `allowed_ips` is always sent: below capver 112 its absence means "no routes".
Rule 5: a first `online` or `last_seen` must come with the peer itself: clients do not patch them in when the peer
        came without (tailscale control/controlclient/map.go, peerChangeDiff, v1.102.3).
"""

from collections.abc import Mapping
from enum import Enum
from types import MappingProxyType
from typing import Any, Final

import msgspec

from frontends.wire.tailcfg.dns import Resolver

CapMap = dict[str, tuple[Any, ...] | None]
"""Capabilities with their values; most have none."""
NO_HOSTINFO: Final = msgspec.Raw(b"{}")


class Node(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, rename="pascal"):
    """A node, as itself or one of its peers holds it; keys, prefixes and times are wire texts."""

    id: int = msgspec.field(name="ID")
    """Unique and never used again; below 2^53."""
    stable_id: str = msgspec.field(name="StableID")
    """Clients without one never write their login to disk."""
    name: str
    """The FQDN with its trailing dot."""
    user: int
    key: str
    addresses: tuple[str, ...]
    """/32 and /128, IPv4 first."""
    allowed_ips: tuple[str, ...] = msgspec.field(name="AllowedIPs")
    hostinfo: msgspec.Raw = msgspec.field(default_factory=lambda: NO_HOSTINFO)
    """Always an object: Android fails on anything else."""
    created: str | None = None
    machine: str | None = None
    disco_key: str | None = None
    key_expiry: str | None = None
    key_signature: str | None = None
    sharer: int = 0
    endpoints: tuple[str, ...] | None = None
    derp: str = msgspec.field(default="", name="DERP")
    """The home region for clients below capver 111; see `derp.legacy`."""
    home_derp: int = msgspec.field(default=0, name="HomeDERP")
    cap: int = 0
    """The node's own capver; 0 for WireGuard-only peers, else clients speak DNS to their PeerAPI."""
    tags: tuple[str, ...] | None = None
    primary_routes: tuple[str, ...] | None = None
    last_seen: str | None = None
    online: bool | None = None
    machine_authorized: bool = False
    cap_map: CapMap | None = None
    unsigned_peer_api_only: bool = msgspec.field(default=False, name="UnsignedPeerAPIOnly")
    expired: bool = False
    self_node_v4_masq_addr_for_this_peer: str | None = None
    self_node_v6_masq_addr_for_this_peer: str | None = None
    is_wireguard_only: bool = msgspec.field(default=False, name="IsWireGuardOnly")
    is_jailed: bool = False
    exit_node_dns_resolvers: tuple[Resolver, ...] | None = msgspec.field(
        default=None, name="ExitNodeDNSResolvers"
    )


class PeerChange(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, rename="pascal"):
    """A change inside one peer; fields left out stay as they are, an unknown peer is ignored.

    To clear: endpoints `()`, cap map `{}`, key signature an empty text, key expiry and last seen the zero time, disco
    key the all-zero key. A region and a capver cannot be cleared. `online` is false, never absent.
    """

    node_id: int = msgspec.field(name="NodeID")
    derp_region: int = msgspec.field(default=0, name="DERPRegion")
    cap: int = 0
    cap_map: CapMap | None = None
    endpoints: tuple[str, ...] | None = None
    key: str | None = None
    key_signature: str | None = None
    disco_key: str | None = None
    online: bool | None = None
    last_seen: str | None = None
    key_expiry: str | None = None


class Travel(Enum):
    """How a change of a field reaches clients."""

    AS_NEW_PEER = "as new peer"
    """The old peer is removed in one frame and the new one comes in the next."""
    AS_WHOLE = "as whole"
    """The node is sent whole, in PeersChanged."""
    AS_PATCH = "as patch"
    """The field alone, in PeersChangedPatch."""


PATCH_FIELD: Final[Mapping[str, str]] = MappingProxyType(
    {
        "key": "key",
        "key_expiry": "key_expiry",
        "key_signature": "key_signature",
        "disco_key": "disco_key",
        "endpoints": "endpoints",
        "derp": "derp_region",
        "home_derp": "derp_region",
        "cap": "cap",
        "cap_map": "cap_map",
        "online": "online",
        "last_seen": "last_seen",
    }
)
"""For every field of a node that travels as a patch, the field of PeerChange that carries it."""

TRAVEL: Final[Mapping[str, Travel]] = MappingProxyType(
    {
        "id": Travel.AS_NEW_PEER,
        "stable_id": Travel.AS_NEW_PEER,
        "name": Travel.AS_WHOLE,
        "user": Travel.AS_WHOLE,
        "sharer": Travel.AS_WHOLE,
        "key": Travel.AS_PATCH,
        "key_expiry": Travel.AS_PATCH,
        "key_signature": Travel.AS_PATCH,
        "machine": Travel.AS_WHOLE,
        "disco_key": Travel.AS_PATCH,
        "addresses": Travel.AS_WHOLE,
        "allowed_ips": Travel.AS_WHOLE,
        "primary_routes": Travel.AS_WHOLE,
        "endpoints": Travel.AS_PATCH,
        "derp": Travel.AS_PATCH,
        "home_derp": Travel.AS_PATCH,
        "hostinfo": Travel.AS_WHOLE,
        "created": Travel.AS_WHOLE,
        "cap": Travel.AS_PATCH,
        "tags": Travel.AS_WHOLE,
        "last_seen": Travel.AS_PATCH,
        "online": Travel.AS_PATCH,
        "machine_authorized": Travel.AS_WHOLE,
        "cap_map": Travel.AS_PATCH,
        "unsigned_peer_api_only": Travel.AS_WHOLE,
        "expired": Travel.AS_WHOLE,
        "self_node_v4_masq_addr_for_this_peer": Travel.AS_WHOLE,
        "self_node_v6_masq_addr_for_this_peer": Travel.AS_WHOLE,
        "is_wireguard_only": Travel.AS_WHOLE,
        "is_jailed": Travel.AS_WHOLE,
        "exit_node_dns_resolvers": Travel.AS_WHOLE,
    }
)
"""For every field of a node, how a change of it travels (tailscale control/controlclient/map.go, v1.102.3)."""
