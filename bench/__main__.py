"""`python -m bench [name …]`: run benchmarks, print what they found beside its budget.

--json FILE     also write the rows as JSON
--profile       run our processes under cProfile and print their top costs: numbers are then worth nothing
"""

import argparse
import importlib
from pathlib import Path
from typing import Final

import uvloop

from bench.profiled import Profiles
from bench.report import Report
from engine.adapters import log

NAMES: Final = ("commands", "first_map", "join", "past", "policy", "replay", "wireguard")


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m bench", description="Measure the budgets of docs/budgets.md."
    )
    parser.add_argument("names", nargs="*", metavar="name", help=", ".join(NAMES))
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the rows as JSON")
    parser.add_argument("--profile", action="store_true", help="show where our processes spend their time")
    given = parser.parse_args()
    if unknown := [name for name in given.names if name not in NAMES]:
        parser.error(f"no benchmark {unknown[0]!r}; there are {', '.join(NAMES)}")
    log.configure("error")
    report, profiles = Report(), Profiles() if given.profile else None
    try:
        for name in given.names or NAMES:
            uvloop.run(importlib.import_module(f"bench.{name}").run(report, profiles))
    finally:
        if report.rows:
            report.show()
        if given.json:
            given.json.write_bytes(report.json())
        if profiles is not None:
            profiles.show()


if __name__ == "__main__":
    main()
