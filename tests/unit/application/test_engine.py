"""The engine: one effect for each id, one answer for each effect, whatever the store does."""

import asyncio

import pytest

from engine.adapters.store.memory import MemoryLog
from engine.application.admission import QUEUE, SHARE, Overloaded
from engine.application.engine import Recovering, UnknownOutcome
from engine.contracts.requests import Accepted
from engine.domain.commands import CreateAuthKey, CreateUser, DeleteNode
from engine.domain.decision import Decision
from engine.domain.errors import Conflict, NotFound, Refusal
from engine.domain.events import AuthKeyCreated, CommandHandled, LogStarted, UserCreated
from engine.ports import Fault, VersionConflict, WrongFence
from tests.unit.application.world import Lab, order, running, until_waiting, user


def kinds(records: object) -> list[str]:
    return [type(record.event).__name__ for record in records]  # type: ignore[attr-defined]


async def settle() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


async def test_an_empty_store_gets_a_beginning_with_a_fresh_epoch() -> None:
    async with running() as lab:
        [first] = await lab.records()
        assert isinstance(first.event, LogStarted)
        assert (first.envelope.actor, lab.engine.head().epoch) == ("engine", first.event.epoch)
        assert lab.engine.head().position == first.position


async def test_a_second_start_keeps_the_epoch() -> None:
    log = MemoryLog()
    async with running(log) as lab:
        epoch = lab.engine.head().epoch
    async with running(log) as lab:
        assert lab.engine.head().epoch == epoch
        assert len(await lab.records()) == 1


async def test_an_accepted_command_is_in_the_log_with_its_receipt_last() -> None:
    async with running() as lab:
        accepted = await lab.engine.handle(user("ann"))
        _, created, receipt = await lab.records()
        assert isinstance(created.event, UserCreated)
        assert isinstance(receipt.event, CommandHandled)
        assert (receipt.envelope.stream, receipt.envelope.version) == ("receipt/id-ann", 1)
        assert (accepted.position, accepted.id) == (receipt.position, 1)
        envelope = created.envelope
        assert (envelope.actor, envelope.command_id, envelope.reason) == ("alice", "id-ann", "because")


async def test_a_resend_has_no_second_effect_and_the_same_answer() -> None:
    async with running() as lab:
        first = await lab.engine.handle(user("ann"))
        again = await lab.engine.handle(user("ann"))
        assert again == first
        assert len(await lab.records()) == 3


async def test_a_resend_after_a_restart_gets_the_first_answer() -> None:
    log = MemoryLog()
    async with running(log) as lab:
        first = await lab.engine.handle(user("ann"))
    async with running(log) as lab:
        assert await lab.engine.handle(user("ann")) == first
        assert len(await lab.records()) == 3


async def test_a_resend_gets_the_same_secret_which_the_log_does_not_have() -> None:
    log = MemoryLog()
    command = order(CreateAuthKey(user="ann"), "k")
    async with running(log) as lab:
        await lab.engine.handle(user("ann"))
        first = await lab.engine.handle(command)
    async with running(log) as lab:
        assert await lab.engine.handle(command) == first
        secret = str(first.result["key"])
        assert secret.startswith("nmkey-1-")
        assert secret not in repr(await lab.records())
        assert isinstance((await lab.records())[3].event, AuthKeyCreated)


async def test_an_id_is_not_used_twice() -> None:
    async with running() as lab:
        await lab.engine.handle(user("ann", "x"))
        with pytest.raises(Conflict) as caught:
            await lab.engine.handle(user("bob", "x"))
        assert caught.value.code == "command.id_reused"
        assert len(await lab.records()) == 3


async def test_an_answer_is_not_for_another_actor() -> None:
    async with running() as lab:
        await lab.engine.handle(user("ann"))
        secret = order(CreateAuthKey(user="ann"), "k", actor="alice")
        await lab.engine.handle(secret)
        with pytest.raises(Conflict):
            await lab.engine.handle(order(CreateAuthKey(user="ann"), "k", actor="mallory"))


async def test_resends_in_flight_wait_for_the_first() -> None:
    async with running() as lab:
        lab.store.gate.clear()
        tasks = [asyncio.create_task(lab.engine.handle(user("ann"))) for _ in range(8)]
        await settle()
        with pytest.raises(Conflict):
            await lab.engine.handle(user("bob", "id-ann"))
        lab.store.gate.set()
        answers = await asyncio.gather(*tasks)
        assert all(answer == answers[0] for answer in answers)
        assert len(await lab.records()) == 3


