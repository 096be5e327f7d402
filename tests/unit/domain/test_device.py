"""A device's lifecycle, row by row; and what is to be done about it in each state."""

from typing import Any, get_args

import pytest
from msgspec.structs import replace

from engine.domain.device import (
    FULL,
    NEXT,
    OFF,
    Device,
    Registration,
    State,
    Task,
    due_at,
    end_of,
    evolve_device,
    evolve_provider,
    task_of,
)
from engine.domain.providerevents import (
    DeviceAdmitted,
    DeviceEvent,
    DeviceFailed,
    DeviceForgotten,
    DeviceLeft,
    DeviceRegistered,
    DeviceRekeyed,
    DeviceRetried,
    DeviceRevoked,
    DeviceWanted,
    ProviderAdded,
    ProviderRemoved,
    ProviderUpdated,
)
from engine.domain.values import DeviceId, Millis, NodeId, ProviderId
from tests.kit.scenario import node_key

ONE, TWO, THREE = (node_key(name) for name in ("one", "two", "three"))
AT = Millis(7)
IDS: dict[str, Any] = {"device": DeviceId(1), "node": NodeId(4)}
EVENTS: dict[type[DeviceEvent], DeviceEvent] = {
    DeviceWanted: DeviceWanted(**IDS, provider=ProviderId(2), node_key=ONE),
    DeviceAdmitted: DeviceAdmitted(**IDS),
    DeviceRegistered: DeviceRegistered(**IDS, node_key=ONE, reference="r", ipv4="10.64.0.9"),
    DeviceRekeyed: DeviceRekeyed(**IDS, node_key=TWO),
    DeviceFailed: DeviceFailed(**IDS, code="x", next_try=Millis(9)),
    DeviceRetried: DeviceRetried(**IDS),
    DeviceLeft: DeviceLeft(**IDS),
    DeviceRevoked: DeviceRevoked(**IDS, node_key=THREE),
    DeviceForgotten: DeviceForgotten(**IDS),
}
HELD = Registration(node_key=ONE, reference="r1")


def device(state: State) -> Device:
    base = Device(id=DeviceId(1), provider=ProviderId(2), node=NodeId(4), node_key=ONE, state=state)
    match state:
        case "registered":
            return replace(base, held=HELD, ipv4="10.64.0.9")
        case "rotating":
            return replace(base, node_key=TWO, held=HELD, ipv4="10.64.0.9")
        case "leaving":
            return replace(base, former=(HELD, Registration(node_key=TWO)))
        case _:
            return base


def after(found: Device, *events: DeviceEvent) -> Device:
    for event in events:
        moved = evolve_device(found, event, AT)
        assert moved is not None
        found = moved
    return found


def test_the_table_has_a_row_for_every_state_and_only_known_events() -> None:
    assert set(NEXT) == set(get_args(State))
    assert set(EVENTS) == set(get_args(DeviceEvent))
    assert {kind for row in NEXT.values() for kind in row} <= set(EVENTS)


@pytest.mark.parametrize("state", list(NEXT))
@pytest.mark.parametrize(
    "kind", [kind for kind in EVENTS if kind is not DeviceForgotten], ids=lambda k: k.__name__
)
def test_a_device_moves_as_its_table_says_and_else_stays_as_it_is(
    state: State, kind: type[DeviceEvent]
) -> None:
    before = device(state)
    event = EVENTS[kind]
    if isinstance(event, DeviceRegistered):
        event = replace(event, node_key=before.node_key)
    moved = evolve_device(before, event, AT)
    if state == "waiting" and kind is DeviceLeft:
        assert moved is None
    elif kind in NEXT[state]:
        assert moved is not None
        assert moved.state == NEXT[state][kind]
    else:
        assert moved == before


@pytest.mark.parametrize("state", list(NEXT))
def test_a_forgotten_device_is_gone_from_every_state(state: State) -> None:
    assert evolve_device(device(state), EVENTS[DeviceForgotten], AT) is None


def test_only_a_wish_makes_a_device() -> None:
    for kind, event in EVENTS.items():
        made = evolve_device(None, event, AT)
        assert (made is not None) == (kind is DeviceWanted)
    made = after(device("waiting"))
    assert made.created == 0
    first = evolve_device(None, EVENTS[DeviceWanted], AT)
    assert first is not None
    assert (first.state, first.node_key, first.created) == ("waiting", ONE, AT)


def test_a_new_key_is_registered_before_the_former_is_revoked() -> None:
    rotating = after(device("registered"), DeviceRekeyed(**IDS, node_key=TWO))
    assert (rotating.held, rotating.ipv4) == (HELD, "10.64.0.9"), (
        "the old one is kept until the new one is known"
    )
    assert task_of(rotating) == Task(verb="register", registration=Registration(node_key=TWO))
    fresh = DeviceRegistered(**IDS, node_key=TWO, reference="r2", ipv4="10.64.0.10")
    done = after(rotating, fresh)
    assert (done.state, done.ipv4, done.former) == ("registered", "10.64.0.10", (HELD,))
    assert task_of(done) == Task(verb="revoke", registration=HELD)
    assert task_of(after(done, DeviceRevoked(**IDS, node_key=ONE))) is None


