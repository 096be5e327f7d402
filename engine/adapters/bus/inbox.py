"""What waits for one subscriber: bounded in number and octets; what does not fit is dropped and counted.

Rule 1: who follows netmaps finds a drop by the chain of deltas, within a second by the next bookmark, and fetches a snapshot.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from typing import Final, Self

from engine.ports import Message

OCTETS: Final = 64 << 20
"""A delta is up to 512 KiB: by number alone 32 GiB could wait."""


class Inbox(AsyncIterator[Message]):
    """An iterator over messages; it ends after `close`, when what waited has been taken."""

    def __init__(self, limit: int, octets: int = OCTETS) -> None:
        self._limit = limit
        self._room = octets
        self._waiting: deque[Message] = deque()
        self._ready = asyncio.Event()
        self._closed = False
        self.dropped = 0
        """How many did not fit."""

    def put(self, message: Message) -> None:
        """Let the message wait, or drop it."""
        if self._closed:
            return
        if len(self._waiting) >= self._limit or len(message.data) > self._room:
            self.dropped += 1
            return
        self._room -= len(message.data)
        self._waiting.append(message)
        self._ready.set()

    def close(self) -> None:
        """Let nothing more in."""
        self._closed = True
        self._ready.set()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Message:
        while not self._waiting:
            if self._closed:
                raise StopAsyncIteration
            self._ready.clear()
            await self._ready.wait()
        message = self._waiting.popleft()
        self._room += len(message.data)
        return message
