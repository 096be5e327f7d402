"""Clocks, the machine's and the tests'."""

import time

import pytest

from engine.adapters.clock import SystemClock
from engine.ports import Clock
from tests.kit.fakes import VirtualClock


class ClockContract:
    """What every clock promises."""

    def test_now_is_in_milliseconds_of_this_century(self, clock: Clock) -> None:
        assert 1_700_000_000_000 < clock.now() < 4_200_000_000_000

    def test_the_monotonic_clock_does_not_go_back(self, clock: Clock) -> None:
        assert clock.monotonic() <= clock.monotonic()


class TestSystemClock(ClockContract):
    @pytest.fixture
    def clock(self) -> Clock:
        return SystemClock()

    def test_now_is_unix_time(self, clock: Clock) -> None:
        assert abs(clock.now() - time.time_ns() / 1e6) < 1000


class TestVirtualClock(ClockContract):
    @pytest.fixture
    def clock(self) -> VirtualClock:
        return VirtualClock()

    def test_time_passes_only_when_told(self, clock: VirtualClock) -> None:
        before = clock.now(), clock.monotonic()
        assert (clock.now(), clock.monotonic()) == before
        clock.advance(1.5)
        assert (clock.now(), clock.monotonic()) == (before[0] + 1500, before[1] + 1.5)

    def test_a_jump_moves_the_wall_clock_alone(self, clock: VirtualClock) -> None:
        before = clock.now(), clock.monotonic()
        clock.jump(-3600)
        assert (clock.now(), clock.monotonic()) == (before[0] - 3_600_000, before[1])
