"""`netmap netmap watch`: a node's netmap as it changes.

Rule 1: what is told is the difference between two positions that were asked about, so nothing is missed and nothing is told twice;
        `log.head` only wakes it up, and a lost wake-up costs `WAKE_SECONDS`.
"""

from collections.abc import Sequence

import click

from frontends.cli import differences, output
from frontends.cli.events import woken
from frontends.cli.output import Row
from frontends.cli.session import Session
from frontends.cli.text import clean


async def follow(
    tailnet: Session, node: int | str, since: int | str | None, form: str, *, endless: bool
) -> None:
    """Write the differences since a moment, and then those that come."""
    from engine.contracts import subjects
    from engine.domain.values import TailnetName

    wake = await tailnet.bus.subscribe(subjects.log_head(TailnetName(tailnet.place.tailnet)), limit=1)
    seen = (await tailnet.ask("head", "get"))["position"] if since is None else since
    while True:
        reply = await tailnet.ask_all("netmap", "diff", "changes", node=node, from_=seen)
        node = reply["node"]  # by id from now on: its name may change
        rows = [{"position": reply["position"], **row} for row in reply["changes"]]
        _write(form, rows)
        if not rows and not endless:
            return
        seen = reply["position"]
        if not rows:
            await woken(wake)


def _write(form: str, rows: Sequence[Row]) -> None:
    if form == "table":
        for row in rows:
            sign, number = differences.SIGNS.get(row["what"], "?"), row.get("id") or ""
            click.echo(
                clean(
                    f"{row['position']:>8}  {sign} {row['kind']} {number} {row['name']}  {differences.said(row)}"
                )
            )
    elif rows:
        output.emit("yaml" if form == "yaml" else "jsonl", rows)
