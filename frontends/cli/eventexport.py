"""Events in a file: JSON lines, each as `events show -o json` has it; or CSV, flat, for spreadsheets.

Rule 1: a spreadsheet takes a cell that begins with one of `=+-@` for a formula: such cells begin with `'` in CSV.
Rule 2: a file appears under its name when it is whole.
"""

import csv
import io
import json
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, Final

from frontends.cli import output
from frontends.cli.failure import usage
from frontends.cli.operator import Operator
from frontends.cli.output import Row
from frontends.cli.session import Session
from frontends.cli.text import note

PAGE: Final = 1_000
COLUMNS: Final = (
    "position",
    "at",
    "actor",
    "text",
    "reason",
    "type",
    "stream",
    "version",
    "commandId",
    "cause",
    "event",
)
_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r")

Encoder = Callable[[Row], str]


def export_to(operator: Operator, wanted: Mapping[str, Any], style: str, out: str) -> None:
    """Write all events that are wanted, up to the present one.

    Raises:
        Failure: the file cannot be written (exit 2), or as a query's.
    """
    encode = _json_line if style == "jsonl" else _csv_line

    async def work(tailnet: Session) -> int:
        end = (await tailnet.ask("head", "get"))["position"]
        count, seen = 0, 0
        with _opened(out) as file, _progress(out, end) as progress:
            if style == "csv":
                file.write(_cells(COLUMNS))
            while True:
                reply = await tailnet.ask("event", "list", after=seen, limit=PAGE, **wanted)
                rows = [row for row in reply["events"] if row["position"] <= end]
                file.writelines(map(encode, rows))
                count += len(rows)
                seen = max(seen, reply.get("next") or 0, *(row["position"] for row in rows), 0)
                progress(seen)
                if reply.get("next") is None or seen >= end:
                    return count

    count = operator.talk(work)
    if out != "-":
        note(f"{count} events written to {out}")


def _json_line(row: Row) -> str:
    return json.dumps(output.timed(dict(row)), ensure_ascii=False, separators=(",", ":")) + "\n"


def _csv_line(row: Row) -> str:
    timed = output.timed(dict(row))
    return _cells([timed.get(name, "") for name in COLUMNS] if isinstance(timed, dict) else [])


def _cells(values: Iterable[object]) -> str:
    line = io.StringIO()
    csv.writer(line, lineterminator="\n").writerow([_cell(value) for value in values])
    return line.getvalue()


def _cell(value: object) -> str:
    text = json.dumps(value, ensure_ascii=False) if isinstance(value, dict | list) else str(value)
    return f"'{text}" if text.startswith(_FORMULA) else text


@contextmanager
def _opened(out: str) -> Iterator[IO[str]]:
    """Give where to write (rule 2)."""
    if out == "-":
        yield sys.stdout
        return
    aside = Path(f"{out}.part")
    try:
        with aside.open("w") as file:
            yield file
        aside.replace(out)
    except OSError as error:
        raise usage(f"{out} cannot be written: {error.strerror}") from None
    finally:
        aside.unlink(missing_ok=True)


@contextmanager
def _progress(out: str, end: int) -> Iterator[Callable[[int], None]]:
    if out == "-" or not sys.stderr.isatty():
        yield lambda _: None
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("events", total=end)
        yield lambda seen: bar.update(task, completed=seen)
