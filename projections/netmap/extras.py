"""What is one node's own: its connections to WireGuard-only peers, and whether one of them answers its names.

Rule 1: a connection may have a part of the peer's allowed IPs only. In mode `bypass` connections alone decide. In mode `enforce` the policy must allow the way too: what it does not allow
        is cut from the peer's allowed IPs, and a peer of which nothing is left is not shown (`engine/policy/permit.py`).
Rule 2: where the tailnet's resolvers are to be demoted, they are for nodes that can use a peer as exit which has resolvers.
"""

from bisect import bisect_left

from engine.contracts.netmap import Change, ConnectionExtra, ExtrasObject
from engine.domain.aggregates import DEFAULT_ROUTES, Connection, Peer
from engine.domain.values import NodeId, PeerId
from engine.policy.permit import permitted
from engine.policy.policy import Permit
from projections.netmap.state import NetmapState


def put_extras(state: NetmapState, node: NodeId) -> Change | None:
    """Hold a node's connections as they are now; return what changes."""
    known = state.tailnet.peers_of_node.get(node, ()) if node in state.tailnet.nodes else ()
    pairs = ((state.tailnet.connections[node, peer], state.tailnet.peers[peer]) for peer in sorted(known))
    return _put(state, node, tuple(extra for pair in pairs if (extra := _extra(state, *pair)) is not None))


def put_connection(state: NetmapState, node: NodeId, peer: PeerId) -> Change | None:
    """Hold one connection of a node as it is now, the node's others as they are held; return what changes."""
    rest = state.extras(node).connections
    if not rest or node not in state.tailnet.nodes:
        return put_extras(state, node)
    connection = state.tailnet.connections.get((node, peer))
    extra = None if connection is None else _extra(state, connection, state.tailnet.peers[peer])
    at = bisect_left(rest, peer, key=_peer_of)
    beyond = at + 1 if at < len(rest) and rest[at].peer == peer else at
    extras = (*rest[:at], *(() if extra is None else (extra,)), *rest[beyond:])
    return _put(state, node, extras)


def put_all_extras(state: NetmapState) -> list[Change | None]:
    """Hold the connections of all nodes that have any; return what changes."""
    return [put_extras(state, node) for node in sorted(state.tailnet.peers_of_node)]


def _put(state: NetmapState, node: NodeId, extras: tuple[ConnectionExtra, ...]) -> Change | None:
    if not extras:
        return state.drop(f"extras/{node}")
    demotes = state.tailnet.settings.is_demoting and any(_answers(state, extra) for extra in extras)
    return state.put(ExtrasObject(node=node, connections=extras, demotes=demotes))


def _peer_of(extra: ConnectionExtra) -> PeerId:
    return extra.peer


def _answers(state: NetmapState, extra: ConnectionExtra) -> bool:
    """Return whether the peer is an exit for the node, carries traffic, and has resolvers (rule 2)."""
    peer = state.tailnet.peers[extra.peer]
    allowed = peer.allowed_ips if extra.allowed_ips is None else extra.allowed_ips
    is_usable = peer.parked_key is None and not peer.expired_at and set(allowed) >= DEFAULT_ROUTES
    return is_usable and bool(peer.extra.exit_node_dns_resolvers)


def _extra(state: NetmapState, connection: Connection, peer: Peer) -> ConnectionExtra | None:
    allowed = connection.allowed_ips
    if state.tailnet.settings.is_enforced:
        held = state.node(connection.node)
        permit = Permit() if held is None else state.standings[held.class_id].permit
        whole = peer.allowed_ips if allowed is None else allowed
        allowed = permitted(whole, (peer.ipv4, peer.ipv6), peer.extra.tags, permit)
        if allowed is None:
            return None
    return ConnectionExtra(
        peer=connection.peer,
        ipv4_masq=connection.ipv4_masq,
        ipv6_masq=connection.ipv6_masq,
        allowed_ips=allowed,
        jailed=connection.jailed,
    )
