"""What each event touches, and nothing more."""

import msgspec
import pytest

from engine.contracts.netmap import (
    Change,
    ClassSetObject,
    EntryObject,
    ExtrasObject,
    NodeObject,
    ProgramObject,
    TailnetObject,
)
from engine.domain.values import NodeId
from engine.policy.program import ANY_KEY
from projections.netmap.fold import OutOfOrder, fold
from projections.netmap.state import NetmapState
from projections.netmap.view import view
from tests.kit.histories import Step, history

USER: Step = ("user", 0, 0)
NODE: Step = ("node", 0, 0)
PEER: Step = ("peer", 0, 0)


def last(*course: Step) -> tuple[NetmapState, dict[str, Change]]:
    """The state after the course, and what its last event changed."""
    state = NetmapState()
    changes: tuple[Change, ...] = ()
    for record in history(course):
        changes = fold(state, record)
    return state, {change.key: change for change in changes}


def everybody(state: NetmapState) -> str:
    """The id of the set of all, without a policy the only one."""
    return state.policy.sets.of(ANY_KEY)


def test_the_first_record_sets_the_epoch_and_brings_the_tailnet_and_its_one_rule() -> None:
    state, changes = last()
    assert state.epoch == "epoch-0"
    assert isinstance(changes["tailnet"].value, TailnetObject)
    program = changes["program"].value
    assert isinstance(program, ProgramObject)
    (name,) = program.entries
    assert set(changes) == {"tailnet", "program", f"entry/{name}"}
    rule = changes[f"entry/{name}"].value
    assert isinstance(rule, EntryObject)
    assert rule.entry.whole == everybody(state)


def test_another_beginning_gives_sets_other_names_and_nobody_anything_else() -> None:
    course = (USER, NODE, NODE, ("connect", 0, 0), ("policy", 1, 0))
    before, _ = last(*course)
    after, changes = last(*course, ("restore", 0, 0))
    assert after.epoch == "epoch-6"
    assert {key.partition("/")[0] for key in changes} == {"class", "entry", "program", "set"}
    old, new = view(before, NodeId(1)), view(after, NodeId(1))
    assert old is not None
    assert new == msgspec.structs.replace(old, epoch=after.epoch, position=after.position)
    assert {key for key in before.objects if key.startswith("set/")}.isdisjoint(after.objects)


def test_a_node_of_a_known_class_touches_only_itself() -> None:
    _, changes = last(USER, NODE, NODE)
    assert set(changes) == {"node/2"}


def test_the_first_node_of_a_class_touches_the_class_and_its_sets() -> None:
    state, changes = last(USER, USER, NODE, ("node", 1, 0))
    name = everybody(state)
    assert set(changes) == {"node/2", "class/u2", f"set/{name}"}
    assert changes[f"set/{name}"].value == ClassSetObject(id=name, classes=("u1", "u2"), is_source=True)
    own = state.class_of("u2")
    assert own is not None
    assert own.sees == (name,)
    (reach,) = own.rules
    entry = state.entry(reach.entry)
    assert entry is not None
    assert entry.whole == name
    assert [(target.ip, target.ports) for target in reach.targets] == [("*", ((0, 65_535),))]


def test_the_last_node_of_a_class_takes_the_class_with_it() -> None:
    state, changes = last(USER, USER, NODE, ("node", 1, 0), ("delete", 1, 0))
    name = everybody(state)
    assert set(changes) == {"node/2", "class/u2", f"set/{name}"}
    assert changes["class/u2"].value is None
    assert changes[f"set/{name}"].value == ClassSetObject(id=name, classes=("u1",), is_source=True)
    assert state.class_of("u1") is not None


def test_the_last_node_of_all_takes_the_set_with_it() -> None:
    state, changes = last(USER, NODE, ("delete", 0, 0))
    assert {change.value for change in changes.values()} == {None}
    assert set(changes) == {"node/1", "class/u1", f"set/{everybody(state)}"}
    assert (state.sets, state.members, state.standings, state.identities) == ({}, {}, {}, {})


def test_tags_make_the_class_in_any_order_and_leave_the_user_out() -> None:
    one, _ = last(USER, ("node", 0, 4))
    two, _ = last(USER, USER, ("node", 1, 5))
    first, second = one.node(NodeId(1)), two.node(NodeId(1))
    assert first is not None
    assert second is not None
    assert first.class_id == second.class_id == "t:tag:a+tag:b"


def test_a_registration_of_a_wireguard_only_peer_touches_it_alone() -> None:
    _, changes = last(USER, NODE, PEER)
    assert set(changes) == {"peer/100000001"}


def test_a_connection_touches_one_extras() -> None:
    _, changes = last(USER, NODE, NODE, PEER, ("connect", 1, 0))
    assert set(changes) == {"extras/2"}
    extras = changes["extras/2"].value
    assert isinstance(extras, ExtrasObject)
    assert [extra.peer for extra in extras.connections] == [100_000_001]


def test_the_last_connection_takes_the_extras_with_it() -> None:
    _, changes = last(USER, NODE, PEER, ("connect", 0, 0), ("disconnect", 0, 0))
    assert changes["extras/1"].value is None


def test_an_expired_node_stays_and_is_marked() -> None:
    _, changes = last(USER, NODE, NODE, ("expire", 0, 5))
    value = changes["node/1"].value
    assert isinstance(value, NodeObject)
    assert value.expired


@pytest.mark.parametrize("step", [("receipt", 0, 0), ("auth_key", 0, 0), ("settings", 0, 2)])
def test_what_no_netmap_holds_moves_only_the_position(step: Step) -> None:
    before, _ = last(USER, NODE)
    after, changes = last(USER, NODE, step)
    assert changes == {}
    assert after.position > before.position
    assert after.objects == before.objects


def test_a_record_that_is_not_after_the_last_is_refused_and_changes_nothing() -> None:
    state, _ = last(USER, NODE)
    objects, position = dict(state.objects), state.position
    with pytest.raises(OutOfOrder):
        fold(state, history([USER])[0])
    assert (state.objects, state.position) == (objects, position)
