"""A policy's text on its way in, and what is said of it: faults with a caret, tests, who gains and who loses.

Rule 1: a text is sent as it is: nothing is added, nothing is trimmed; a file that is no UTF-8 is refused here.
Rule 2: what a person wrote is never lost: what was typed or edited, and not taken, is kept in a file that is told.
"""

import os
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any, Final

import click

from frontends.cli.failure import Exit, Failure, usage
from frontends.cli.files import read_bounded
from frontends.cli.operator import Operator
from frontends.cli.output import Column, Row, table
from frontends.cli.text import clean, colours, note

MAX_OCTETS: Final = 512 * 1024
"""Of a policy (`engine.domain.commands.PolicySource`)."""
_PLACE: Final = re.compile(r"line (\d{1,9}), column (\d{1,9}): ")
_HEADS: Final = {
    "traffic": "Access",
    "ssh": "Shells",
    "app": "Capabilities",
    "route": "Subnet routes that are shown",
    "sees": "Who sees whom",
}


class Refused(Failure):
    """A text that is no policy: people are shown the line and a caret first."""

    def __init__(self, failure: Failure, shown: str) -> None:
        super().__init__(Exit(failure.exit_code), failure.trouble)
        self.shown = shown

    def show(self, file: IO[Any] | None = None) -> None:
        """Write to stderr, or to `file`."""
        if self.shown and not self.form.startswith("json"):
            click.echo(self.shown, file=file, err=True)
        super().show(file)


def read(source: str) -> str:
    """Return the text of a file, or of stdin (`-`).

    Raises:
        Failure: it cannot be read (exit 1), or it cannot be a policy (exit 2).
    """
    data = read_bounded(source, MAX_OCTETS, why=": no policy has")
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise usage(f"{source} is not UTF-8: see octet {error.start}") from None


def keep(text: str) -> Path:
    """Write a text where it stays, and return where."""
    import tempfile

    handle, name = tempfile.mkstemp(prefix="netmap-policy-", suffix=".hujson")
    with os.fdopen(handle, "w", encoding="utf-8", newline="") as file:
        file.write(text)
    return Path(name)


def kept_if_typed(text: str, source: str) -> None:
    """Keep a text that somebody typed into the terminal, and say where."""
    if source == "-" and text and sys.stdin.isatty():
        note(f"your text is kept in {keep(text)}")


def refused(failure: Failure, text: str, source: str) -> Failure:
    """Return the failure, with the line that it is about if it tells of one."""
    from engine.policy.text.hujson import excerpt

    found = _PLACE.match(failure.trouble.message)
    if found is None or not failure.trouble.code.startswith("policy."):
        return failure
    line, column = int(found[1]), int(found[2])
    return Refused(failure, _with_caret(source, line, column, excerpt(text, line, column)))


def put(
    operator: Operator, text: str, *, source: str, expected: str | None, force: bool, suffix: str = ""
) -> None:
    """Set the policy and show what came of it.

    Raises:
        Failure: as `Operator.send`; a refused text comes with its line and a caret.
    """
    from engine.domain.commands import SetPolicy

    try:
        accepted = operator.send(SetPolicy(text=text, expected=expected, force=force), suffix=suffix)
    except Failure as failure:
        kept_if_typed(text, source)
        raise refused(failure, text, source) from None
    operator.done(accepted, {})


def tell_changes(operator: Operator, text: str) -> None:
    """Say in a line what a text would change; a text that is refused, or no answer, is not told here."""
    try:
        reply = operator.ask("policy", "preview", policy=text, limit=1)
    except Failure as failure:
        note(f"what it changes is not known: {clean(failure.trouble.message)}")
        return
    if reply.get("ok"):
        who = "; `netmap policy preview` shows who" if reply.get("gain") or reply.get("lose") else ""
        note(summary(reply) + who)


def _with_caret(source: str, line: int, column: int, shown: str) -> str:
    name = "stdin" if source == "-" else source
    rows = [f"{clean(name)}:{line}:{column}", *(f"    {clean(row)}" for row in shown.split("\n") if row)]
    return "\n".join(rows)


def fault_lines(fault: Row, source: str) -> list[str]:
    """Return a fault that `q.policy.check` tells of, for people."""
    where = _with_caret(source, fault.get("line", 0), fault.get("column", 0), str(fault.get("excerpt", "")))
    place = [where] if fault.get("line") else []
    said = [click.style("error: ", fg="red", bold=True) + clean(fault.get("message", ""))]
    if fault.get("hint"):
        said.append(click.style("next:  ", bold=True) + clean(fault["hint"]))
    return [*place, *said, click.style(f"code:  policy.{clean(fault.get('kind', ''))}", dim=True)]


def say(lines: Sequence[str]) -> None:
    """Write lines to stdout."""
    for line in lines:
        click.echo(line, color=colours())


def summary(reply: Row) -> str:
    """Return a preview in a line: `3 gain, 1 loses access`."""
    gain, lose = int(reply.get("gain", 0)), int(reply.get("lose", 0))
    if not gain and not lose:
        return "nobody gains or loses access"
    return f"{gain} gain{'s' if gain == 1 else ''}, {lose} lose{'s' if lose == 1 else ''} access"


def preview_tables(reply: Row) -> str:
    """Return a preview's rows as tables, one for each kind."""
    columns = (
        Column("WHO", lambda row: party(row["subject"])),
        Column("WHERE", lambda row: party(row["target"], is_target=True)),
        Column("GAINS", lambda row: row.get("gains")),
        Column("LOSES", lambda row: row.get("loses")),
    )
    parts = []
    for kind, head in _HEADS.items():
        rows = [row for row in reply.get("rows", ()) if row.get("kind") == kind]
        if rows:
            parts.append(f"{click.style(head, bold=True)}\n{table(rows, columns)}")
    return "\n\n".join(parts)


def party(found: Mapping[str, Any], *, is_target: bool = False) -> str:
    """Return who or what a row is about: a login, tags, a range, with devices where it is not all of them."""
    kind, name = found.get("kind"), str(found.get("name", ""))
    devices = [str(device.get("name") or device.get("id")) for device in found.get("devices", ())]
    listed = ", ".join(devices) + (f", and {found['more']} more" if found.get("more") else "")
    match kind:
        case "everybody":
            return "every device" if is_target else "everybody"
        case "internet":
            through = listed or name
            return f"the internet through {through}" if through else "the internet"
        case "route":
            return f"{name} by {listed}"
        case _:
            return f"{name} ({listed})" if listed else name
