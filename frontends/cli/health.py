"""`netmap health`: who answers, and how far each is.

Rule 1: the engine is asked for its pending logins, which it alone knows; a projection for its head.
Rule 2: exit 6 if somebody is missing.
"""

from collections.abc import Sequence
from typing import Any

import click

from frontends.cli import output
from frontends.cli.failure import Exit, Failure
from frontends.cli.operator import Operator, reading
from frontends.cli.output import Column
from frontends.cli.session import Session

_ASKED = (("engine", "login", "list"), ("projection", "head", "get"))


@click.command("health")
@reading
def health(operator: Operator) -> None:
    """Say who answers, and how far each is."""
    rows = operator.talk(_look)
    columns = (
        Column("PART", lambda row: row["part"]),
        Column("OK", lambda row: row["ok"]),
        Column("POSITION", lambda row: row["position"]),
        Column("SAYS", lambda row: row["says"]),
    )
    output.emit_rows(operator.form, rows, columns)
    if not all(row["ok"] for row in rows):
        raise click.exceptions.Exit(Exit.UNREACHABLE)


async def _look(tailnet: Session) -> Sequence[dict[str, Any]]:
    rows: list[dict[str, Any]] = [{"part": "nats", "ok": True, "position": None, "says": "connected"}]
    for part, resource, verb in _ASKED:
        try:
            reply = await tailnet.ask(resource, verb)
            rows.append({"part": part, "ok": True, "position": reply.get("position"), "says": "answers"})
        except Failure as failure:
            rows.append({"part": part, "ok": False, "position": None, "says": failure.trouble.message})
    return rows
