"""What a policy costs: compiled cold, and after each kind of change, in a projection and in a frontend, and what is then sent.

1,000 and 5,000 nodes of 200 people, half of them tagged; 0, 41 and 401 rules over groups, tags, `autogroup:self` and subnets.
Everything runs in this process, without bus or sockets: processor time of the fold, of the replica and its view, and of the frames
for the sessions of the first `SESSIONS` nodes, whose octets are counted before compression.

* cold: the policy meets the nodes, all at once
* per change: the median of `ROUNDS`; a join (in a known class), a node that is retagged, a route approved, one rule edited

Ratio: over encoding the tailnet's objects once, as a snapshot is.
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final

import msgspec

from bench.forms import Form, within
from bench.profiled import Profiles
from bench.report import Budget, Report, Row
from engine.contracts.netmap import Delta
from engine.domain.events import (
    Event,
    NodeDeleted,
    NodeRoutesAdvertised,
    NodeRoutesApproved,
    NodeTagged,
    UserCreated,
)
from engine.domain.values import NodeId, UserId
from frontends.control.session import End, Session
from projections.netmap.state import snapshot_of
from tests.kit.policy_stage import NEW, TIME, Stage, node_registered, policy_set

SIZES: Final[Mapping[Form, Sequence[tuple[int, int]]]] = {
    Form.FULL: ((1_000, 0), (1_000, 41), (1_000, 401), (5_000, 0), (5_000, 41), (5_000, 401)),
    Form.SHORT: ((1_000, 41), (5_000, 41)),
    Form.TINY: ((400, 7),),
}
"""Nodes and rules."""
MEASURED: Final = (5_000, 41)
"""The size that the budgets are for."""
COLD: Final = Budget(2_000.0)
CHANGE: Final = Budget(10.0)
ROUNDS: Final = 9
SESSIONS: Final = 300
PEOPLE: Final = 200
GROUPS: Final = 20
TAGS: Final = 20
Json = dict[str, Any]


async def run(report: Report, form: Form = Form.FULL, _profiles: Profiles | None = None) -> None:
    """Measure every size."""
    for nodes, rules in SIZES[form]:
        async with report.watched() as rows:
            rows.extend(_measured(nodes, rules))


def _measured(nodes: int, rules: int) -> Iterator[Row]:
    stage = Stage(*_people(), *_joined(range(1, nodes + 1)))
    stage.online(range(1, nodes + 1))
    floor = _spent(lambda: msgspec.json.encode(snapshot_of(stage.state)))[0]
    policy = _policy(rules)
    place = f"{nodes:,} nodes, {rules} rules"
    cold, _ = _spent(lambda: stage._fold(policy_set(policy)))  # noqa: SLF001 (the fold alone is timed)
    stage = Stage(*_people(), *_joined(range(1, nodes + 1)), policy_set(policy))
    classes = f"{len(stage.state.identities)} classes, {len(stage.state.sets)} sets, {len(stage.state.objects):,} objects"
    yield _row(f"{place}: cold", cold, floor, within(COLD, applies=(nodes, rules) == MEASURED), classes)
    sessions = _sessions(stage)
    for what, events in _changes(nodes, policy):
        found = [_change(stage, sessions, event) for event in events]
        middle = sorted(found)[len(found) // 2]
        note = (
            f"frontend {middle[1]:.2f} ms; {middle[3]:,} octets for all frontends; "
            f"{middle[4]} of {len(sessions)} viewers told, {middle[5]:,} octets in {middle[2]:.1f} ms"
        )
        limit = within(CHANGE, applies=(nodes, rules) == MEASURED)
        yield _row(f"{place}: {what}", middle[0], floor, limit, note)


def _row(what: str, spent: float, floor: float, budget: Budget | None, note: str) -> Row:
    return Row(
        benchmark="policy",
        what=what,
        measured=spent,
        unit="ms",
        budget=budget,
        ratio=spent / floor,
        against="one snapshot encoded",
        note=note,
    )


def _change(
    stage: Stage, sessions: Sequence[Session], event: Event
) -> tuple[float, float, float, int, int, int]:
    """Return milliseconds in the projection, in the frontend, for frames; octets of the delta; viewers told; their octets."""
    prev = stage.state.position
    folding, changes = _spent(lambda: stage._fold(event))  # noqa: SLF001 (each part is timed alone)
    delta = Delta(epoch=stage.state.epoch, prev=prev, cur=stage.state.position, changes=changes)
    encoding, data = _spent(lambda: msgspec.json.encode(delta))
    showing, _ = _spent(lambda: stage._show(stage.replica.receive(delta)[1]))  # noqa: SLF001
    telling, frames = _spent(lambda: [session.next(stage.view, TIME) for session in sessions])
    told = [frame for frame in frames if isinstance(frame, bytes)]
    assert End.TOO_OLD not in frames
    return folding + encoding, showing, telling, len(data), len(told), sum(map(len, told))


def _spent(work: Callable[[], Any]) -> tuple[float, Any]:
    before = time.process_time()
    result = work()
    return (time.process_time() - before) * 1_000, result


def _sessions(stage: Stage) -> list[Session]:
    found = [Session(NodeId(number), NEW) for number in range(1, SESSIONS + 1)]
    for session in found:
        session.first(stage.view, stage.lists, TIME)
    return found


def _changes(nodes: int, policy: Json) -> Iterator[tuple[str, list[Event]]]:
    fresh = range(nodes + 1, nodes + 1 + ROUNDS)
    yield "a node joins", list(_joined(fresh))
    yield "… leaves", [NodeDeleted(node=NodeId(number)) for number in fresh]
    tagged = [NodeId(2 * number) for number in range(1, ROUNDS + 1)]
    yield "… is retagged", [NodeTagged(node=number, tags=("tag:t7",)) for number in tagged]
    routes = {number: (f"10.{number % 250}.0.0/16",) for number in tagged}
    yield (
        "a route is offered",
        [NodeRoutesAdvertised(node=number, routes=prefix) for number, prefix in routes.items()],
    )
    yield (
        "… is approved",
        [NodeRoutesApproved(node=number, routes=prefix) for number, prefix in routes.items()],
    )
    if policy["acls"][1:]:
        yield "one rule is edited", [policy_set(_edited(policy, number)) for number in range(ROUNDS)]


def _edited(policy: Json, number: int) -> Json:
    rule = {"action": "accept", "src": ["group:g1"], "dst": [f"tag:t{number}:{9_000 + number}"]}
    return {**policy, "acls": [rule, *policy["acls"][1:]]}


def _policy(rules: int) -> Json:
    """Return a policy of so many rules; none is the one that lets everybody in everywhere."""
    groups = {
        f"group:g{g}": [f"u{number}@example.com" for number in range(g, PEOPLE, GROUPS)]
        for g in range(GROUPS)
    }
    return {
        "groups": groups,
        "tagOwners": {f"tag:t{number}": ["group:g0"] for number in range(TAGS)},
        "acls": [_rule(number) for number in range(rules)]
        or [{"action": "accept", "src": ["*"], "dst": ["*:*"]}],
    }


def _rule(number: int) -> Json:
    port, tag, group = 100 + number, f"tag:t{number * 7 % TAGS}", f"group:g{number % GROUPS}"
    kinds = (
        ([group], [f"{tag}:{port}"]),
        ([group, "tag:t1"], [f"{tag}:{port}"]),
        ([group], ["tag:t2:443", f"{tag}:{port}"]),
        ([f"tag:t{number % TAGS}"], [f"{tag}:{port}"]),
        ([f"tag:t{number % TAGS}", group], [f"10.{number % 250}.0.0/16:443"]),
        (["autogroup:member"], ["autogroup:self:*"]),
    )
    sources, destinations = kinds[number % len(kinds)]
    return {"action": "accept", "src": sources, "dst": destinations}


def _people() -> Iterator[Event]:
    for number in range(PEOPLE):
        yield UserCreated(user=UserId(number + 1), name=f"u{number}", email=f"u{number}@example.com")


def _joined(numbers: Iterator[int] | range) -> Iterator[Event]:
    for number in numbers:
        tags = () if number % 2 else (f"tag:t{number % TAGS}",)
        ipv4, ipv6 = (
            f"100.{64 + (number >> 16)}.{number >> 8 & 255}.{number & 255}",
            f"fd7a:115c:a1e0::{number:x}",
        )
        yield node_registered(number, 1 + number % PEOPLE, tags, ipv4, ipv6)
