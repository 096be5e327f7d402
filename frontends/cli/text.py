"""Text for people: what a terminal may be told, colours, lists, references, durations.

Rule 1: host names and messages come from clients; nothing that a terminal obeys gets through (`clean`).
Rule 2: colour only on a terminal, and never with NO_COLOR set (no-color.org).
"""

import os
import re
import sys
from collections.abc import Iterable, Mapping
from typing import Any, Final

import click

_UNITS: Final[Mapping[str, int]] = {"s": 1, "m": 60, "h": 3_600, "d": 86_400, "w": 604_800, "y": 31_536_000}
_DURATION: Final = re.compile(r"(\d+)([smhdwy])")
_STEPS: Final = ((86_400, "d"), (3_600, "h"), (60, "min"), (1, "s"))


def clean(value: object) -> str:
    """Return the value as one line of printable text; anything else in it becomes `\N{REPLACEMENT CHARACTER}`."""
    return "".join(
        letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}"
        for letter in str(value).replace("\n", " ")
    )


def colours(*, err: bool = False) -> bool:
    """Return whether colour may be written to stdout (or stderr)."""
    stream = sys.stderr if err else sys.stdout
    return "NO_COLOR" not in os.environ and stream.isatty()


def note(text: str) -> None:
    """Tell people something that is not data: on stderr."""
    click.echo(text, err=True, color=colours(err=True))


def warn(text: str) -> None:
    """Tell people of a danger: on stderr."""
    note(click.style("warning: ", fg="yellow", bold=True) + clean(text))


def next_step(*lines: str) -> None:
    """Tell people what they will want to type now: on stderr."""
    note("\n".join([click.style("next:", bold=True), *(f"  {line}" for line in lines)]))


def reference(text: str) -> int | str:
    """Return an id as a number, a name as it is."""
    return int(text) if text.isascii() and text.isdigit() else text


def listed(values: Iterable[str]) -> tuple[str, ...]:
    """Return the items of options that may repeat and may hold lists: `a,b`, `a, b`, `a` and `b`."""
    return tuple(part.strip() for value in values for part in value.split(",") if part.strip())


def seconds_of(text: str) -> int:
    """Return the seconds of `90m`, `24h`, `1d12h`, `3600`.

    Raises:
        ValueError: it is not a duration.
    """
    plain = text.strip().lower()
    if plain.isascii() and plain.isdigit():
        return int(plain)
    parts = _DURATION.findall(plain)
    if not parts or "".join(number + unit for number, unit in parts) != plain:
        raise ValueError(f"{text!r} is not a duration such as 90m, 24h or 30d")
    return sum(int(number) * _UNITS[unit] for number, unit in parts)


def span(seconds: float) -> str:
    """Return a duration in its largest unit: `3 min`."""
    for size, unit in _STEPS:
        if abs(seconds) >= size:
            return f"{int(abs(seconds) // size)} {unit}"
    return "0 s"


def millis_of(value: object) -> int:
    """Return Unix milliseconds of a time in milliseconds or as RFC 3339; 0 if it is neither, or not set."""
    if isinstance(value, int | float):
        return int(value)
    if not isinstance(value, str) or not value:
        return 0
    from datetime import datetime

    try:
        return int(datetime.fromisoformat(value).timestamp() * 1000)
    except ValueError:
        return 0


def ago(value: object, now: int, *, unset: str = "-") -> str:
    """Return a time as people say it: `3 min ago`, `in 24 h`; `now` is in Unix milliseconds."""
    at = millis_of(value)
    if at <= 0:
        return unset
    seconds = (now - at) / 1000
    if abs(seconds) < 1:
        return "now"
    return f"{span(seconds)} ago" if seconds > 0 else f"in {span(seconds)}"


def short_key(value: object) -> str:
    """Return a key as people compare keys: `nodekey:1a2b3c4d…`, or the first 12 characters of another form."""
    kind, colon, digits = str(value).rpartition(":")
    size = 8 if colon else 12
    return clean(value) if len(digits) <= size else f"{clean(kind)}{colon}{clean(digits[:size])}…"


def pick(row: Mapping[str, Any], *names: str, default: Any = "") -> Any:
    """Return the first of the row's fields that is there; answers grow, and older ones are read too."""
    for name in names:
        if row.get(name) is not None:
            return row[name]
    return default
