"""`netmap replay`: fold the whole log by itself, and say what comes of it.

Rule 1: the store is read as it is, by this process; nobody is asked, and nothing is written.
"""

import asyncio

import click

from frontends.cli import output, setup
from frontends.cli.failure import Exit, Failure, Trouble, usage
from frontends.cli.operator import Operator, reading
from frontends.cli.options import AT, Moment
from frontends.cli.output import Column
from frontends.cli.proof import opened_rows, progress_of


@click.command("replay")
@click.option("--store", metavar="URL", help="sqlite:///PATH or postgresql://…  [default: in the directory]")
@AT
@click.option(
    "--every",
    type=click.IntRange(0),
    default=0,
    metavar="N",
    help="Tell the state digest for every N positions, to compare hosts.",
)
@reading
def replay(operator: Operator, store: str | None, at: Moment, every: int) -> None:
    """Make everything anew from the log: how many records, how fast, and the state digest of what comes of it.

    Ends with 1 at the first record that cannot be read, and names it.
    """
    facts = asyncio.run(_replayed(operator, store, at, every))
    if operator.form == "table":
        _show(facts)
    else:
        output.emit(operator.form, facts)
    if facts["why"]:
        hint = "netmap events verify says whether somebody has changed the log."
        message = f"after position {facts['position']} the log cannot be read: {facts['why']}"
        raise Failure(Exit.FAILED, Trouble("log.unreadable", message, hint=hint))


def _show(facts: dict[str, object]) -> None:
    marks = facts["digests"]
    if isinstance(marks, list | tuple) and marks:
        columns = (
            Column("POSITION", lambda row: row["position"]),
            Column("STATE DIGEST", lambda row: row["digest"]),
        )
        output.emit_rows("table", marks, columns)
    timed = output.timed({name: value for name, value in facts.items() if name != "digests"})
    output.emit_facts(timed if isinstance(timed, dict) else facts)


async def _replayed(operator: Operator, store: str | None, at: Moment, every: int) -> dict[str, object]:
    from engine.adapters.clock import SystemClock
    from engine.adapters.store.opening import open_reader
    from engine.domain.errors import Invalid
    from engine.ports import Fault
    from frontends.cli.serve import replayed

    given = {"directory": operator.place.directory, "store": store, "tailnet": operator.place.tailnet}
    settings = setup.settings_of(given)
    with opened_rows(operator, store) as rows:
        end = rows.end()
    try:
        reader = open_reader(settings.store_url(), tailnet=settings.tailnet)
    except Fault as fault:
        raise Failure(
            Exit.UNREACHABLE, Trouble("store.unreachable", str(fault), hint="--store URL")
        ) from None
    try:
        with progress_of(operator, end) as progress:
            return await replayed(reader, SystemClock(), at=at, every=every, tell=progress)
    except Invalid as invalid:
        raise usage(str(invalid)) from None
    finally:
        await reader.close()
