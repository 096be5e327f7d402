"""Snapshots are shared for a moment, and never from before what was asked for."""

import pytest

from engine.contracts.chunks import assemble
from engine.domain.errors import Invalid, NotFound
from projections.netmap.fold import fold
from projections.netmap.state import NetmapState, snapshot_of
from projections.snapshots import FRESH_SECONDS, KEPT_SECONDS, Snapshots
from tests.kit.fakes import VirtualClock
from tests.kit.histories import Step, history

LOG = history([("user", 0, 0), *[("node", 0, 0)] * 20])


class Bench:
    def __init__(self) -> None:
        self.clock = VirtualClock()
        self.state = NetmapState()
        self.left = list(LOG)
        self.snapshots = Snapshots(lambda: self.state, self.clock.monotonic)
        self.move(3)

    def move(self, records: int = 1) -> None:
        for _ in range(records):
            fold(self.state, self.left.pop(0))


def test_who_asks_at_about_the_same_time_shares_a_build() -> None:
    bench = Bench()
    first = bench.snapshots.chunk(0, "", 0)
    bench.move()
    bench.clock.advance(FRESH_SECONDS / 2)
    assert bench.snapshots.chunk(0, "", 0) == first
    assert bench.snapshots.built == 1


def test_an_unmoved_state_is_never_built_twice() -> None:
    bench = Bench()
    first = bench.snapshots.chunk(0, "", 0)
    bench.clock.advance(1_000)
    assert bench.snapshots.chunk(0, first.id, 0) == bench.snapshots.chunk(0, "", 0) == first


def test_after_a_while_the_present_is_built() -> None:
    bench = Bench()
    bench.snapshots.chunk(0, "", 0)
    bench.move()
    bench.clock.advance(FRESH_SECONDS * 2)
    assert assemble((bench.snapshots.chunk(0, "", 0),)) == snapshot_of(bench.state)


def test_who_names_a_position_gets_no_snapshot_from_before_it() -> None:
    bench = Bench()
    bench.snapshots.chunk(0, "", 0)
    bench.move()
    assert bench.snapshots.chunk(0, "", bench.state.position).position == bench.state.position


def test_another_epoch_is_never_served_from_an_earlier_build() -> None:
    course: list[Step] = [("user", 0, 0), ("restore", 0, 0)]
    log = history(course)
    bench = Bench()
    bench.state, bench.left = NetmapState(), log
    bench.move(2)
    old = bench.snapshots.chunk(0, "", 0)
    bench.move()
    assert old.epoch != bench.snapshots.chunk(0, "", 0).epoch == bench.state.epoch


def test_a_build_that_is_being_fetched_stays_for_a_while() -> None:
    bench = Bench()
    first = bench.snapshots.chunk(0, "", 0)
    bench.move()
    bench.snapshots.chunk(0, "", bench.state.position)
    assert bench.snapshots.chunk(0, first.id, 0) == first
    bench.clock.advance(KEPT_SECONDS + 1)
    with pytest.raises(NotFound):
        bench.snapshots.chunk(0, first.id, 0)


def test_builds_do_not_pile_up() -> None:
    bench = Bench()
    ids = []
    for _ in range(10):
        ids.append(bench.snapshots.chunk(0, "", bench.state.position).id)
        bench.move()
    with pytest.raises(NotFound):
        bench.snapshots.chunk(0, ids[0], 0)
    assert bench.snapshots.chunk(0, ids[-1], 0).id == ids[-1]


def test_a_chunk_that_is_not_there_is_refused() -> None:
    for index in (-1, 1):
        with pytest.raises(Invalid):
            Bench().snapshots.chunk(index, "", 0)
