"""Classes and their sets: what a class that comes or goes changes, and what that costs."""

from collections.abc import Mapping

import msgspec

from engine.contracts.netmap import MAX_DELTA, Change, ClassSetObject, Delta
from engine.domain.values import Position
from engine.policy.policy import Identity, Policy, Relations, Rule, Standing
from projections.netmap.deltas import Step as Folded
from projections.netmap.deltas import deltas
from projections.netmap.fold import fold
from projections.netmap.state import NetmapState
from tests.kit.histories import Step, history

USERS = 300
CROWD: list[Step] = [("user", 0, 0)] * USERS + [("node", user, 0) for user in range(USERS)]


def last(course: list[Step], policy: Policy | None = None) -> tuple[NetmapState, dict[str, Change]]:
    """The state after the course, and what its last event changed."""
    state = NetmapState(policy)
    changes: tuple[Change, ...] = ()
    for record in history(course):
        changes = fold(state, record)
    return state, {change.key: change for change in changes}


class Islands:
    """Everybody sees their own class only, and may be reached by all who have no tags."""

    def relate(self, identities: Mapping[str, Identity]) -> Relations:
        people = tuple(sorted(name for name, identity in identities.items() if not identity.tags))
        own = {f"own-{name}": (name,) for name in sorted(identities)}
        return Relations(
            sets={"people": people, **own},
            standings={
                name: Standing(sees=(f"own-{name}",), rules=(Rule(sources=("people",)),))
                for name in sorted(identities)
            },
        )


class Listing:
    """As it was before there were sets: every class lists every class, here as a set of its own."""

    def relate(self, identities: Mapping[str, Identity]) -> Relations:
        everybody = tuple(sorted(identities))
        return Relations(
            sets={f"seen-by-{name}": everybody for name in everybody},
            standings={name: Standing(sees=(f"seen-by-{name}",)) for name in everybody},
        )


def cost(course: list[Step], policy: Policy | None = None) -> tuple[int, int]:
    """How many keys the last event touches, and how many octets its delta has."""
    state, changes = last(course, policy)
    ordered = tuple(changes[key] for key in sorted(changes))
    prev = Position(state.position - 1)
    delta = Delta(epoch=state.epoch, prev=prev, cur=state.position, changes=ordered)
    return len(changes), len(msgspec.json.encode(delta))


def cheap(keys: int, octets: int) -> bool:
    return keys <= 4 and octets < 10_000


def test_one_users_first_node_among_300_users_is_a_small_change() -> None:
    assert cheap(*cost(CROWD))
    _, changes = last(CROWD)
    assert set(changes) == {f"node/{USERS}", f"class/u{USERS}", "set/all"}


def test_one_users_last_node_among_300_users_is_a_small_change() -> None:
    assert cheap(*cost([*CROWD, ("delete", 0, 0)]))


def test_lists_for_each_class_would_be_found_expensive() -> None:
    keys, octets = cost(CROWD, Listing())
    assert not cheap(keys, octets)
    assert keys > USERS
    assert octets > MAX_DELTA


def test_the_change_is_sent_and_does_not_become_a_gap() -> None:
    state, changes = last(CROWD)
    step = Folded(state.epoch, state.position, tuple(changes.values()))
    (data,) = deltas(Position(state.position - 1), [step])
    assert msgspec.json.decode(data, type=Delta).changes


def test_a_class_is_put_into_the_sets_that_its_policy_says_and_no_others_change() -> None:
    course: list[Step] = [("user", 0, 0), ("user", 0, 0), ("node", 0, 0), ("node", 1, 4)]
    state, changes = last(course, Islands())
    assert set(changes) == {"node/2", "class/t:tag:a+tag:b", "set/own-t:tag:a+tag:b"}
    assert state.classes_in(("people", "own-t:tag:a+tag:b", "unknown")) == {"u1", "t:tag:a+tag:b"}


def test_a_set_that_the_policy_gives_no_more_is_gone() -> None:
    course: list[Step] = [("user", 0, 0), ("user", 0, 0), ("node", 0, 0), ("node", 1, 0), ("delete", 1, 0)]
    state, changes = last(course, Islands())
    assert {key for key, change in changes.items() if change.value is None} == {
        "node/2",
        "class/u2",
        "set/own-u2",
    }
    assert changes["set/people"].value == ClassSetObject(id="people", classes=("u1",))
    assert state.sets == {"people", "own-u1"}
    assert {key for key in state.objects if key.startswith("set/")} == {"set/people", "set/own-u1"}
