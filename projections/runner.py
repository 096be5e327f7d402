"""The projection role: tail the log, fold, tell the bus what changed, answer queries.

Rule 1: the log is the truth and is asked every `POLL_SECONDS`; `log.head` and impatient queries only wake it earlier.
Rule 2: one delta for each read, cut where it is too large; a bookmark when `BOOKMARK_SECONDS` brought nothing. A
        bookmark is sent only after the log was read: a projection that cannot read falls silent, and is noticed.
Rule 3: nothing waits for the bus: what cannot be published is lost, and the chain tells every holder (F1). Any number
        of projections publish the same chain; holders ignore repeats.
Rule 4: fail closed: a record that cannot be understood ends the process, for it may be a revocation; so does a log
        that is not the one that was read before, and a store that is out of reach for `UNREADABLE_SECONDS`.
Rule 5: what is kept on the shelf is never needed: it saves reading, and is compared with the log before use.
Rule 6: what is told has a state digest, and what others tell is heard: see `watch.py`. In doubt nothing is told.
Rule 7: nothing is said or answered before the end of the log was reached for the first time.
"""

import asyncio
import contextlib
import gc
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Final

import msgspec
import structlog

from engine.adapters.bus.nats import open_bus
from engine.adapters.clock import SystemClock
from engine.adapters.ids import own_name
from engine.adapters.shelf import FileShelf, MemoryShelf
from engine.adapters.store.opening import open_reader
from engine.config import Settings
from engine.contracts import subjects
from engine.contracts.netmap import BOOKMARK_SECONDS
from engine.contracts.projections import STATUS_SECONDS
from engine.contracts.queries import HeadReply
from engine.contracts.soft import Hello
from engine.domain.values import Position, TailnetName
from engine.ports import Bus, Clock, EventReader, Fault, Message, Recorded, Shelf, Undecodable
from projections.agreement import waypoints
from projections.live import FRESH_SECONDS, Live
from projections.moments import SUFFIX, Moments
from projections.netmap.deltas import bookmark, deltas
from projections.queries import DESCRIPTION, VERSION, Queries
from projections.watch import Watch

POLL_SECONDS: Final = 0.25
"""How long a lost wake-up may cost (reference: reliability §3.2)."""
PAGE: Final = 1_000
"""Records in a read."""
UNREADABLE_SECONDS: Final = 10.0
"""How long the store may be out of reach before the process gives up: a database's failover."""
RETRY_SECONDS: Final = 0.25
ORIGIN: Final = "projection"
"""How this role calls itself when it asks frontends what they know."""

_HEAD: Final = msgspec.json.Decoder(HeadReply)
_log = structlog.get_logger(__name__)


