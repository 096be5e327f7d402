"""The past is the present's fold, stopped earlier."""

from engine.domain.values import Millis, Position
from projections.history.moment import AtPosition, AtTime
from projections.history.replay import Replay
from projections.netmap.fold import fold
from projections.netmap.state import NetmapState, snapshot_of
from tests.kit.histories import Step, history

COURSE: list[Step] = [("user", 0, 0), *[("node", 0, 0)] * 4, ("delete", 1, 0), ("rename", 0, 1)]
LOG = history(COURSE)


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
            assert snapshot_of(replay.state) == snapshot_of(truth)


def test_a_time_means_the_last_record_at_or_before_it() -> None:
    third = LOG[2]
    for late, position in ((0, third.position), (999, third.position), (-1, LOG[1].position)):
        replay = Replay(AtTime(Millis(third.envelope.at + late)))
        assert replay.take(LOG)
        assert replay.state.position == position


def test_before_the_first_record_there_is_nothing() -> None:
    replay = Replay(AtPosition(Position(0)))
    assert replay.take(LOG)
    assert (replay.state.position, replay.state.objects) == (0, {})


def test_what_comes_after_the_moment_is_never_taken() -> None:
    replay = Replay(AtPosition(LOG[2].position))
    replay.take(LOG)
    replay.take(LOG[3:])
    assert replay.state.position == LOG[2].position
