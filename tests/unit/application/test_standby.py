"""A standby's ledger is the log's, whatever happened to the log meanwhile."""

import asyncio
import gc
from collections.abc import Iterator

import pytest

from engine.adapters.store.memory import MemoryEventReader, MemoryLog
from engine.application.ledger import Ledger
from engine.application.standby import Standby
from engine.domain.values import Position
from engine.ports import WrongFence
from tests.unit.application.world import FragileStore, Lab, running, user


@pytest.fixture(autouse=True)
def unfrozen() -> Iterator[None]:
    yield
    gc.unfreeze()


class Counting(MemoryEventReader):
    """Counts the records that are read."""

    count = 0

    async def read(self, after: Position, limit: int = 1_000):  # type: ignore[no-untyped-def]  # noqa: ANN201
        found = await super().read(after, limit)
        self.count += len(found)
        return found


async def followed(standby: Standby, position: int) -> None:
    following = asyncio.create_task(standby.follow())
    async with asyncio.timeout(5):
        while standby.position < position:
            await asyncio.sleep(0)
    following.cancel()


async def filled(log: MemoryLog, count: int) -> None:
    async with running(log) as lab:
        for number in range(count):
            await lab.engine.handle(user(f"u{number}"))


async def test_a_takeover_reads_the_end_of_the_log_only() -> None:
    log = MemoryLog()
    await filled(log, 50)
    standby = Standby(MemoryEventReader(log))
    end = 101
    await followed(standby, end)
    store = Counting(log)
    ledger = await standby.taken_over(store)
    assert store.count == 1
    whole = await Ledger.replay(MemoryEventReader(log))
    assert (ledger.position, ledger.digest, ledger.receipts) == (whole.position, whole.digest, whole.receipts)
    assert ledger.tailnet == whole.tailnet


async def test_a_log_that_is_another_one_is_read_anew() -> None:
    first, second = MemoryLog(), MemoryLog()
    await filled(first, 5)
    await filled(second, 20)
    standby = Standby(MemoryEventReader(first))
    await followed(standby, 11)
    ledger = await standby.taken_over(MemoryEventReader(second))
    whole = await Ledger.replay(MemoryEventReader(second))
    assert ledger.digest == whole.digest
    assert ledger.tailnet == whole.tailnet


async def test_a_log_that_cannot_be_read_is_tried_again() -> None:
    log = MemoryLog()
    await filled(log, 3)
    reader = FragileStore(log)
    reader.unreadable = 1
    standby = Standby(reader)
    await followed(standby, 7)


async def test_an_engine_that_has_lost_its_store_decides_nothing_more() -> None:
    lab = Lab()
    await lab.engine.start()
    lab.store.lose()
    with pytest.raises(BaseExceptionGroup) as raised:
        await lab.engine.run(asyncio.Event())
    assert raised.group_contains(WrongFence)
    with pytest.raises(Exception, match="not deciding"):
        await lab.engine.handle(user("late"))
