"""Other systems are told every event, in order, at least once, and no secret."""

import asyncio
from collections.abc import Callable, Sequence

import msgspec
import pytest

from engine.adapters.bus.eventmemory import MemoryEvents
from engine.adapters.bus.memory import Hub, MemoryBus
from engine.adapters.store.memory import MemoryEventReader, MemoryEventStore, MemoryLog
from engine.application import eventstream
from engine.application.eventstream import EventTeller, message_of
from engine.contracts import subjects
from engine.contracts.queries import StreamReply
from engine.domain.commands import CreateAuthKey
from engine.domain.events import EVENTS, CommandHandled, LogStarted
from engine.domain.values import CommandId, Epoch, Millis, Position, TailnetName
from engine.ports import Envelope, Fault, Message, Pending, Recorded
from engine.schemas.examples import EPOCH, example_of
from tests.unit.application.world import Lab, order, running, user

T = TailnetName("t")


class SlowReader(MemoryEventReader):
    """A reader that can be told to fail."""

    broken = False

    async def read(self, after: Position, limit: int = 1_000) -> Sequence[Recorded]:
        if self.broken:
            raise Fault("unreadable")
        return await super().read(after, limit)


class Telling:
    def __init__(self, lab: Lab, stream: MemoryEvents | None = None) -> None:
        self.lab = lab
        self.stream = stream or MemoryEvents()
        self.reader = SlowReader(lab.log)
        self.teller = EventTeller(lab.engine, self.reader, self.stream, T)

    @property
    def positions(self) -> list[int]:
        return [int(message.headers["ce-position"]) for message in self.stream.messages]

    async def all(self) -> None:
        while await self.teller.tell():
            pass

    async def expected(self) -> list[int]:
        return [r.position for r in await self.lab.records() if not isinstance(r.event, CommandHandled)]


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not condition():
            await asyncio.sleep(0)


async def test_every_event_is_told_once_in_order_and_receipts_are_not() -> None:
    async with running() as lab:
        telling = Telling(lab)
        for number in range(5):
            await lab.engine.handle(user(f"u{number}"))
        await telling.all()
        assert telling.positions == await telling.expected()
        assert len(await lab.records()) > len(telling.positions)


async def test_what_is_told_says_who_when_what_and_why() -> None:
    async with running() as lab:
        telling = Telling(lab)
        await lab.engine.handle(msgspec.structs.replace(user("ada"), reason="for Ada, 100 % à jour"))
        await telling.all()
        last = telling.stream.messages[-1]
        record = next(r for r in await lab.records() if r.envelope.stream == "user/1")
        epoch = lab.engine.head().epoch
        assert last.subject == "netmap.v1.t.ev.user.1.UserCreated"
        assert msgspec.json.decode(last.data, type=type(record.event)) == record.event
        assert dict(last.headers) == {
            "Nats-Msg-Id": f"{epoch}-{record.position}",
            "ce-id": f"{epoch}-{record.position}",
            "ce-source": "/netmap/v1/t",
            "ce-type": "UserCreated.v1",
            "ce-time": "2026-01-01T00:00:00.000Z",
            "ce-specversion": "1.0",
            "ce-subject": "user/1",
            "ce-datacontenttype": "application/json",
            "ce-epoch": epoch,
            "ce-position": str(record.position),
            "ce-streamversion": "1",
            "ce-actor": record.envelope.actor,
            "ce-command": record.envelope.command_id,
            "ce-reason": "for%20Ada,%20100%20%25%20%C3%A0%20jour",
            "ce-digest": record.digest,
        }


async def test_a_new_teller_goes_on_after_what_the_stream_has() -> None:
    async with running() as lab:
        first = Telling(lab)
        await lab.engine.handle(user("a"))
        await first.all()
        await lab.engine.handle(user("b"))
        second = Telling(lab, first.stream)
        await second.all()
        assert second.positions == await second.expected()


async def test_after_a_fault_of_the_stream_nothing_is_left_out_or_told_twice() -> None:
    async with running() as lab:
        telling = Telling(lab)
        for number in range(4):
            await lab.engine.handle(user(f"u{number}"))
        telling.stream.broken = 2
        with pytest.raises(Fault):
            await telling.all()
        telling.stream.broken = None
        await telling.all()
        assert telling.positions == await telling.expected()


