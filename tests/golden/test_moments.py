"""Kept moments of an older program are used as long as old records are the cause of what they were the cause of."""

import hashlib

import msgspec
import pytest

from projections.history.causes import Causes
from projections.history.kept import MEANING
from projections.netmap.fold import fold
from projections.netmap.state import NetmapState
from tests.golden.logs import FOLDER, Row, decoded

KNOWN = {
    "0.1.0": (2, "00b5b2b065f02f5d"),
    "0.2.0": (2, "0506f48c57dd159f"),
    "0.3.0": (2, "4c9a3d7c5158e3ca"),
}
"""For each log since which `MEANING` its records have been the cause of these things."""


def summed(name: str) -> str:
    rows = [
        msgspec.json.decode(line, type=Row) for line in (FOLDER / f"{name}.jsonl").read_bytes().splitlines()
    ]
    state, causes = NetmapState(), Causes()
    for record in decoded(rows):
        causes.take(record, state.tailnet)
        fold(state, record)
    tables = causes.tables()
    made = sorted((repr(thing), position) for thing, position in tables.made.items())
    gone = [(repr(thing), held.position, held.name) for thing, held in tables.gone]
    return hashlib.sha256(repr((made, gone)).encode()).hexdigest()[:16]


@pytest.mark.parametrize("name", KNOWN)
def test_records_are_the_cause_of_what_they_were_or_moments_have_another_meaning(name: str) -> None:
    meaning, known = KNOWN[name]
    if summed(name) != known:
        assert meaning < MEANING, "raise MEANING in projections/history/kept.py"
        pytest.fail(f"write ({MEANING}, {summed(name)!r}) for {name}")
