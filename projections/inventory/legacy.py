"""Two lists with the names that tools of the older fork read in the list of nodes (reference: WireGuard-only peers, N7).

Rule 1: `wireguard_only_peers` and `wireguard_connections`, snake_case throughout; `extra_config` is JSON in a string,
        as the fork's interface had it.
"""

from collections.abc import Iterator

import msgspec

from engine.domain.state import Tailnet


class LegacyPeer(msgspec.Struct, frozen=True, kw_only=True):
    """A WireGuard-only peer."""

    id: int
    name: str
    user_id: int
    public_key: str
    allowed_ips: tuple[str, ...]
    endpoints: tuple[str, ...]
    ipv4: str
    ipv6: str
    extra_config: str


class LegacyConnection(msgspec.Struct, frozen=True, kw_only=True):
    """A connection."""

    node_id: int
    wg_peer_id: int
    ipv4_masq_addr: str
    ipv6_masq_addr: str


def legacy_peers(tailnet: Tailnet) -> Iterator[LegacyPeer]:
    """Yield every WireGuard-only peer, by id."""
    for number in sorted(tailnet.peers):
        peer = tailnet.peers[number]
        yield LegacyPeer(
            id=peer.id,
            name=peer.name,
            user_id=peer.user,
            public_key=peer.public_key,
            allowed_ips=peer.allowed_ips,
            endpoints=peer.endpoints,
            ipv4=peer.ipv4,
            ipv6=peer.ipv6,
            extra_config=msgspec.json.encode(peer.extra).decode(),
        )


def legacy_connections(tailnet: Tailnet) -> Iterator[LegacyConnection]:
    """Yield every connection, by node, then by peer."""
    for pair in sorted(tailnet.connections):
        held = tailnet.connections[pair]
        yield LegacyConnection(
            node_id=held.node,
            wg_peer_id=held.peer,
            ipv4_masq_addr=held.ipv4_masq,
            ipv6_masq_addr=held.ipv6_masq,
        )
