"""What was measured when, on which code and what machine: a line of JSON for each row of each run, for ever.

    bench/results/history.jsonl     appended to by `python -m bench --keep`; committed, so that runs can be compared

Rule 1: a line names neither a host nor a user nor a folder: the machine is described by what it has.
Rule 2: rows are the same if benchmark and name are; a name holds no number that was measured.
Rule 3: two runs are compared by ratios first: a ratio is over something cheaper that ran in the same minute, so it says the
        same on a slower machine. A value alone says little when the machine is another one or was busy, which is said.
"""

import os
import platform
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import msgspec
from rich.table import Table

from bench.report import Row
from engine.domain.values import Millis
from frontends.wire import timetext

FILE: Final = Path(__file__).parent / "results" / "history.jsonl"
SAME: Final = 0.1
"""A change by less than this share is noise."""


class Machine(msgspec.Struct, frozen=True):
    """What a benchmark ran on."""

    model: str
    cores: int
    memory_gib: int
    kernel: str
    python: str


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """One row of one run."""

    run: str
    """When the run began, RFC 3339: its name."""
    commit: str
    """The first twelve digits; with `+` behind them if something was not committed."""
    form: str
    machine: Machine
    row: Row
    verdict: str = ""


_LINE: Final = msgspec.json.Decoder(Line)


class UnknownRun(LookupError):  # noqa: N818 (the house's errors have names without a suffix)
    """No run of the history is meant by this."""


def lines(rows: Sequence[Row], at: Millis, form: str) -> list[Line]:
    """Return the rows of a run that began at this time, as lines."""
    run, commit, machine = timetext.show(at // 1_000 * 1_000), _commit(), _machine()
    return [
        Line(run=run, commit=commit, form=form, machine=machine, row=row, verdict=row.verdict) for row in rows
    ]


def append(found: Sequence[Line], file: Path = FILE) -> None:
    """Add lines to a history."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("ab") as out:
        out.writelines(msgspec.json.encode(line) + b"\n" for line in found)


def read(file: Path = FILE) -> dict[str, list[Line]]:
    """Return the runs of a history, the oldest first; none if there is no file.

    Raises:
        msgspec.MsgspecError: a line is not one.
    """
    runs: dict[str, list[Line]] = {}
    for text in file.read_bytes().splitlines() if file.exists() else ():
        line = _LINE.decode(text)
        runs.setdefault(line.run, []).append(line)
    return dict(sorted(runs.items()))


def pick(runs: dict[str, list[Line]], which: Sequence[str]) -> tuple[list[Line], list[Line]]:
    """Return two runs: those that are named, by the beginning of a time or a commit; else the last one and its predecessor.

    With one name it is that run and the last one. A predecessor has the same form.

    Raises:
        UnknownRun: there is none that is meant.
    """
    if not runs:
        raise UnknownRun("the history is empty: run `python -m bench --keep` first")
    named = [_named(runs, name) for name in which]
    after = named[1] if len(named) > 1 else list(runs.values())[-1]
    if named:
        return named[0], after
    before = [run for run in runs.values() if run[0].run < after[0].run and run[0].form == after[0].form]
    if not before:
        raise UnknownRun(f"no {after[0].form} run is older than {after[0].run}: name two runs")
    return before[-1], after


def _named(runs: dict[str, list[Line]], name: str) -> list[Line]:
    found = [run for run in runs.values() if run[0].run.startswith(name) or run[0].commit.startswith(name)]
    if not found:
        raise UnknownRun(f"no run begins with {name!r}; there are {', '.join(runs)}")
    return found[-1]


def compared(before: Sequence[Line], after: Sequence[Line]) -> Table:
    """Return how the rows that both runs have differ, ratios first."""
    old = {(line.row.benchmark, line.row.what): line for line in before}
    table = Table(title=f"{_title(before[0])} → {_title(after[0])}", caption=_caption(before[0], after[0]))
    for name in ("what", "ratio", "", "measured", "", "verdict"):
        table.add_column(name, justify="left" if name in ("what", "verdict") else "right", overflow="fold")
    for line in after:
        row, was = line.row, old.get((line.row.benchmark, line.row.what))
        if was is None:
            continue
        is_more_good = row.budget is not None and row.budget.at_least
        ratios = ("–", "")
        if row.ratio is not None and was.row.ratio is not None:
            ratios = (
                f"{was.row.ratio:.2f} → {row.ratio:.2f}",
                change(was.row.ratio, row.ratio, is_more_good=is_more_good),
            )
        values = f"{was.row.measured:,.4g} → {row.measured:,.4g} {row.unit}"
        verdicts = line.verdict if was.verdict == line.verdict else f"{was.verdict or '–'} → {line.verdict}"
        changed = change(was.row.measured, row.measured, is_more_good=is_more_good)
        table.add_row(f"[bold]{row.benchmark}[/bold] {row.what}", *ratios, values, changed, verdicts)
    return table


def change(before: float, after: float, *, is_more_good: bool) -> str:
    """Return a change in per cent, red if it is for the worse and green if for the better; nothing if it is noise."""
    if not before:
        return ""
    share = after / before - 1
    if abs(share) < SAME:
        return f"[dim]{share:+.0%}[/dim]"
    return f"[{'green' if (share > 0) is is_more_good else 'red'}]{share:+.0%}[/]"


def _title(line: Line) -> str:
    return f"{line.run} {line.commit} {line.form}"


def _caption(before: Line, after: Line) -> str:
    if before.machine == after.machine:
        return "the same machine"
    return f"not the same machine: {_shown(before.machine)} → {_shown(after.machine)}: trust the ratios"


def _shown(machine: Machine) -> str:
    return f"{machine.cores} × {machine.model}, {machine.memory_gib} GiB, {machine.python}"


def _machine() -> Machine:
    infos = Path("/proc/cpuinfo").read_text().splitlines()
    model = next((line.partition(":")[2].strip() for line in infos if line.startswith("model name")), "")
    octets = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return Machine(
        model=model or platform.machine(),
        cores=os.cpu_count() or 1,
        memory_gib=round(octets / 1024**3),
        kernel=platform.release().partition("-")[0],
        python=platform.python_version(),
    )


def _commit() -> str:
    try:
        commit = _git("rev-parse", "--short=12", "HEAD").strip()
        changed = any(
            not line.endswith("bench/results/history.jsonl")
            for line in _git("status", "--porcelain").splitlines()
        )
    except (OSError, subprocess.CalledProcessError):
        return ""
    return commit + ("+" if changed else "")


def _git(*argv: str) -> str:
    done = subprocess.run(["git", *argv], cwd=FILE.parent.parent, check=True, capture_output=True, text=True)
    return done.stdout
