"""The state digest: followed record by record it is that of a state made at once, and nothing can differ unnoticed (P1, P2)."""

import random
import subprocess
import sys

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.contracts import digest
from engine.contracts.chunks import assemble, split
from engine.contracts.digest import StateDigest, differ, hash_of
from engine.contracts.netmap import Delta, NetmapObject
from engine.ports import Recorded
from frontends.control.replica import Replica
from projections.history.moment import AtPosition
from projections.history.replay import Replay
from projections.netmap.deltas import Said, Step, deltas
from projections.netmap.fold import fold
from projections.netmap.state import NetmapState, snapshot_of
from tests.kit.histories import Step as Told
from tests.kit.histories import history, steps


def made_at_once(objects: dict[str, NetmapObject]) -> str:
    """The digest by its definition, in some other order."""
    keys = list(objects)
    random.Random(len(keys)).shuffle(keys)
    total = sum(hash_of(key, objects[key]) for key in keys) % 2**256
    return f"{digest.form()}-{total:064x}"


def held(state: NetmapState) -> dict[str, NetmapObject]:
    return {key: change.value for key, change in state.objects.items() if change.value is not None}


@settings(max_examples=100, deadline=None)
@given(steps(longest=40))
def test_followed_it_is_that_of_a_state_made_at_once_after_every_record(course: list[Told]) -> None:
    state, log = NetmapState(), history(course)
    for record in log:
        fold(state, record)
        assert state.state_digest() == made_at_once(held(state))
    replay = Replay(AtPosition(log[-1].position))
    replay.take(log)
    assert replay.state().state_digest() == state.state_digest()


def folded(state: NetmapState, record: Recorded) -> Step:
    changes = fold(state, record)
    return Step(state.epoch, state.position, changes)


@settings(max_examples=60, deadline=None)
@given(steps(longest=30, restores=False), st.integers(0, 100), st.integers(1, 5))
def test_a_replica_that_follows_has_the_digest_that_it_is_told(
    course: list[Told], start: int, size: int
) -> None:
    state, replica, log = NetmapState(), Replica(), history(course)
    start = start % len(log)
    for record in log[: start + 1]:
        fold(state, record)
    replica.load(assemble(split(snapshot_of(state))))
    assert replica.state_digest() == state.state_digest()
    for first in range(start + 1, len(log), size):
        prev, part = state.position, log[first : first + size]
        batch = [folded(state, record) for record in part]
        for data in deltas(prev, batch, Said(state.state_digest(), "p1")):
            told = msgspec.json.decode(data, type=Delta)
            replica.receive(told)
            assert told.digest in {"", replica.state_digest()}
        assert replica.state_digest() == state.state_digest()


@settings(max_examples=60, deadline=None)
@given(steps(longest=30), st.integers(0), st.integers(0))
def test_another_object_is_another_state_and_is_found_where_it_stands(
    course: list[Told], which: int, bit: int
) -> None:
    state = NetmapState()
    for record in history(course):
        fold(state, record)
    replica = Replica()
    replica.load(snapshot_of(state))
    key, bad = spoilt(held(state), which, bit)
    before = replica.state_digest()
    replica._objects[key] = (state.position, bad)
    assert replica.scrub(len(state.objects)) == [key]
    fresh = StateDigest()
    for name in state.objects:
        fresh.touch(name)
    assert differ(fresh.text(replica.get), before)


def spoilt(objects: dict[str, NetmapObject], which: int, bit: int) -> tuple[str, NetmapObject]:
    """An object with one bit of some character turned: another one that can be read, of the same kind."""
    key = sorted(objects)[which % len(objects)]
    octets = msgspec.json.encode(objects[key])
    for place in range(len(octets) * 7):
        at, turned = divmod(bit + place, 7)
        data = bytearray(octets)
        data[at % len(data)] ^= 1 << turned
        try:
            other = msgspec.json.decode(bytes(data), type=NetmapObject)
        except (msgspec.MsgspecError, UnicodeDecodeError):
            continue
        if other != objects[key] and msgspec.json.encode(other) != octets:
            return key, other
    raise AssertionError(f"no bit of {octets!r} can be turned")


def test_taking_everything_away_leaves_the_digest_of_nothing() -> None:
    state = NetmapState()
    nothing = state.state_digest()
    for record in history([("user", 0, 0), ("node", 0, 0)]):
        fold(state, record)
    assert state.state_digest() != nothing
    for key in list(state.objects):
        state.drop(key)
    assert state.state_digest() == nothing


def test_digests_of_different_forms_say_nothing_about_each_other() -> None:
    assert differ("aa-01", "aa-02")
    assert not differ("aa-01", "aa-01")
    assert not differ("aa-01", "bb-02")
    assert not differ("", "aa-02")
    assert not differ("", "")


def test_every_process_gives_the_form_the_same_name() -> None:
    program = "from engine.contracts.digest import form; print(form())"
    said = {
        subprocess.run(
            [sys.executable, "-c", program],
            env={"PYTHONHASHSEED": seed},
            check=True,
            capture_output=True,
            text=True,
        ).stdout.strip()
        for seed in ("1", "2")
    }
    assert said == {digest.form()}
