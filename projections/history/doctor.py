"""What is wrong with a tailnet's WireGuard-only peers, all of them: what `why` would warn of, and what concerns several; pure.

Rule 1: each thing is said once: what is so of a peer or a node is not said again for each of its connections.
Rule 2: nobody is told that a peer without connections is disabled: relays that have gone from a list are.
Rule 3: the cost is linear in connections, peers and nodes that are connected.
"""

from collections.abc import Iterator
from typing import Final

from msgspec.structs import replace

from engine.domain.aggregates import Peer
from engine.domain.masqpool import capacity_of
from engine.domain.pairs import named
from engine.domain.values import NodeId
from engine.policy.ranges import overlap, span_of
from projections.history.findings import SEVERITY, Finding, severity
from projections.history.places import clashes, coordinates, has_coordinates, of_peer
from projections.history.scene import Scene
from projections.history.traffic import traffic
from projections.history.way import of_node, way

NEARLY: Final = 0.9
"""The share of a masquerade pool from which on it is said to be nearly full."""
_OF_STATE: Final = frozenset({"peer.disabled", "peer.expired", "peer.drained"})
_MUTUAL: Final = frozenset({"allowedips.overlap", "endpoint.shared"})
"""What two peers of a node have in common; the records that made it so are the same from either side."""
_NAMED: Final = 10
"""Peers that one finding names; it says how many more there are."""


def examine(scene: Scene) -> list[Finding]:
    """Return all that is wrong, the worst first."""
    found = [*_tailnet(scene)]
    for number in sorted(scene.tailnet.peers):
        found += _peer(scene, scene.tailnet.peers[number])
    for connected in sorted(scene.tailnet.peers_of_node):
        found += _node(scene, connected)
    return sorted(found, key=severity)


def _is_wrong(finding: Finding) -> bool:
    return SEVERITY[finding.verdict] <= SEVERITY["warn"]


def _tailnet(scene: Scene) -> Iterator[Finding]:
    tailnet = scene.tailnet
    placed = [p for p in tailnet.peers.values() if p.extra.location is not None and p.extra.suggest_exit_node]
    if placed and not has_coordinates(bytes(tailnet.settings.derp_map)):
        yield coordinates(Finding(code="", verdict="warn", text="", made=scene.causes.of(("derp",))))
    yield from clashes(scene)
    idle = [
        p
        for p in sorted(tailnet.peers)
        if p not in tailnet.nodes_of_peer and tailnet.peers[p].parked_key is None
    ]
    if idle:
        names = ", ".join(named(tailnet.peers[number]) for number in idle[:_NAMED])
        more = f" and {len(idle) - _NAMED} more" if len(idle) > _NAMED else ""
        text = f"nobody is connected to {names}{more}"
        fix = "netmap node add-wg-connection --node-id NODE --wg-peer-id PEER --ipv4-masq-addr ADDRESS"
        yield Finding(code="peer.unconnected", verdict="note", text=text, fix=fix)
    yield from _unrecorded(scene)


def _unrecorded(scene: Scene) -> Iterator[Finding]:
    """Yield of how many connections nobody has recorded what the far side was told."""
    held = [
        pair
        for pair, one in scene.tailnet.connections.items()
        if one.exported is None and not one.stale_since
    ]
    if held:
        text = f"of {len(held)} connections nothing is recorded of what the far side was told"
        fix = "netmap wg export --peer PEER --record"
        yield Finding(code="farside.unrecorded", verdict="note", text=text, fix=fix)


def _peer(scene: Scene, peer: Peer) -> Iterator[Finding]:
    nodes = len(scene.tailnet.nodes_of_peer.get(peer.id, ()))
    for finding in of_peer(scene, peer):
        if finding.code in _OF_STATE and nodes:
            count = "1 node is" if nodes == 1 else f"{nodes} nodes are"
            yield replace(finding, text=f"{finding.text}; {count} connected")
        elif _is_wrong(finding) and finding.code not in _OF_STATE:
            yield finding
    yield from _pools(scene, peer)


def _pools(scene: Scene, peer: Peer) -> Iterator[Finding]:
    nodes = scene.tailnet.nodes_of_peer.get(peer.id, ())
    held = [scene.tailnet.connections[node, peer.id] for node in nodes]
    for version, prefix in ((4, peer.masq_v4), (6, peer.masq_v6)):
        if not prefix:
            continue
        pool, capacity = span_of(prefix), capacity_of(prefix)
        addresses = [one.ipv4_masq if version == 4 else one.ipv6_masq for one in held]  # noqa: PLR2004
        used = sum(bool(address) and overlap(span_of(address), pool) for address in addresses)
        if used >= NEARLY * capacity:
            yield Finding(
                code="pool.nearly",
                verdict="warn",
                text=f"{used} of the {capacity} addresses of {prefix}, the masquerade pool of {named(peer)}, are in use",
                fix=f"netmap wg set-masq-pool {peer.name} --ipv{version} PREFIX",
                made=scene.causes.of(("peer.pool", peer.id)),
                peer=peer.id,
            )


def _node(scene: Scene, number: NodeId) -> Iterator[Finding]:
    node = scene.tailnet.nodes[number]
    own = list(of_node(scene, node))
    yield from filter(_is_wrong, own)
    said: set[object] = {finding.code for finding in own}
    for peer in sorted(scene.tailnet.peers_of_node[node.id]):
        pair = scene.pair(node, scene.tailnet.peers[peer])
        for finding in (*way(scene, pair), *traffic(scene, pair)):
            what = _what(finding)
            if _is_wrong(finding) and what not in said:
                said.add(what)
                yield finding


def _what(finding: Finding) -> object:
    """Return what makes the finding one of its own among those of a node (rule 1)."""
    if not finding.peer:
        return finding.code
    return (finding.code, finding.made) if finding.code in _MUTUAL else finding
