"""Decisions that change a WireGuard-only peer in place.

Rule 1: id, stable id and addresses stay for life: a client's choice of exit is one of ids.
Rule 2: what is not given stays; what is given passes what a registration passes.
Rule 3: no node that is connected is given by this what a connection would be refused: endpoints or prefixes in common with
        another of its peers, default routes from a peer that may call it, its own masquerade address.
Rule 4: a connection's part of the allowed IPs must stay inside of them.
"""

import itertools
from collections.abc import Iterator, Mapping
from typing import Final

from msgspec.structs import replace

from engine.domain.aggregates import Connection, Peer
from engine.domain.commands import DrainPeer, MovePeer, RenamePeer, TagPeer, UndrainPeer, UpdatePeer
from engine.domain.decision import Decision
from engine.domain.endpoints import parse_endpoints, refuse_loops
from engine.domain.errors import Conflict
from engine.domain.events import (
    ExtraConfig,
    PeerDrained,
    PeerMoved,
    PeerRenamed,
    PeerTagged,
    PeerUndrained,
    PeerUpdated,
)
from engine.domain.extra import given_fields, parse_extra
from engine.domain.keys import parse_wireguard_key
from engine.domain.masquerade import is_the_peers_own
from engine.domain.names import checked_mark, checked_name
from engine.domain.pairs import connected_part, named, refuse_free, refuse_overlap
from engine.domain.peerdoubts import peer_doubts
from engine.domain.peers import (
    city_clash,
    described,
    key_doubts,
    leaks,
    refuse_taken_key,
    shared_endpoints,
)
from engine.domain.places import places_of, unresolved
from engine.domain.prefixes import is_covered, parse_allowed_ips
from engine.domain.providers import provider_change
from engine.domain.refs import peer_of, user_of
from engine.domain.selectors import refuse_terms
from engine.domain.state import DEFAULT_ROUTES, Tailnet
from engine.domain.tags import known_tags
from engine.domain.values import NodeKey

_MAX_NAMED: Final = 20
"""Connections that a refusal names; it says how many more there are."""


def update_peer(tailnet: Tailnet, command: UpdatePeer) -> Decision:
    """Decide on another key, other allowed IPs, endpoints or extra config, in place.

    Raises:
        NotFound: `peer.not_found`, `provider.not_found`.
        Invalid: `key.*`, `allowedips.*`, `endpoint.*`, `extra.*`, `location.*`, `tag.*`, `managed.syntax`,
            `connection.unjail`.
        Conflict: `peer.key_taken`, `peer.part`, `peer.masq`, `connection.overlap`, `connection.endpoint`,
            `provider.connected`.
    """
    peer = peer_of(tailnet, command.peer)
    warnings: list[str] = []
    after = replace(
        peer,
        public_key=_key(tailnet, peer, command.public_key, warnings),
        extra=_extra(tailnet, peer, command.extra_config, warnings),
        managed_by=peer.managed_by if command.managed_by is None else checked_mark(command.managed_by),
    )
    if command.allowed_ips is not None:
        allowed_ips, doubts = parse_allowed_ips(tailnet, command.allowed_ips, besides=peer.id)
        after = replace(after, allowed_ips=allowed_ips)
        warnings += doubts
    if command.endpoints is not None:
        endpoints, doubts = parse_endpoints(command.endpoints, after.allowed_ips)
        after = replace(after, endpoints=endpoints)
        warnings += [*doubts, *unresolved(endpoints, peer), *shared_endpoints(tailnet, endpoints, peer.id)]
    changes = provider_change(tailnet, peer, command.provider)
    if after == peer and not changes:
        return Decision(result=described(peer.id, peer), warnings=tuple(warnings))
    warnings += peer_doubts(tailnet, after, peer)
    every = (held.endpoints for held in peer.backends if held.name != peer.backend)
    refuse_loops((*places_of(after), *itertools.chain(*every)), after.allowed_ips)
    refuse_for_connections(tailnet, after)
    _refuse_parts(tailnet, after)
    defaults = DEFAULT_ROUTES & set(peer.allowed_ips)
    if defaults - set(after.allowed_ips) and tailnet.nodes_of_peer.get(peer.id):
        warnings += leaks(peer)
    event = PeerUpdated(
        peer=peer.id,
        public_key=after.public_key,
        allowed_ips=after.allowed_ips,
        endpoints=after.endpoints,
        extra=after.extra,
        managed_by=after.managed_by,
    )
    updates = () if after == peer else (event,)
    return Decision(events=(*updates, *changes), result=described(peer.id, after), warnings=tuple(warnings))


def rename_peer(tailnet: Tailnet, command: RenamePeer) -> Decision:
    """Decide on another name in MagicDNS.

    Raises:
        NotFound: `peer.not_found`.
        Invalid: `name.syntax`, `name.number`, `name.reserved`.
        Conflict: `name.taken`.
    """
    peer = peer_of(tailnet, command.peer)
    if peer.name == command.name:
        return _done(peer)
    name = checked_name(tailnet, command.name)
    return _done(replace(peer, name=name), PeerRenamed(peer=peer.id, name=name))


