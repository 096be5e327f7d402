"""One conversation with a tailnet over the bus: commands and queries in, answers or a `Failure` out.

Rule 1: a command without an answer has an unknown outcome, never a failed one: exit 7 with its id.
Rule 2: a command is sent again as long as that may help (`patience.py`).
Rule 3: a query without an answer is an unreachable server: exit 6.
"""

import contextlib
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any, Final

from frontends.cli.failure import EXITS, Exit, Failure, Trouble
from frontends.cli.patience import TIMES, Patience
from frontends.cli.place import Place, unreachable
from frontends.cli.world import World

if TYPE_CHECKING:
    from engine.contracts.requests import Accepted
    from engine.domain.commands import Command
    from engine.ports import Bus, Message


class Session:
    """A connection, with the words of a tailnet."""

    def __init__(self, bus: "Bus", place: Place, world: World) -> None:
        self.bus: Final = bus
        self.place: Final = place
        self.world: Final = world
        self.strict = False
        """Whether commands that would have warnings are refused."""
        self.cause = ""
        """Because of which command the following ones are sent."""

    async def send(self, command: "Command", *, command_id: str, reason: str) -> "Accepted":
        """Send a command and return its answer.

        Raises:
            Failure: refused (exit 3, 4, 5), nobody listens (6), no answer (7).
        """
        import msgspec

        from engine.contracts import requests, subjects
        from engine.domain.commands import COMMANDS
        from engine.domain.values import TailnetName
        from engine.ports import Fault, NoResponders

        names = next(key for key, kind in COMMANDS.items() if kind is type(command))
        seconds = self.place.timeout * TIMES
        headers = {
            requests.COMMAND_ID: command_id,
            requests.DEADLINE: str(self.world.now() + int(seconds * 1000)),
        }
        if self.strict:
            headers[requests.STRICT] = "1"
        if self.cause:
            headers[requests.CAUSE] = self.cause
        if reason:
            headers[requests.REASON] = reason
        subject = subjects.command(TailnetName(self.place.tailnet), *names)
        patience = Patience(seconds, self.world.pause, self.world.chance)
        try:
            reply = await patience.request(self.bus, subject, msgspec.json.encode(command), headers)
        except NoResponders:
            if patience.is_unsure:
                raise _unknown(command_id) from None
            raise unreachable(self.place, "no engine answers on this server; nothing was done") from None
        except Fault:
            raise _unknown(command_id) from None
        body = _body(reply, command_id)
        return msgspec.convert(body, requests.Accepted)

    async def ask(self, resource: str, verb: str, **fields: Any) -> dict[str, Any]:
        """Ask a query and return its answer; fields that are None are left out.

        Raises:
            Failure: the answer is an error, or there is none (exit 6).
        """
        import msgspec

        from engine.contracts import subjects
        from engine.contracts.queries import Query
        from engine.domain.values import TailnetName
        from engine.ports import Fault

        given = {name: value for name, value in fields.items() if value is not None}
        data = msgspec.json.encode({_camel(name): value for name, value in given.items()})
        msgspec.json.decode(data, type=Query)  # a field that nobody reads is a mistake of ours
        subject = subjects.query(TailnetName(self.place.tailnet), resource, verb)
        try:
            reply = await self.bus.request(subject, data, timeout=self.place.timeout)
        except Fault as error:
            raise unreachable(self.place, f"nobody answers {resource} {verb}: {error}") from None
        return _body(reply, "")

    async def ask_all(self, resource: str, verb: str, key: str, **fields: Any) -> dict[str, Any]:
        """Ask for every page; return the first answer with all rows under `key`.

        Later pages are of the first one's position or newer, whichever replica gives them; of a moment (`at`), of its very position.

        Raises:
            Failure: as `ask`.
        """
        whole = await self.ask(resource, verb, **fields)
        rows = list(whole.get(key) or ())
        following = whole.pop("next", None)
        while following is not None:
            paged = {**fields, "after": following, "min_position": whole.get("position", 0)}
            if paged.get("at") is not None:
                paged["at"] = whole.get("position")
            page = await self.ask(resource, verb, **paged)
            rows += page.get(key) or ()
            following = page.get("next")
        return {**whole, key: rows}


@contextlib.asynccontextmanager
async def session(place: Place, world: World) -> AsyncIterator[Session]:
    """Connect, and disconnect at the end."""
    bus = await world.connect(place)
    try:
        yield Session(bus, place, world)
    finally:
        await bus.close()


def _camel(name: str) -> str:
    head, *rest = name.split("_")
    return head + "".join(part.capitalize() for part in rest)


def _unknown(command_id: str) -> Failure:
    hint = f"run the same command again with --id {command_id}: it is never done twice"
    message = "no answer in time: whether it was done is not known"
    return Failure(Exit.UNKNOWN, Trouble("command.unknown", message, hint=hint, command_id=command_id))


def _body(reply: "Message", command_id: str) -> dict[str, Any]:
    import msgspec

    try:
        body = msgspec.json.decode(reply.data)
    except msgspec.DecodeError:
        body = None
    if not isinstance(body, dict):
        raise Failure(Exit.FAILED, Trouble("reply.unreadable", "the answer is not a JSON object"))
    problem = body.get("error")
    if isinstance(problem, dict):
        raise _refused(problem, command_id)
    return body


def _refused(problem: dict[str, Any], command_id: str) -> Failure:
    trouble = Trouble(
        code=str(problem.get("code", "error")),
        message=str(problem.get("message", "refused")),
        field=str(problem.get("field", "")),
        hint=str(problem.get("hint", "")),
        command_id=str(problem.get("commandId", "")) or command_id,
    )
    return Failure(EXITS.get(int(problem.get("status", 500)), Exit.FAILED), trouble)
