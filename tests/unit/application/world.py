"""An engine over a log in memory, and a store that can be told to fail."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from engine.adapters.store.memory import MemoryEventStore, MemoryLog
from engine.application.answers import digest_of
from engine.application.engine import Engine
from engine.application.ledger import Order
from engine.domain.commands import Command, CreateUser
from engine.domain.values import CommandId, Millis, Position
from engine.ports import EventReader, Fault, Pending, Recorded, WrongFence
from tests.kit.fakes import MemoryKeyRing, SequenceIds, VirtualClock


class FragileStore(MemoryEventStore):
    """Appends wait for the gate; `fault` is raised once, before or after the events are kept."""

    def __init__(self, log: MemoryLog) -> None:
        super().__init__(log)
        self.gate = asyncio.Event()
        self.gate.set()
        self.fault: Fault | None = None
        self.keep = False
        self.unreadable = 0
        self.batches: list[int] = []
        self._lost = asyncio.Event()

    def lose(self) -> None:
        """Let another engine have the store."""
        self._lost.set()

    async def held(self) -> None:
        await self._lost.wait()
        raise WrongFence("lost")

    async def append(self, batch: Sequence[Pending]) -> Sequence[Recorded]:
        await self.gate.wait()
        fault, self.fault = self.fault, None
        records: Sequence[Recorded] = []
        if fault is None or self.keep:
            records = await super().append(batch)
        if fault is not None:
            raise fault
        self.batches.append(len(batch))
        return records

    async def read(self, after: Position, limit: int = 1_000) -> Sequence[Recorded]:
        if self.unreadable:
            self.unreadable -= 1
            raise Fault("unreadable")
        return await super().read(after, limit)


class Lab:
    def __init__(self, log: MemoryLog | None = None) -> None:
        self.log = log or MemoryLog()
        self.store = FragileStore(self.log)
        self.clock = VirtualClock()
        self.ids = SequenceIds()
        self.engine = Engine(self.store, self.clock, self.ids, MemoryKeyRing())

    async def records(self) -> Sequence[Recorded]:
        return await read_all(self.store)


async def read_all(store: EventReader) -> Sequence[Recorded]:
    return await store.read(Position(0), 100_000)


@asynccontextmanager
async def running(log: MemoryLog | None = None) -> AsyncIterator[Lab]:
    lab = Lab(log)
    stop = asyncio.Event()
    await lab.engine.start()
    task = asyncio.create_task(lab.engine.run(stop))
    try:
        yield lab
    finally:
        lab.store.gate.set()
        stop.set()
        try:
            async with asyncio.timeout(5):
                await task
        finally:
            await lab.store.close()


def order(command: Command, key: str, *, actor: str = "alice", deadline: int = 0, body: bytes = b"") -> Order:
    name = type(command).__name__
    return Order(
        command=command,
        name=name,
        command_id=CommandId(key),
        actor=actor,
        digest=digest_of(actor, name, body or repr(command).encode()),
        reason="because",
        deadline=Millis(deadline),
    )


def user(name: str, key: str = "") -> Order:
    return order(CreateUser(name=name), key or f"id-{name}")


async def until_waiting(lab: Lab, task: asyncio.Task[object]) -> None:
    """Let the task get as far as it can."""
    for _ in range(10):
        await asyncio.sleep(0)
    assert not task.done()
