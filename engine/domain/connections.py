"""Decisions about connections: a node's right to a WireGuard-only peer.

Rule 1: a node is never connected to two WireGuard-only peers with an endpoint in common (replies would be mistaken),
        nor with a prefix in common, but for the default routes: the user chooses one of several exits.
Rule 2: a client that knows no jail never gets a WireGuard-only peer: the far side could call it.
Rule 3: adding what is there already, and updating to what is there already, change nothing.
"""

from typing import Final

from engine.domain.aggregates import Node, Peer
from engine.domain.commands import AddConnection, RemoveConnection, UpdateConnection
from engine.domain.decision import Decision, Given
from engine.domain.document import standing_of
from engine.domain.errors import Conflict, Invalid, NotFound
from engine.domain.events import ConnectionAdded, ConnectionRemoved, ConnectionUpdated
from engine.domain.keys import wireguard_base64
from engine.domain.masquerade import Masquerade, parse_masquerade
from engine.domain.refs import node_of, peer_of
from engine.domain.state import DEFAULT_ROUTES, Tailnet
from engine.domain.values import NEVER, Millis, NodeId, PeerId
from engine.policy.permit import permitted

JAIL_CAPVER: Final = 94
"""Clients keep a jailed peer from calling them from here on (tailscale tailcfg: capability version 94)."""
_SOON: Final = 7 * 86_400_000
"""Milliseconds before a node's expiry within which its connections deserve a word."""


def add_connection(tailnet: Tailnet, command: AddConnection, given: Given) -> Decision:
    """Decide whether the node may be connected to the WireGuard-only peer.

    Raises:
        NotFound: `node.not_found`, `peer.not_found`.
        Invalid: `connection.capver`, `masq.*`.
        Conflict: `connection.exists`, `connection.overlap`, `connection.endpoint`, `masq.in_use`, `masq.taken`.
    """
    node, peer = node_of(tailnet, command.node), peer_of(tailnet, command.peer)
    masquerade, warnings = parse_masquerade(
        tailnet, node, peer, command.ipv4_masq_addr, command.ipv6_masq_addr
    )
    existing = tailnet.connections.get((node.id, peer.id))
    if existing is not None:
        if (existing.ipv4_masq, existing.ipv6_masq) != (masquerade.ipv4, masquerade.ipv6):
            raise Conflict(
                "connection.exists",
                f"node {_named(node)} is connected to {_named(peer)} already, with other masquerade addresses: "
                f"{_listed(existing.ipv4_masq, existing.ipv6_masq)}",
                hint=_command_line("update", node.id, peer.id, masquerade),
            )
        return _decision(node, peer, masquerade, [*warnings, "connection.exists: nothing changed"])
    _refuse_old_client(node)
    _refuse_overlap(tailnet, node, peer)
    event = ConnectionAdded(node=node.id, peer=peer.id, ipv4_masq=masquerade.ipv4, ipv6_masq=masquerade.ipv6)
    return _decision(
        node, peer, masquerade, [*warnings, *_doubts(node, given.now), *_cuts(tailnet, node, peer)], event
    )


def update_connection(tailnet: Tailnet, command: UpdateConnection) -> Decision:
    """Decide on other masquerade addresses; both are replaced.

    Raises:
        NotFound: `node.not_found`, `peer.not_found`, `connection.not_found`.
        Invalid: `masq.*`.
        Conflict: `masq.in_use`, `masq.taken`.
    """
    node, peer = node_of(tailnet, command.node), peer_of(tailnet, command.peer)
    existing = tailnet.connections.get((node.id, peer.id))
    masquerade, warnings = parse_masquerade(
        tailnet, node, peer, command.ipv4_masq_addr, command.ipv6_masq_addr
    )
    if existing is None:
        raise _not_found(node, peer, _command_line("add", node.id, peer.id, masquerade))
    if (existing.ipv4_masq, existing.ipv6_masq) == (masquerade.ipv4, masquerade.ipv6):
        return _decision(node, peer, masquerade, warnings)
    event = ConnectionUpdated(
        node=node.id, peer=peer.id, ipv4_masq=masquerade.ipv4, ipv6_masq=masquerade.ipv6
    )
    return _decision(node, peer, masquerade, warnings, event)


