"""What the far side of a WireGuard-only peer was told of connections, and whether it still holds.

Rule 1: recorded is what was told: a key that the node has or had, and masquerade addresses. What is not given is as it is now.
Rule 2: what is recorded already is not recorded again: a router that asks every minute adds nothing to the log.
Rule 3: a node's new key makes its connections stale in the same decision, whatever brought it and whether anything was
        recorded or not: somebody must have told the far side the former one.
"""

import ipaddress
from collections.abc import Iterator
from typing import Final

from msgspec.structs import replace

from engine.domain.aggregates import Connection, Node, Peer
from engine.domain.commands import RecordExport
from engine.domain.decision import Decision
from engine.domain.errors import Invalid, NotFound
from engine.domain.events import ConnectionExported, ConnectionRemoved, ConnectionStale, NodeReregistered
from engine.domain.keys import parse_wireguard_key
from engine.domain.pairs import command_line, named
from engine.domain.refs import node_of, peer_of
from engine.domain.state import Tailnet
from engine.domain.values import NodeKey, PeerId
from engine.domain.wgcommands import ToldConnection

_MAX_NAMED: Final = 10
"""Nodes, or peers, that one warning names."""
_LENGTHS: Final = {4: 32, 6: 128}


def record_export(tailnet: Tailnet, command: RecordExport) -> Decision:
    """Decide what the far side is taken to know from now on.

    Raises:
        NotFound: `peer.not_found`, `node.not_found`, `connection.not_found`.
        Invalid: `key.*`, `export.key`, `export.address`.
    """
    peer = peer_of(tailnet, command.peer)
    told = command.connections
    if told is None:
        told = tuple(ToldConnection(node=node) for node in sorted(tailnet.nodes_of_peer.get(peer.id, ())))
    found = {event.node: event for event in (_event(tailnet, peer, one) for one in told)}
    events = tuple(
        replace(event, style=command.style, checksum=command.checksum)
        for event in found.values()
        if not _is_known(tailnet.connections[event.node, peer.id], event)
    )
    return Decision(
        events=events,
        result={"peer": peer.id, "recorded": len(events), "unchanged": len(found) - len(events)},
        warnings=tuple(_old(tailnet, peer, tuple(found.values()))),
    )


def with_stale(tailnet: Tailnet, decision: Decision) -> Decision:
    """Return the decision with what new node keys mean for connections (rule 3)."""
    events: list[ConnectionStale] = []
    warnings: list[str] = []
    for event in decision.events:
        if not isinstance(event, NodeReregistered):
            continue
        node = tailnet.nodes.get(event.node)
        if node is None or node.node_key == event.node_key:
            continue
        ended = {
            other.peer
            for other in decision.events
            if isinstance(other, ConnectionRemoved) and other.node == node.id
        }
        peers = sorted(tailnet.peers_of_node.get(node.id, set()) - ended)
        events += (
            ConnectionStale(node=node.id, peer=peer, former_key=node.node_key, node_key=event.node_key)
            for peer in peers
        )
        warnings += _must_be_told(tailnet, node, peers)
    if not events:
        return decision
    return replace(decision, events=(*decision.events, *events), warnings=(*decision.warnings, *warnings))


def export_command(peer: Peer, node: Node) -> str:
    """Return the command line that tells the far side of a node, and notes that it was told."""
    return f"netmap wg export --peer {peer.name} --node {node.name} --record"


def _event(tailnet: Tailnet, peer: Peer, told: ToldConnection) -> ConnectionExported:
    node = node_of(tailnet, told.node, field="connections.node")
    held = tailnet.connections.get((node.id, peer.id))
    if held is None:
        raise NotFound(
            "connection.not_found",
            f"node {named(node)} is not connected to {named(peer)}",
            field="connections.node",
            hint=command_line("add", node.id, peer.id),
        )
    key = _key(tailnet, node, told.public_key)
    addresses = (_address(told.ipv4_masq_addr, 4), _address(told.ipv6_masq_addr, 6))
    ipv4, ipv6 = addresses if any(addresses) else (held.ipv4_masq, held.ipv6_masq)
    return ConnectionExported(
        node=node.id,
        peer=peer.id,
        node_key=key,
        ipv4_masq=ipv4,
        ipv6_masq=ipv6,
        is_key_current=key == node.node_key,
    )


def _key(tailnet: Tailnet, node: Node, text: str) -> NodeKey:
    if not text.strip():
        return node.node_key
    key = parse_wireguard_key(text, field="connections.publicKey")
    if key != node.node_key and tailnet.retired_keys.get(key) != node.id:
        raise Invalid(
            "export.key",
            f"node {named(node)} never had this key",
            field="connections.publicKey",
            hint=f"netmap node get {node.id} shows the one that it has",
        )
    return key


def _address(text: str, version: int) -> str:
    """Return a masquerade address in canonical text; an empty one stays empty."""
    bare = text.strip().removesuffix(f"/{_LENGTHS[version]}")
    if not bare:
        return ""
    try:
        address = ipaddress.ip_address(bare)
    except ValueError:
        address = None
    if address is None or address.version != version or "%" in bare:
        raise Invalid(
            "export.address",
            f"{text[:80]!r} is not an IPv{version} address",
            field=f"connections.ipv{version}MasqAddr",
        )
    return str(address)


def _is_known(connection: Connection, event: ConnectionExported) -> bool:
    """Return whether the same is recorded already (rule 2)."""
    held = connection.exported
    return (
        held is not None
        and (held.node_key, held.ipv4_masq, held.ipv6_masq)
        == (event.node_key, event.ipv4_masq, event.ipv6_masq)
        and event.is_key_current is (not connection.key_stale_since)
    )


def _old(tailnet: Tailnet, peer: Peer, events: tuple[ConnectionExported, ...]) -> Iterator[str]:
    """Warn of what was told and no longer holds."""
    old = []
    for event in events:
        held = tailnet.connections[event.node, peer.id]
        if not event.is_key_current or (event.ipv4_masq, event.ipv6_masq) != (held.ipv4_masq, held.ipv6_masq):
            old.append(tailnet.nodes[event.node])
    for node in old[:_MAX_NAMED]:
        what = f"the far side of {named(peer)} was told what no longer holds of node {named(node)}"
        yield f"export.old: {what}: {export_command(peer, node)}"
    if len(old) > _MAX_NAMED:
        yield f"export.old: and of {len(old) - _MAX_NAMED} nodes more"


def _must_be_told(tailnet: Tailnet, node: Node, peers: list[PeerId]) -> Iterator[str]:
    for number in peers[:_MAX_NAMED]:
        peer = tailnet.peers[number]
        what = f"node {named(node)} has another key, and the far side of {named(peer)} must be told"
        yield f"connection.stale: {what}: {export_command(peer, node)}"
    if len(peers) > _MAX_NAMED:
        yield f"connection.stale: and the far sides of {len(peers) - _MAX_NAMED} peers more"
