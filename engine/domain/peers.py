"""Decisions about WireGuard-only peers.

Rule 1: one WireGuard key is one thing in a tailnet: a node, a former key of a node, or a WireGuard-only peer.
Rule 2: ids begin at 100000001 and are never used again; the stable id says the id.
Rule 3: a WireGuard-only peer goes only when nobody is connected to it, or with its connections, in one decision.
Rule 4: disabling parks the key in place; id, stable id and routes stay, so that a client's choice of exit stays.
"""

import hashlib
from typing import Final

from engine.domain.aggregates import Peer
from engine.domain.commands import DisablePeer, EnablePeer, ExpirePeer, RegisterPeer, RemovePeer
from engine.domain.connections import removal_commands
from engine.domain.decision import Decision, Given
from engine.domain.endpoints import parse_endpoints
from engine.domain.errors import Conflict
from engine.domain.events import (
    ConnectionRemoved,
    Event,
    Location,
    PeerDisabled,
    PeerEnabled,
    PeerExpired,
    PeerRegistered,
    PeerRemoved,
)
from engine.domain.extra import parse_extra
from engine.domain.keys import (
    MACHINE_PREFIX,
    NODE_PREFIX,
    looks_clamped,
    parse_wireguard_key,
    wireguard_base64,
)
from engine.domain.names import checked_mark, checked_name
from engine.domain.pairs import named
from engine.domain.peerdoubts import peer_doubts
from engine.domain.places import unresolved
from engine.domain.prefixes import parse_allowed_ips
from engine.domain.providerevents import PeerProviderSet
from engine.domain.providers import provider_of
from engine.domain.refs import peer_of, user_of
from engine.domain.state import DEFAULT_ROUTES, Tailnet
from engine.domain.tags import known_tags
from engine.domain.values import MachineKey, NodeKey, PeerId, StableId

_MAX_HINTS: Final = 10
"""Command lines in one hint; the message names every node."""


def register_peer(tailnet: Tailnet, command: RegisterPeer) -> Decision:
    """Decide whether there may be such a WireGuard-only peer.

    Raises:
        NotFound: `user.not_found`, `provider.not_found`.
        Invalid: `name.*`, `key.*`, `allowedips.*`, `endpoint.*`, `extra.*`, `location.*`, `tag.*`, `managed.syntax`.
        Conflict: `name.taken`, `peer.key_taken`.
        Refusal: `address.pool_exhausted`.
    """
    user = user_of(tailnet, command.user)
    name = checked_name(tailnet, command.name)
    key = parse_wireguard_key(command.public_key)
    refuse_taken_key(tailnet, key)
    allowed_ips, warnings = parse_allowed_ips(tailnet, command.allowed_ips)
    endpoints, doubts = parse_endpoints(command.endpoints, allowed_ips)
    extra, more_doubts = parse_extra(command.extra_config)
    known_tags(tailnet, extra.tags, field="extraConfig.tags")
    ipv4, ipv6 = tailnet.addresses_for_peer()
    provider = None if command.provider is None else provider_of(tailnet, command.provider)
    event = PeerRegistered(
        peer=tailnet.next_peer,
        stable_id=StableId(f"wg{tailnet.next_peer}"),
        name=name,
        user=user.id,
        public_key=key,
        allowed_ips=allowed_ips,
        endpoints=endpoints,
        ipv4=ipv4,
        ipv6=ipv6,
        extra=extra,
        managed_by=checked_mark(command.managed_by),
    )
    warnings += [*doubts, *unresolved(endpoints), *shared_endpoints(tailnet, endpoints), *more_doubts]
    if extra.location is not None:
        warnings += city_clash(tailnet, extra.location)
    warnings += [*peer_doubts(tailnet, event), *key_doubts(key)]
    events: tuple[Event, ...] = (event,)
    if provider is not None:
        events = (event, PeerProviderSet(peer=event.peer, provider=provider.id))
    return Decision(events=events, result=described(tailnet.next_peer, event), warnings=tuple(warnings))


def remove_peer(tailnet: Tailnet, command: RemovePeer) -> Decision:
    """Decide to remove the WireGuard-only peer.

    Raises:
        NotFound: `peer.not_found`.
        Conflict: `peer.connected`.
    """
    peer = peer_of(tailnet, command.peer)
    nodes = sorted(tailnet.nodes_of_peer.get(peer.id, ()))
    if nodes and not command.cascade:
        commands = removal_commands(tailnet, peer.id)
        raise Conflict(
            "peer.connected",
            f"WireGuard-only peer {peer.id}({peer.name}) is still connected to "
            + ", ".join(f"{node}({tailnet.nodes[node].name})" for node in nodes),
            field="peer",
            hint=" && ".join(commands[:_MAX_HINTS])
            + (" && …" if len(commands) > _MAX_HINTS else "")
            + f", or with all of them: netmap wg remove {peer.name} --cascade",
        )
    ended = tuple(ConnectionRemoved(node=node, peer=peer.id) for node in nodes)
    warnings: tuple[str, ...] = ()
    if ended:
        gone = f"peer.connections: {len(ended)} connections went with it"
        warnings = (gone, *leaks(peer)) if DEFAULT_ROUTES & set(peer.allowed_ips) else (gone,)
    return Decision(
        events=(*ended, PeerRemoved(peer=peer.id)),
        result={"id": peer.id, "name": peer.name},
        warnings=warnings,
    )


