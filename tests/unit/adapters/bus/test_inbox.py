"""What waits for a subscriber is bounded, in number and in octets, and what did not fit is counted."""

from engine.adapters.bus.inbox import Inbox
from engine.ports import Message


def message(octets: int) -> Message:
    return Message("x", bytes(octets), {})


async def test_more_than_the_limit_is_dropped() -> None:
    inbox = Inbox(2)
    for _ in range(3):
        inbox.put(message(1))
    assert inbox.dropped == 1
    inbox.close()
    assert len([each async for each in inbox]) == 2


async def test_more_octets_than_the_limit_are_dropped_until_there_is_room() -> None:
    inbox = Inbox(100, octets=10)
    inbox.put(message(6))
    inbox.put(message(5))
    assert inbox.dropped == 1
    inbox.put(message(4))
    assert inbox.dropped == 1
    await anext(inbox)
    inbox.put(message(6))
    assert inbox.dropped == 1
    inbox.put(message(1))
    assert inbox.dropped == 2
