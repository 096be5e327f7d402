"""Data on stdout: a table for people, JSON, JSON lines or YAML for programs.

Rule 1: a list is an array in JSON and YAML and a line for each item in JSON lines; nothing else is on stdout.
Rule 2: in a document times are RFC 3339 in UTC, and null where there is none; an event's own data is as it is stored.
Rule 3: a table is at most `WIDTH` columns wide, one line for each item; cells are cut, keys are shortened before.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple

import click

from frontends.cli.text import clean, colours

FORMS: Final = ("table", "json", "jsonl", "json-line", "yaml")
"""`json-line` is Headscale's word for `jsonl`."""
WIDTH: Final = 100
"""Columns of a table: reference ecosystem §1.1, narrow tables."""
TIMES: Final = frozenset({"created", "expiry", "at", "lastSeen", "nextTry", "since", "until", "expiredAt"})
"""Fields of answers that hold Unix milliseconds."""
_VERBATIM: Final = frozenset({"event", "derpMap"})
_NARROWEST: Final = 6
_GAP: Final = "  "

Row = Mapping[str, Any]


def form_option(more: str = "") -> Callable[..., Any]:
    """Return the option -o, which says in which form something is written; `more` is added to its help."""
    return click.option(
        "-o",
        "--output",
        "form",
        type=click.Choice(FORMS),
        default="table",
        show_default=True,
        help=f"Form of what is written to stdout{more}.",
    )


class Column(NamedTuple):
    """A title, and how its cell is made of a row."""

    title: str
    cell: Callable[[Row], object]


def emit(form: str, value: object) -> None:
    """Write a document that is not a table."""
    emit_verbatim(form, timed(value))


def emit_verbatim(form: str, value: object) -> None:
    """Write a document whose times, if any, are as they should be written."""
    match form:
        case "jsonl" | "json-line":
            items = value if isinstance(value, list | tuple) else [value]
            for item in items:
                click.echo(json.dumps(item, ensure_ascii=False, separators=(",", ":")))
        case "yaml":
            import yaml

            text = yaml.safe_dump(value, sort_keys=False, allow_unicode=True)
            click.echo(text, nl=False)
        case _:
            click.echo(json.dumps(value, ensure_ascii=False, indent=2))


def timed(value: object) -> object:
    """Return the document with its times as text (rule 2)."""
    match value:
        case dict():
            return {key: _field(key, inner) for key, inner in value.items()}
        case list() | tuple():
            return [timed(item) for item in value]
        case _:
            return value


def _field(key: object, value: object) -> object:
    if key in TIMES and isinstance(value, int):
        if value <= 0:
            return None
        return datetime.fromtimestamp(value / 1000, UTC).isoformat(timespec="milliseconds")[:-6] + "Z"
    return value if key in _VERBATIM else timed(value)


def emit_rows(form: str, rows: Sequence[Row], columns: Sequence[Column]) -> None:
    """Write a list, as a table or as a document."""
    if form == "table":
        click.echo(table(rows, columns), color=colours())
    else:
        emit(form, [dict(row) for row in rows])


def emit_facts(facts: Row) -> None:
    """Write what is known of one thing: a name and a value on each line."""
    shown = {name: clean(_plain(value)) for name, value in facts.items() if value not in (None, "", [], ())}
    width = max(map(len, shown), default=0)
    for name, value in shown.items():
        click.echo(f"{name:<{width}}{_GAP}{value}", color=colours())


def table(rows: Sequence[Row], columns: Sequence[Column]) -> str:
    """Return the rows as a table (rule 3)."""
    cells = [[clean(_plain(column.cell(row))) for column in columns] for row in rows]
    titles = [column.title for column in columns]
    widths = _fit([max(len(line[i]) for line in [titles, *cells]) for i in range(len(columns))])
    head = click.style(_line(titles, widths), bold=True)
    return "\n".join([head, *(_line(line, widths) for line in cells)])


def _fit(widths: list[int]) -> list[int]:
    while sum(widths) + len(_GAP) * (len(widths) - 1) > WIDTH:
        widest = widths.index(max(widths))
        if widths[widest] <= _NARROWEST:
            break
        widths[widest] -= 1
    return widths


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    cut = [
        text if len(text) <= width else text[: width - 1] + "…"
        for text, width in zip(cells, widths, strict=True)
    ]
    return _GAP.join(f"{text:<{width}}" for text, width in zip(cut, widths, strict=True)).rstrip()


def _plain(value: object) -> str:
    match value:
        case bool():
            return "yes" if value else "no"
        case None:
            return "-"
        case list() | tuple():
            return ", ".join(map(str, value)) or "-"
        case dict():
            return json.dumps(value, ensure_ascii=False)
        case _:
            return str(value) or "-"
