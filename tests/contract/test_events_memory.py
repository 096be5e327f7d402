"""The stream of events in memory."""

import pytest

from engine.adapters.bus.eventmemory import MemoryEvents
from engine.ports import Fault
from tests.contract.events_suite import EventsSuite, messages, told


class TestMemoryEvents(EventsSuite):
    @pytest.fixture
    def stream(self) -> MemoryEvents:
        return MemoryEvents()


async def test_it_breaks_where_it_is_told_to() -> None:
    stream = MemoryEvents()
    await stream.open()
    stream.broken = 2
    with pytest.raises(Fault):
        await stream.publish(messages())
    assert await stream.last() == told(1)
