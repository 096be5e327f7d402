"""How a command fails: what is said, and the exit status.

Rule 1: exit statuses are an interface: 0 done, 1 failed, 2 usage, 3 not allowed, 4 not found, 5 conflict or refused,
        6 unreachable, 7 outcome unknown.
Rule 2: errors go to stderr, in the form that was asked for with `-o`.
Rule 3: people are told the value and the rule (`message`), where it was (`field`), and the next step (`hint`).
"""

import json
from collections.abc import Mapping
from enum import IntEnum
from typing import IO, Any, Final, NamedTuple

import click

from frontends.cli.text import clean, colours


class Exit(IntEnum):
    """The exit statuses (rule 1)."""

    DONE = 0
    FAILED = 1
    USAGE = 2
    NOT_ALLOWED = 3
    NOT_FOUND = 4
    REFUSED = 5
    UNREACHABLE = 6
    UNKNOWN = 7


EXITS: Final[Mapping[int, Exit]] = {
    400: Exit.USAGE,
    401: Exit.NOT_ALLOWED,
    403: Exit.NOT_ALLOWED,
    404: Exit.NOT_FOUND,
    409: Exit.REFUSED,
    412: Exit.REFUSED,
    413: Exit.USAGE,
    422: Exit.REFUSED,
    503: Exit.UNREACHABLE,
    504: Exit.UNKNOWN,
}
"""A problem's status → exit status; any other is FAILED."""


class Trouble(NamedTuple):
    """Why not; the same fields as `engine.contracts.requests.Problem`, without its imports."""

    code: str
    message: str
    field: str = ""
    hint: str = ""
    command_id: str = ""


class Failure(click.ClickException):
    """The end of a command that did not do what was asked."""

    def __init__(self, status: Exit, trouble: Trouble) -> None:
        super().__init__(trouble.message)
        self.exit_code = int(status)  # type: ignore[misc]  # click reads it from the instance
        self.trouble = trouble
        self.form = "table"
        """Set by whoever knows what was asked for with `-o`."""

    def show(self, file: IO[Any] | None = None) -> None:
        """Write to stderr, or to `file`."""
        text = _json(self) if self.form.startswith("json") else _people(self.trouble)
        click.echo(text, file=file, err=True, color=colours(err=True))


def _json(failure: Failure) -> str:
    names = {"command_id": "commandId"}
    fields = {names.get(key, key): value for key, value in failure.trouble._asdict().items() if value}
    return json.dumps({"error": {**fields, "exit": failure.exit_code}}, ensure_ascii=False)


def _people(trouble: Trouble) -> str:
    where = f" (in {clean(trouble.field)})" if trouble.field else ""
    lines = [click.style("error: ", fg="red", bold=True) + clean(trouble.message) + where]
    if trouble.hint:
        lines.append(click.style("next:  ", bold=True) + clean(trouble.hint))
    lines.append(click.style(f"code:  {clean(trouble.code)}", dim=True))
    if trouble.command_id:
        lines.append(click.style(f"id:    {clean(trouble.command_id)}", dim=True))
    return "\n".join(lines)


def usage(message: str, hint: str = "") -> Failure:
    """Return the failure of a command line that cannot be meant."""
    return Failure(Exit.USAGE, Trouble("usage", message, hint=hint))
