"""What the client of a connected node is told of a WireGuard-only peer, by its capability version; pure.

Frontends put it into frames, projections explain it: there is one opinion of who is told what.

Rule 1: a client that knows no WireGuard-only peers, or no jail, is told nothing: the far side could call it.
Rule 2: a client that does not translate IPv6 gets no IPv6 masquerade address, and of IPv6 prefixes only the default route:
        without it it would not take the peer for an exit.
Rule 3: a parked peer has a key that nobody has and an endpoint that leads nowhere; its id, addresses and prefixes stay.
Rule 4: a node whose key has expired is told of nobody; that is the whole netmap's matter, and not asked here.
"""

import ipaddress
from functools import lru_cache
from typing import Final

import msgspec

from engine.contracts.netmap import NOWHERE, ConnectionExtra, WireGuardPeerObject
from engine.domain.aggregates import DEFAULT_ROUTES
from engine.domain.connections import JAIL_CAPVER
from engine.domain.masquerade import V6_MASQ_CAPVER
from engine.domain.values import Millis, NodeKey

FIRST_CAPVER: Final = 60
"""Clients know WireGuard-only peers from here on (tailscale tailcfg/tailcfg.go, 2023-04-06)."""
_KNOWN: Final = 4_096
"""Prefixes that are remembered as canonical texts."""


class Told(msgspec.Struct, frozen=True, kw_only=True):
    """A WireGuard-only peer as one client gets it."""

    key: NodeKey
    addresses: tuple[str, ...]
    """Its own, as prefixes, IPv4 first."""
    routes: tuple[str, ...]
    """What else it routes for this node; its own addresses are not in it."""
    endpoints: tuple[str, ...]
    online: bool
    """Whether clients that choose their exit themselves may choose it."""
    expired_at: Millis
    """0: it has not expired."""
    ipv4_masq: str
    """The node's source towards it, a bare address; empty: its own tailnet address."""
    ipv6_masq: str
    jailed: bool


def told_of(peer: WireGuardPeerObject, connection: ConnectionExtra, capver: int) -> Told | None:
    """Return what a client of this capability version is told of the peer; None: nothing at all (rule 1)."""
    if capver < FIRST_CAPVER or capver < JAIL_CAPVER:
        return None
    translates = capver >= V6_MASQ_CAPVER
    own = tuple(text for text in (peer.ipv4 and f"{peer.ipv4}/32", peer.ipv6 and f"{peer.ipv6}/128") if text)
    allowed = peer.allowed_ips if connection.allowed_ips is None else connection.allowed_ips
    routes = tuple(
        prefix
        for prefix in dict.fromkeys(map(_canonical, allowed))
        if prefix not in own and (translates or prefix in DEFAULT_ROUTES or ":" not in prefix)
    )
    return Told(
        key=peer.parked_key or peer.public_key,
        addresses=own,
        routes=routes,
        endpoints=(NOWHERE,) if peer.parked_key else peer.endpoints,
        online=not (peer.parked_key or peer.expired_at or peer.drained),
        expired_at=peer.expired_at,
        ipv4_masq=_bare(connection.ipv4_masq),
        ipv6_masq=_bare(connection.ipv6_masq) if translates else "",
        jailed=connection.jailed,
    )


@lru_cache(maxsize=_KNOWN)
def _canonical(text: str) -> str:
    """Return a prefix with its host bits zero."""
    return str(ipaddress.ip_network(text, strict=False))


def _bare(address: str) -> str:
    """Return a masquerade address without its /32 or /128."""
    return address.partition("/")[0]
