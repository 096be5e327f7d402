"""`python -m bench [name …]`: run benchmarks, print what they found beside its budget.

--short         a form of a few minutes for all; `--tiny` shows only that they run
--json FILE     also write the rows as JSON
--keep          append the rows to the history (bench/results/history.jsonl)
--profile       run our processes under cProfile and print their top costs: numbers are then worth nothing

`python -m bench compare [A] [B]`: how two runs of the history differ; a run is named by the beginning of its time or commit.
"""

import argparse
import importlib
import signal
import sys
from pathlib import Path
from typing import Final

import uvloop
from rich.console import Console

from bench import history
from bench.forms import Form
from bench.profiled import Profiles
from bench.report import WIDTH, Report
from engine.adapters import log
from engine.adapters.clock import SystemClock

NAMES: Final = (
    "churn",
    "commands",
    "first_map",
    "fleet5k",
    "idle",
    "join",
    "overload",
    "past",
    "policy",
    "replay",
    "revocation",
    "scale",
    "wireguard",
)
COMPARE: Final = "compare"


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m bench", description="Measure the budgets of docs/budgets.md."
    )
    parser.add_argument("names", nargs="*", metavar="name", help=f"{', '.join(NAMES)}; or {COMPARE} [A] [B]")
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--short", action="store_const", dest="form", const=Form.SHORT, default=Form.FULL)
    form.add_argument("--tiny", action="store_const", dest="form", const=Form.TINY)
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the rows as JSON")
    parser.add_argument("--keep", action="store_true", help="append the rows to the history")
    parser.add_argument("--profile", action="store_true", help="show where our processes spend their time")
    given = parser.parse_args()
    if given.names[:1] == [COMPARE]:
        _compare(given.names[1:3])
        return
    if unknown := [name for name in given.names if name not in NAMES]:
        parser.error(f"no benchmark {unknown[0]!r}; there are {', '.join(NAMES)}")
    if given.keep and given.profile:
        parser.error(
            "what is measured under a profiler is worth nothing: --keep and --profile exclude each other"
        )
    log.configure("error")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # what we started is ended, too
    _run(given)


def _run(given: argparse.Namespace) -> None:
    report, began = Report(judges=given.form is not Form.TINY), SystemClock().now()
    profiles = Profiles() if given.profile else None
    try:
        for name in given.names or NAMES:
            uvloop.run(importlib.import_module(f"bench.{name}").run(report, given.form, profiles))
    finally:
        if report.rows:
            report.show()
        if given.json:
            given.json.write_bytes(report.json())
        if given.keep and report.rows:
            history.append(history.lines(report.rows, began, given.form))
        if profiles is not None:
            profiles.show()


def _compare(which: list[str]) -> None:
    try:
        before, after = history.pick(history.read(), which)
    except history.UnknownRun as error:
        sys.exit(str(error))
    Console(width=None if sys.stdout.isatty() else WIDTH).print(history.compared(before, after))


if __name__ == "__main__":
    main()
