"""The past is the present's fold, stopped earlier."""

from hypothesis import given, settings
from hypothesis import strategies as st

from engine.contracts.netmap import NetmapObject
from engine.domain.values import Millis, Position
from projections.history.causes import Causes
from projections.history.moment import AtPosition, AtTime
from projections.history.replay import Replay
from projections.netmap.fold import fold
from projections.netmap.state import NetmapState
from tests.kit.governed import governed
from tests.kit.histories import Step, history, steps

COURSE: list[Step] = [("user", 0, 0), *[("node", 0, 0)] * 4, ("delete", 1, 0), ("rename", 0, 1)]
LOG = history(COURSE)


def shown(state: NetmapState) -> dict[str, NetmapObject | None]:
    return {key: change.value for key, change in state.objects.items()}


def test_at_every_position_it_is_the_state_that_was_there_in_pages_of_any_size() -> None:
    truth = NetmapState()
    for number, record in enumerate(LOG):
        fold(truth, record)
        until = LOG[number + 1].position - 1 if number + 1 < len(LOG) else record.position
        for size in (1, 3, 100):
            replay = Replay(AtPosition(Position(until)))
            for start in range(0, len(LOG), size):
                if replay.take(LOG[start : start + size]):
                    break
            state = replay.state()
            assert shown(state) == shown(truth)
            assert state.tailnet == truth.tailnet
            assert (state.position, state.at, state.digest) == (truth.position, truth.at, truth.digest)


def test_a_time_means_the_last_record_at_or_before_it() -> None:
    third = LOG[2]
    for late, position in ((0, third.position), (999, third.position), (-1, LOG[1].position)):
        replay = Replay(AtTime(Millis(third.envelope.at + late)))
        assert replay.take(LOG)
        assert replay.position == position


def test_before_the_first_record_there_is_nothing() -> None:
    replay = Replay(AtPosition(Position(0)))
    assert replay.take(LOG)
    assert (replay.position, replay.state().objects) == (0, {})


def test_what_comes_after_the_moment_is_never_taken() -> None:
    replay = Replay(AtPosition(LOG[2].position))
    replay.take(LOG)
    replay.take(LOG[3:])
    assert replay.position == LOG[2].position


@settings(max_examples=60, deadline=None)
@given(steps(longest=40), st.data())
def test_the_past_is_what_the_fold_held_there(course: list[Step], data: st.DataObject) -> None:
    log = governed(history(course))
    cut = data.draw(st.integers(1, len(log)))
    truth, causes = NetmapState(), Causes()
    for record in log[:cut]:
        causes.take(record, truth.tailnet)
        fold(truth, record)
    replay = Replay(AtPosition(log[cut - 1].position))
    replay.take(log)
    state = replay.state()
    assert shown(state) == shown(truth)
    assert state.tailnet == truth.tailnet
    assert (state.standings, state.members, state.keys) == (truth.standings, truth.members, truth.keys)
    assert (state.epoch, state.digest, state.at) == (truth.epoch, truth.digest, truth.at)
    assert replay.causes.tables() == causes.tables()
