"""The bus in memory, and the trouble that it can make."""

from collections.abc import Sequence

import pytest

from engine.adapters.bus.memory import Hub, MemoryBus
from engine.ports import Message
from tests.contract.bus_suite import BusSuite, Pair, take


class TestMemoryBus(BusSuite):
    @pytest.fixture
    def pair(self) -> Pair:
        hub = Hub()
        return MemoryBus(hub), MemoryBus(hub)


async def test_a_hub_can_lose_repeat_and_delay() -> None:
    def trouble(message: Message) -> Sequence[float]:
        return {b"lost": (), b"twice": (0.0, 0.0), b"late": (0.01,)}.get(message.data, (0.0,))

    bus = MemoryBus(Hub(trouble))
    stream = await bus.subscribe("a")
    for data in (b"lost", b"late", b"twice", b"once"):
        await bus.publish("a", data)
    assert [m.data for m in await take(stream, 4)] == [b"twice", b"twice", b"once", b"late"]