def remove_connection(tailnet: Tailnet, command: RemoveConnection) -> Decision:
    """Decide to disconnect the node from the WireGuard-only peer.

    Raises:
        NotFound: `node.not_found`, `peer.not_found`, `connection.not_found`.
    """
    node, peer = node_of(tailnet, command.node), peer_of(tailnet, command.peer)
    if (node.id, peer.id) not in tailnet.connections:
        raise _not_found(node, peer, "netmap connection list shows all")
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
    return [_command_line("remove", node, peer) for node in sorted(tailnet.nodes_of_peer.get(peer, ()))]


def _decision(
    node: Node,
    peer: Peer,
    masquerade: Masquerade,
    warnings: list[str],
    event: ConnectionAdded | ConnectionUpdated | None = None,
) -> Decision:
    return Decision(
        events=() if event is None else (event,),
        result={
            "node": node.id,
            "peer": peer.id,
            "ipv4MasqAddr": masquerade.ipv4,
            "ipv6MasqAddr": masquerade.ipv6,
            # What the far side must be told by hand, as it gets no updates from us.
            "nodePublicKey": wireguard_base64(node.node_key),
        },
        warnings=tuple(warnings),
    )


def _refuse_old_client(node: Node) -> None:
    if 0 < node.capver < JAIL_CAPVER:
        raise Invalid(
            "connection.capver",
            f"the client of node {_named(node)} is too old to be safe from a WireGuard-only peer: capability "
            f"version {node.capver}, needed {JAIL_CAPVER}",
            field="node",
            hint="update the client to 1.64 or later",
        )


def _refuse_overlap(tailnet: Tailnet, node: Node, peer: Peer) -> None:
    mine = tailnet.peers_of_node.get(node.id)
    if not mine:
        return
    for endpoint in peer.endpoints:
        _refuse_common(
            tailnet, node, peer, mine & tailnet.peers_by_endpoint[endpoint], f"the endpoint {endpoint}"
        )
    for prefix in peer.allowed_ips:
        if prefix not in DEFAULT_ROUTES:
            _refuse_common(
                tailnet, node, peer, mine & tailnet.peers_by_prefix[prefix], f"the prefix {prefix}"
            )


def _refuse_common(tailnet: Tailnet, node: Node, peer: Peer, others: set[PeerId], what: str) -> None:
    for other in sorted(others - {peer.id}):
        raise Conflict(
            "connection.endpoint" if "endpoint" in what else "connection.overlap",
            f"node {_named(node)} is connected to {_named(tailnet.peers[other])}, which has {what} too",
            field="peer",
            hint=_command_line("remove", node.id, other),
        )


def _doubts(node: Node, now: Millis) -> list[str]:
    if node.is_expired(now):
        return [f"connection.node_expired: the key of node {_named(node)} has expired: it must log in first"]
    if NEVER < node.expiry < now + _SOON:
        what = f"the key of node {_named(node)} expires within a week"
        return [f"connection.key_expires: {what}; the peer's side must then be given the new one"]
    return []


def _cuts(tailnet: Tailnet, node: Node, peer: Peer) -> list[str]:
    """Say what the policy leaves of the connection, where it rules over WireGuard-only peers."""
    if not tailnet.settings.is_enforced:
        return []
    permit = standing_of(tailnet, node).permit
    left = permitted(peer.allowed_ips, (peer.ipv4, peer.ipv6), peer.extra.tags, permit)
    if left is None:
        what = f"the policy lets node {_named(node)} send nothing to {_named(peer)}: it does not see it"
        return [f"connection.not_permitted: {what}"]
    told = []
    if set(left) != set(peer.allowed_ips):
        told.append(
            f"connection.cut: the policy leaves {_listed(*left) or 'its own addresses'} of its allowed IPs"
        )
    if permit.has_ports:
        told.append(
            "connection.ports: the policy names ports; nothing on a client enforces them towards such a peer"
        )
    return told


def _not_found(node: Node, peer: Peer, hint: str) -> NotFound:
    return NotFound(
        "connection.not_found", f"node {_named(node)} is not connected to {_named(peer)}", hint=hint
    )


def _named(thing: Node | Peer) -> str:
    return f"{thing.id}({thing.name})"


def _listed(*texts: str) -> str:
    return " and ".join(text for text in texts if text)


def _command_line(verb: str, node: NodeId, peer: PeerId, masquerade: Masquerade | None = None) -> str:
    line = f"netmap node {verb}-wg-connection --node-id {node} --wg-peer-id {peer}"
    if masquerade is not None and masquerade.ipv4:
        line += f" --ipv4-masq-addr {masquerade.ipv4}"
    if masquerade is not None and masquerade.ipv6:
        line += f" --ipv6-masq-addr {masquerade.ipv6}"
    return line
