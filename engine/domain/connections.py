"""Decisions about connections: a node's right to a WireGuard-only peer.

Rule 1: what a node may not meet is in `pairs.py`: endpoints and prefixes in common, a free far side with default routes.
Rule 2: a client that knows no jail never gets a WireGuard-only peer: the far side could call it.
Rule 3: adding what is there already, and updating to what is there already, change nothing.
"""

from typing import Any, Final

import msgspec

from engine.domain.aggregates import Connection, Node, Peer, Selector
from engine.domain.commands import AddConnection, RemoveConnection, UpdateConnection
from engine.domain.decision import Decision, Given
from engine.domain.devicemasq import gives_masquerades, masquerade_of, provider_of_peer
from engine.domain.document import standing_of
from engine.domain.endpoints import refuse_loops
from engine.domain.errors import Conflict, Invalid, NotFound
from engine.domain.events import ConnectionAdded, ConnectionRemoved, ConnectionUpdated
from engine.domain.keys import wireguard_base64
from engine.domain.masquerade import parse_masquerade
from engine.domain.pairs import (
    command_line,
    connected_part,
    listed,
    named,
    part_of,
    refuse_free,
    refuse_overlap,
)
from engine.domain.peerdoubts import override_doubts
from engine.domain.places import places_of
from engine.domain.prefixes import parse_part
from engine.domain.refs import node_of, peer_of
from engine.domain.state import Tailnet
from engine.domain.values import NEVER, Millis, NodeId, PeerId
from engine.policy.permit import permitted

JAIL_CAPVER: Final = 94
"""Clients keep a jailed peer from calling them from here on (tailscale tailcfg: capability version 94)."""
_SOON: Final = 7 * 86_400_000
"""Milliseconds before a node's expiry within which its connections deserve a word."""


class _Terms(msgspec.Struct, frozen=True, kw_only=True):
    """All that a connection says of itself."""

    ipv4_masq: str
    ipv6_masq: str
    allowed_ips: tuple[str, ...] | None
    jailed: bool


def add_connection(tailnet: Tailnet, command: AddConnection, given: Given) -> Decision:
    """Decide whether the node may be connected to the WireGuard-only peer.

    Raises:
        NotFound: `node.not_found`, `peer.not_found`.
        Invalid: `connection.capver`, `connection.unjail`, `masq.*`, `allowedips.*`, `endpoint.loop`.
        Conflict: `connection.exists`, `connection.disabled`, `connection.overlap`, `connection.endpoint`, `masq.in_use`,
            `masq.taken`, `device.none`, `device.pending`.
        Refusal: `masq.pool_exhausted`.
    """
    node, peer = node_of(tailnet, command.node), peer_of(tailnet, command.peer)
    existing = tailnet.connections.get((node.id, peer.id))
    ipv4, ipv6 = command.ipv4_masq_addr, command.ipv6_masq_addr
    is_given = not (ipv4.strip() or ipv6.strip()) and gives_masquerades(tailnet, peer)
    if is_given and existing is not None:
        ipv4, ipv6 = existing.ipv4_masq, existing.ipv6_masq
    elif is_given:
        ipv4, ipv6 = masquerade_of(tailnet, node, peer)
    masquerade, warnings = parse_masquerade(tailnet, node, peer, ipv4, ipv6)
    allowed_ips, doubts = _part(peer, command.allowed_ips)
    terms = _Terms(
        ipv4_masq=masquerade.ipv4,
        ipv6_masq=masquerade.ipv6,
        allowed_ips=allowed_ips,
        jailed=command.jailed,
    )
    if existing is not None:
        _refuse_other(node, peer, existing, terms)
        return _decision(node, peer, terms, [*warnings, "connection.exists: nothing changed"])
    _refuse_old_client(node)
    _refuse_disabled(peer)
    _refuse_clash(tailnet, node, peer, terms)
    is_pooled = is_given and provider_of_peer(tailnet, peer) is None
    event = ConnectionAdded(node=node.id, peer=peer.id, from_pool=is_pooled, **_fields(terms))
    told = [
        *warnings,
        *doubts,
        *_doubts(tailnet, node, given.now),
        *override_doubts(tailnet, peer),
        *_cuts(tailnet, node, peer, terms),
    ]
    return _decision(node, peer, terms, told, event)


