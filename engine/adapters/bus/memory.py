"""A bus inside one process: several buses share one hub.

Rule 1: like NATS it is at most once, in order for each publisher, and one member of a service answers.
Rule 2: `Hub.trouble` decides how often and how late each delivery to a subscriber happens: `()` loses it, `(0, 0)`
        repeats it, `(0.1,)` delays it. Requests to services are not troubled.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Final

from engine.adapters.bus.answering import answer
from engine.adapters.bus.inbox import Inbox
from engine.adapters.bus.matching import first_match, matches
from engine.ports import Answer, Endpoint, Fault, Headers, Message, NoResponders, TimedOut

Trouble = Callable[[Message], Sequence[float]]
"""Seconds after which each copy of a delivery arrives; 0 is at once."""


def no_trouble(_message: Message) -> Sequence[float]:
    """Deliver once, at once."""
    return (0.0,)


class Hub:
    """What the buses of one process share."""

    def __init__(self, trouble: Trouble = no_trouble) -> None:
        self.trouble = trouble
        self.inboxes: Final[list[tuple[str, Inbox]]] = []
        self.services: Final[list[tuple[str, tuple[Endpoint, ...]]]] = []

    def deliver(self, message: Message) -> bool:
        """Give the message to every subscriber; return whether there is one."""
        found = [inbox for pattern, inbox in self.inboxes if matches(pattern, message.subject)]
        for inbox in found:
            for delay in self.trouble(message):
                if delay:
                    asyncio.get_running_loop().call_later(delay, inbox.put, message)
                else:
                    inbox.put(message)
        return bool(found)


class MemoryBus:
    """A member of a hub."""

    def __init__(self, hub: Hub | None = None) -> None:
        self.hub: Final = hub or Hub()
        self._inboxes: list[tuple[str, Inbox]] = []
        self._services: list[tuple[str, tuple[Endpoint, ...]]] = []
        self._closed = False

    async def publish(self, subject: str, data: bytes, headers: Headers | None = None) -> None:
        """See `Bus.publish`."""
        self._must_be_open()
        message = Message(subject, data, dict(headers or {}))
        self.hub.deliver(message)
        for _, endpoints in self.hub.services:
            if endpoint := first_match(endpoints, subject):
                await answer(endpoint, message)
                break

    async def request(
        self, subject: str, data: bytes, *, timeout: float, headers: Headers | None = None
    ) -> Message:
        """See `Bus.request`."""
        self._must_be_open()
        message = Message(subject, data, dict(headers or {}))
        heard = self.hub.deliver(message)
        for _, endpoints in self.hub.services:
            if endpoint := first_match(endpoints, subject):
                reply = await _within(answer(endpoint, message), timeout)
                return Message("_INBOX", reply.data, reply.headers)
        if heard:
            raise TimedOut("no answer in time")
        raise NoResponders("nobody listens on the subject")

    async def subscribe(self, subject: str, *, limit: int = 65_536) -> AsyncIterator[Message]:
        """See `Bus.subscribe`."""
        self._must_be_open()
        entry = (subject, Inbox(limit))
        self._inboxes.append(entry)
        self.hub.inboxes.append(entry)
        return entry[1]

    async def serve(
        self,
        name: str,
        version: str,  # noqa: ARG002 (discovery is not for memory)
        description: str,  # noqa: ARG002
        endpoints: Sequence[Endpoint],
        *,
        metadata: dict[str, str] | None = None,  # noqa: ARG002
    ) -> None:
        """See `Bus.serve`."""
        self._must_be_open()
        entry = (name, tuple(endpoints))
        self._services.append(entry)
        self.hub.services.append(entry)

    async def close(self) -> None:
        """See `Bus.close`."""
        self._closed = True
        for entry in self._inboxes:
            self.hub.inboxes.remove(entry)
            entry[1].close()
        for service in self._services:
            self.hub.services.remove(service)
        self._inboxes, self._services = [], []

    def _must_be_open(self) -> None:
        if self._closed:
            raise Fault("the bus is closed")


async def _within(answering: Awaitable[tuple[Answer, bool]], timeout: float) -> Answer:
    task = asyncio.ensure_future(answering)
    done, _ = await asyncio.wait({task}, timeout=timeout)  # as with NATS, the responder does not notice
    if not done:
        raise TimedOut("no answer in time")
    return task.result()[0]
