"""What benchmarks found: rows with their budgets, as a table and as JSON.

Rule 1: a row says what was measured, its budget, how busy the machine was just before and just after, and a ratio
        against something cheaper that ran in the same minute: on another machine the ratio should be about the same.
Rule 2: a budget that is missed is said, and nothing fails: a benchmark is no test.
"""

import contextlib
import sys
from collections.abc import AsyncIterator
from typing import Final

import msgspec
from rich.console import Console
from rich.table import Table

from bench import machine

WIDTH: Final = 132


class Budget(msgspec.Struct, frozen=True):
    """A limit: an upper one, or with `at_least` a lower one."""

    limit: float
    at_least: bool = False

    def holds(self, measured: float) -> bool:
        """Return whether the measured value keeps to it."""
        return measured >= self.limit if self.at_least else measured <= self.limit


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One measured value.

    `ratio` is the measured value over that of `against`; `note` holds the rest: distributions, samples, errors.
    """

    benchmark: str
    what: str
    measured: float
    unit: str
    budget: Budget | None = None
    ratio: float | None = None
    against: str = ""
    note: str = ""
    busy_before: float = 0.0
    busy_after: float = 0.0

    @property
    def verdict(self) -> str:
        """Whether the budget is kept; nothing without one."""
        return "" if self.budget is None else "ok" if self.budget.holds(self.measured) else "missed"


class Report:
    """The rows of one run; without budgets if it is too small for them."""

    def __init__(self, *, judges: bool = True) -> None:
        self.rows: Final[list[Row]] = []
        self._judges: Final = judges

    @contextlib.asynccontextmanager
    async def watched(self) -> AsyncIterator[list[Row]]:
        """Yield a list for the rows of one measurement; how busy the machine was goes into them at the end."""
        before = await machine.busy()
        rows: list[Row] = []
        yield rows
        after = await machine.busy()
        for row in rows:
            budget = row.budget if self._judges else None
            seen = msgspec.structs.replace(row, budget=budget, busy_before=before, busy_after=after)
            self.rows.append(seen)
            print(f"{seen.benchmark}: {seen.what}: {_number(seen.measured, seen.unit)}", file=sys.stderr)

    def table(self) -> Table:
        """Return the rows for a terminal."""
        table = Table(
            title="netmap-engine, measured", caption="busy: cores at work just before and just after"
        )
        for name in ("what", "measured", "budget", "", "ratio", "busy"):
            table.add_column(name, justify="left" if name in ("what", "") else "right", overflow="fold")
        section = ""
        for row in self.rows:
            if row.benchmark != section:
                table.add_section()
                section = row.benchmark
            what = f"[bold]{row.benchmark}[/bold] {row.what}" + (
                f"\n[dim]{row.note}[/dim]" if row.note else ""
            )
            ratio = "" if row.ratio is None else f"{row.ratio:.2f}\n[dim]{row.against}[/dim]"
            table.add_row(
                what,
                _number(row.measured, row.unit),
                _limit(row),
                {"ok": "[green]ok[/green]", "missed": "[red]missed[/red]"}.get(row.verdict, ""),
                ratio,
                f"{row.busy_before:.1f} → {row.busy_after:.1f}",
            )
        return table

    def show(self) -> None:
        """Print the table."""
        Console(width=None if sys.stdout.isatty() else WIDTH).print(self.table())

    def json(self) -> bytes:
        """Return the rows as JSON."""
        said = [msgspec.structs.asdict(row) | {"verdict": row.verdict} for row in self.rows]
        return msgspec.json.format(msgspec.json.encode(said)) + b"\n"


def _number(value: float, unit: str) -> str:
    digits = 0 if abs(value) >= 100 else 1 if abs(value) >= 10 else 3 if abs(value) < 1 else 2
    return f"{value:,.{digits}f} {unit}"


def _limit(row: Row) -> str:
    if row.budget is None:
        return ""
    return ("≥ " if row.budget.at_least else "≤ ") + _number(row.budget.limit, row.unit)