def selected_connection(tailnet: Tailnet, node: Node, peer: Peer, selector: Selector) -> ConnectionAdded:
    """Return the connection that the node gets by a selector of the peer.

    Raises:
        Invalid: `connection.capver`, `connection.unjail`, `masq.*`, `endpoint.loop`.
        Conflict: `connection.overlap`, `connection.endpoint`, `masq.in_use`.
        Refusal: `masq.pool_exhausted`.
    """
    masquerade, _ = parse_masquerade(tailnet, node, peer, *masquerade_of(tailnet, node, peer))
    terms = _Terms(
        ipv4_masq=masquerade.ipv4,
        ipv6_masq=masquerade.ipv6,
        allowed_ips=selector.allowed_ips,
        jailed=selector.jailed,
    )
    _refuse_old_client(node)
    _refuse_clash(tailnet, node, peer, terms)
    return ConnectionAdded(
        node=node.id,
        peer=peer.id,
        from_pool=provider_of_peer(tailnet, peer) is None,
        selector=selector.selector,
        **_fields(terms),
    )


def update_connection(tailnet: Tailnet, command: UpdateConnection) -> Decision:
    """Decide on other masquerade addresses (both are replaced), another part of the allowed IPs, or the jail.

    Raises:
        NotFound: `node.not_found`, `peer.not_found`, `connection.not_found`.
        Invalid: `connection.unjail`, `masq.*`, `allowedips.*`, `endpoint.loop`.
        Conflict: `connection.overlap`, `masq.in_use`, `masq.taken`.
    """
    node, peer = node_of(tailnet, command.node), peer_of(tailnet, command.peer)
    existing = tailnet.connections.get((node.id, peer.id))
    ipv4, ipv6 = command.ipv4_masq_addr, command.ipv6_masq_addr
    is_about_more = command.allowed_ips is not None or command.jailed is not None
    if existing is not None and is_about_more and not (ipv4.strip() or ipv6.strip()):
        ipv4, ipv6 = existing.ipv4_masq, existing.ipv6_masq
    if existing is None and is_about_more and not (ipv4.strip() or ipv6.strip()):
        raise _not_found(node, peer, command_line("add", node.id, peer.id))
    masquerade, warnings = parse_masquerade(tailnet, node, peer, ipv4, ipv6)
    if existing is None:
        raise _not_found(node, peer, command_line("add", node.id, peer.id, masquerade.ipv4, masquerade.ipv6))
    allowed_ips, doubts = existing.allowed_ips, list[str]()
    if command.allowed_ips is not None:
        allowed_ips, doubts = _part(peer, command.allowed_ips)
    terms = _Terms(
        ipv4_masq=masquerade.ipv4,
        ipv6_masq=masquerade.ipv6,
        allowed_ips=allowed_ips,
        jailed=existing.jailed if command.jailed is None else command.jailed,
    )
    if _terms_of(existing) == terms:
        return _decision(node, peer, terms, warnings)
    _refuse_clash(tailnet, node, peer, terms)
    event = ConnectionUpdated(node=node.id, peer=peer.id, selector=existing.selector, **_fields(terms))
    told = [*warnings, *doubts, *_cuts(tailnet, node, peer, terms)]
    return _decision(node, peer, terms, told, event)


def remove_connection(tailnet: Tailnet, command: RemoveConnection) -> Decision:
    """Decide to disconnect the node from the WireGuard-only peer.

    Raises:
        NotFound: `node.not_found`, `peer.not_found`, `connection.not_found`.
        Conflict: `connection.selected`.
    """
    node, peer = node_of(tailnet, command.node), peer_of(tailnet, command.peer)
    existing = tailnet.connections.get((node.id, peer.id))
    if existing is None:
        raise _not_found(node, peer, "netmap connection list shows all")
    if existing.selector:
        raise Conflict(
            "connection.selected",
            f"node {named(node)} is connected to {named(peer)} because {existing.selector} is",
            field="node",
            hint=f"netmap connection remove-selector --selector {existing.selector} --wg-peer-id {peer.id}",
        )
    return Decision(
        events=(ConnectionRemoved(node=node.id, peer=peer.id),),
        result={"node": node.id, "peer": peer.id},
    )


def connections_end(tailnet: Tailnet, node: NodeId) -> tuple[ConnectionRemoved, ...]:
    """Return what happens to the connections of a node that goes."""
    return tuple(
        ConnectionRemoved(node=node, peer=peer) for peer in sorted(tailnet.peers_of_node.get(node, ()))
    )


def removal_commands(tailnet: Tailnet, peer: PeerId) -> list[str]:
    """Return the command lines that end the connections of a WireGuard-only peer."""
    return [command_line("remove", node, peer) for node in sorted(tailnet.nodes_of_peer.get(peer, ()))]


def _terms_of(connection: Connection) -> _Terms:
    return _Terms(
        ipv4_masq=connection.ipv4_masq,
        ipv6_masq=connection.ipv6_masq,
        allowed_ips=connection.allowed_ips,
        jailed=connection.jailed,
    )


def _fields(terms: _Terms) -> dict[str, Any]:
    return {name: getattr(terms, name) for name in _Terms.__struct_fields__}


