"""`netmap projection`: what runs, how far each is, and whether what it holds is what the log makes of it.

Rule 1: `list` is what one projection has heard of all; `verify` and `rebuild` are asked of each by its name.
Rule 2: a comparison runs in the projection, beside what it serves; this only looks on, and may go away.
"""

import asyncio
import functools
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final

import click

from frontends.cli import live, output
from frontends.cli.failure import Exit, Failure, Trouble
from frontends.cli.groups import noun
from frontends.cli.operator import Operator, reading
from frontends.cli.output import Column, Row
from frontends.cli.session import Session
from frontends.cli.text import span, warn

LOOK_SECONDS: Final = 0.25
SILENT: Final = "silent"
"""The state of one of which nothing was heard for 3 s (`projections/watch.py`)."""
_NAMES = click.argument(
    "names", nargs=-1, metavar="[NAME]…", shell_complete=live.names_of("projection", "projections")
)

projection = noun("Projections: what each process holds, and whether it is right.")


@projection.command("list")
@reading
def list_(operator: Operator) -> None:
    """List the projections that run: how far each is behind the log, and the state digest of what it holds."""
    rows = operator.talk(_heard)
    columns = (
        Column("NAME", lambda row: row["name"]),
        Column("STATE", lambda row: row["state"]),
        Column("POSITION", lambda row: row["position"]),
        Column("BEHIND", lambda row: f"{row['lag']} · {row['lagSeconds']:.1f} s"),
        Column("NODES", lambda row: row["nodes"]),
        Column("MOMENTS", lambda row: row["moments"]),
        Column("UP", lambda row: span(row["uptime"])),
        Column("STATE DIGEST", lambda row: short(row["digest"])),
    )
    operator.rows(rows, columns, empty=("no projection runs", "netmap run projection"))


@projection.command("verify")
@_NAMES
@reading
def verify(operator: Operator, names: tuple[str, ...]) -> None:
    """Fold the log beside what a projection serves, and compare: netmap objects, lists, kept moments.

    Without a name all are asked that are heard. Changes nothing; ends with 1 if anything differs, and names the first.
    """
    _compare(operator, names, "verify")


@projection.command("rebuild")
@_NAMES
@reading
def rebuild(operator: Operator, names: tuple[str, ...]) -> None:
    """Fold the log beside what a projection serves, and take what comes of it if that is something else.

    It serves meanwhile. Ends with 1 if anything differed.
    """
    _compare(operator, names, "rebuild")


def short(digest: object) -> str:
    """Return a state digest as people compare digests."""
    return str(digest).partition("-")[2][:12] or "-"


def _compare(operator: Operator, names: Sequence[str], verb: str) -> None:
    wanted = list(names) or _speaking(operator.talk(_heard))
    if not wanted:
        raise Failure(
            Exit.UNREACHABLE, Trouble("projection.none", "no projection runs", hint="netmap run projection")
        )
    found = []
    for name in wanted:
        with _progress(operator, name) as tell:
            found.append(operator.talk(functools.partial(_checked, name=name, verb=verb, tell=tell)))
    if operator.form == "table":
        for row in found:
            _show(row)
    else:
        output.emit(operator.form, found)
    bad = [row["name"] for row in found if row["check"]["difference"] or row["check"]["why"]]
    if bad:
        message = f"{', '.join(bad)}: not what the log makes of it"
        hint = "" if verb == "rebuild" else f"netmap projection rebuild {bad[0]}"
        raise Failure(Exit.FAILED, Trouble("projection.differs", message, hint=hint))


def _speaking(rows: Sequence[Row]) -> list[str]:
    """Return the names of those that are heard; one that has just ended is still listed, and answers nobody."""
    for row in rows:
        if row["state"] == SILENT:
            warn(f"{row['name']} is silent, and not asked")
    return [row["name"] for row in rows if row["state"] != SILENT]


async def _heard(tailnet: Session) -> list[Row]:
    reply = await tailnet.ask("projection", "list")
    return list(reply["projections"])


async def _checked(
    tailnet: Session, *, name: str, verb: str, tell: Callable[[dict[str, Any]], None]
) -> dict[str, Any]:
    """Ask one projection, and look on until it is done."""
    said = await tailnet.ask(f"projection.{name}", verb)
    while said["check"]["running"]:
        tell(said["check"])
        await asyncio.sleep(LOOK_SECONDS)
        said = await tailnet.ask(f"projection.{name}", "get")
    return {"name": said["name"], "state": said["state"], "check": said["check"]}


def _show(row: Row) -> None:
    check, difference = row["check"], row["check"]["difference"] or {}
    seconds = check["seconds"]
    rate = f", {check['records'] / seconds:,.0f}/s" if seconds else ""
    output.emit_facts(
        {
            "projection": row["name"],
            "holds": not difference and not check["why"],
            "position": check["position"],
            "records": f"{check['records']} in {seconds:.1f} s{rate}",
            "moments": check["moments"],
            "digest": short(check["digest"]),
            "of the log": short(check["rebuilt"]),
            "differs": difference.get("what"),
            "at": difference.get("position"),
            "key": difference.get("key"),
            "live": difference.get("live"),
            "rebuilt": difference.get("rebuilt"),
            "swapped": "yes: it serves what the log makes of it now" if check["swapped"] else "",
        }
    )
    if check["why"]:
        warn(f"{row['name']} could not compare: {check['why']}")


@contextmanager
def _progress(operator: Operator, name: str) -> Iterator[Callable[[dict[str, Any]], None]]:
    if operator.form != "table" or not sys.stderr.isatty():
        yield lambda _: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

    columns = (TextColumn(name), BarColumn(), TaskProgressColumn(show_speed=True), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(name, total=None)
        yield lambda check: bar.update(task, completed=check["position"], total=check["end"])
