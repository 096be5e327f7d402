"""A machine's rate: a burst, then a trickle; no machine pays for another, and no crowd fills the memory."""

import pytest

from engine.domain.values import MachineKey
from frontends.control.rate import BURST, FULL_SECONDS, MOST, PER_SECOND, Rates

ONE, OTHER = MachineKey("mkey:1"), MachineKey("mkey:2")


def granted(rates: Rates, machine: MachineKey, now: float, times: int) -> int:
    return sum(rates.spend(machine, now) == 0 for _ in range(times))


def test_a_machine_has_a_burst_and_then_a_steady_rate() -> None:
    rates = Rates()
    assert granted(rates, ONE, 0.0, 2 * BURST) == BURST
    assert granted(rates, ONE, 5.0, 2 * BURST) == 5 * PER_SECOND
    assert granted(rates, ONE, 5.0 + 10 * FULL_SECONDS, 2 * BURST) == BURST


def test_who_is_turned_away_is_told_for_how_long_and_then_let_in() -> None:
    rates = Rates()
    granted(rates, ONE, 0.0, BURST)
    wait = rates.spend(ONE, 0.0)
    assert wait == pytest.approx(1 / PER_SECOND)
    assert rates.spend(ONE, wait / 2) == pytest.approx(wait / 2)
    assert rates.spend(ONE, wait) == 0


def test_no_machine_pays_for_another() -> None:
    rates = Rates()
    granted(rates, ONE, 0.0, 2 * BURST)
    assert granted(rates, OTHER, 0.0, BURST) == BURST


def test_a_real_client_that_is_restarted_often_is_never_turned_away() -> None:
    """Twelve tries in seven seconds is what a client does that is refused; here it is restarted each time."""
    rates = Rates()
    for start in range(0, 70, 7):
        for attempt in range(12):
            assert rates.spend(ONE, start + attempt * 7 / 12) == 0


def test_full_buckets_are_forgotten() -> None:
    rates = Rates()
    for number in range(100):
        rates.spend(MachineKey(f"mkey:{number}"), 0.0)
    rates.spend(ONE, FULL_SECONDS - 0.1)
    assert len(rates) == 100
    rates.spend(ONE, FULL_SECONDS)
    assert len(rates) == 1


def test_a_crowd_fills_the_table_and_no_more_and_the_last_to_ask_stay() -> None:
    rates = Rates()
    for number in range(MOST + 100):
        if number % 1_000 == 0:
            granted(rates, ONE, 1.0, BURST)
        rates.spend(MachineKey(f"mkey:0{number}"), 1.0)
    assert len(rates) == MOST
    assert rates.spend(ONE, 1.0) > 0
