"""`netmap events`: what happened, who did it, and why.

Rule 1: `tail` asks for what is after the last position that it has seen; `log.head` only wakes it up, and a lost
        wake-up costs `WAKE_SECONDS`.
"""

from collections.abc import AsyncIterator, Sequence
from typing import TYPE_CHECKING, Final

import click

from frontends.cli import output
from frontends.cli.groups import noun
from frontends.cli.operator import Operator, reading
from frontends.cli.output import Column, Row
from frontends.cli.session import Session
from frontends.cli.text import ago, clean, listed, note

if TYPE_CHECKING:
    from engine.ports import Message

WAKE_SECONDS: Final = 2.0
"""How long a lost wake-up may go unnoticed."""
PAGE: Final = 500

events = noun("Events: what happened, who did it, and why.", {"watch": "tail", "follow": "tail"})
events.lazy |= {
    name: f"frontends.cli.proof:{name.replace('-', '_')}"
    for name in ("verify", "prove", "check-proof", "checkpoint", "key")
}
_types = click.option(
    "--type",
    "types",
    multiple=True,
    metavar="NAME,…",
    help="Only these: `PeerRegistered.v1`, or without `.v1`.",
)


@events.command("list")
@click.option("--after", type=int, default=0, metavar="POSITION", help="Only what came after it.")
@click.option("--limit", type=click.IntRange(1, 1_000), default=100, show_default=True)
@_types
@reading
def list_(operator: Operator, after: int, limit: int, types: tuple[str, ...]) -> None:
    """List events in order."""
    reply = operator.ask("event", "list", after=after, limit=limit, types=listed(types))
    columns = (
        Column("POSITION", lambda row: row.get("position")),
        Column("WHEN", lambda row: ago(row.get("at"), now)),
        Column("EVENT", kind),
        Column("OF", lambda row: row.get("stream")),
        Column("ACTOR", lambda row: row.get("actor")),
        Column("REASON", lambda row: row.get("reason")),
    )
    now = operator.now()
    operator.rows(reply.get("events", []), columns, empty=("no events there",))
    if operator.form == "table" and reply.get("next") is not None:
        note(f"more: --after {reply['next']}")


@events.command("tail")
@click.option("--after", type=int, metavar="POSITION", help="From there on; from now on if absent.")
@click.option("--until-idle", is_flag=True, hidden=True, help="End when there is nothing more.")
@_types
@reading
def tail(operator: Operator, after: int | None, until_idle: bool, types: tuple[str, ...]) -> None:
    """Write events as they happen, until Ctrl-C."""

    async def follow(tailnet: Session) -> None:
        async for rows in pages(tailnet, after, listed(types), endless=not until_idle):
            _write(operator.form, rows)

    operator.talk(follow)


async def pages(
    tailnet: Session, after: int | None, types: Sequence[str], *, endless: bool
) -> AsyncIterator[list[Row]]:
    """Yield what happened after a position, and then what happens (rule 1)."""
    from engine.contracts import subjects
    from engine.domain.values import TailnetName

    wake = await tailnet.bus.subscribe(subjects.log_head(TailnetName(tailnet.place.tailnet)), limit=1)
    seen = (await tailnet.ask("head", "get"))["position"] if after is None else after
    while True:
        reply = await tailnet.ask("event", "list", after=seen, limit=PAGE, types=types)
        rows = reply.get("events", [])
        if rows:
            seen = rows[-1]["position"]
            yield rows
        if reply.get("next") is not None:
            seen = reply["next"]
        elif not rows and not endless:
            return
        elif not rows:
            await _woken(wake)


async def _woken(wake: AsyncIterator["Message"]) -> None:
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
            said = f"{row.get('position', ''):>8}  {kind(row):<24}  {row.get('stream', ''):<20}"
            click.echo(clean(f"{said}  {row.get('actor', '')}  {row.get('reason', '')}").rstrip())
    elif form == "yaml":
        output.emit("yaml", rows)
    else:
        output.emit("jsonl", rows)


def kind(row: Row) -> str:
    """Return an event's name in the store."""
    return str(row.get("type", ""))
