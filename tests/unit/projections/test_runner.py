"""The projection role over a bus and a log in memory: what it tells, when, and when it stops."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Sequence

import msgspec
import pytest

from engine.adapters.bus.memory import Hub, MemoryBus
from engine.contracts import subjects
from engine.contracts.netmap import Delta, Verdict
from engine.contracts.queries import HeadReply
from engine.contracts.soft import SoftFact, SoftState
from engine.domain.values import DEFAULT_TAILNET, Millis, NodeId, Position
from engine.ports import EventReader, Fault, Headers, Message, NoResponders, Recorded, Undecodable
from projections import runner
from projections.live import AnotherLog
from projections.netmap.state import snapshot_of
from projections.runner import Projection
from tests.kit.fakes import VirtualClock
from tests.kit.histories import Step
from tests.kit.holder import Holder
from tests.kit.logs import Written

COURSE: list[Step] = [("user", 0, 0), ("node", 0, 0), ("peer", 0, 0)]


async def until(condition: Callable[[], bool], seconds: float = 5) -> None:
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.002)


class Scene:
    """A log, a hub, and one who hears every delta."""

    def __init__(self) -> None:
        self.log = Written()
        self.hub = Hub()
        self.clock = VirtualClock()
        self.heard: list[Delta] = []
        self.stop = asyncio.Event()

    def projection(self, reader: EventReader | None = None) -> Projection:
        return Projection(MemoryBus(self.hub), reader or self.log.reader(), DEFAULT_TAILNET, self.clock)

    async def listen(self, messages: AsyncIterator[Message]) -> None:
        async for message in messages:
            self.heard.append(msgspec.json.decode(message.data, type=Delta))

    async def knock(self) -> None:
        await MemoryBus(self.hub).publish(subjects.log_head(DEFAULT_TAILNET), b"{}")


@contextlib.asynccontextmanager
async def scene(*course: Step) -> AsyncIterator[Scene]:
    at = Scene()
    await at.log.open()
    await at.log.write(*(course or COURSE))
    bus = MemoryBus(at.hub)
    listening = asyncio.create_task(at.listen(await bus.subscribe(subjects.map_delta(DEFAULT_TAILNET))))
    yield at
    at.stop.set()
    await bus.close()
    await listening


@contextlib.asynccontextmanager
async def running(at: Scene, *projections: Projection) -> AsyncIterator[None]:
    tasks = [asyncio.create_task(projection.run(at.stop)) for projection in projections]
    for projection in projections:
        await projection.ready.wait()
    yield
    at.stop.set()
    for task in tasks:
        await task


async def test_it_first_catches_up_in_silence_then_says_where_it_is() -> None:
    async with scene() as at:
        projection = at.projection()
        async with running(at, projection):
            head = at.log.records[-1].position
            await until(lambda: bool(at.heard))
            assert (at.heard[0].prev, at.heard[0].cur, at.heard[0].changes) == (head, head, ())


async def test_a_change_in_the_log_is_told_once_as_a_link_of_the_chain() -> None:
    async with scene() as at:
        projection = at.projection()
        async with running(at, projection):
            before = at.log.records[-1].position
            await at.log.write(("node", 0, 0))
            await at.knock()
            await until(lambda: len(at.heard) == 2)
            delta = at.heard[1]
            assert (delta.prev, delta.cur) == (before, at.log.records[-1].position)
            assert [change.key for change in delta.changes] == ["node/2"]


async def test_a_lost_wake_up_costs_one_poll() -> None:
    async with scene() as at, running(at, at.projection()):
        await at.log.write(("node", 0, 0))
        await until(lambda: any(delta.changes for delta in at.heard), seconds=2)


async def test_silence_is_broken_by_a_bookmark_every_second() -> None:
    async with scene() as at, running(at, at.projection()):
        for number in range(2, 4):
            at.clock.advance(1)
            await until(lambda wanted=number: len(at.heard) >= wanted)  # type: ignore[misc]
        assert {(delta.prev, delta.cur) for delta in at.heard} == {(at.heard[0].cur, at.heard[0].cur)}


async def test_an_empty_log_gives_no_bookmark() -> None:
    at = Scene()
    await at.log.open()
    bus = MemoryBus(at.hub)
    listening = asyncio.create_task(at.listen(await bus.subscribe(subjects.map_delta(DEFAULT_TAILNET))))
    async with running(at, at.projection()):
        await at.log.write(*COURSE)
        await at.knock()
        await until(lambda: bool(at.heard))
    await bus.close()
    await listening
    assert at.heard[0].epoch == "epoch-0"
    assert at.heard[0].changes


async def test_two_projections_tell_one_chain_that_a_holder_follows() -> None:
    async with scene() as at:
        one, two = at.projection(), at.projection()
        async with running(at, one, two):
            holder = Holder()
            holder.load(snapshot_of(one.live.state))
            for number in range(5):
                await at.log.write(("node", 0, number), ("connect", number, 0))
                if number % 2:
                    await at.knock()
                head = at.log.records[-1].position
                await until(lambda at_=head: min(one.live.state.position, two.live.state.position) == at_)  # type: ignore[misc]
            await until(lambda: at.heard[-1].cur == at.log.records[-1].position)
        verdicts = [holder.receive(delta) for delta in at.heard]
        assert Verdict.RESYNC not in verdicts
        assert verdicts.count(Verdict.APPLY) >= 5
        assert holder.objects == one.live.state.objects == two.live.state.objects


async def test_nothing_is_answered_before_the_end_of_the_log_was_reached() -> None:
    class Slow:
        def __init__(self, inner: EventReader) -> None:
            self.inner, self.asked, self.go = inner, asyncio.Event(), asyncio.Event()

        async def read(self, after: Position, limit: int = 1_000) -> Sequence[Recorded]:
            self.asked.set()
            await self.go.wait()
            return await self.inner.read(after, limit)

        async def close(self) -> None:
            await self.inner.close()

    async with scene() as at:
        slow = Slow(at.log.reader())
        projection = at.projection(slow)
        task = asyncio.create_task(projection.run(at.stop))
        subject = subjects.query(DEFAULT_TAILNET, "head", "get")
        await slow.asked.wait()
        with pytest.raises(NoResponders):
            await MemoryBus(at.hub).request(subject, b"", timeout=1)
        slow.go.set()
        await projection.ready.wait()
        reply = await MemoryBus(at.hub).request(subject, b"", timeout=1)
        assert msgspec.json.decode(reply.data, type=HeadReply).position == at.log.records[-1].position
        at.stop.set()
        await task


async def test_it_hears_what_frontends_know_and_asks_them_when_it_comes() -> None:
    async with scene() as at:
        bus = MemoryBus(at.hub)
        hellos = await bus.subscribe(subjects.soft(DEFAULT_TAILNET, "*", "hello"))
        projection = at.projection()
        async with running(at, projection):
            assert (await anext(hellos)).subject.endswith("soft.projection.hello")
            fact = SoftFact(node=NodeId(1), origin="f1", generation=1, sequence=1, online=True)
            data = msgspec.json.encode(SoftState(origin="f1", at=Millis(1), facts=(fact,), full=True))
            await bus.publish(subjects.soft(DEFAULT_TAILNET, "f1", "state"), data)
            await until(lambda: projection.live.soft.presence(NodeId(1)) is not None)


class Failing:
    """A reader that fails as told from some moment on."""

    def __init__(self, inner: EventReader) -> None:
        self.inner = inner
        self.fault: Fault | None = None
        self.tries = 0

    async def read(self, after: Position, limit: int = 1_000) -> Sequence[Recorded]:
        if self.fault is not None:
            self.tries += 1
            raise self.fault
        return await self.inner.read(after, limit)

    async def close(self) -> None:
        await self.inner.close()


async def test_a_record_that_cannot_be_understood_stops_it_at_once() -> None:
    async with scene() as at:
        reader = Failing(at.log.reader())
        projection = at.projection(reader)
        task = asyncio.create_task(projection.run(at.stop))
        await projection.ready.wait()
        reader.fault = Undecodable("an unknown type")
        with pytest.raises(ExceptionGroup) as caught:
            await task
        assert caught.group_contains(Undecodable)
        assert reader.tries == 1


async def test_a_store_that_is_away_for_a_while_is_waited_for_in_silence(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(runner, "RETRY_SECONDS", 0.001)
    async with scene() as at:
        reader = Failing(at.log.reader())
        async with running(at, at.projection(reader)):
            await until(lambda: bool(at.heard))
            reader.fault = Fault("away")
            await until(lambda: reader.tries > 0)
            at.clock.advance(5)
            tries, heard = reader.tries, len(at.heard)
            await until(lambda: reader.tries > tries + 3)
            assert len(at.heard) == heard
            reader.fault = None
            await until(lambda: len(at.heard) > heard)


async def test_a_store_that_stays_away_stops_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runner, "RETRY_SECONDS", 0.001)
    async with scene() as at:
        reader = Failing(at.log.reader())
        projection = at.projection(reader)
        task = asyncio.create_task(projection.run(at.stop))
        await projection.ready.wait()
        reader.fault = Fault("away")
        await until(lambda: reader.tries > 0)
        at.clock.advance(runner.UNREADABLE_SECONDS + 1)
        with pytest.raises(ExceptionGroup) as caught:
            await task
        assert caught.group_contains(Fault)


@pytest.mark.parametrize("restored", [COURSE[:2], [COURSE[0], COURSE[1], ("node", 0, 0), ("node", 0, 0)]])
async def test_another_log_under_its_feet_stops_it(restored: list[Step]) -> None:
    async with scene() as at:
        reader = Failing(at.log.reader())
        projection = at.projection(reader)
        task = asyncio.create_task(projection.run(at.stop))
        await projection.ready.wait()
        other = await Written().open()
        await other.write(*restored)
        reader.inner = other.reader()
        with pytest.raises(ExceptionGroup) as caught:
            await task
        assert caught.group_contains(AnotherLog)


async def test_a_bus_that_takes_nothing_loses_deltas_and_does_not_stop_it() -> None:
    class Deaf(MemoryBus):
        deaf = False

        async def publish(self, subject: str, data: bytes, headers: Headers | None = None) -> None:
            if self.deaf:
                raise Fault("not connected")
            await super().publish(subject, data, headers)

    async with scene() as at:
        bus = Deaf(at.hub)
        projection = Projection(bus, at.log.reader(), DEFAULT_TAILNET, at.clock)
        async with running(at, projection):
            holder = Holder()
            holder.load(snapshot_of(projection.live.state))
            bus.deaf = True
            await at.log.write(("node", 0, 0))
            await at.knock()
            await until(lambda: projection.live.state.position == at.log.records[-1].position)
            bus.deaf = False
            at.heard.clear()
            at.clock.advance(2)
            await until(lambda: bool(at.heard))
            assert holder.receive(at.heard[0]) is Verdict.RESYNC


async def test_a_read_that_took_as_long_as_a_sleep_is_no_news() -> None:
    class Sleepy:
        def __init__(self, inner: EventReader) -> None:
            self.inner, self.asleep, self.wake = inner, asyncio.Event(), asyncio.Event()
            self.sleeps = False

        async def read(self, after: Position, limit: int = 1_000) -> Sequence[Recorded]:
            records = await self.inner.read(after, limit)
            if self.sleeps:
                self.asleep.set()
                await self.wake.wait()
            return records

        async def close(self) -> None:
            await self.inner.close()

    async with scene() as at:
        reader = Sleepy(at.log.reader())
        projection = at.projection(reader)
        async with running(at, projection):
            await until(lambda: bool(at.heard))
            reader.sleeps = True
            await reader.asleep.wait()
            at.heard.clear()
            at.clock.advance(10)
            await at.log.write(("node", 0, 0))
            reader.sleeps = False
            reader.wake.set()
            await until(lambda: bool(at.heard))
            assert at.heard[0].cur == at.log.records[-1].position, "what it says first is of now"