def tag_peer(tailnet: Tailnet, command: TagPeer) -> Decision:
    """Decide that the peer has these tags, and no others; none is well.

    Raises:
        NotFound: `peer.not_found`.
        Invalid: `tag.syntax`, `tag.many`, `tag.unknown`.
    """
    peer = peer_of(tailnet, command.peer)
    tags, warnings = known_tags(tailnet, command.tags, field="tags")
    same = tags == peer.extra.tags
    return Decision(
        events=() if same else (PeerTagged(peer=peer.id, tags=tags),),
        result={"id": peer.id, "name": peer.name, "tags": list(tags)},
        warnings=tuple(warnings),
    )


def move_peer(tailnet: Tailnet, command: MovePeer) -> Decision:
    """Decide that the peer belongs to another user.

    Raises:
        NotFound: `peer.not_found`, `user.not_found`.
    """
    peer, user = peer_of(tailnet, command.peer), user_of(tailnet, command.user)
    event = None if peer.user == user.id else PeerMoved(peer=peer.id, user=user.id)
    return _done(peer, event, user=user.id)


def drain_peer(tailnet: Tailnet, command: DrainPeer) -> Decision:
    """Decide that clients which choose their exit themselves leave the peer; nothing else changes.

    Raises:
        NotFound: `peer.not_found`.
    """
    peer = peer_of(tailnet, command.peer)
    return _done(peer, None if peer.drained else PeerDrained(peer=peer.id))


def undrain_peer(tailnet: Tailnet, command: UndrainPeer) -> Decision:
    """Decide that a drained peer may be chosen again.

    Raises:
        NotFound: `peer.not_found`.
    """
    peer = peer_of(tailnet, command.peer)
    return _done(peer, PeerUndrained(peer=peer.id) if peer.drained else None)


def refuse_for_connections(tailnet: Tailnet, peer: Peer) -> None:
    """Refuse what a connection would be refused if the peer were this (rule 3).

    Raises:
        Invalid: `connection.unjail`.
        Conflict: `peer.masq`, `connection.overlap`, `connection.endpoint`.
    """
    for connection in connections_of(tailnet, peer):
        _refuse_for(tailnet, connection, peer)


def connections_of(tailnet: Tailnet, peer: Peer) -> Iterator[Connection]:
    """Return the peer's connections, by node."""
    return (tailnet.connections[node, peer.id] for node in sorted(tailnet.nodes_of_peer.get(peer.id, ())))


def _done(
    peer: Peer, event: PeerRenamed | PeerMoved | PeerDrained | PeerUndrained | None = None, **more: object
) -> Decision:
    return Decision(
        events=() if event is None else (event,), result={"id": peer.id, "name": peer.name, **more}
    )


def _key(tailnet: Tailnet, peer: Peer, text: str | None, warnings: list[str]) -> NodeKey:
    key = peer.public_key if text is None else parse_wireguard_key(text)
    if key != peer.public_key:
        refuse_taken_key(tailnet, key)
        warnings += key_doubts(key)
    return key


def _extra(
    tailnet: Tailnet, peer: Peer, given: Mapping[str, object] | None, warnings: list[str]
) -> ExtraConfig:
    """Return the extra config with those fields replaced that are given."""
    if given is None:
        return peer.extra
    found, doubts = parse_extra(given)
    warnings += doubts
    fields = given_fields(given)
    extra = replace(peer.extra, **{name: getattr(found, name) for name in fields})
    if "tags" in fields:
        known_tags(tailnet, extra.tags, field="extraConfig.tags")
    if "location" in fields and extra.location is not None:
        warnings += city_clash(tailnet, extra.location, peer.id)
    return extra


def _refuse_for(tailnet: Tailnet, connection: Connection, peer: Peer) -> None:
    """Refuse what the connection would be refused with this peer (rule 3)."""
    node, allowed_ips = tailnet.nodes[connection.node], connected_part(connection, peer)
    refuse_overlap(tailnet, node, peer, allowed_ips)
    if not connection.jailed:
        refuse_free(f"node {named(node)}", peer, allowed_ips)
    for address in (connection.ipv4_masq, connection.ipv6_masq):
        if address and is_the_peers_own(peer, address):
            raise Conflict(
                "peer.masq",
                f"{address} would be an address of {named(peer)} itself, and is the masquerade address of node "
                f"{named(node)} there",
                field="allowedIps",
            )


def _refuse_parts(tailnet: Tailnet, peer: Peer) -> None:
    """Refuse that a connection's or a selector's part is no longer inside of the peer's allowed IPs (rule 4)."""
    for selector in peer.selectors:
        refuse_terms(peer, selector)
    outside = [
        f"node {named(tailnet.nodes[connection.node])}: {prefix}"
        for connection in connections_of(tailnet, peer)
        for prefix in connection.allowed_ips or ()
        if not is_covered(prefix, peer.allowed_ips)
    ]
    if outside:
        more = f", and {len(outside) - _MAX_NAMED} more" if len(outside) > _MAX_NAMED else ""
        raise Conflict(
            "peer.part",
            f"connections have allowed IPs that {named(peer)} would no longer have: "
            + "; ".join(outside[:_MAX_NAMED])
            + more,
            field="allowedIps",
            hint=f"netmap connection update --node-id NODE --wg-peer-id {peer.id} --allowed-ips IPS",
        )
