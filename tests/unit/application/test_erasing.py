"""The engine seals what it records of people, and destroys the key of whom the log erases."""

import asyncio
from collections.abc import AsyncIterator

import msgspec
import pytest

from engine.adapters.store.codec import Codec
from engine.adapters.store.memory import MemoryEventReader, MemoryEventStore, MemoryLog
from engine.application.engine import Engine, UnknownOutcome
from engine.application.ledger import Order
from engine.application.standby import Standby
from engine.domain.commands import CreateAuthKey
from engine.domain.errors import Conflict
from engine.domain.events import UserCreated, UserErased
from engine.domain.personalcommands import EraseUser
from engine.domain.values import DEFAULT_TAILNET, Position, UserId
from engine.ports import Fault, Pending, Recorded
from tests.kit.fakes import MemoryKeyRing
from tests.unit.application.world import Lab, order, read_all, running, user


async def settle() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


def erase(key: str = "e", *, name: str | int = "ann", force: bool = False) -> Order:
    return order(EraseUser(user=name, cascade=True, force=force), key)


async def names(lab: Lab) -> list[str]:
    """The names of users as somebody reads them who has just come."""
    records = await read_all(MemoryEventReader(lab.log))
    return [record.event.name for record in records if isinstance(record.event, UserCreated)]


async def test_what_is_recorded_of_people_is_sealed_with_the_answers_that_say_it() -> None:
    async with running() as lab:
        await lab.engine.handle(user("ann"))
        await lab.engine.handle(order(CreateAuthKey(user="ann"), "k"))
        found = {type(r.event).__name__ + r.envelope.command_id: r.sealed for r in await lab.records()}
        assert {name for name, sealed in found.items() if sealed} == {
            "UserCreatedid-ann",
            "CommandHandledid-ann",
        }
        assert await names(lab) == ["ann"]


async def test_when_an_erasure_is_answered_the_key_is_destroyed() -> None:
    async with running() as lab:
        await lab.engine.handle(user("ann"))
        await lab.engine.handle(user("bob"))
        accepted = await lab.engine.handle(erase())
        assert accepted.result == {"id": 1, "policies": [], "plain": 0}
        assert lab.log.subjects.get(UserId(1)) is None
        assert await names(lab) == ["erased:1", "bob"]
        assert await lab.engine.handle(erase()) == accepted


async def test_a_command_that_named_the_erased_has_no_answer_any_more() -> None:
    async with running() as lab:
        await lab.engine.handle(user("ann"))
        await lab.engine.handle(erase())
        with pytest.raises(Conflict) as caught:
            await lab.engine.handle(user("ann"))
        assert caught.value.code == "command.id_reused"


async def test_an_append_that_fails_erases_nobody() -> None:
    async with running() as lab:
        await lab.engine.handle(user("ann"))
        lab.store.fault = Fault("no")
        with pytest.raises(UnknownOutcome):
            await lab.engine.handle(erase())
        await settle()
        assert await names(lab) == ["ann"]
        assert lab.engine.tailnet.users[UserId(1)].name == "ann"
        await lab.engine.handle(erase())
        assert await names(lab) == ["erased:1"]


async def test_an_erasure_whose_outcome_was_unknown_is_done_when_the_log_is_read_anew() -> None:
    async with running() as lab:
        await lab.engine.handle(user("ann"))
        lab.store.fault, lab.store.keep = Fault("lost"), True
        with pytest.raises(UnknownOutcome):
            await lab.engine.handle(erase())
        await settle()
        assert lab.log.subjects.get(UserId(1)) is None


async def test_what_a_crash_left_over_is_done_at_the_next_start() -> None:
    log = MemoryLog()
    async with running(log) as lab:
        await lab.engine.handle(user("ann"))
    store = MemoryEventStore(log)
    await store.open()
    head = [record async for record in _all(store)][-1]
    envelope = msgspec.structs.replace(head.envelope, stream="user/1", version=2)
    await store.append([Pending(envelope=envelope, event=UserErased(user=UserId(1)))])
    await store.close()
    assert log.subjects.get(UserId(1)) is not None
    async with running(log) as lab:
        assert log.subjects.get(UserId(1)) is None
        assert await names(lab) == ["erased:1"]


async def test_a_user_from_before_names_were_sealed_is_erased_by_force_only() -> None:
    log = MemoryLog()
    plain = MemoryEventStore(log, Codec(DEFAULT_TAILNET))
    lab = Lab(log)
    engine = Engine(plain, lab.clock, lab.ids, MemoryKeyRing())
    stop = asyncio.Event()
    await engine.start()
    task = asyncio.create_task(engine.run(stop))
    await engine.handle(user("ann"))
    stop.set()
    await task
    await plain.close()
    async with running(log) as lab:
        with pytest.raises(Conflict) as caught:
            await lab.engine.handle(erase())
        assert caught.value.code == "user.plain"
        accepted = await lab.engine.handle(erase("f", force=True))
        assert accepted.result["plain"] == 1
        assert await names(lab) == ["ann"]


async def _all(store: MemoryEventStore) -> AsyncIterator[Recorded]:
    for record in await store.read(Position(0), 1_000):
        yield record


async def test_a_standby_that_takes_over_destroys_what_was_left_over() -> None:
    log = MemoryLog()
    async with running(log) as lab:
        await lab.engine.handle(user("ann"))
        key = log.subjects.get(UserId(1))
        await lab.engine.handle(erase())
    log.subjects._held[UserId(1)] = key  # as if the first engine had died before it destroyed the key
    lab = Lab(log)
    await lab.engine.start(Standby(MemoryEventReader(log)))
    assert log.subjects.get(UserId(1)) is None
    await lab.store.close()
