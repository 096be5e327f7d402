"""What an event does to a WireGuard-only peer that may be several far sides; a part of `evolve.py`, whose rules hold here.

Rule 1: the present backend and the peer itself say the same of key, endpoints and resolvers, whichever was changed.
Rule 2: what is known of host names goes with the last endpoint that has them.
"""

from msgspec.structs import replace

from engine.domain.aggregates import Backend, Peer
from engine.domain.events import PeerBackendRemoved, PeerBackendSet, PeerSwitched, PeerUpdated
from engine.domain.places import hosts_of


def updated(peer: Peer, event: PeerUpdated) -> Peer:
    """Return the peer after an update, which is one of its present backend too."""
    after = replace(
        peer,
        public_key=event.public_key,
        allowed_ips=event.allowed_ips,
        endpoints=event.endpoints,
        extra=event.extra,
        managed_by=event.managed_by,
    )
    if peer.backend:
        held = Backend(
            name=peer.backend,
            public_key=event.public_key,
            endpoints=event.endpoints,
            resolvers=event.extra.exit_node_dns_resolvers,
        )
        after = replace(after, backends=_put(peer.backends, held))
    return _of_names_in_use(after)


def with_backend(peer: Peer, event: PeerBackendSet | PeerBackendRemoved | PeerSwitched) -> Peer:
    """Return the peer after something happened to its backends; the present one is what the peer itself is."""
    if isinstance(event, PeerBackendRemoved):
        left = tuple(held for held in peer.backends if held.name != event.backend)
        present = "" if event.backend == peer.backend else peer.backend
        return _of_names_in_use(replace(peer, backends=left, backend=present))
    set_ = Backend(
        name=event.backend,
        public_key=event.public_key,
        endpoints=event.endpoints,
        resolvers=event.resolvers,
    )
    after = replace(peer, backends=_put(peer.backends, set_))
    is_present = event.public_key == peer.public_key or event.backend == peer.backend
    if isinstance(event, PeerBackendSet) and not is_present:
        return _of_names_in_use(after)
    after = replace(
        after,
        backend=event.backend,
        public_key=event.public_key,
        endpoints=event.endpoints,
        extra=replace(peer.extra, exit_node_dns_resolvers=event.resolvers),
    )
    return _of_names_in_use(after)


def _put(backends: tuple[Backend, ...], one: Backend) -> tuple[Backend, ...]:
    if all(held.name != one.name for held in backends):
        return (*backends, one)
    return tuple(one if held.name == one.name else held for held in backends)


def _of_names_in_use(peer: Peer) -> Peer:
    """Return the peer without what is known of names that it has no longer."""
    names = hosts_of(peer) if peer.resolved else ()
    return replace(peer, resolved=tuple(held for held in peer.resolved if held.host in names))
