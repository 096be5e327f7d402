"""Which address comes next, and where addresses come from.

Rule 1: the next address is the first free one after the last that was handed out, round and round: an address
        that was given back rests as long as possible, so that nobody's cached route meets a stranger.
Rule 2: nobody gets a pool's first or last address, a reserved one, or one that a node or WireGuard-only peer holds.
Rule 3: nodes and WireGuard-only peers have pools of their own, so that "all nodes" is a prefix without exceptions
        and filters can leave WireGuard-only peers out (reference: a wildcard source must not match them).
Rule 4: the cursor is part of the state and follows from events alone: a replay hands out the same addresses.

The default pools (`Settings`):

    100.64.0.0/11            nodes   2 097 150 addresses: 100.64.0.1 … 100.95.255.254
    100.96.0.0/14            peers     262 142 addresses: 100.96.0.1 … 100.99.255.254
    fd7a:115c:a1e0:1::/64    nodes
    fd7a:115c:a1e0:2::/64    peers

Both IPv4 pools end below 100.100.0.0, where the ranges begin that clients keep for themselves. The IPv6 pools leave
fd7a:115c:a1e0::/64 alone: Tailscale's own service address is there, and so are masquerade addresses in use.
"""

import ipaddress
from collections.abc import Container
from typing import Final, Literal

import msgspec

from engine.domain.aggregates import Settings
from engine.domain.errors import Refusal

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network
PoolName = Literal["nodes_v4", "nodes_v6", "peers_v4", "peers_v6"]
POOL_NAMES: Final[tuple[PoolName, ...]] = ("nodes_v4", "nodes_v6", "peers_v4", "peers_v6")

TAILNET_V4: Final = ipaddress.IPv4Network("100.64.0.0/10")
TAILNET_V6: Final = ipaddress.IPv6Network("fd7a:115c:a1e0::/48")
"""What clients take for tailnet addresses (tailscale net/tsaddr: CGNATRange, TailscaleULARange)."""

RESERVED: Final[tuple[Network, ...]] = (
    ipaddress.IPv4Network("100.100.0.0/24"),
    ipaddress.IPv4Network("100.100.100.0/24"),
    ipaddress.IPv4Network("100.115.92.0/23"),
    ipaddress.IPv6Network("fd7a:115c:a1e0::53/128"),
)
"""Kept by clients inside the tailnet ranges: service addresses (tailscale net/tsaddr: TailscaleServiceIP and its
IPv6 form), and ChromeOS containers (tsaddr: ChromeOSVMRange)."""


class Pool(msgspec.Struct, frozen=True, kw_only=True):
    """A prefix to hand out from, as integers; `capacity` is how many addresses it can give."""

    prefix: str
    first: int
    last: int
    capacity: int
    reserved: tuple[tuple[int, int], ...] = ()


def pool_of(prefix: str) -> Pool:
    """Return the pool that a canonical prefix describes.

    Raises:
        ValueError: the text is not a prefix.
    """
    network = ipaddress.ip_network(prefix)
    first, last = int(network.network_address) + 1, int(network.broadcast_address) - 1
    kept = []
    for other in RESERVED:
        low = max(first, int(other.network_address))
        high = min(last, int(other.broadcast_address))
        if other.version == network.version and low <= high:
            kept.append((low, high))
    capacity = last - first + 1 - sum(high - low + 1 for low, high in kept)
    return Pool(prefix=prefix, first=first, last=last, capacity=capacity, reserved=tuple(kept))


def pools_of(settings: Settings) -> dict[PoolName, Pool]:
    """Return the four pools of the settings."""
    return {
        "nodes_v4": pool_of(settings.nodes_v4),
        "nodes_v6": pool_of(settings.nodes_v6),
        "peers_v4": pool_of(settings.peers_v4),
        "peers_v6": pool_of(settings.peers_v6),
    }


def next_free(pool: Pool, *, after: int, held: Container[int], count: int) -> int:
    """Return the first free address after `after`; `count` is how many of the pool are held.

    Raises:
        Refusal: `address.pool_exhausted`.
    """
    candidate, rounds = after + 1, 0
    while count < pool.capacity and rounds <= 1:
        if not pool.first <= candidate <= pool.last:
            candidate, rounds = pool.first, rounds + 1
        beyond = next((high for low, high in pool.reserved if low <= candidate <= high), None)
        if beyond is not None:
            candidate = beyond + 1
        elif candidate in held:
            candidate += 1
        else:
            return candidate
    raise Refusal(
        "address.pool_exhausted",
        f"all {pool.capacity} addresses of the pool {pool.prefix} are in use",
        hint="remove what is no longer needed, or set larger pools",
    )


def in_pool(pool: Pool, address: Address) -> bool:
    """Return whether the address lies inside the pool's prefix, its first and last address included."""
    return pool.first - 1 <= int(address) <= pool.last + 1


def in_tailnet(address: Address) -> bool:
    """Return whether clients take the address for one of a tailnet."""
    return address in (TAILNET_V4 if address.version == 4 else TAILNET_V6)  # noqa: PLR2004
