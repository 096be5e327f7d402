"""Who is refused is asked to wait as long as those before take, within bounds."""

import pytest

from engine.application.admission import LONGEST, QUEUE, SHORTEST, Admission, Overloaded
from tests.kit.fakes import VirtualClock


def full(clock: VirtualClock) -> Admission:
    door = Admission(clock)
    for number in range(QUEUE):
        door.must_have_room(f"a{number % 3}")
        door.enter(f"a{number % 3}")
    return door


def asked(door: Admission) -> float:
    with pytest.raises(Overloaded) as told:
        door.must_have_room("late")
    return told.value.retry_after


def test_the_slower_the_store_the_longer_the_wait_within_bounds() -> None:
    clock = VirtualClock()
    door = full(clock)
    assert asked(door) == SHORTEST
    for _ in range(20):
        clock.advance(0.1)
        door.committed(100)
    assert asked(door) == pytest.approx(1.0, rel=0.1)
    for _ in range(20):
        clock.advance(60)
        door.committed(1)
    assert asked(door) == LONGEST


def test_whoever_leaves_makes_room() -> None:
    door = full(VirtualClock())
    door.leave("a0")
    door.must_have_room("late")
