"""Who is named is who did it: without the command that `why` names, the difference is not there (invariant S8).

A difference is that what a node is told of a WireGuard-only peer, or whether it sees another node, is not what it was before some record.
For the last such record of each pair, long after it: `why` must name it, and the log without its command must not have the difference.
"""

import os
from collections.abc import Iterator, Sequence
from typing import Any, Final, NamedTuple

from hypothesis import HealthCheck, given, settings

from engine.domain.values import NodeId, PeerId, Position
from engine.ports import Recorded
from projections.history.scene import Scene
from projections.history.why import between, explain
from tests.kit.reasons import Folded
from tests.property.test_why import logs

FAST: Final = settings(
    max_examples=int(os.environ.get("NETMAP_EXAMPLES", "40")),
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)


class Pair(NamedTuple):
    """A node, and whom it sees or not: another node, or a WireGuard-only peer."""

    node: int
    other: int
    is_peer: bool


class Difference(NamedTuple):
    """The last record after which something is seen otherwise than before."""

    position: Position
    before: object
    after: object


def sight(scene: Scene, pair: Pair) -> object:
    """Return what the node is told of the other; None while it is told nothing."""
    tailnet = scene.tailnet
    node = tailnet.nodes.get(NodeId(pair.node))
    if node is None:
        return None
    if pair.is_peer:
        peer = tailnet.peers.get(PeerId(pair.other))
        told = None if peer is None else scene.pair(node, peer, 142).told
        return (
            None
            if told is None
            else told._replace(expired_at=bool(told.expired_at))
            if hasattr(told, "_replace")
            else told
        )
    other = tailnet.nodes.get(NodeId(pair.other))
    return True if other is not None and between(scene, node, other).is_seen else None


def pairs(log: Sequence[Recorded]) -> list[Pair]:
    """Return every pair that is there at the end."""
    tailnet = Folded(log).state.tailnet
    others = [(number, False) for number in tailnet.nodes] + [(number, True) for number in tailnet.peers]
    return [Pair(node, other, kind) for node in tailnet.nodes for other, kind in others if other != node]


def differences(log: Sequence[Recorded], wanted: Sequence[Pair]) -> dict[Pair, Difference]:
    """Return the last difference of each pair that has any."""
    folded = Folded()
    held: dict[Pair, object] = dict.fromkeys(wanted)
    found: dict[Pair, Difference] = {}
    for record in log:
        folded.take([record])
        scene = folded.scene()
        for pair in wanted:
            now = sight(scene, pair)
            if now != held[pair]:
                found[pair] = Difference(record.position, held[pair], now)
                held[pair] = now
    return found


def named(scene: Scene, pair: Pair) -> set[int]:
    """Return the positions that `why` names."""
    tailnet = scene.tailnet
    node = tailnet.nodes[NodeId(pair.node)]
    said = (
        explain(scene, node, tailnet.peers[PeerId(pair.other)], 142)
        if pair.is_peer
        else between(scene, node, tailnet.nodes[NodeId(pair.other)])
    )
    return {position for finding in said.findings for position in finding.made}


def without(log: Sequence[Recorded], position: Position) -> Iterator[Recorded]:
    """Yield the log as it would be had the command of this record not been given."""
    command = next(record.envelope.command_id for record in log if record.position == position)
    return (record for record in log if record.envelope.command_id != command)


@FAST
@given(logs())
def test_the_command_that_is_named_is_the_one_without_which_it_would_be_otherwise(
    log: list[Recorded],
) -> None:
    last = Folded(log).scene()
    for pair, difference in differences(log, pairs(log)).items():
        then = [record for record in log if record.position <= difference.position]
        assert difference.position in named(Folded(then).scene(), pair), (pair, difference)
        other = Folded([*without(then, difference.position)]).scene()
        assert sight(other, pair) == difference.before, (pair, difference)
        later = max(named(last, pair), default=0)
        assert later >= difference.position, (pair, difference)  # or what would have sufficed too, since


def test_who_names_nobody_is_found_out() -> None:
    """A negative control of `differences`: a connection is one, and its record is what makes it."""
    from tests.kit.histories import events_of, records

    log = records(events_of([("user", 0, 0), ("node", 0, 0), ("peer", 0, 0), ("connect", 0, 0)]))
    found: dict[Pair, Any] = differences(log, pairs(log))
    [(pair, difference)] = [item for item in found.items() if item[0].is_peer]
    assert difference.before is None
    assert sight(Folded([*without(log, difference.position)]).scene(), pair) is None
    assert sight(Folded(log).scene(), pair) is not None
