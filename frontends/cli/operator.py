"""The person at the terminal: options that every command has, and what becomes of answers.

Rule 1: `@reading` gives a command --dir, --nats, --context, --tailnet, --timeout and -o; `@changing` adds --reason,
        --id and --strict. Both hand it an `Operator` as the first argument.
Rule 2: data goes to stdout, everything else to stderr.
"""

import functools
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, TypeVar

import click

from frontends.cli import output, text
from frontends.cli.failure import Failure
from frontends.cli.place import DEFAULT_DIRECTORY, DEFAULT_TIMEOUT, Place
from frontends.cli.session import Session, session
from frontends.cli.world import World, world_of

if TYPE_CHECKING:
    from engine.contracts.requests import Accepted
    from engine.domain.commands import Command

T = TypeVar("T")


class Operator:
    """Who types: where to, in which form, why."""

    def __init__(
        self,
        place: Place,
        world: World,
        form: str,
        *,
        reason: str = "",
        command_id: str = "",
        strict: bool = False,
    ) -> None:
        self.place: Final = place
        self.world: Final = world
        self.form: Final = form
        self.reason: Final = reason
        self.command_id: Final = command_id
        self.strict: Final = strict

    def talk(self, work: Callable[[Session], Awaitable[T]]) -> T:
        """Return what the work returns, done over one connection."""
        import asyncio

        async def whole() -> T:
            async with session(self.place, self.world) as open_session:
                open_session.strict = self.strict
                return await work(open_session)

        return asyncio.run(whole())

    def send(self, command: "Command", *, suffix: str = "") -> "Accepted":
        """Send a command; its warnings are told. `suffix` makes another id of --id, for a second command."""
        command_id = (self.command_id or self.world.fresh_id()) + suffix
        accepted = self.talk(lambda tailnet: tailnet.send(command, command_id=command_id, reason=self.reason))
        for warning in accepted.warnings:
            text.warn(warning)
        return accepted

    def ask(self, resource: str, verb: str, **fields: Any) -> dict[str, Any]:
        """Ask one query."""
        return self.talk(lambda tailnet: tailnet.ask(resource, verb, **fields))

    def listed(self, resource: str, key: str, **fields: Any) -> list[output.Row]:
        """Return all rows of a list."""
        reply = self.talk(lambda tailnet: tailnet.ask_all(resource, "list", key, **fields))
        rows: list[output.Row] = reply[key]
        return rows

    def done(self, accepted: "Accepted", said: Mapping[str, object], *following: str) -> None:
        """Show what a command did: the whole answer as a document, or facts, the position and the next step."""
        if self.form != "table":
            import msgspec

            output.emit(self.form, msgspec.to_builtins(accepted))
            return
        if not accepted.ok:
            text.note("nothing to do: it is so already")
        facts = {**said, **accepted.result, "id": accepted.id}
        output.emit_facts({"id": None, **facts, "position": accepted.position})
        if following:
            text.next_step(*following)

    def rows(
        self, rows: Sequence[output.Row], columns: Sequence[output.Column], *, empty: Sequence[str]
    ) -> None:
        """Show a list; an empty table says so, and the next step, in the lines of `empty`."""
        if self.form == "table" and not rows:
            text.note(empty[0])
            if empty[1:]:
                text.next_step(*empty[1:])
            return
        output.emit_rows(self.form, rows, columns)

    def now(self) -> int:
        """Return Unix time in milliseconds, for relative times."""
        return self.world.now()


_PLACE: Final = (
    click.option(
        "--dir",
        "directory",
        envvar="NETMAP_DIR",
        default=DEFAULT_DIRECTORY,
        show_default=True,
        metavar="DIR",
        help="The directory that `netmap serve` runs from.",
    ),
    click.option(
        "--nats", envvar="NETMAP_NATS_URL", default="", metavar="URL", help="The NATS server, instead."
    ),
    click.option(
        "--context",
        envvar="NETMAP_CONTEXT",
        default="",
        metavar="NAME|FILE",
        help="A context of the directory, of the `nats` CLI, or a file.",
    ),
    click.option("--tailnet", envvar="NETMAP_TAILNET", default="default", hidden=True),
    click.option(
        "--timeout",
        type=float,
        default=DEFAULT_TIMEOUT,
        show_default=True,
        metavar="SECONDS",
        help="For the connection, and for each answer.",
    ),
    output.form_option(),
)
_CHANGE: Final = (
    click.option("--reason", default="", metavar="TEXT", help="Why; kept in the log."),
    click.option(
        "--id",
        "command_id",
        default="",
        metavar="ID",
        help="The command's id: sent again, it is not done again.",
    ),
    click.option(
        "--strict",
        is_flag=True,
        envvar="NETMAP_STRICT",
        help="Do nothing that would have a warning.  [also: NETMAP_STRICT=1]",
    ),
)


def reading(function: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options of a question, and an `Operator`."""
    return _with(function, _PLACE)


def changing(function: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options of a change, and an `Operator`."""
    return _with(function, (*_CHANGE, *_PLACE))


def _with(function: Callable[..., None], options: Sequence[Callable[..., Any]]) -> Callable[..., None]:
    @click.pass_context
    @functools.wraps(function)
    def wrapped(ctx: click.Context, /, **given: Any) -> None:
        place = place_of(given)
        operator = Operator(
            place,
            world_of(ctx),
            given.pop("form"),
            reason=given.pop("reason", ""),
            command_id=given.pop("command_id", ""),
            strict=given.pop("strict", False),
        )
        try:
            function(operator, **given)
        except Failure as failure:
            failure.form = operator.form
            raise

    for option in reversed(options):
        wrapped = option(wrapped)
    return wrapped


def place_of(given: dict[str, Any]) -> Place:
    """Take the place's options out of a command's arguments."""
    names = ("directory", "nats", "context", "tailnet", "timeout")
    return Place(**{name: given.pop(name) for name in names})
