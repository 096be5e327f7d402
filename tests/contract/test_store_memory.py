"""The store in memory keeps the contract."""

import dataclasses

import pytest
from eventsourcing.persistence import ApplicationRecorder

from engine.adapters.store.codec import Codec
from engine.adapters.store.memory import MemoryEventReader, MemoryEventStore, MemoryLog
from engine.adapters.store.opening import open_reader, open_store
from engine.domain.values import DEFAULT_TAILNET, Position, TailnetName
from engine.ports import EventReader, EventStore, Fault
from tests.contract.store_suite import EventStoreContract, Place, opened, user


class MemoryPlace:
    def __init__(self) -> None:
        self.log = MemoryLog()

    def store(self) -> EventStore:
        return MemoryEventStore(self.log)

    def reader(self, tailnet: str = DEFAULT_TAILNET) -> EventReader:
        return MemoryEventReader(self.log, Codec(TailnetName(tailnet)))

    def recorder(self) -> ApplicationRecorder:
        return self.log

    def spoil(self, position: Position, topic: str) -> None:
        rows = self.log._stored_events
        rows[position - 1] = dataclasses.replace(rows[position - 1], topic=topic)


class TestMemory(EventStoreContract):
    @pytest.fixture
    def place(self) -> Place:
        return MemoryPlace()

    async def test_a_second_engine_is_refused_until_the_first_is_gone(self, place: Place) -> None:
        async with opened(place) as first:
            second = place.store()
            with pytest.raises(Fault, match="another engine"):
                await second.open()
            await second.close()
            await first.append([user(1)])
        async with opened(place):
            pass

    async def test_a_name_leads_to_one_log_as_long_as_somebody_has_it(self) -> None:
        store = open_store("memory:x", tailnet="default")
        reader = open_reader("memory:x", tailnet="default")
        other = open_reader("memory:y", tailnet="default")
        await store.open()
        await store.append([user(1)])
        assert len(await reader.read(Position(0))) == 1
        assert len(await other.read(Position(0))) == 0
        await store.close()
        del store, reader
        assert len(await open_reader("memory:x", tailnet="default").read(Position(0))) == 0


@pytest.mark.parametrize("url", ["", "events.db", "sqlite://relative.db", "mysql://x/y"])
def test_what_is_not_a_store_is_a_fault(url: str) -> None:
    with pytest.raises(Fault, match="not a store"):
        open_store(url, tailnet="default")