async def test_a_refused_command_leaves_nothing_and_is_decided_anew() -> None:
    async with running() as lab:
        command = order(DeleteNode(node="ghost"), "d")
        for _ in range(2):
            with pytest.raises(NotFound):
                await lab.engine.handle(command)
        assert len(await lab.records()) == 1
        key = order(CreateAuthKey(user="ann"), "k")
        with pytest.raises(NotFound):
            await lab.engine.handle(key)
        await lab.engine.handle(user("ann"))
        assert (await lab.engine.handle(key)).ok


async def test_what_comes_during_a_transaction_shares_the_next_one() -> None:
    async with running() as lab:
        lab.store.gate.clear()
        tasks = [asyncio.create_task(lab.engine.handle(user(f"u{number}"))) for number in range(50)]
        await settle()
        lab.store.gate.set()
        answers = await asyncio.gather(*tasks)
        assert sorted(lab.store.batches[1:]) == sorted(lab.store.batches[1:])
        assert sum(lab.store.batches) == 1 + 100
        assert len(lab.store.batches) <= 3
        assert [answer.position for answer in answers] == sorted(answer.position for answer in answers)


async def test_a_transaction_has_at_most_512_events() -> None:
    async with running() as lab:
        lab.store.gate.clear()
        tasks = [asyncio.create_task(lab.engine.handle(user(f"u{number}"))) for number in range(600)]
        await settle()
        lab.store.gate.set()
        await asyncio.gather(*tasks)
        assert max(lab.store.batches) == 512


async def test_more_than_the_queue_is_refused_at_once() -> None:
    async with running() as lab:
        lab.store.gate.clear()
        orders = [
            order(CreateUser(name=f"u{number}"), f"k{number}", actor=f"a{number % 2}")
            for number in range(QUEUE)
        ]
        tasks = [asyncio.create_task(lab.engine.handle(each)) for each in orders]
        await settle()
        with pytest.raises(Overloaded) as told:
            await lab.engine.handle(user("one-too-many"))
        assert told.value.retry_after > 0
        with pytest.raises(Overloaded):
            lab.engine.must_have_room("a0", "another")
        lab.engine.must_have_room("a0", "k0")  # it has been heard before
        lab.store.gate.set()
        await asyncio.gather(*tasks)
        lab.engine.must_have_room("a0", "another")


async def test_one_actor_leaves_room_for_others() -> None:
    async with running() as lab:
        lab.store.gate.clear()
        tasks = [asyncio.create_task(lab.engine.handle(user(f"u{number}"))) for number in range(SHARE)]
        await settle()
        with pytest.raises(Overloaded):
            await lab.engine.handle(user("one-too-many"))
        other = asyncio.create_task(lab.engine.handle(order(CreateUser(name="bob"), "b", actor="frontend")))
        await settle()
        lab.store.gate.set()
        await asyncio.gather(*tasks, other)


async def test_a_command_in_a_cancelled_append_is_told_that_its_outcome_is_unknown() -> None:
    lab = Lab()
    await lab.engine.start()
    task = asyncio.create_task(lab.engine.run(asyncio.Event()))
    lab.store.gate.clear()
    waiting = asyncio.create_task(lab.engine.handle(user("ann")))
    await settle()
    lab.store.lose()
    with pytest.raises(UnknownOutcome):
        await asyncio.wait_for(waiting, 5)
    with pytest.raises(BaseExceptionGroup) as ended:
        await task
    assert ended.group_contains(WrongFence)


async def test_a_deadline_that_has_passed_stops_a_command_before_it_starts() -> None:
    async with running() as lab:
        late = order(CreateUser(name="ann"), "x", deadline=lab.clock.now() - 1)
        with pytest.raises(Refusal) as caught:
            await lab.engine.handle(late)
        assert caught.value.code == "command.expired"
        in_time = order(CreateUser(name="ann"), "x", deadline=lab.clock.now())
        assert (await lab.engine.handle(in_time)).ok


async def test_recorded_time_never_goes_back() -> None:
    async with running() as lab:
        await lab.engine.handle(user("ann"))
        lab.clock.jump(-3_600)
        await lab.engine.handle(user("bob"))
        times = [record.envelope.at for record in await lab.records()]
        assert times == sorted(times)


async def test_a_refusal_on_uncommitted_state_waits_for_the_commit() -> None:
    async with running() as lab:
        lab.store.gate.clear()
        first = asyncio.create_task(lab.engine.handle(user("ann")))
        second = asyncio.create_task(lab.engine.handle(user("ann", "other")))
        await until_waiting(lab, second)
        lab.store.gate.set()
        await first
        with pytest.raises(Conflict) as caught:
            await second
        assert caught.value.code == "user.taken"


