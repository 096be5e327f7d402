"""What every stream of events must do; each adapter's test file makes one that is empty."""

import pytest

from engine.application.eventstream import message_of
from engine.domain.values import DEFAULT_TAILNET, Epoch, Position
from engine.ports import Fault, Message
from engine.streamports import EventStream, Told
from tests.kit.histories import events_of, records

EPOCH = Epoch("a" * 24)
RECORDS = records(events_of([("user", number, number) for number in range(8)]))


def messages() -> list[Message]:
    return [message_of(record, EPOCH, DEFAULT_TAILNET) for record in RECORDS]


def told(number: int) -> Told:
    record = RECORDS[number]
    return Told(epoch=EPOCH, position=Position(record.position), digest=record.digest)


class EventsSuite:
    async def test_an_empty_stream_has_no_last(self, stream: EventStream) -> None:
        await stream.open()
        assert await stream.last() is None

    async def test_the_last_is_what_was_published_last(self, stream: EventStream) -> None:
        await stream.open()
        await stream.last()
        await stream.publish(messages()[:2])
        assert await stream.last() == told(1)
        await stream.publish(messages()[2:5])
        assert await stream.last() == told(4)

    async def test_nothing_is_published_by_nothing(self, stream: EventStream) -> None:
        await stream.open()
        await stream.last()
        await stream.publish([])
        assert await stream.last() is None

    async def test_to_open_again_keeps_what_is_there(self, stream: EventStream) -> None:
        await stream.open()
        await stream.last()
        await stream.publish(messages()[:3])
        await stream.open()
        assert await stream.last() == told(2)

    async def test_a_wiped_stream_takes_the_same_again(self, stream: EventStream) -> None:
        await stream.open()
        await stream.last()
        await stream.publish(messages())
        await stream.wipe()
        assert await stream.last() is None
        await stream.publish(messages()[:4])
        assert await stream.last() == told(3)

    async def test_what_is_not_there_can_be_made_anew(self, stream: EventStream) -> None:
        await stream.wipe()
        assert await stream.last() is None
        await stream.publish(messages()[:1])
        assert await stream.last() == told(0)

    async def test_before_it_is_open_it_takes_nothing(self, stream: EventStream) -> None:
        with pytest.raises(Fault):
            await stream.publish(messages()[:1])
