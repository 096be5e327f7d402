"""A log behind asyncio: the library blocks, so it lives in two threads, one that writes and one that reads.

Rule 1: everything that writes happens in one thread, in the order in which it was asked for.
Rule 2: whoever stops waiting for an append does not stop the append; `head` tells what became of it.
Rule 3: an engine that finds another one active waits for it as long as it takes (a standby), where the store can say
        when it is gone; the wait can be cancelled.
Rule 4: an append or a read that takes longer than `LIMIT_SECONDS` is cut: it fails, and what became of it is unknown.
"""

import asyncio
import contextlib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from typing import Final, ParamSpec, TypeVar

import structlog

from engine.adapters.store.log import Log
from engine.domain.values import Position
from engine.ports import Fault, Head, Pending, Recorded, WrongFence

STANDBY: Final = 0.5
"""Seconds between two tries of a standby. A blocking lock would hold back VACUUM for as long as it waits."""

LOOK_SECONDS: Final = 0.2
"""Between two looks whether the lock is still held."""
LIMIT_SECONDS: Final = 10.0
"""A disk under load may take seconds for a commit; who waits for the engine has given up by then."""

P = ParamSpec("P")
T = TypeVar("T")

_log = structlog.get_logger(__name__)


class RecordedReader:
    """An `EventReader` over a log."""

    def __init__(self, log: Log, *, limit: float = LIMIT_SECONDS) -> None:
        self._log = log
        self._limit = limit
        self._reading = ThreadPoolExecutor(1, "log-reading")
        self._closed = False

    async def read(self, after: Position, limit: int = 1_000) -> Sequence[Recorded]:
        """Return at most `limit` records after the position; see `EventReader.read`."""
        with self._limited():
            return await self._in(self._reading, self._log.read, after, limit)

    async def close(self) -> None:
        """Let what runs end, and let go of the store; more than once is fine."""
        if not self._closed:
            self._closed = True
            with self._limited():
                await asyncio.to_thread(self._shut)

    async def _in(self, thread: Executor, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        if self._closed:
            raise Fault("the store is closed")
        return await asyncio.get_running_loop().run_in_executor(thread, lambda: call(*args, **kwargs))

    @contextlib.contextmanager
    def _limited(self) -> Iterator[None]:
        """Cut what is not done in time (rule 4)."""
        cutting = asyncio.get_running_loop().call_later(self._limit, self._log.cut)
        try:
            yield
        finally:
            cutting.cancel()

    def _shut(self) -> None:
        self._reading.shutdown()
        self._log.close()


class RecordedStore(RecordedReader):
    """An `EventStore` over a log."""

    def __init__(self, log: Log, *, limit: float = LIMIT_SECONDS) -> None:
        super().__init__(log, limit=limit)
        self._writing = ThreadPoolExecutor(1, "log-writing")

    @property
    def head(self) -> Head:
        """Return the last record that this store has appended or read."""
        return self._log.head

    async def open(self) -> None:
        """Become the one engine, waiting for another to go (rule 3); see `EventStore.open`.

        A store that could not be opened is closed: to try again, make a new one.
        """
        try:
            if not await self._in(self._writing, self._log.take):
                _log.info("another engine is active: standing by")
                while not await self._taken():  # noqa: ASYNC110 (a server sets no event)
                    await asyncio.sleep(STANDBY)
                _log.info("the other engine is gone: taking over")
            with self._limited():
                await self._in(self._writing, self._log.prepare)
        except BaseException:
            await self.close()
            raise

    async def _taken(self) -> bool:
        """Try again; a store that is out of reach for a while is no reason to give up."""
        try:
            return await self._in(self._writing, self._log.take)
        except Fault as fault:
            if self._closed:
                raise
            _log.warning("standby: the store is out of reach", fault=str(fault))
            return False

    async def held(self) -> None:
        """Wait until this is no longer the one engine's store; see `EventStore.held`."""
        while self._log.holds():  # noqa: ASYNC110 (another thread finds out, with a server)
            await asyncio.sleep(LOOK_SECONDS)
        raise WrongFence("the lock of this log is lost: another engine may have it")

    async def append(self, batch: Sequence[Pending]) -> Sequence[Recorded]:
        """Append all or nothing, durably; see `EventStore.append`."""
        if not batch:
            return []
        with self._limited():
            return await self._in(self._writing, self._log.append, batch)

    def _shut(self) -> None:
        self._writing.shutdown()
        super()._shut()