@pytest.mark.parametrize("keep", [False, True], ids=["not kept", "kept"])
async def test_a_fault_is_an_unknown_outcome_that_a_resend_settles(*, keep: bool) -> None:
    async with running() as lab:
        await lab.engine.handle(user("zoe"))
        lab.store.fault, lab.store.keep = Fault("disk"), keep
        lab.store.gate.clear()
        tasks = [asyncio.create_task(lab.engine.handle(user(name))) for name in ("ann", "bob")]
        await settle()
        refusal = asyncio.create_task(lab.engine.handle(user("ann", "other")))
        await settle()
        lab.store.gate.set()
        outcomes = await asyncio.gather(*tasks, refusal, return_exceptions=True)
        assert [type(outcome) for outcome in outcomes] == [UnknownOutcome] * 3
        await settle()
        again = await lab.engine.handle(user("ann"))
        assert again.ok
        assert await lab.engine.handle(user("ann")) == again
        assert kinds(await lab.records()).count("UserCreated") == (3 if keep and lab.store.batches else 2)


async def test_after_a_fault_the_state_is_what_the_log_says() -> None:
    async with running() as lab:
        lab.store.fault = Fault("disk")
        with pytest.raises(UnknownOutcome):
            await lab.engine.handle(user("ann"))
        await settle()
        assert (await lab.engine.handle(user("bob"))).id == 1
        assert set(lab.engine.tailnet.user_by_name) == {"bob"}


async def test_nothing_is_decided_while_the_log_cannot_be_read() -> None:
    async with running() as lab:
        lab.store.fault, lab.store.unreadable = Fault("disk"), 1
        with pytest.raises(UnknownOutcome):
            await lab.engine.handle(user("ann"))
        with pytest.raises(Recovering):
            await lab.engine.handle(user("bob"))
        async with asyncio.timeout(5):
            while True:
                try:
                    await lab.engine.handle(user("bob"))
                    break
                except Recovering:
                    await asyncio.sleep(0.01)


async def test_a_version_conflict_is_looked_up_in_the_receipts() -> None:
    async with running() as lab:
        lab.store.fault, lab.store.keep = VersionConflict("own append"), True
        assert (await lab.engine.handle(user("ann"))).ok
        lab.store.fault, lab.store.keep = VersionConflict("somebody else's"), False
        with pytest.raises(UnknownOutcome):
            await lab.engine.handle(user("bob"))
        await settle()
        assert (await lab.engine.handle(user("bob"))).id == 2


async def test_a_deposed_engine_stops() -> None:
    lab = Lab()
    await lab.engine.start()
    running_engine = asyncio.create_task(lab.engine.run(asyncio.Event()))
    lab.store.fault = WrongFence("deposed")
    with pytest.raises(UnknownOutcome):
        await lab.engine.handle(user("ann"))
    with pytest.raises(ExceptionGroup) as caught:
        await running_engine
    assert isinstance(caught.value.exceptions[0], WrongFence)
    with pytest.raises(Recovering):
        await lab.engine.handle(user("bob"))
    await lab.store.close()


async def test_a_stop_appends_what_waits_and_takes_no_more() -> None:
    lab = Lab()
    stop = asyncio.Event()
    await lab.engine.start()
    task = asyncio.create_task(lab.engine.run(stop))
    lab.store.gate.clear()
    waiting = [asyncio.create_task(lab.engine.handle(user(name))) for name in ("ann", "bob")]
    await settle()
    stop.set()
    await settle()
    with pytest.raises(Recovering):
        await lab.engine.handle(user("late"))
    lab.store.gate.set()
    await task
    assert [type(answer) for answer in await asyncio.gather(*waiting)] == [Accepted, Accepted]
    await lab.store.close()


async def test_a_decision_without_events_leaves_a_receipt_unless_told_otherwise() -> None:
    async with running() as lab:
        nothing = order(CreateUser(name="ann"), "n")
        await lab.engine.settle(nothing, lambda: Decision(result={"outcome": "login"}))
        assert kinds(await lab.records()) == ["LogStarted", "CommandHandled"]
        from msgspec.structs import replace

        quiet = replace(nothing, command_id="q", receipt_always=False)
        answer = await lab.engine.settle(quiet, lambda: Decision(result={"outcome": "login"}))
        assert (answer.result, answer.position) == ({"outcome": "login"}, lab.engine.head().position)
        assert len(await lab.records()) == 2


async def test_watchers_see_each_commit() -> None:
    async with running() as lab:
        seen: list[str] = []
        lab.engine.watch(lambda records: seen.extend(kinds(records)))
        await lab.engine.handle(user("ann"))
        assert seen == ["UserCreated", "CommandHandled"]


async def test_who_stops_waiting_does_not_stop_the_command() -> None:
    async with running() as lab:
        lab.store.gate.clear()
        task = asyncio.create_task(lab.engine.handle(user("ann")))
        await until_waiting(lab, task)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        lab.store.gate.set()
        await settle()
        assert (await lab.engine.handle(user("ann"))).id == 1
        assert len(await lab.records()) == 3
