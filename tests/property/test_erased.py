"""A log in which users are tombstones folds as ever, and nobody else sees anything but other names."""

from collections.abc import Sequence
from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.domain.events import NodeRegistered, NodeRenamed, UserCreated
from engine.domain.personal import subject_of, tombstone
from engine.domain.state import Tailnet
from engine.domain.values import NodeId, UserId
from engine.ports import Recorded
from projections.history.causes import Causes
from projections.netmap.fold import fold
from projections.netmap.state import NetmapState
from projections.netmap.view import view
from tests.kit.histories import Step, history, steps

NAMES = frozenset({"name", "hostname", "displayName", "userName", "login", "email", "fqdn"})
"""Where a netmap, as operators see it, has names."""


def erased(log: Sequence[Recorded], subjects: set[UserId]) -> list[Recorded]:
    """The log as it reads once the keys of the subjects are destroyed."""
    tailnet, found = Tailnet(), []
    for record in log:
        is_theirs = subject_of(record.event, tailnet) in subjects
        found.append(msgspec.structs.replace(record, event=tombstone(record.event)) if is_theirs else record)
        tailnet.apply(record.event, record.envelope.at)
    return found


def seen(log: Sequence[Recorded]) -> list[dict[NodeId, Any]]:
    """Everybody's netmap wherever a name came or went, without names."""
    state, causes, found = NetmapState(), Causes(), []
    for record in log:
        causes.take(record, state.tailnet)
        fold(state, record)
        if isinstance(record.event, UserCreated | NodeRegistered | NodeRenamed):
            found.append(
                {
                    node.id: nameless(msgspec.json.decode(msgspec.json.encode(view(state, node.id))))
                    for node in state.nodes()
                }
            )
    return found


def nameless(shown: Any) -> Any:
    match shown:
        case dict():
            return {key: nameless(value) for key, value in shown.items() if key not in NAMES}
        case list() | tuple():
            return [nameless(value) for value in shown]
        case _:
            return shown


def test_a_name_makes_a_difference_and_nothing_else_does() -> None:
    """Negative controls: the names are seen, and another address would be."""
    log = history([("user", 0, 0), ("node", 0, 0), ("node", 1, 1)])
    other = erased(log, {UserId(1)})
    assert other != log
    assert seen(other) == seen(log)
    moved = [
        msgspec.structs.replace(record, event=msgspec.structs.replace(record.event, ipv4="100.64.9.9"))
        if isinstance(record.event, NodeRegistered)
        else record
        for record in log
    ]
    assert seen(moved) != seen(log)


@given(steps(), st.sets(st.integers(1, 6).map(UserId), min_size=1))
@settings(max_examples=80, deadline=None, database=None, derandomize=True)
def test_others_see_the_same_but_for_names(course: list[Step], subjects: set[UserId]) -> None:
    log = history(course)
    assert seen(erased(log, subjects)) == seen(log)
