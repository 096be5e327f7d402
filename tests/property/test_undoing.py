"""What is undone at once is as if it had not been: no thing of the tailnet differs but for what is said to last.

Whatever command of the domain's own property is taken last, after whatever history.
"""

from collections.abc import Mapping
from typing import Final

import msgspec
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from engine.domain.commands import BY_NAME, Command, CreateAuthKey
from engine.domain.errors import Refusal
from engine.domain.state import Tailnet
from engine.domain.values import NodeId
from projections.history.between import between
from projections.history.inverse import Undoing, undoing
from projections.history.undo import Ends
from projections.netmap.diff import ChangeRow
from tests.kit.scenario import Scene
from tests.property.test_domain import commands, play

AGAIN: Final[Mapping[str, frozenset[str]]] = {"connection": frozenset({"created", "exported"})}
"""What of a thing that was made again is new."""
slow = settings(deadline=None, suppress_health_check=list(HealthCheck))


def differs(row: ChangeRow, before: Tailnet) -> bool:
    """Return whether a difference is more than the mark of having been made again, or a key that is spent."""
    if row.kind == "preauthkey":
        return not (row.what == "added" and isinstance(row.after, dict) and row.after["expired"])
    if row.kind == "node" and isinstance(row.after, dict) and _was_expired(before, row.id):
        return row.after.keys() != {"expiry"}  # it is expired again, since now
    if row.what == "changed" and isinstance(row.after, dict):
        return bool(row.after.keys() - AGAIN.get(row.kind, frozenset()))
    return True


def _was_expired(before: Tailnet, number: int) -> bool:
    node = before.nodes.get(NodeId(number))
    return node is not None and node.expired


def undone(scene: Scene, last: Command) -> tuple[Undoing, list[ChangeRow]] | None:
    """Let a command be done and undone; return how, and what is not as it was; None if it did nothing."""
    before = scene.tailnet.draft()
    try:
        events = scene.when(last).events
    except Refusal:
        return None
    if not events:
        return None
    after = scene.tailnet.draft()
    found = undoing(events, Ends(before, after, scene.tailnet))
    try:
        for step in found.steps:
            scene.when(msgspec.convert(step.body, BY_NAME[step.command]))
    except Refusal as refusal:
        if refusal.code != "node.expiry":  # a time that is past by now
            raise
        return None
    return found, [row for row in between(before, scene.tailnet) if differs(row, before)]


@slow
@given(st.lists(commands, max_size=40), commands)
def test_what_is_undone_at_once_is_as_if_it_had_not_been(sequence: list[Command], last: Command) -> None:
    made = undone(play(sequence), last)
    if made is None:
        return
    found, rows = made
    assert found.obstacles == ()
    if not found.lasting:
        assert rows == [], (last, found.steps)


def test_the_property_meets_commands_that_are_undone_and_would_find_one_that_is_not() -> None:
    met: set[str] = set()

    @settings(max_examples=500, deadline=None, database=None, derandomize=True)
    @given(st.lists(commands, max_size=15), commands)
    def collect(sequence: list[Command], last: Command) -> None:
        scene = play(sequence)
        before = scene.tailnet.draft()
        made = undone(scene, last)
        if made is None or not made[0].steps:
            return
        met.update(step.command for step in made[0].steps)
        lazy = play(sequence)
        lazy.when(last)
        if not made[0].lasting and not isinstance(last, CreateAuthKey):
            assert [row for row in between(before, lazy.tailnet) if differs(row, before)], last

    collect()
    assert len(met) > 15, met