def _part(peer: Peer, texts: tuple[str, ...] | None) -> tuple[tuple[str, ...] | None, list[str]]:
    """Return what the connection gets of the peer's allowed IPs, and warnings; the peer itself is not in it."""
    allowed_ips, warnings = parse_part(texts, peer.allowed_ips)
    refuse_loops(places_of(peer), allowed_ips or ())
    return allowed_ips, warnings


def _refuse_other(node: Node, peer: Peer, existing: Connection, terms: _Terms) -> None:
    """Refuse to add what is there otherwise."""
    if (existing.ipv4_masq, existing.ipv6_masq) != (terms.ipv4_masq, terms.ipv6_masq):
        what = f"masquerade addresses: {listed(existing.ipv4_masq, existing.ipv6_masq)}"
    elif existing.allowed_ips != terms.allowed_ips:
        what = f"allowed IPs: {listed(*connected_part(existing, peer))}"
    elif existing.jailed != terms.jailed:
        what = f"terms: the peer may {'only answer' if existing.jailed else 'call it'}"
    else:
        return
    raise Conflict(
        "connection.exists",
        f"node {named(node)} is connected to {named(peer)} already, with other {what}",
        hint=command_line("update", node.id, peer.id, terms.ipv4_masq, terms.ipv6_masq),
    )


def _refuse_clash(tailnet: Tailnet, node: Node, peer: Peer, terms: _Terms) -> None:
    allowed_ips = part_of(peer, terms.allowed_ips)
    refuse_overlap(tailnet, node, peer, allowed_ips)
    if not terms.jailed:
        refuse_free(f"node {named(node)}", peer, allowed_ips)


def _decision(
    node: Node,
    peer: Peer,
    terms: _Terms,
    warnings: list[str],
    event: ConnectionAdded | ConnectionUpdated | None = None,
) -> Decision:
    return Decision(
        events=() if event is None else (event,),
        result={
            "node": node.id,
            "peer": peer.id,
            "ipv4MasqAddr": terms.ipv4_masq,
            "ipv6MasqAddr": terms.ipv6_masq,
            "allowedIps": list(part_of(peer, terms.allowed_ips)),
            "jailed": terms.jailed,
            # What the far side must be told by hand, as it gets no updates from us.
            "nodePublicKey": wireguard_base64(node.node_key),
        },
        warnings=tuple(warnings),
    )


def _refuse_old_client(node: Node) -> None:
    if 0 < node.capver < JAIL_CAPVER:
        raise Invalid(
            "connection.capver",
            f"the client of node {named(node)} is too old to be safe from a WireGuard-only peer: capability "
            f"version {node.capver}, needed {JAIL_CAPVER}",
            field="node",
            hint="update the client to 1.64 or later",
        )


def _refuse_disabled(peer: Peer) -> None:
    """Refuse to connect somebody to a peer that carries nothing; a selector does, as it is for later too."""
    if peer.parked_key is not None:
        raise Conflict(
            "connection.disabled",
            f"{named(peer)} is disabled: whoever is connected to it is cut off",
            field="peer",
            hint=f"netmap wg enable {peer.name}",
        )


def _doubts(tailnet: Tailnet, node: Node, now: Millis) -> list[str]:
    if node.is_expired(now):
        return [f"connection.node_expired: the key of node {named(node)} has expired: it must log in first"]
    if NEVER < node.expiry < now + _SOON:
        what = f"the key of node {named(node)} expires within a week"
        return [f"connection.key_expires: {what}; the peer's side must then be given the new one"]
    former = len(tailnet.retired_by_node.get(node.id, ()))
    if former:
        what = (
            f"node {named(node)} has changed its key {former} times; each time the peer's side must be told"
        )
        return [f"connection.rotates: {what}; netmap node set-expiry {node.name} --never makes it rarer"]
    return []


def _cuts(tailnet: Tailnet, node: Node, peer: Peer, terms: _Terms) -> list[str]:
    """Say what the policy leaves of the connection, where it rules over WireGuard-only peers."""
    if not tailnet.settings.is_enforced:
        return []
    permit = standing_of(tailnet, node).permit
    allowed_ips = part_of(peer, terms.allowed_ips)
    left = permitted(allowed_ips, (peer.ipv4, peer.ipv6), peer.extra.tags, permit)
    if left is None:
        what = f"the policy lets node {named(node)} send nothing to {named(peer)}: it does not see it"
        return [f"connection.not_permitted: {what}"]
    told = []
    if set(left) != set(allowed_ips):
        told.append(
            f"connection.cut: the policy leaves {listed(*left) or 'its own addresses'} of its allowed IPs"
        )
    if permit.has_ports:
        told.append(
            "connection.ports: the policy names ports; nothing on a client enforces them towards such a peer"
        )
    return told


def _not_found(node: Node, peer: Peer, hint: str) -> NotFound:
    return NotFound(
        "connection.not_found", f"node {named(node)} is not connected to {named(peer)}", hint=hint
    )