def test_where_the_account_is_full_the_former_key_makes_room() -> None:
    rotating = after(device("rotating"), DeviceFailed(**IDS, code=FULL, next_try=Millis(9)))
    assert task_of(rotating) == Task(verb="revoke", registration=HELD)
    freed = after(rotating, DeviceRevoked(**IDS, node_key=ONE))
    assert (freed.state, freed.held, freed.ipv4) == ("rotating", None, "10.64.0.9")
    assert task_of(freed) == Task(verb="register", registration=Registration(node_key=TWO))
    other = after(device("rotating"), DeviceFailed(**IDS, code="provider.unreachable", next_try=Millis(9)))
    assert task_of(other) == Task(verb="register", registration=Registration(node_key=TWO))


def test_a_key_of_which_nobody_said_what_became_of_it_is_revoked_too() -> None:
    twice = after(device("rotating"), DeviceRekeyed(**IDS, node_key=THREE))
    assert twice.former == (Registration(node_key=TWO),)
    leaving = after(twice, DeviceLeft(**IDS))
    assert {one.node_key for one in leaving.former} == {ONE, TWO, THREE}
    for key in (TWO, ONE):
        leaving = after(leaving, DeviceRevoked(**IDS, node_key=key))
    assert evolve_device(leaving, DeviceRevoked(**IDS, node_key=THREE), AT) is None


def test_a_key_that_comes_back_needs_nothing() -> None:
    back = after(device("rotating"), DeviceRekeyed(**IDS, node_key=ONE))
    assert (back.state, back.held, back.node_key) == ("registered", HELD, ONE)
    assert task_of(back) == Task(verb="revoke", registration=Registration(node_key=TWO))


def test_a_former_key_that_is_the_nodes_again_is_not_revoked() -> None:
    third = after(
        device("rotating"), DeviceRekeyed(**IDS, node_key=THREE), DeviceRekeyed(**IDS, node_key=TWO)
    )
    assert {one.node_key for one in third.former} == {THREE}


def test_a_report_that_comes_after_the_end_is_only_something_to_revoke() -> None:
    leaving = after(
        device("leaving"), DeviceRegistered(**IDS, node_key=TWO, reference="late", ipv4="10.0.0.1")
    )
    assert leaving.state == "leaving"
    assert leaving.former == (HELD, Registration(node_key=TWO, reference="late"))


def test_a_report_about_another_key_than_the_nodes_is_only_something_to_revoke() -> None:
    wanted = after(
        device("wanted"), DeviceRegistered(**IDS, node_key=TWO, reference="other", ipv4="10.0.0.1")
    )
    assert (wanted.state, wanted.ipv4, wanted.held) == ("wanted", "", None)
    assert wanted.former == (Registration(node_key=TWO, reference="other"),)


def test_failures_are_counted_until_something_works() -> None:
    failed = after(
        device("wanted"), DeviceFailed(**IDS, code="x", word="why", attempts=3, next_try=Millis(50))
    )
    assert (failed.attempts, failed.failure, failed.word, due_at(failed)) == (3, "x", "why", 50)
    stopped = after(failed, DeviceFailed(**IDS, code="y", attempts=4))
    assert due_at(stopped) is None
    again = after(stopped, DeviceRetried(**IDS))
    assert (again.attempts, again.failure, due_at(again)) == (0, "", 0)
    done = after(failed, EVENTS[DeviceRegistered])
    assert (done.attempts, done.failure, done.word, done.next_try) == (0, "", "", 0)


def test_each_report_is_another_turn() -> None:
    first = device("wanted")
    assert after(first, EVENTS[DeviceFailed]).turn == 1
    assert after(first, EVENTS[DeviceFailed], EVENTS[DeviceRegistered]).turn == 2
    assert after(device("leaving"), DeviceRevoked(**IDS, node_key=ONE)).turn == 1
    assert after(first, EVENTS[DeviceRetried], EVENTS[DeviceRekeyed]).turn == 0


@pytest.mark.parametrize(
    ("state", "verb"),
    [
        ("waiting", None),
        ("wanted", "register"),
        ("registered", None),
        ("rotating", "register"),
        ("leaving", "revoke"),
    ],
)
def test_every_state_has_its_task(state: State, verb: str | None) -> None:
    task = task_of(device(state))
    assert (None if task is None else task.verb) == verb
    assert due_at(device(state)) == (None if verb is None else 0)


def test_a_device_that_the_provider_never_heard_of_is_forgotten_without_asking_it() -> None:
    off = after(device("wanted"), DeviceFailed(**IDS, code=OFF))
    assert isinstance(end_of(off), DeviceForgotten)
    for state in ("waiting", "wanted", "registered", "rotating", "leaving"):
        assert isinstance(end_of(device(state)), DeviceLeft), "a call may be on its way"


def test_a_provider_is_what_its_events_say() -> None:
    fields: dict[str, Any] = {
        "provider": ProviderId(2),
        "name": "mv",
        "base_url": "https://a.example",
        "quota": 5,
        "account": "s",
    }
    made = evolve_provider(None, ProviderAdded(**fields, kind="mullvad"), AT)
    assert made is not None
    changed = evolve_provider(made, ProviderUpdated(**{**fields, "quota": 9}), AT)
    assert changed == replace(made, quota=9)
    assert evolve_provider(made, ProviderRemoved(provider=ProviderId(2)), AT) is None
    assert "account" not in repr(made)
