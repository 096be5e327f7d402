"""Every log that a released version wrote is read for ever, and means what it meant (invariant L8)."""

from pathlib import Path

import msgspec
import pytest

from engine.domain.events import EVENTS
from engine.ports import Fault
from tests.golden.logs import FOLDER, Meaning, Row, decoded, folded, plain

LOGS = sorted(FOLDER.glob("*.jsonl"))
by_version = pytest.mark.parametrize("path", LOGS, ids=lambda path: path.stem)


def rows_of(path: Path) -> list[Row]:
    return [msgspec.json.decode(line, type=Row) for line in path.read_bytes().splitlines()]


@by_version
def test_an_old_log_means_what_it_meant(path: Path) -> None:
    meaning = msgspec.json.decode((FOLDER / f"{path.stem}.meaning.json").read_bytes(), type=Meaning)
    assert plain(folded(decoded(rows_of(path)))) == plain(meaning)


@by_version
def test_an_altered_log_is_refused(path: Path) -> None:
    rows = rows_of(path)
    for broken in (rows[:5] + rows[6:], [*rows[:5], rows[6], rows[5], *rows[7:]]):
        with pytest.raises(Fault):
            decoded(broken)


def test_every_event_of_today_is_in_a_golden_log() -> None:
    known = {row.topic for path in LOGS for row in rows_of(path)}
    assert {str(event.__struct_config__.tag) for event in EVENTS} <= known, "write a golden log"
