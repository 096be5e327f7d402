"""What is wrong with a tailnet's WireGuard-only peers, all of them: what `why` would warn of, and what concerns several; pure.

Rule 1: each thing is said once: what is so of a peer or a node is not said again for each of its connections.
Rule 2: nobody is told that a peer without connections is disabled: relays that have gone from a list are.
Rule 3: the cost is linear in connections, peers and nodes that are connected. Connections that are alike (`_alike`) are looked
        at once as long as nothing is wrong with them.
Rule 4: of one kind `MAX_EACH` findings are told, and how many more there are.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Final

import msgspec
from msgspec.structs import replace

from engine.domain.aggregates import Node, Peer
from engine.domain.masqpool import capacity_of
from engine.domain.pairs import named
from engine.domain.values import NodeId, PeerId
from engine.policy.ranges import overlap, span_of
from projections.history.findings import SEVERITY, Finding, Verdict, severity
from projections.history.places import clashes, coordinates, has_coordinates, of_peer
from projections.history.scene import Scene
from projections.history.traffic import endpoints_of, is_multicast, mutual, traffic
from projections.history.way import of_node, way

NEARLY: Final = 0.9
"""The share of a masquerade pool from which on it is said to be nearly full."""
_OF_STATE: Final = frozenset({"peer.disabled", "peer.expired", "peer.drained"})
_MUTUAL: Final = frozenset({"allowedips.overlap", "endpoint.shared"})
"""What two peers of a node have in common; the records that made it so are the same from either side."""
MAX_EACH: Final = 1_000
"""Findings of one code and verdict that are told."""
Kind = tuple[Verdict, str]
"""A verdict and a code."""
_NAMED: Final = 10
"""Peers that one finding names; it says how many more there are."""


class Report(msgspec.Struct, frozen=True):
    """What is wrong, the worst first, and how many more findings of each verdict and code there are."""

    findings: tuple[Finding, ...]
    more: Mapping[tuple[Verdict, str], int]

    def count(self, verdict: Verdict) -> int:
        """Return how many findings of a verdict there are, told or not."""
        told = sum(finding.verdict == verdict for finding in self.findings)
        return told + sum(count for (kind, _), count in self.more.items() if kind == verdict)


def examine(scene: Scene) -> Report:
    """Return all that is wrong."""
    told = _Told()
    for finding in _tailnet(scene):
        told.add(finding)
    for number in sorted(scene.tailnet.peers):
        for finding in _peer(scene, scene.tailnet.peers[number]):
            told.add(finding)
    looks: dict[object, tuple[Kind, ...] | None] = {}
    for connected in sorted(scene.tailnet.peers_of_node):
        _node(scene, connected, looks, told)
    return Report(tuple(sorted(told.findings, key=severity)), told.more)


class _Told:
    """Findings, as far as they are told (rule 4)."""

    def __init__(self) -> None:
        self.findings: Final[list[Finding]] = []
        self.more: Final[Counter[Kind]] = Counter()
        self._held: Final[Counter[Kind]] = Counter()

    def add(self, finding: Finding) -> None:
        kind = finding.verdict, finding.code
        if self.is_full([kind]):
            self.more[kind] += 1
        else:
            self._held[kind] += 1
            self.findings.append(finding)

    def is_full(self, kinds: Iterable[Kind]) -> bool:
        """Return whether nothing more is told of these kinds."""
        return all(self._held[kind] >= MAX_EACH for kind in kinds)


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
        text = f"nothing is recorded of what the far side was told of {len(held)} connections"
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


def _node(scene: Scene, number: NodeId, looks: dict[object, tuple[Kind, ...] | None], told: _Told) -> None:
    """Tell what is wrong with a node and its connections; `looks` has what is wrong with those that were looked at.

    What is wrong with a node is no matter of one connection: None.
    """
    node = scene.tailnet.nodes[number]
    own = list(of_node(scene, node))
    said: set[object] = {finding.code for finding in own}
    for finding in filter(_is_wrong, own):
        told.add(finding)
    shared = _in_common(scene, node)
    for peer in sorted(scene.tailnet.peers_of_node[number]):
        alike = _alike(scene, node, peer)
        kinds = looks.get(alike)
        if kinds is not None and told.is_full(kinds) and peer not in shared:
            told.more.update(kinds)
            continue
        pair = scene.pair(node, scene.tailnet.peers[peer])
        found = [f for f in (*way(scene, pair), *traffic(scene, pair)) if _is_wrong(f)]
        looks[alike] = tuple((f.verdict, f.code) for f in found) if all(f.peer for f in found) else None
        found += [f for f in mutual(scene, pair) if peer in shared and pair.told is not None]
        for finding in found:
            what = _what(finding)
            if what not in said:
                said.add(what)
                told.add(finding)


def _alike(scene: Scene, node: Node, peer: PeerId) -> object:
    """Return all that findings about a connection depend on, but for what they name and what concerns other peers."""
    held, extra = scene.tailnet.connections[node.id, peer], scene.extra_of(node.id, peer)
    terms = None if extra is None else extra.allowed_ips
    addresses = _sort_of(held.ipv4_masq), _sort_of(held.ipv6_masq)
    stale = bool(held.stale_since), held.exported is None
    mine = scene.state.node(node.id)
    policy = mine.class_id if mine is not None and scene.tailnet.settings.is_enforced else ""
    return (
        peer,
        terms,
        held.allowed_ips,
        addresses,
        stale,
        scene.capver(node),
        policy,
        node.expired,
        extra is None,
    )


def _sort_of(address: str) -> str:
    """Return what sort of masquerade address it is: none, a usable one or a multicast one."""
    if not address:
        return "none"
    return "multicast" if is_multicast(address) else "usable"


def _in_common(scene: Scene, node: Node) -> set[PeerId]:
    """Return the node's peers that share a prefix or an endpoint with another one."""
    found, held = set(scene.overlaps(node)), dict[str, PeerId]()
    for number in scene.tailnet.peers_of_node[node.id]:
        for endpoint in endpoints_of(scene.tailnet.peers[number]):
            other = held.setdefault(endpoint, number)
            if other != number:
                found |= {number, other}
    return found


def _what(finding: Finding) -> object:
    """Return what makes the finding one of its own among those of a node (rule 1)."""
    if not finding.peer:
        return finding.code
    return (finding.code, finding.made) if finding.code in _MUTUAL else finding
