"""A log in memory, over the library's plain-objects recorder: for tests and simulations; it uses no thread.

A `MemoryLog` is what a disk is to the others: stores and readers come and go, it stays.
"""

import asyncio
from collections.abc import Sequence
from typing import Any

from eventsourcing.domain import EventSourcingError
from eventsourcing.persistence import StoredEvent
from eventsourcing.popo import POPOApplicationRecorder

from engine.adapters.store.codec import Codec
from engine.adapters.store.log import Log, LogMovedError
from engine.domain.values import DEFAULT_TAILNET, Position
from engine.ports import Fault, Head, Pending, Recorded


class MemoryLog(POPOApplicationRecorder):
    """What outlives a `MemoryEventStore`."""

    def __init__(self) -> None:
        super().__init__()
        self.engine: object | None = None
        """Who has it open for appends."""

    def _insert_events(
        self, stored_events: Sequence[StoredEvent], *, expected: int = 0, **kwargs: Any
    ) -> Sequence[int] | None:
        with self._database_lock:
            if (self.max_notification_id() or 0) != expected:
                raise LogMovedError
            return super()._insert_events(stored_events, **kwargs)


class MemoryRecording:
    """A `Recording` over a log in memory."""

    errors: tuple[type[Exception], ...] = (EventSourcingError,)

    def __init__(self, log: MemoryLog) -> None:
        self._log = log

    def recorder(self) -> MemoryLog:
        """Return the log."""
        return self._log

    def take(self) -> bool:
        """Become its engine.

        Raises:
            Fault: there is one already.
        """
        if self._log.engine is not None:
            raise Fault("another engine has the log in memory")
        self._log.engine = self
        return True

    def holds(self) -> bool:
        """Return whether this still is the log's engine."""
        return self._log.engine is self

    def prepare(self) -> None:
        """Do nothing: there is nothing to prepare."""

    def cut(self) -> None:
        """Do nothing: memory answers at once."""

    def close(self) -> None:
        """Make room for the next engine."""
        if self._log.engine is self:
            self._log.engine = None


class MemoryEventReader:
    """An `EventReader` over a log in memory."""

    def __init__(self, log: MemoryLog, codec: Codec | None = None) -> None:
        self._log = Log(MemoryRecording(log), codec or Codec(DEFAULT_TAILNET))
        self._closed = False

    async def read(self, after: Position, limit: int = 1_000) -> Sequence[Recorded]:
        """Return at most `limit` records after the position; see `EventReader.read`."""
        return self._opened().read(after, limit)

    async def close(self) -> None:
        """Let go of the log; more than once is fine."""
        self._closed = True
        self._log.close()

    def _opened(self) -> Log:
        if self._closed:
            raise Fault("the store is closed")
        return self._log


class MemoryEventStore(MemoryEventReader):
    """An `EventStore` over a log in memory; a new log if none is given."""

    def __init__(self, log: MemoryLog | None = None, codec: Codec | None = None) -> None:
        super().__init__(log or MemoryLog(), codec)

    @property
    def head(self) -> Head:
        """Return the last record that this store has appended or read."""
        return self._log.head

    async def open(self) -> None:
        """Become the one engine; see `EventStore.open`."""
        log = self._opened()
        log.take()
        log.prepare()

    async def held(self) -> None:
        """Wait for ever: nobody takes a log in memory over."""
        await asyncio.Event().wait()

    async def append(self, batch: Sequence[Pending]) -> Sequence[Recorded]:
        """Append all or nothing; see `EventStore.append`."""
        return self._opened().append(batch) if batch else []