def disable_peer(tailnet: Tailnet, command: DisablePeer, given: Given) -> Decision:
    """Decide to park the WireGuard-only peer.

    The parked key is a digest: a public key of which nobody ever had the private half.

    Raises:
        NotFound: `peer.not_found`.
    """
    peer = peer_of(tailnet, command.peer)
    result = {"id": peer.id, "name": peer.name}
    if peer.parked_key is not None:
        return Decision(result=result)
    parked = hashlib.sha256(f"netmap parked key {peer.stable_id} {given.secret}".encode()).hexdigest()
    event = PeerDisabled(peer=peer.id, parked_key=NodeKey(NODE_PREFIX + parked))
    return Decision(events=(event,), result=result)


def expire_peer(tailnet: Tailnet, command: ExpirePeer, given: Given) -> Decision:
    """Decide that clients count the WireGuard-only peer as expired.

    Raises:
        NotFound: `peer.not_found`.
    """
    peer = peer_of(tailnet, command.peer)
    result = {"id": peer.id, "name": peer.name}
    if peer.expired_at:
        return Decision(result=result)
    return Decision(
        events=(PeerExpired(peer=peer.id, at=given.now),),
        result=result,
        warnings=leaks(peer) if tailnet.nodes_of_peer.get(peer.id) else (),
    )


def enable_peer(tailnet: Tailnet, command: EnablePeer) -> Decision:
    """Decide to bring the WireGuard-only peer back.

    Raises:
        NotFound: `peer.not_found`.
    """
    peer = peer_of(tailnet, command.peer)
    changes = peer.parked_key is not None or peer.expired_at
    return Decision(
        events=(PeerEnabled(peer=peer.id),) if changes else (), result={"id": peer.id, "name": peer.name}
    )


def leaks(peer: Peer) -> tuple[str, ...]:
    """Return the warning about what clients do whose exit is gone."""
    leak = "a client in userspace mode that uses it as exit goes out directly now"
    return (f"peer.leaks: {leak}; `netmap wg disable {peer.name}` fails closed",)


def key_doubts(key: NodeKey) -> list[str]:
    """Return a warning if the public key looks like a private one."""
    if not looks_clamped(key):
        return []
    return [
        "key.clamped: this key looks like a private key (one public key in 32 does): make sure that it is not"
    ]


def refuse_taken_key(tailnet: Tailnet, key: NodeKey) -> None:
    """Refuse a key that something in the tailnet has, or had (rule 1).

    Raises:
        Conflict: `peer.key_taken`.
    """
    other = tailnet.peer_by_key.get(key)
    if other is not None:
        holder = tailnet.peers[other]
        backend = next((held.name for held in holder.backends if held.public_key == key), "")
        what = f", its backend {backend}" if backend else ""
        raise Conflict(
            "peer.key_taken",
            f"this public key is that of WireGuard-only peer {other}({holder.name}){what}",
            field="publicKey",
        )
    machine_key = MachineKey(MACHINE_PREFIX + key.removeprefix(NODE_PREFIX))
    node = tailnet.node_by_key.get(key, tailnet.retired_keys.get(key))
    if node is None:
        node = next(iter(tailnet.nodes_by_machine.get(machine_key, {}).values()), None)
    if node is not None:
        raise Conflict(
            "peer.key_taken",
            f"this public key is, or was, a key of node {node}({tailnet.nodes[node].name})",
            field="publicKey",
        )


def shared_endpoints(
    tailnet: Tailnet, endpoints: tuple[str, ...], besides: PeerId | None = None
) -> list[str]:
    """Return warnings about endpoints that another peer has too; `besides` is whose they are, if it is there."""
    found = []
    for endpoint in endpoints:
        others = tailnet.peers_by_endpoint.get(endpoint, set()) - {besides}
        if others:
            holder = named(tailnet.peers[min(filter(None, others))])
            found.append(f"endpoint.shared: {holder} has {endpoint} too: no node can be connected to both")
    return found


def city_clash(tailnet: Tailnet, place: Location, besides: PeerId | None = None) -> list[str]:
    """Warn of one city code in two countries: the client's list shows only one of them."""
    others: set[tuple[str, PeerId]] = tailnet.peers_by_city.get(place.city_code, set())
    for country, other in sorted(others):
        if country != place.country_code and other != besides:
            known = f"{named(tailnet.peers[other])} has the city code {place.city_code} in {country}"
            return [f"location.city: {known}: clients' lists will show only one of the two"]
    return []


def described(number: PeerId, peer: Peer | PeerRegistered) -> dict[str, object]:
    """Return what the sender is told of a peer."""
    return {
        "id": number,
        "stableId": peer.stable_id,
        "name": peer.name,
        "user": peer.user,
        "ipv4": peer.ipv4,
        "ipv6": peer.ipv6,
        "publicKey": wireguard_base64(peer.public_key),
        "nodeKey": peer.public_key,
        "allowedIps": list(peer.allowed_ips),
        "endpoints": list(peer.endpoints),
    }
