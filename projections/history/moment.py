"""Which moment of the log somebody means by `at`.

Rule 1: a number is a position; text is a position in digits, `now`, an age as `-2h`, or an RFC 3339 time with a zone.
Rule 2: an age is counted from `now`, which is passed in; units are s, m, h, d and w, also together: `-1h30m`.
Rule 3: a moment is the state after the last record at or before it.
"""

import datetime as dt
import re
from typing import Final

import msgspec

from engine.domain.errors import Invalid
from engine.domain.values import Millis, Position

UNITS: Final = {"s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000, "w": 604_800_000}
"""Milliseconds."""
_AGE: Final = re.compile(r"-(?:\d{1,9}[smhdw])+", re.ASCII)
_PART: Final = re.compile(r"(\d+)([smhdw])", re.ASCII)
_DIGITS: Final = re.compile(r"\d{1,18}", re.ASCII)
_RFC3339: Final = re.compile(
    r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(?:\.\d{1,9})?(?:[Zz]|[+-]\d\d:\d\d)",
    re.ASCII,  # RFC 3339 §5.6
)


class AtPosition(msgspec.Struct, frozen=True):
    """After the last record at or before this position."""

    position: Position


class AtTime(msgspec.Struct, frozen=True):
    """After the last record at or before this time."""

    at: Millis


Moment = AtPosition | AtTime


def moment(at: int | str | None, now: Millis) -> Moment | None:
    """Return the moment that is meant; None is the present.

    Raises:
        Invalid: `history.moment`: none of the forms.
    """
    if at is None or at == "now":
        return None
    if isinstance(at, int):
        return AtPosition(_position(at))
    if _DIGITS.fullmatch(at):
        return AtPosition(_position(int(at)))
    if _AGE.fullmatch(at):
        age = sum(int(count) * UNITS[unit] for count, unit in _PART.findall(at))
        return AtTime(Millis(max(0, now - age)))
    return AtTime(_time(at))


def _position(number: int) -> Position:
    if number < 0:
        raise _refused()
    return Position(number)


def _time(text: str) -> Millis:
    if not _RFC3339.fullmatch(text):
        raise _refused()
    try:
        parsed = dt.datetime.fromisoformat(text.upper().replace(" ", "T"))
    except ValueError:
        raise _refused() from None
    since = parsed - dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
    return Millis(max(0, since // dt.timedelta(milliseconds=1)))


def _refused() -> Invalid:
    return Invalid(
        "history.moment",
        "'at' is a position, a time as 2026-11-23T12:00:00Z, or an age as -2h",
        field="at",
        hint="Ages take s, m, h, d and w: -90s, -30m, -1h30m, -2d.",
    )