async def test_a_stream_that_lost_everything_is_filled_though_nothing_happens(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(eventstream, "LOOK_SECONDS", 0.001)
    async with running() as lab:
        await lab.engine.handle(user("a"))
        telling, stop = Telling(lab), asyncio.Event()
        task = asyncio.create_task(telling.teller.run(stop))
        await until(lambda: len(telling.positions) == 2)
        telling.stream.messages.clear()
        await until(lambda: len(telling.positions) == 2)
        assert telling.positions == await telling.expected()
        stop.set()
        await asyncio.wait_for(task, 5)


async def test_a_running_teller_survives_faults_and_hears_commits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(eventstream, "AGAIN_SECONDS", 0.001)
    async with running() as lab:
        telling, stop = Telling(lab), asyncio.Event()
        telling.reader.broken = True
        task = asyncio.create_task(telling.teller.run(stop))
        await lab.engine.handle(user("a"))  # no command waits for it
        assert telling.positions == []
        telling.reader.broken = False
        await until(lambda: len(telling.positions) == 2)
        await lab.engine.handle(user("b"))
        await until(lambda: len(telling.positions) == 3)
        assert telling.positions == await telling.expected()
        stop.set()
        await asyncio.wait_for(task, 5)


async def test_a_stream_made_anew_is_filled_from_the_log() -> None:
    async with running() as lab:
        telling, hub = Telling(lab), Hub()
        await telling.teller.serve(MemoryBus(hub))
        await lab.engine.handle(user("a"))
        await telling.all()
        before = list(telling.stream.messages)

        async def ask(verb: str) -> StreamReply:
            reply = await MemoryBus(hub).request(subjects.query(T, "stream", verb), b"{}", timeout=5)
            return msgspec.json.decode(reply.data, type=StreamReply)

        head = lab.engine.head()
        assert await ask("get") == StreamReply(
            stream="NETMAP_EVENTS", epoch=head.epoch, told=head.position, position=head.position
        )
        assert (await ask("rebuild")).told == 0
        assert telling.stream.messages == []
        await telling.all()
        assert telling.stream.messages == before


def about(stream: str, version: int) -> Envelope:
    return Envelope(
        stream=stream, version=version, at=Millis(version), actor="a", command_id=CommandId(f"c{version}")
    )


async def log_of(*epochs: tuple[str, int]) -> MemoryLog:
    """A log whose histories began with these epochs, each followed by that many records."""
    log = MemoryLog()
    store = MemoryEventStore(log)
    await store.open()
    version = 0
    for epoch, more in epochs:
        for _ in range(1 + more):
            version += 1
            envelope = about("tailnet", version)
            await store.append([Pending(envelope=envelope, event=LogStarted(epoch=Epoch(epoch)))])
    await store.close()
    return log


async def test_a_log_with_another_history_is_told_from_where_that_began() -> None:
    log = await log_of(("e1", 1), ("e2", 0))
    async with running(log) as lab:
        stream = MemoryEvents()
        await stream.open()
        other = Telling(lab, stream)
        await other.all()
        assert [m.headers["ce-epoch"] for m in stream.messages] == ["e1", "e1", "e2"]
        lost = dict(stream.messages[1].headers) | {"ce-id": "e1-9", "ce-position": "9"}
        stream.messages[2:] = [Message("x", b"", lost)]  # what came after the backup
        again = Telling(lab, stream)
        await again.all()
        assert again.positions == [1, 2, 9, 3]


async def test_a_stream_that_differs_within_an_epoch_is_told_all_of_it() -> None:
    async with running() as lab:
        first = Telling(lab)
        await lab.engine.handle(user("a"))
        await first.all()
        known = first.positions
        last = first.stream.messages[-1]
        first.stream.messages[-1] = Message(last.subject, last.data, dict(last.headers) | {"ce-digest": "0"})
        again = Telling(lab, first.stream)
        await again.all()
        assert again.positions == known + known


async def test_nobody_is_told_a_secret() -> None:
    async with running() as lab:
        telling = Telling(lab)
        await lab.engine.handle(user("ada"))
        accepted = await lab.engine.handle(order(CreateAuthKey(user="ada"), "k1"))
        await telling.all()
        digests = [getattr(r.event, "digest", "") for r in await lab.records()]
        told = b"".join(message.data for message in telling.stream.messages).decode()
        assert str(accepted.result["key"]) not in told
        assert any(digests)
        assert not [digest for digest in digests if digest and digest in told]


def test_what_is_sealed_is_not_told_either() -> None:
    for kind in EVENTS:
        event = example_of(kind)
        secret = {name: "s3cr3t" for name in ("account",) if name in kind.__struct_fields__}
        record = Recorded(
            position=Position(1),
            envelope=about("x/1", 1),
            event=msgspec.structs.replace(event, **secret),
            digest="",
        )
        assert b"s3cr3t" not in message_of(record, EPOCH, T).data


@pytest.mark.parametrize(
    ("took", "grown_by", "rest"),
    [
        (0.01, 0, 0.01),
        (0.01, eventstream.BUSY_RECORDS - 1, 0.01),
        (0.01, eventstream.BUSY_RECORDS, 0.01 * eventstream.BUSY_RESTS),
        (5.0, eventstream.BUSY_RECORDS, eventstream.LONGEST_REST),
    ],
)
def test_a_busy_engine_keeps_its_time_for_commands(took: float, grown_by: int, rest: float) -> None:
    assert eventstream.rest_after(took, grown_by) == pytest.approx(rest)
