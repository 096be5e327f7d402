"""`python -m tests.soak run FOLDER` and `python -m tests.soak check FOLDER`: see docs/soak.md.

Rule 1: the exit status is 0 without findings, 1 with any.
"""

import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import click
import uvloop

from tests.kit.lab.net import ROOT
from tests.soak.report import judge, save, table
from tests.soak.run import Options, Soak
from tests.soak.stage import SMALL, WHOLE


@click.group()
def main() -> None:
    """Faults of every kind on a whole deployment, while every frame is checked."""


@main.command()
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--seconds", default=900.0, help="How long faults go on.")
@click.option("--hours", default=0.0, help="How long faults go on, in hours.")
@click.option("--seed", default=1, help="Of the faults and of what the lanes choose.")
@click.option("--clients", default=500, help="Map sessions.")
@click.option("--groups", default=25, help="Users; the clients of each see each other.")
@click.option("--rate", default=50.0, help="Commands a second.")
@click.option("--every", default=5.0, help="Seconds from one fault to the next.")
@click.option("--target", "targets", multiple=True, help="What faults happen to: engine, f1; all by default.")
@click.option("--workers", default=2, help="Processes that the clients are spread over.")
@click.option("--small", is_flag=True, help="One broker, engine and projection, two frontends, SQLite.")
@click.option("--within", default=5.0, help="Seconds in which all must hold what the log says.")
def run(folder: Path, small: bool, within: float, hours: float, **fields: Any) -> None:  # noqa: FBT001 (an option)
    """Run in a new FOLDER, then check it in a process of its own."""
    if folder.exists() and any(folder.iterdir()):
        raise click.ClickException(f"{folder} is not empty: give a new folder, or `check` this one")
    fields["seconds"] = hours * 3_600 or fields["seconds"]
    options = Options(topology=SMALL if small else WHOLE, **fields)
    folder.mkdir(parents=True, exist_ok=True)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # what it has started ends with it
    uvloop.run(Soak(folder.absolute(), options).run())
    argv = [sys.executable, "-m", "tests.soak", "check", str(folder.absolute()), "--within", str(within)]
    sys.exit(subprocess.run(argv, check=False, cwd=ROOT).returncode)


@main.command()
@click.argument("folder", type=click.Path(path_type=Path, exists=True))
@click.option("--within", default=5.0, help="Seconds in which all must hold what the log says.")
def check(folder: Path, within: float) -> None:
    """Judge what is in FOLDER, or in its `history`."""
    history = folder / "history" if (folder / "history").exists() else folder
    verdict = judge(history, within=within)
    save(verdict, history)
    click.echo(table(verdict))
    sys.exit(1 if verdict.findings else 0)


if __name__ == "__main__":
    main()
