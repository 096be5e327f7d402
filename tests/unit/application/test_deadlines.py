"""Key expiries come due by the clock, once, and not because somebody set the clock."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from engine.application.deadlines import JUMP_MILLIS, Deadlines
from engine.domain.commands import RegisterNode, SetNodeExpiry
from engine.domain.events import NodeExpired
from engine.domain.values import MachineKey, Millis, NodeKey
from engine.ports import Fault
from tests.unit.application.world import Lab, order, running, user

HOUR = 3_600.0


@asynccontextmanager
async def lab_with_node(*, watched: bool = True) -> AsyncIterator[tuple[Lab, Deadlines]]:
    async with running() as lab:
        deadlines = Deadlines(lab.engine, lab.clock) if watched else None
        await lab.engine.handle(user("ann"))
        register = RegisterNode(
            machine_key=MachineKey("mkey:" + "a" * 64),
            node_key=NodeKey("nodekey:" + "b" * 64),
            user="ann",
            expiry=Millis(lab.clock.now() + 3_600_000),
        )
        await lab.engine.handle(order(register, "n1"))
        yield lab, deadlines or Deadlines(lab.engine, lab.clock)


async def expired(lab: Lab) -> list[NodeExpired]:
    return [r.event for r in await lab.records() if isinstance(r.event, NodeExpired)]


async def test_a_key_expires_when_its_time_comes() -> None:
    async with lab_with_node() as (lab, deadlines):
        lab.clock.advance(HOUR - 1)
        await deadlines.tick()
        assert not await expired(lab)
        lab.clock.advance(1)
        await deadlines.tick()
        await deadlines.tick()
        [event] = await expired(lab)
        assert event.why == "deadline"
        last = (await lab.records())[-1].envelope
        assert (last.actor, last.cause) == ("engine", "deadline")


async def test_a_longer_expiry_replaces_the_shorter() -> None:
    async with lab_with_node() as (lab, deadlines):
        await lab.engine.handle(order(SetNodeExpiry(node=1, expiry=Millis(lab.clock.now() + 7_200_000)), "s"))
        lab.clock.advance(HOUR)
        await deadlines.tick()
        assert not await expired(lab)
        lab.clock.advance(HOUR)
        await deadlines.tick()
        assert await expired(lab)


async def test_expiries_of_before_the_start_are_found() -> None:
    async with lab_with_node(watched=False) as (lab, deadlines):
        deadlines.rescan()
        lab.clock.advance(HOUR)
        await deadlines.tick()
        assert await expired(lab)


async def test_a_jump_of_the_clock_expires_nothing_until_it_is_back() -> None:
    async with lab_with_node() as (lab, deadlines):
        lab.clock.jump(365 * 24 * HOUR)
        await deadlines.tick()
        assert not await expired(lab)
        lab.clock.jump(-365 * 24 * HOUR)
        lab.clock.advance(HOUR)
        await deadlines.tick()
        assert await expired(lab)


async def test_a_clock_that_is_disciplined_slowly_is_followed() -> None:
    async with lab_with_node() as (lab, deadlines):
        for _ in range(10):
            lab.clock.jump(JUMP_MILLIS / 2_000)
            await deadlines.tick()
        lab.clock.advance(HOUR)
        await deadlines.tick()
        assert await expired(lab)


async def test_a_fault_is_tried_again() -> None:
    async with lab_with_node() as (lab, deadlines):
        lab.clock.advance(HOUR)
        lab.store.fault, lab.store.unreadable = Fault("disk"), 0
        await deadlines.tick()
        assert not await expired(lab)
        await deadlines.tick()
        assert await expired(lab)
