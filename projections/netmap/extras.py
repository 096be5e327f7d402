"""What is one node's own: its connections to WireGuard-only peers.

Rule 1: in mode `bypass` connections alone decide. In mode `enforce` the policy must allow the way too: what it does not allow
        is cut from the peer's allowed IPs, and a peer of which nothing is left is not shown.
Rule 2: a default route is allowed by `autogroup:internet` only; `*` and other autogroups never speak of such a peer.
"""

import ipaddress
from collections.abc import Iterable, Iterator

from engine.contracts.netmap import Change, ConnectionExtra, ExtrasObject
from engine.domain.aggregates import DEFAULT_ROUTES, Connection, Peer
from engine.domain.values import NodeId
from engine.policy.policy import Permit
from engine.policy.ranges import Span, overlap, span_of
from projections.netmap.state import NetmapState

ENFORCE = "enforce"


def put_extras(state: NetmapState, node: NodeId) -> Change | None:
    """Hold a node's connections as they are now; return what changes."""
    known = state.tailnet.peers_of_node.get(node, ()) if node in state.tailnet.nodes else ()
    pairs = ((state.tailnet.connections[node, peer], state.tailnet.peers[peer]) for peer in sorted(known))
    extras = [extra for pair in pairs if (extra := _extra(state, *pair)) is not None]
    if not extras:
        return state.drop(f"extras/{node}")
    return state.put(ExtrasObject(node=node, connections=tuple(extras)))


def put_all_extras(state: NetmapState) -> list[Change | None]:
    """Hold the connections of all nodes that have any; return what changes."""
    return [put_extras(state, node) for node in sorted(state.tailnet.peers_of_node)]


def is_enforced(state: NetmapState) -> bool:
    """Return whether the policy rules over WireGuard-only peers."""
    return state.tailnet.settings.wireguard_mode == ENFORCE


def _extra(state: NetmapState, connection: Connection, peer: Peer) -> ConnectionExtra | None:
    allowed = None
    if is_enforced(state):
        held = state.node(connection.node)
        permit = Permit() if held is None else state.standings[held.class_id].permit
        allowed = permitted(peer, permit)
        if allowed is None:
            return None
    return ConnectionExtra(
        peer=connection.peer,
        ipv4_masq=connection.ipv4_masq,
        ipv6_masq=connection.ipv6_masq,
        allowed_ips=allowed,
    )


def permitted(peer: Peer, permit: Permit) -> tuple[str, ...] | None:
    """Return what is left of a peer's allowed IPs, its own addresses aside; None if it is not to be seen at all."""
    is_named = any(tag in permit.tags for tag in peer.extra.tags)
    spans = [span_of(text) for text in permit.ranges]
    left: list[str] = []
    for prefix in peer.allowed_ips:
        if prefix in DEFAULT_ROUTES:
            left += [prefix] if permit.internet else []
        else:
            left += [prefix] if is_named else _cut(prefix, spans)
    own = (span_of(address) for address in (peer.ipv4, peer.ipv6) if address)
    is_own_named = any(overlap(address, span) for address in own for span in spans)
    return tuple(dict.fromkeys(left)) if left or is_named or is_own_named else None


def _cut(prefix: str, spans: Iterable[Span]) -> Iterator[str] | list[str]:
    whole = span_of(prefix)
    parts = [(max(whole[1], span[1]), min(whole[2], span[2])) for span in spans if overlap(whole, span)]
    kind = ipaddress.IPv4Address if whole[0] == 4 else ipaddress.IPv6Address  # noqa: PLR2004 (IP versions)
    return [
        str(network)
        for first, last in parts
        for network in ipaddress.summarize_address_range(kind(first), kind(last))
    ]
