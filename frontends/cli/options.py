"""Types of option values, and arguments that several commands share."""

from collections.abc import Callable
from typing import Any

import click

from frontends.cli import live
from frontends.cli.failure import usage
from frontends.cli.text import reference, seconds_of


class Duration(click.ParamType[int]):
    """`90m`, `24h`, `30d`, `3600`: seconds."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Return the seconds."""
        if isinstance(value, int):
            return value
        try:
            return seconds_of(str(value))
        except ValueError as error:
            self.fail(str(error), param, ctx)


class JsonObject(click.ParamType[dict[str, object]]):
    """A JSON object, as text."""

    name = "json"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> dict[str, object]:
        """Return the object."""
        if isinstance(value, dict):
            return value
        import json

        try:
            found = json.loads(value)
        except json.JSONDecodeError as error:
            self.fail(f"not JSON: {error.msg} at character {error.pos + 1}", param, ctx)
        if not isinstance(found, dict):
            self.fail("not a JSON object, such as '{\"suggestExitNode\": true}'", param, ctx)
        return found


DURATION = Duration()
JSON_OBJECT = JsonObject()

Decorator = Callable[[Callable[..., None]], Callable[..., None]]


def _then(_ctx: click.Context, _param: click.Parameter, at: str | None) -> int | str | None:
    return None if at is None else reference(at)


AT: Decorator = click.option(
    "--at",
    metavar="POSITION|TIME",
    callback=_then,
    help="Then: a position, an RFC 3339 time, or `-2h`; now if absent.",
)
"""Which moment a question is about; what the command gets is what a query takes."""
Moment = int | str | None


def subject(name: str, *flags: str, complete: live.Completer) -> Decorator:
    """Add the thing that a command is about: as an argument, or, as Headscale has it, by a flag."""

    def decorate(function: Callable[..., None]) -> Callable[..., None]:
        upper = name.upper()
        by_flag = click.option(
            *flags, f"{name}_by_flag", metavar=upper, shell_complete=complete, help=f"The {name}: id or name."
        )
        return by_flag(click.argument("words", nargs=-1, metavar=upper, shell_complete=complete)(function))

    return decorate


def only(words: tuple[str, ...], by_flag: str | None, *more: str) -> tuple[str, ...]:
    """Return the thing that a command is about, and as many further words as `more` names.

    Raises:
        Failure: too few or too many words (exit 2).
    """
    given = words if by_flag is None else (by_flag, *words)
    if len(given) != 1 + len(more):
        wanted = " ".join(("ID|NAME", *more))
        raise usage(f"{wanted} expected, got {' '.join(given) or 'nothing'}")
    return given
