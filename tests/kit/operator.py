"""An operator with nothing but NATS: commands under ids of its own, resent until they are answered; queries.

Rule 1: a command has one id for all its tries. No answer, or one that says to try again, means send it again.
Rule 2: what comes back is the answer's own octets: a resend is compared with nothing less.
"""

import asyncio
import itertools
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import msgspec

from engine.adapters.bus.nats import NatsBus, open_bus
from engine.config import Settings
from engine.contracts import subjects
from engine.contracts.requests import COMMAND_ID, ERROR_CODE, Accepted, ErrorReply, Problem
from engine.domain.values import TailnetName
from engine.ports import Fault, Message, TimedOut

T: Final = TailnetName("default")
TRY_SECONDS: Final = 1.0
"""How long one try may take; then the outcome is unknown."""
PAUSE_SECONDS: Final = 0.02
"""Between two tries."""
PATIENCE_SECONDS: Final = 30.0
"""How long all tries of a command may take together."""


class RefusedError(AssertionError):
    """The answer is no, where it should have been yes."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(f"{problem.code}: {problem.message}")
        self.problem: Final = problem


class Operator:
    """A connection as the directory's operator; `unknown` are commands of which a try had no answer in time."""

    def __init__(self, bus: NatsBus) -> None:
        self.bus: Final = bus
        self.unknown: Final[set[str]] = set()
        self._numbers = itertools.count(1)

    def fresh(self) -> str:
        """A command id that this operator has not used."""
        return f"c-{next(self._numbers)}"

    async def once(self, name: str, body: object, key: str) -> Message:
        """Send `user.create` once.

        Raises:
            Fault: nobody listens, or no answer came in time.
        """
        data = msgspec.json.encode(body)
        subject = subjects.command(T, *name.split("."))
        return await self.bus.request(subject, data, timeout=TRY_SECONDS, headers={COMMAND_ID: key})

    async def answer(self, name: str, body: object, key: str) -> Message:
        """Send until there is an answer, yes or no.

        Raises:
            TimeoutError: there was none within `PATIENCE_SECONDS`.
        """
        async with asyncio.timeout(PATIENCE_SECONDS):
            while True:
                try:
                    reply = await self.once(name, body, key)
                except TimedOut:
                    self.unknown.add(key)
                except Fault:
                    pass  # not sent
                else:
                    if not _is_to_be_tried_again(reply):
                        return reply
                await asyncio.sleep(PAUSE_SECONDS)

    async def command(self, name: str, body: Mapping[str, Any], key: str = "") -> Accepted:
        """Send a command until it is accepted.

        Raises:
            RefusedError: it is refused.
        """
        reply = await self.answer(name, body, key or self.fresh())
        problem = problem_in(reply)
        if problem is not None:
            raise RefusedError(problem)
        return msgspec.json.decode(reply.data, type=Accepted)

    async def put(self, name: str, body: object, key: str) -> dict[str, Any]:
        """Put a durable command into its queue; return what the queue says."""
        subject, data = subjects.durable(T, name), msgspec.json.encode(body)
        reply = await self.bus.request(subject, data, timeout=TRY_SECONDS, headers={COMMAND_ID: key})
        said: dict[str, Any] = msgspec.json.decode(reply.data)
        return said

    async def ask(self, resource: str, verb: str, **fields: Any) -> dict[str, Any]:
        """Ask a query.

        Raises:
            Fault: nobody answers.
            RefusedError: the answer is an error.
        """
        reply = await self.bus.request(
            subjects.query(T, resource, verb), msgspec.json.encode(fields), timeout=5.0
        )
        problem = problem_in(reply)
        if problem is not None:
            raise RefusedError(problem)
        said: dict[str, Any] = msgspec.json.decode(reply.data)
        return said

    async def events(self, key: str, position: int) -> list[str]:
        """The types of all events of a command, by a projection that is at the position."""
        found: list[str] = []
        after: int | None = 0
        while after is not None:
            reply = await self.ask("event", "list", after=after, minPosition=position)
            found += [row["type"] for row in reply["events"] if row["commandId"] == key]
            after = reply["next"]
        return found


def problem_in(reply: Message) -> Problem | None:
    """The problem that a reply tells of, if it is an error."""
    if ERROR_CODE not in reply.headers:
        return None
    return msgspec.json.decode(reply.data, type=ErrorReply).error


def _is_to_be_tried_again(reply: Message) -> bool:
    problem = problem_in(reply)
    return problem is not None and problem.retryable


@asynccontextmanager
async def operator(directory: Path) -> AsyncIterator[Operator]:
    """Connect with the operator's context of a directory."""
    bus = await open_bus(Settings(directory=str(directory)), "operator", name="test operator")
    try:
        yield Operator(bus)
    finally:
        await bus.close()
