"""Where a WireGuard-only peer is: what was given, and what clients get of it.

Rule 1: an endpoint with an address is a place; one with a host name is a place for each address that was found.
Rule 2: places keep the order of the endpoints, without repetitions; a name that was never found has none.
Rule 3: the names of backends that are not in use are looked up too: a switch finds its addresses there.
"""

from collections.abc import Iterable, Iterator
from typing import Final

from engine.domain.aggregates import Peer
from engine.domain.wgevents import HostAnswer

MAX_PLACES: Final = 32
"""Endpoints that clients get of one peer; further ones are left out."""


def host_of(endpoint: str) -> str:
    """Return the host name of a canonical endpoint; nothing if it has an address."""
    place = endpoint.rpartition(":")[0]
    return place if not place.startswith("[") and place.rpartition(".")[2][:1].isalpha() else ""


def hosts_of(peer: Peer) -> tuple[str, ...]:
    """Return the host names of the peer and of its backends, in their order."""
    every = (*peer.endpoints, *(endpoint for held in peer.backends for endpoint in held.endpoints))
    return tuple(dict.fromkeys(filter(None, map(host_of, every))))


def answer_for(peer: Peer, host: str) -> HostAnswer | None:
    """Return what is known of one of the peer's names."""
    return next((held for held in peer.resolved if held.host == host), None)


def places_of(peer: Peer) -> tuple[str, ...]:
    """Return the endpoints that clients get, each `ip:port` (rules 1, 2)."""
    return tuple(dict.fromkeys(_places(peer, peer.endpoints)))[:MAX_PLACES]


def unresolved(endpoints: Iterable[str], peer: Peer | None = None) -> list[str]:
    """Return a warning for each name among these endpoints of which the peer, if it is there, knows no address."""
    names = dict.fromkeys(filter(None, map(host_of, endpoints)))
    return [
        f"endpoint.unresolved: {name} has not been found yet: it is looked up now, and until it is found clients "
        "have no endpoint for it"
        for name in names
        if peer is None or not _addresses(peer, name)
    ]


def _places(peer: Peer, endpoints: Iterable[str]) -> Iterator[str]:
    for endpoint in endpoints:
        host, port = host_of(endpoint), endpoint.rpartition(":")[2]
        if not host:
            yield endpoint
        for address in _addresses(peer, host):
            yield f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


def _addresses(peer: Peer, host: str) -> tuple[str, ...]:
    held = answer_for(peer, host) if host else None
    return () if held is None else held.addresses
