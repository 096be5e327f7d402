"""F3: how old the news are, is known."""

import asyncio

import pytest

from engine.adapters.bus.memory import MemoryBus
from engine.contracts.netmap import Delta, Snapshot
from engine.domain.values import Epoch, Position, TailnetName
from engine.ports import Fault
from frontends.control.follow import Age, Follower
from frontends.control.replica import Replica
from tests.kit.fakes import VirtualClock


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
