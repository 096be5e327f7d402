"""Questions and commands over the bus, for whoever was let in.

Rule 1: an answer is at least as new as what this process has heard of the log, and as what it has done: a tool that
        changes something and lists again sees it, whichever replica answers.
Rule 2: a command is sent as the holder of the key: the actor is `api-<prefix>`, and its id makes a resend harmless.
Rule 3: after a silence of `SILENT_SECONDS` of the engine, which says every second where the log is, we are not well.
"""

import asyncio
from collections.abc import AsyncIterator
from typing import Any, Final

import msgspec

from engine.contracts import subjects
from engine.contracts.queries import HeadReply, Query
from engine.contracts.requests import COMMAND_ID, REASON, Accepted, Problem
from engine.domain.commands import COMMANDS, Command
from engine.domain.values import TailnetName
from engine.ports import Bus, Clock, Fault, IdSource, Message, NoResponders
from frontends.admin.errors import Refused

ASK_SECONDS: Final = 5.0
SEND_SECONDS: Final = 10.0
SILENT_SECONDS: Final = 5.0
TRIES: Final = 2
"""How often a command without an answer is sent; its id is the same, so that it is done once."""

_NAMES: Final = {kind: names for names, kind in COMMANDS.items()}


class Asking:
    """A conversation with the tailnet."""

    def __init__(self, bus: Bus, tailnet: TailnetName, clock: Clock, ids: IdSource) -> None:
        self._bus = bus
        self._tailnet = tailnet
        self._clock = clock
        self._ids = ids
        self._epoch = ""
        self._heard_at: float | None = None
        self.floor = 0
        """The position at which an answer must be at least (rule 1)."""

    async def open(self) -> AsyncIterator[Message]:
        """Return the words of where the log is, for `follow`; they are heard from now on.

        Raises:
            Fault: the bus is not connected.
        """
        return await self._bus.subscribe(subjects.log_head(self._tailnet), limit=16)

    async def follow(self, heads: AsyncIterator[Message]) -> None:
        """Hear where the log is, until the bus closes."""
        async for message in heads:
            try:
                head = msgspec.json.decode(message.data, type=HeadReply)
            except msgspec.MsgspecError:
                continue
            another = head.epoch != self._epoch
            self._epoch = head.epoch
            self.floor = head.position if another else max(self.floor, head.position)
            self._heard_at = self._clock.monotonic()

    @property
    def is_well(self) -> bool:
        """Whether the engine was heard lately (rule 3)."""
        return self._heard_at is not None and self._clock.monotonic() - self._heard_at < SILENT_SECONDS

    async def ask(self, resource: str, verb: str, **fields: Any) -> dict[str, Any]:
        """Ask a query; fields that are None are left out.

        Raises:
            Refused: the answer is no, or there is none (503).
        """
        given = {name: value for name, value in fields.items() if value is not None}
        query = Query(**{"min_position": self.floor, **given})
        return await self._said(
            subjects.query(self._tailnet, resource, verb), msgspec.json.encode(query), ASK_SECONDS, {}
        )

    async def ask_all(self, resource: str, key: str, **fields: Any) -> list[dict[str, Any]]:
        """Return the rows of all pages of a list.

        Raises:
            Refused: as `ask`.
        """
        rows: list[dict[str, Any]] = []
        after: int | None = 0
        while after is not None:
            page = await self.ask(resource, "list", after=after, **fields)
            rows += page[key]
            after = page["next"]
        return rows

    async def send(self, prefix: str, command: Command, *, command_id: str, reason: str) -> Accepted:
        """Send a command for the holder of the key with the prefix; an empty `command_id` is a fresh one.

        Raises:
            Refused: the answer is no, or it is unknown (503).
        """
        subject = subjects.command_by_key(self._tailnet, prefix, *_NAMES[type(command)])
        headers: dict[str, str] = {COMMAND_ID: command_id or self._ids.command_id()}
        if reason:
            headers[REASON] = reason
        data = msgspec.json.encode(command)
        accepted = msgspec.convert(await self._said(subject, data, SEND_SECONDS, headers), Accepted)
        self.floor = max(self.floor, accepted.position)
        return accepted

    async def _said(
        self, subject: str, data: bytes, timeout: float, headers: dict[str, str]
    ) -> dict[str, Any]:
        for left in reversed(range(TRIES if headers else 1)):
            try:
                reply = await self._bus.request(subject, data, timeout=timeout, headers=headers)
            except NoResponders:
                raise Refused(_UNREACHABLE) from None
            except Fault:
                if not left:
                    raise Refused(_UNREACHABLE if not headers else _unknown(headers[COMMAND_ID])) from None
                await asyncio.sleep(0)
                continue
            body: dict[str, Any] = msgspec.json.decode(reply.data)
            if "error" in body:
                raise Refused(msgspec.convert(body["error"], Problem))
            return body
        raise AssertionError("the last try returns or raises")


_UNREACHABLE: Final = Problem(
    code="http.unreachable",
    status=503,
    message="the tailnet's engine or projection does not answer",
    hint="try again in a moment",
    retryable=True,
)


def _unknown(command_id: str) -> Problem:
    return Problem(
        code="command.unknown",
        status=503,
        message="no answer in time: whether it was done is not known",
        hint=f"send it again with Idempotency-Key: {command_id}: it is never done twice",
        retryable=True,
    )
