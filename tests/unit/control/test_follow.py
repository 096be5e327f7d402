"""F3: how old the news are, is known."""

import asyncio

import msgspec
import pytest

from engine.adapters.bus.memory import Hub, MemoryBus
from engine.contracts import subjects
from engine.contracts.chunks import split
from engine.contracts.netmap import Change, Delta, Snapshot
from engine.domain.values import Epoch, Position, TailnetName
from engine.ports import Answer, Endpoint, Fault, Message
from frontends.control.follow import Age, Follower
from frontends.control.replica import Replica
from tests.kit.fakes import VirtualClock
from tests.unit.control.objects import node


def follower(clock: VirtualClock, *, loaded: bool) -> Follower:
    replica = Replica()
    made = Follower(MemoryBus(), clock, TailnetName("default"), "f1", replica)
    if loaded:
        replica.load(Snapshot(epoch=Epoch("e"), position=Position(1), objects=()))
        made._news = clock.monotonic()
    return made


@pytest.mark.parametrize(
    ("seconds", "age"),
    [
        (2.9, Age.FRESH),
        (3.1, Age.STALE),
        (9.9, Age.STALE),
        (10.1, Age.UNREADY),
        (29.9, Age.UNREADY),
        (30.1, Age.FENCED),
    ],
)
def test_news_grow_old(seconds: float, age: Age) -> None:
    clock = VirtualClock()
    made = follower(clock, loaded=True)
    clock.advance(seconds)
    assert made.age() is age


def test_before_the_first_snapshot_there_are_no_news() -> None:
    assert follower(VirtualClock(), loaded=False).age() is Age.UNREADY


async def test_without_an_engine_a_session_waits_for_the_next_news() -> None:
    made = follower(VirtualClock(), loaded=True)
    asking = asyncio.create_task(made.current())
    done, _ = await asyncio.wait([asking], timeout=0.05)
    assert not done, "the news are fresh, but older than the question"
    made._apply(Delta(epoch=Epoch("e"), prev=Position(0), cur=Position(0)))
    done, _ = await asyncio.wait([asking], timeout=0.05)
    assert not done, "that was no news"
    made._apply(Delta(epoch=Epoch("e"), prev=Position(1), cur=Position(1)))
    assert await asking


async def test_without_an_engine_and_without_news_no_session_starts() -> None:
    made = follower(VirtualClock(), loaded=True)
    assert not await made.news_come(0.01)


async def test_a_position_that_never_comes_is_not_waited_for_longer_than_said() -> None:
    made = follower(VirtualClock(), loaded=True)
    assert await made.reach(Epoch("e"), Position(1))
    assert not await made.reach(Epoch("e"), Position(2), 0.01)
    assert not await made.reach(Epoch("other"), Position(1), 0.01)


async def test_who_asks_for_the_head_when_nobody_answers_hears_of_a_fault() -> None:
    made = follower(VirtualClock(), loaded=True)
    with pytest.raises(Fault):
        await made._head.ask()


class Source:
    """A projection with one object, whose snapshots and bookmarks say what is there; `lies` about the digest if told to."""

    def __init__(self) -> None:
        self.hub, self.clock = Hub(), VirtualClock()
        self.truth = Replica()
        self.objects = (Change(key="node/1", at=Position(1), value=node(1, "u1")),)
        self.truth.load(Snapshot(epoch=Epoch("e"), position=Position(1), objects=self.objects))
        self.lies = False
        self.given = 0

    async def answer(self, _message: Message) -> Answer:
        self.given += 1
        digest = self.truth.state_digest()
        whole = Snapshot(epoch=Epoch("e"), position=Position(1), objects=self.objects, digest=digest)
        return Answer(msgspec.json.encode(split(whole)[0]))

    async def start(self) -> Follower:
        subject = subjects.query(TailnetName("default"), "snapshot", "get")
        endpoint = Endpoint(name="snapshot", subject=subject, respond=self.answer)
        await MemoryBus(self.hub).serve("q", "0", "", [endpoint])
        made = Follower(MemoryBus(self.hub), self.clock, TailnetName("default"), "f1", Replica())
        await made._resync()
        return made

    def mark(self) -> Message:
        digest = self.truth.state_digest()
        if self.lies:
            digest = digest[:-4] + ("0000" if not digest.endswith("0000") else "1111")
        delta = Delta(epoch=Epoch("e"), prev=Position(1), cur=Position(1), digest=digest, by="p1")
        return Message("d", msgspec.json.encode(delta))


async def test_a_replica_that_is_as_it_should_be_fetches_nothing() -> None:
    source = Source()
    made = await source.start()
    for _ in range(5):
        source.clock.advance(1)
        await made._on(source.mark())
    assert (source.given, made.disagreements, made.disagrees) == (1, 0, False)


async def test_what_was_spoilt_in_memory_is_found_within_a_second_and_fetched_anew() -> None:
    source = Source()
    made = await source.start()
    touched: list[frozenset[str]] = []
    made.on_change = touched.append
    made._replica._objects["node/1"] = (Position(1), node(1, "u2"))
    source.clock.advance(1)
    await made._on(source.mark())
    assert (source.given, made.disagreements) == (2, 1)
    assert made._replica.get("node/1") == node(1, "u1")
    assert touched == [frozenset({"node/1"})], "its sessions are told of what is right"
    source.clock.advance(1)
    await made._on(source.mark())
    assert (source.given, made.disagrees) == (2, False)


async def test_a_change_that_came_otherwise_than_it_was_made_is_found_by_the_next_bookmark() -> None:
    source = Source()
    made = await source.start()
    made._replica._put(Change(key="node/1", at=Position(1), value=node(1, "u3")))
    await made._on(source.mark())
    assert (source.given, made.disagreements) == (2, 1)
    assert made._replica.get("node/1") == node(1, "u1")


async def test_a_projection_that_will_not_agree_is_asked_ever_more_seldom() -> None:
    source = Source()
    made = await source.start()
    source.lies = True
    for _ in range(100):
        source.clock.advance(1)
        await made._on(source.mark())
    assert made.disagreements == 100
    assert 3 <= source.given <= 10
    assert made.disagrees
    source.lies = False
    source.clock.advance(200)
    await made._on(source.mark())
    assert not made.disagrees