class Projection:
    """One projection process; `run` is its life."""

    def __init__(
        self,
        bus: Bus,
        reader: EventReader,
        tailnet: TailnetName,
        clock: Clock,
        shelf: Shelf | None = None,
        *,
        name: str = "projection",
    ) -> None:
        self.live: Final = Live(reader, clock)
        self.moments: Final = Moments(shelf or MemoryShelf(), reader)
        self.watch: Final = Watch(name, self.live, self.moments)
        self.ready: Final = asyncio.Event()
        """Set when the log's end was reached for the first time, and queries are answered."""
        self._bus = bus
        self._tailnet = tailnet
        self._clock = clock
        self._told = clock.monotonic()

    async def run(self, stop: asyncio.Event) -> None:
        """Catch up, then tell and answer until `stop`.

        Raises:
            ExceptionGroup: of a `Fault`, when the log cannot be read or understood (rule 4).
        """
        heads = await self._bus.subscribe(subjects.log_head(self._tailnet), limit=16)
        soft = await self._bus.subscribe(subjects.soft(self._tailnet, "*", "state"))
        others = await self._bus.subscribe(subjects.map_delta(self._tailnet))
        statuses = await self._bus.subscribe(subjects.projection_status(self._tailnet, "*"))
        async with asyncio.TaskGroup() as group:
            listeners = [
                group.create_task(self._hear_heads(heads)),
                group.create_task(self._hear_soft(soft)),
                group.create_task(self._hear_others(others)),
                group.create_task(self._hear_statuses(statuses)),
                group.create_task(self._report()),
                group.create_task(self._end_with(stop)),
            ]
            try:
                await self._catch_up(stop)
                if not stop.is_set():
                    await self._open()
                await self._tail(stop)
            finally:
                for listener in listeners:
                    listener.cancel()
                await self.watch.stop()
                await self.moments.settled()

    async def _catch_up(self, stop: asyncio.Event) -> None:
        """Read to the end of the log, telling nobody; from the newest moment of it that is kept."""
        gc.disable()  # a replay makes no garbage cycles; collecting while it builds costs more than the fold
        try:
            await self._resume()
            while not stop.is_set():
                began = self._clock.monotonic()
                records = await self._read()
                self.live.take(records)
                await self.moments.note(self.live)
                if len(records) < PAGE:
                    self.live.saw_end(began)
                    break
                await asyncio.sleep(0)  # a reader in memory never waits
        finally:
            gc.enable()
        gc.collect()
        gc.freeze()

    async def _resume(self) -> None:
        try:
            await self.moments.open()
            if await self.moments.resume(self.live):
                _log.info("started from a kept moment", position=self.live.state.position)
        except Fault as fault:
            _log.warning("the log is read from its beginning", why=str(fault))

    async def _open(self) -> None:
        queries = Queries(self.live, self.moments, projections=self.watch.rows)
        endpoints = queries.endpoints(self._tailnet)
        endpoints += self.watch.endpoints(self._tailnet)
        await self._bus.serve(subjects.QUERY_SERVICE, VERSION, DESCRIPTION, endpoints)
        hello = subjects.soft(self._tailnet, ORIGIN, "hello")
        await self._publish(hello, msgspec.json.encode(Hello(origin=ORIGIN)))
        state = self.live.state
        _log.info("caught up", epoch=state.epoch, position=state.position, nodes=len(state.tailnet.nodes))
        await self._mark()
        self.ready.set()

    async def _tail(self, stop: asyncio.Event) -> None:
        while not stop.is_set():
            self.live.wake.clear()
            began = self._clock.monotonic()
            records = await self._read()
            if records:
                await self._tell(records)
                if not self.live.doubt:
                    await self.moments.note(self.live)
            elif self._clock.monotonic() - self._told >= BOOKMARK_SECONDS and not self._is_old(began):
                await self._mark()
            if len(records) < PAGE:
                self.live.saw_end(began)
                await self._woken()

    def _is_old(self, began: float) -> bool:
        """Return whether a read began too long ago to say that nothing follows: the process may have been stopped meanwhile."""
        return self._clock.monotonic() - began > FRESH_SECONDS

    async def _tell(self, records: Sequence[Recorded]) -> None:
        for run in waypoints(records):
            prev = self.live.state.position
            steps = self.live.take(run)
            for data in deltas(prev, steps, self.watch.said()):
                if not self.live.doubt:
                    await self._publish(subjects.map_delta(self._tailnet), data)
            self.watch.compare()
        self._told = self._clock.monotonic()

    async def _mark(self) -> None:
        state = self.live.state
        said = self.watch.said()
        if state.epoch and not self.live.doubt:
            await self._publish(
                subjects.map_delta(self._tailnet), bookmark(state.epoch, state.position, said)
            )
        self.watch.compare()
        self._told = self._clock.monotonic()

    async def _publish(self, subject: str, data: bytes) -> None:
        try:
            await self._bus.publish(subject, data)
        except Fault as fault:
            _log.warning("not published", subject=subject, fault=type(fault).__name__)

    async def _woken(self) -> None:
        try:
            async with asyncio.timeout(POLL_SECONDS):
                await self.live.wake.wait()
        except TimeoutError:
            return

    async def _read(self) -> Sequence[Recorded]:
        """Return what follows; a store that is out of reach is tried again for a while."""
        began = self._clock.monotonic()
        while True:
            try:
                return await self.live.following(PAGE)
            except Undecodable as fault:
                _log.critical("the log cannot be understood", at=self.live.state.position, why=str(fault))
                raise
            except Fault as fault:
                if self._clock.monotonic() - began > UNREADABLE_SECONDS:
                    _log.critical("the log cannot be read", at=self.live.state.position, why=str(fault))
                    raise
                _log.warning("the log cannot be read", why=str(fault))
            await asyncio.sleep(RETRY_SECONDS)

    async def _hear_heads(self, messages: AsyncIterator[Message]) -> None:
        async for message in messages:
            with contextlib.suppress(msgspec.MsgspecError):  # a wake-up without a position is one, too
                self.live.heard_head(Position(_HEAD.decode(message.data).position))
            self.live.wake.set()

    async def _hear_soft(self, messages: AsyncIterator[Message]) -> None:
        async for message in messages:
            self.live.soft.receive(message)

    async def _hear_others(self, messages: AsyncIterator[Message]) -> None:
        async for message in messages:
            self.watch.hear(message)

    async def _hear_statuses(self, messages: AsyncIterator[Message]) -> None:
        async for message in messages:
            self.watch.hear_status(message)

    async def _report(self) -> None:
        """Say every second how it is, and look at some objects again."""
        subject = subjects.projection_status(self._tailnet, self.watch.name)
        await self.ready.wait()
        while True:
            self.watch.look()
            await self._publish(subject, msgspec.json.encode(self.watch.status()))
            await asyncio.sleep(STATUS_SECONDS)

    async def _end_with(self, stop: asyncio.Event) -> None:
        await stop.wait()
        self.live.wake.set()


async def run_projection(settings: Settings, stop: asyncio.Event) -> None:
    """Run the projection role until `stop`.

    Raises:
        Fault: the bus or the store cannot be opened.
        ExceptionGroup: see `Projection.run`.
    """
    tailnet = TailnetName(settings.tailnet)
    bus = await open_bus(settings, "projection", name="netmap projection")
    try:
        reader = open_reader(settings.store_url(), tailnet=tailnet)
        try:
            shelf = FileShelf(Path(settings.directory) / "moments" / tailnet, SUFFIX)
            await Projection(bus, reader, tailnet, SystemClock(), shelf, name=own_name("host")).run(stop)
        finally:
            await reader.close()
    finally:
        await bus.close()
