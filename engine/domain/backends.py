"""Decisions about the backends of a WireGuard-only peer: far sides that it can be, one at a time, under one id.

Rule 1: the peer is its present backend: key, endpoints and resolvers are that one's. Allowed IPs, name, connections and
        masquerade addresses are the peer's own, the same on every backend.
Rule 2: a key belongs to one thing, also while its backend is not in use.
Rule 3: a peer that gets its first backend keeps what it is now as the backend `main`, unless that is what was set.
Rule 4: a switch is refused where an update to the same would be (`peerlife.py`, rule 3); a disabled peer stays disabled,
        and is the new backend once it is enabled.
"""

import re
from typing import Final

from msgspec.structs import replace

from engine.domain.aggregates import Backend, Peer
from engine.domain.commands import RemoveBackend, SetBackend, SwitchPeer
from engine.domain.decision import Decision
from engine.domain.endpoints import parse_endpoints, refuse_loops
from engine.domain.errors import Conflict, Invalid, NotFound
from engine.domain.events import Event, PeerBackendRemoved, PeerBackendSet, PeerSwitched
from engine.domain.extra import parse_extra
from engine.domain.keys import parse_wireguard_key, wireguard_base64
from engine.domain.pairs import named
from engine.domain.peerlife import refuse_for_connections
from engine.domain.peers import key_doubts, refuse_taken_key, shared_endpoints
from engine.domain.places import places_of, unresolved
from engine.domain.refs import peer_of
from engine.domain.state import Tailnet

MAIN: Final = "main"
"""What a peer's own far side is called when it gets its first other one."""
MAX_BACKENDS: Final = 16
_NAME: Final = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
"""A DNS label, as names of peers are."""


def set_backend(tailnet: Tailnet, command: SetBackend) -> Decision:
    """Decide on a backend of the peer; setting the present one changes the peer in place.

    Raises:
        NotFound: `peer.not_found`.
        Invalid: `backend.name`, `backend.many`, `key.*`, `endpoint.*`, `extra.*`, `connection.unjail`.
        Conflict: `backend.main`, `peer.key_taken`, `peer.masq`, `connection.endpoint`.
    """
    peer = peer_of(tailnet, command.peer)
    name = _checked_name(command.backend)
    key = parse_wireguard_key(command.public_key)
    before = _held(peer, name)
    is_own = not peer.backends and key == peer.public_key
    if not is_own and (before is None or before.public_key != key):
        refuse_taken_key(tailnet, key)
    endpoints, doubts = parse_endpoints(command.endpoints, peer.allowed_ips)
    resolvers, more_doubts = _resolvers(peer, before, command.resolvers)
    backend = Backend(name=name, public_key=key, endpoints=endpoints, resolvers=resolvers)
    events: list[Event] = []
    if not peer.backends and not is_own:
        if name == MAIN:
            raise Conflict(
                "backend.main",
                f"{MAIN} is what {named(peer)} is now: another key under that name would take its place",
                field="backend",
                hint="choose another name",
            )
        events.append(_event(peer, _present(peer)))
    if backend != before:
        events.append(_event(peer, backend))
    if before is None and len(peer.backends) >= MAX_BACKENDS:
        raise Invalid("backend.many", f"{named(peer)} has {MAX_BACKENDS} backends already", field="backend")
    if name == peer.backend or is_own:
        _refuse(tailnet, peer, backend)
    told = (*doubts, *more_doubts, *unresolved(endpoints, peer), *key_doubts(key))
    shared = shared_endpoints(tailnet, endpoints, peer.id)
    return Decision(
        events=tuple(events),
        result=_described(peer, backend),
        warnings=tuple(dict.fromkeys((*told, *shared))),
    )


