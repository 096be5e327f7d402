"""What is explained is what frontends send: over random stories, for clients of every generation (reference: WireGuard-only peers, N28)."""

import os
from collections.abc import Sequence
from typing import Any, Final

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from engine.contracts.told import Told, told_of
from engine.domain.events import WireGuardModeSet
from engine.domain.pairs import connected_part
from engine.policy.compiled import permit_of
from engine.policy.permit import permitted
from engine.policy.policy import Identity
from engine.policy.program import Rule
from engine.ports import Recorded
from projections.history.doctor import examine
from projections.history.findings import Finding
from projections.history.scene import Pair, Scene, frozen
from projections.history.why import between, explain
from projections.netmap.state import snapshot_of
from tests.kit.governed import governed
from tests.kit.histories import events_of, records, steps
from tests.kit.reasons import Folded, Frames, is_typed

FAST: Final = settings(
    max_examples=int(os.environ.get("NETMAP_EXAMPLES", "40")),
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
CAPVERS: Final = (59, 93, 103, 104, 142)
OFTEN: Final = (
    "connect",
    "connect",
    "connect",
    "connect",
    "node",
    "policy",
    "peer",
    "peer_change",
    "peer_switch",
)
OVERALL: Final = {"location.city", "pool.nearly"}
"""What concerns several connections of a peer, and none by itself."""
NOT_TOLD: Final = {"node.expired", "client.old", "connection.missing", "policy.refuses"}
"""The findings that say why a node is not told."""


@st.composite
def logs(draw: st.DrawFn) -> list[Recorded]:
    """A log; in every other one the policy rules over WireGuard-only peers, and allows not everything."""
    small = st.integers(0, 20)
    more = st.lists(st.tuples(st.sampled_from(OFTEN), small, small), min_size=4, max_size=20)
    events = events_of([*draw(steps(longest=20, restores=False)), *draw(more)])
    is_enforced = draw(st.booleans())
    if is_enforced:
        events.insert(1, WireGuardModeSet(mode="enforce"))
    found = records(events)
    return governed(found) if is_enforced or draw(st.booleans()) else found


@FAST
@given(logs())
def test_who_is_said_to_be_seen_is_in_the_frame_and_nobody_else(log: list[Recorded]) -> None:
    folded = Folded(log)
    frames, scene = Frames(folded.state), folded.scene()
    tailnet = folded.state.tailnet
    for node in tailnet.nodes.values():
        for capver in CAPVERS:
            sent = frames.peers(node.id, capver)
            for peer in tailnet.peers.values():
                said = explain(scene, node, peer, capver)
                assert said.is_seen == (peer.id in sent), (node.id, peer.id, capver)
                reasons = {f.code for f in said.findings if f.verdict == "blocks"} & NOT_TOLD
                assert bool(reasons) is not said.is_seen, reasons
                told = scene.pair(node, peer, capver).told
                if told is not None:
                    assert shape(told) == {name: sent[peer.id].get(name) for name in shape(told)}


def shape(told: Told) -> dict[str, Any]:
    return {
        "Key": told.key,
        "AllowedIPs": [*told.addresses, *told.routes],
        "Endpoints": list(told.endpoints),
        "SelfNodeV4MasqAddrForThisPeer": told.ipv4_masq or None,
        "SelfNodeV6MasqAddrForThisPeer": told.ipv6_masq or None,
        "IsJailed": told.jailed or None,
        "Online": told.online,
    }


@FAST
@given(logs())
def test_of_two_nodes_too(log: list[Recorded]) -> None:
    folded = Folded(log)
    frames, scene = Frames(folded.state), folded.scene()
    nodes = folded.state.tailnet.nodes.values()
    for node in nodes:
        sent = frames.peers(node.id, 142)
        for other in nodes:
            if other is not node:
                said = between(scene, node, other)
                assert said.is_seen == (other.id in sent), (node.id, other.id)


@FAST
@given(logs())
def test_the_doctor_says_what_is_said_of_each_pair(log: list[Recorded]) -> None:
    folded = Folded(log)
    scene, tailnet = folded.scene(), folded.state.tailnet
    wrong = {what(f) for pair in tailnet.connections for f in pair_findings(scene, *pair)}
    named = {what(f) for f in examine(scene).findings if f.verdict in ("blocks", "warn")}
    assert wrong <= named, wrong - named
    connected = tailnet.nodes_of_peer.keys()
    assert {one for one in named - wrong if one[0] not in OVERALL and one[2] in connected} == set()


def pair_findings(scene: Scene, node: int, peer: int) -> list[Finding]:
    tailnet = scene.tailnet
    said = explain(scene, tailnet.nodes[node], tailnet.peers[peer])  # type: ignore[index]
    return [finding for finding in said.findings if finding.verdict in ("blocks", "warn")]


def what(finding: Finding) -> tuple[object, ...]:
    """What a finding is about: mutual ones are said from one side, those of a node or a peer once."""
    if finding.code in ("allowedips.overlap", "endpoint.shared"):
        return finding.code, finding.node, finding.made
    return finding.code, finding.node, finding.peer


@FAST
@given(logs())
def test_what_a_finding_names_is_in_the_log_and_what_is_said_of_a_copy_is_the_same(
    log: list[Recorded],
) -> None:
    folded = Folded(log)
    positions = {record.position for record in log}
    scene = folded.scene()
    said = examine(scene)
    assert all(set(finding.made) <= positions for finding in said.findings)
    told = [f for node, peer in folded.state.tailnet.connections for f in pair_findings(scene, node, peer)]
    assert all(is_typed(line) for line in {finding.fix for finding in (*said.findings, *told)} - {""})
    copied = frozen(folded.state)
    assert snapshot_of(copied) == snapshot_of(folded.state)
    assert examine(Scene(copied, folded.causes.copy(), scene.now)) == said


def test_a_renderer_that_told_old_clients_would_be_noticed() -> None:
    """A negative control: what is not told is not told because of `told_of` alone."""
    log = records(events_of([("user", 0, 0), ("node", 0, 0), ("peer", 0, 0), ("connect", 0, 0)]))
    folded = Folded(log)
    (node,), (peer,) = folded.state.tailnet.nodes.values(), folded.state.tailnet.peers.values()
    pair = folded.scene().pair(node, peer, 93)
    held = folded.state.peer(peer.id)
    assert (pair.told, pair.extra is None) == (None, False)
    assert held is not None
    assert pair.extra is not None
    assert told_of(held, pair.extra, 94) is not None


@FAST
@given(logs())
def test_the_rules_that_are_named_leave_together_what_the_node_is_told(log: list[Recorded]) -> None:
    folded = Folded(log)
    scene, tailnet = folded.scene(), folded.state.tailnet
    if not tailnet.settings.is_enforced:
        return
    for number, peer_number in tailnet.connections:
        node, peer = tailnet.nodes[number], tailnet.peers[peer_number]
        pair = scene.pair(node, peer)
        said = explain(scene, node, peer)
        rules = {rule.place: rule for rule in folded.state.policy.rules}
        named = [rules[finding.rule] for finding in said.findings if finding.code == "policy.permits"]
        left = left_by(named, pair)
        assert (pair.extra is not None) == bool(named)
        if pair.extra is not None:
            assert set(pair.extra.allowed_ips or ()) == left
        others = [rule for place, rule in rules.items() if rule not in named]
        allowing = {id(rule) for rule in folded.state.policy.allowing(scene.identity(node) or NOBODY)}
        assert not any(left_by([rule], pair) for rule in others if id(rule) in allowing)


NOBODY: Final = Identity(id="")


def left_by(rules: Sequence[Rule], pair: Pair) -> set[str]:
    """What rules leave of a pair's connection, each by itself; nothing if they do not speak of the peer."""
    assert pair.connection is not None
    part, own = connected_part(pair.connection, pair.peer), (pair.peer.ipv4, pair.peer.ipv6)
    found = (permitted(part, own, pair.peer.extra.tags, permit_of([rule])) for rule in rules)
    return {prefix for left in found for prefix in left or ()}
