"""`netmap events`: what happened, who did it, and why.

Rule 1: `tail` asks for what is after the last position that it has seen; `log.head` only wakes it up, and a lost
        wake-up costs `WAKE_SECONDS`.
"""

from collections.abc import AsyncIterator, Mapping
from typing import TYPE_CHECKING, Any, Final

import click

from frontends.cli import output
from frontends.cli.eventfilter import filtering, spanning
from frontends.cli.failure import Exit, Failure, Trouble, usage
from frontends.cli.groups import noun
from frontends.cli.operator import Operator, changing, reading
from frontends.cli.output import Column, Row
from frontends.cli.session import Session
from frontends.cli.text import ago, clean, note, reference

if TYPE_CHECKING:
    from engine.ports import Message

WAKE_SECONDS: Final = 2.0
"""How long a lost wake-up may go unnoticed."""
PAGE: Final = 500
STYLES: Final = ("jsonl", "csv")

events = noun(
    "Events: what happened, who did it, and why.", {"watch": "tail", "follow": "tail", "undo": "revert"}
)
events.lazy |= {
    name: f"frontends.cli.proof:{name.replace('-', '_')}"
    for name in ("verify", "prove", "check-proof", "checkpoint", "key")
}
events.lazy["stream"] = "frontends.cli.eventstream:stream"


@events.command("list")
@click.option("--after", type=int, metavar="POSITION", help="The oldest after it, instead of the newest.")
@click.option("--before", type=int, metavar="POSITION", help="The newest before it.")
@click.option("--limit", type=click.IntRange(1, 1_000), default=100, show_default=True)
@spanning
@reading
@filtering
def list_(
    operator: Operator, wanted: Row, after: int | None, before: int | None, limit: int, **span: str | None
) -> None:
    """List events in order: the newest ones, or those after a position."""
    if after is not None and before is not None:
        raise usage("--after and --before exclude each other")
    place = {"after": after} if after is not None else {"last": True, "before": before}
    reply = operator.ask("event", "list", limit=limit, **place, **wanted, **_moments(span))
    now = operator.now()
    columns = (
        Column("POSITION", lambda row: row.get("position")),
        Column("WHEN", lambda row: ago(row.get("at"), now)),
        Column("WHO", lambda row: row.get("actor")),
        Column("WHAT", words),
        Column("WHY", lambda row: row.get("reason")),
    )
    operator.rows(reply.get("events", []), columns, empty=("no events there",))
    if operator.form == "table":
        for name, flag in (("previous", "--before"), ("next", "--after")):
            if reply.get(name) is not None:
                note(f"more: {flag} {reply[name]}")


@events.command("get")
@click.argument("position", type=click.IntRange(1))
@reading
def get(operator: Operator, position: int) -> None:
    """Show one event: what happened, who did it and why, and all of its fields."""
    reply = operator.ask("event", "list", after=position - 1, limit=1)
    rows = [row for row in reply.get("events", []) if row["position"] == position]
    if not rows:
        message = f"there is no record at position {position}; positions may have holes"
        raise Failure(Exit.NOT_FOUND, Trouble("record.not_found", message, hint="netmap events list"))
    if operator.form != "table":
        output.emit(operator.form, rows[0])
        return
    row = dict(rows[0])
    held = row.pop("event")
    said = {"what": f"{row['actor']} {row.pop('text')}", **output.timed(row)}  # type: ignore[dict-item]
    output.emit_facts({**said, **{f"event.{name}": value for name, value in held.items() if name != "type"}})


@events.command("export")
@click.option("--format", "style", type=click.Choice(STYLES), default="jsonl", show_default=True)
@click.option("--out", metavar="FILE", default="-", help="Where to; `-` is stdout.  [default: -]")
@spanning
@reading
@filtering
def export(operator: Operator, wanted: Row, style: str, out: str, **span: str | None) -> None:
    """Write events to a file, for other programs: JSON lines, or a table for spreadsheets."""
    from frontends.cli.eventexport import export_to

    export_to(operator, {**wanted, **_moments(span)}, style, out)


@events.command("revert")
@click.argument("position", type=click.IntRange(1))
@click.option("--dry-run", is_flag=True, help="Only show what would be done, and what follows.")
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@click.option("--force", is_flag=True, help="Also set back what has been set otherwise since.")
@changing
def revert(operator: Operator, position: int, *, dry_run: bool, yes: bool, force: bool) -> None:
    """Undo what the command at a position did, where it can be undone."""
    from frontends.cli.eventrevert import revert as undo

    undo(operator, position, force=force, sure=yes, is_rehearsal=dry_run)


@events.command("tail")
@click.option("--after", type=int, metavar="POSITION", help="From there on; from now on if absent.")
@click.option("--until-idle", is_flag=True, hidden=True, help="End when there is nothing more.")
@reading
@filtering
def tail(operator: Operator, wanted: Row, after: int | None, until_idle: bool) -> None:
    """Write events as they happen, until Ctrl-C."""

    async def follow(tailnet: Session) -> None:
        async for rows in pages(tailnet, after, wanted, endless=not until_idle):
            _write(operator.form, rows)

    operator.talk(follow)


def _moments(span: Mapping[str, str | None]) -> dict[str, int | str | None]:
    return {name: None if text is None else reference(text) for name, text in span.items()}


async def pages(
    tailnet: Session, after: int | None, wanted: Mapping[str, Any], *, endless: bool
) -> AsyncIterator[list[Row]]:
    """Yield what happened after a position, and then what happens (rule 1)."""
    from engine.contracts import subjects
    from engine.domain.values import TailnetName

    wake = await tailnet.bus.subscribe(subjects.log_head(TailnetName(tailnet.place.tailnet)), limit=1)
    seen = (await tailnet.ask("head", "get"))["position"] if after is None else after
    while True:
        reply = await tailnet.ask("event", "list", after=seen, limit=PAGE, **wanted)
        rows = reply.get("events", [])
        if rows:
            seen = rows[-1]["position"]
            yield rows
        if reply.get("next") is not None:
            seen = reply["next"]
        elif not rows and not endless:
            return
        elif not rows:
            seen = max(seen, reply.get("position", 0))  # all up to here has been looked at
            await woken(wake)


async def woken(wake: AsyncIterator["Message"]) -> None:
    """Wait for a wake-up, or for `WAKE_SECONDS`."""
    import asyncio

    try:
        async with asyncio.timeout(WAKE_SECONDS):
            await anext(wake, None)
    except TimeoutError:
        return


def _write(form: str, rows: list[Row]) -> None:
    if form == "table":
        for row in rows:
            why = f" — {row['reason']}" if row.get("reason") else ""
            click.echo(clean(f"{row.get('position', ''):>8}  {row.get('actor', '')} {words(row)}{why}"))
    elif form == "yaml":
        output.emit("yaml", rows)
    else:
        output.emit("jsonl", rows)


def words(row: Row) -> str:
    """Return what happened; a projection from before there were words has an event's name only."""
    return str(row.get("text") or row.get("type", ""))