def remove_backend(tailnet: Tailnet, command: RemoveBackend) -> Decision:
    """Decide that a backend goes: any but the present one, and that one when it is the last.

    Raises:
        NotFound: `peer.not_found`, `backend.not_found`.
        Conflict: `backend.present`.
    """
    peer = peer_of(tailnet, command.peer)
    backend = _backend_of(peer, command.backend)
    if backend.name == peer.backend and len(peer.backends) > 1:
        others = [held.name for held in peer.backends if held.name != backend.name]
        raise Conflict(
            "backend.present",
            f"{named(peer)} is on its backend {backend.name}",
            field="backend",
            hint=f"netmap wg switch {peer.name} {others[0]}",
        )
    return Decision(
        events=(PeerBackendRemoved(peer=peer.id, backend=backend.name),), result=_described(peer, backend)
    )


def switch_peer(tailnet: Tailnet, command: SwitchPeer) -> Decision:
    """Decide that the peer is another of its backends from now on.

    Raises:
        NotFound: `peer.not_found`, `backend.not_found`.
        Invalid: `endpoint.loop`.
        Conflict: `peer.masq`, `connection.endpoint`.
    """
    peer = peer_of(tailnet, command.peer)
    backend = _backend_of(peer, command.backend)
    if backend.name == peer.backend:
        return Decision(result=_described(peer, backend))
    _refuse(tailnet, peer, backend)
    warnings = unresolved(backend.endpoints, peer)
    if peer.parked_key is not None:
        warnings.append(f"peer.disabled: it carries traffic again after netmap wg enable {peer.name}")
    event = PeerSwitched(
        peer=peer.id,
        backend=backend.name,
        public_key=backend.public_key,
        endpoints=backend.endpoints,
        resolvers=backend.resolvers,
    )
    return Decision(events=(event,), result=_described(peer, backend), warnings=tuple(warnings))


def _checked_name(text: str) -> str:
    name = text.strip().lower()
    if not _NAME.fullmatch(name):
        raise Invalid(
            "backend.name",
            f"{text[:80]!r} cannot be the name of a backend: letters, digits and hyphens, 63 at most",
            field="backend",
        )
    return name


def _held(peer: Peer, name: str) -> Backend | None:
    return next((held for held in peer.backends if held.name == name), None)


def _backend_of(peer: Peer, text: str) -> Backend:
    found = _held(peer, text.strip().lower())
    if found is None:
        known = ", ".join(held.name for held in peer.backends) or "none"
        raise NotFound(
            "backend.not_found",
            f"{named(peer)} has no backend {text[:80]!r}",
            field="backend",
            hint=f"it has {known}",
        )
    return found


def _present(peer: Peer) -> Backend:
    return Backend(
        name=MAIN,
        public_key=peer.public_key,
        endpoints=peer.endpoints,
        resolvers=peer.extra.exit_node_dns_resolvers,
    )


def _resolvers(
    peer: Peer, before: Backend | None, given: tuple[str, ...] | None
) -> tuple[tuple[str, ...], list[str]]:
    if given is None:
        return (before or _present(peer)).resolvers, []
    extra, warnings = parse_extra({"exitNodeDNSResolvers": list(given)})
    return extra.exit_node_dns_resolvers, warnings


def _refuse(tailnet: Tailnet, peer: Peer, backend: Backend) -> None:
    """Refuse that the peer is the backend, for what its connections are (rule 4)."""
    after = replace(
        peer,
        public_key=backend.public_key,
        endpoints=backend.endpoints,
        extra=replace(peer.extra, exit_node_dns_resolvers=backend.resolvers),
    )
    refuse_loops(places_of(after), peer.allowed_ips)
    refuse_for_connections(tailnet, after)


def _event(peer: Peer, backend: Backend) -> PeerBackendSet:
    return PeerBackendSet(
        peer=peer.id,
        backend=backend.name,
        public_key=backend.public_key,
        endpoints=backend.endpoints,
        resolvers=backend.resolvers,
    )


def _described(peer: Peer, backend: Backend) -> dict[str, object]:
    return {
        "id": peer.id,
        "name": peer.name,
        "backend": backend.name,
        "publicKey": wireguard_base64(backend.public_key),
        "endpoints": list(backend.endpoints),
    }
