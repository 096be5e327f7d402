"""Pending logins: who waits, for how long, and how many."""

import asyncio

import pytest

from engine.application.logins import (
    LIFE_MILLIS,
    MEMORY_MILLIS,
    MOST,
    MOST_OF_MACHINE,
    MOST_WAITERS,
    Logins,
    LoginsFull,
)
from engine.contracts.registration import RegisterReply, RegisterRequest
from engine.domain.errors import NotFound
from engine.domain.values import LoginId, MachineKey, NodeKey
from tests.kit.fakes import SequenceIds, VirtualClock

REPLY = RegisterReply(outcome="refused")


def request(machine: int, node: int = 0, *tags: str) -> RegisterRequest:
    return RegisterRequest(
        machine_key=MachineKey(f"mkey:{machine:064x}"),
        node_key=NodeKey(f"nodekey:{node:064x}"),
        hostname="h",
        request_tags=tags,
    )


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock()


@pytest.fixture
def logins(clock: VirtualClock) -> Logins:
    return Logins(clock, SequenceIds())


def test_the_same_node_key_again_is_the_same_login(logins: Logins) -> None:
    assert logins.add(request(1, 1)) is logins.add(request(1, 1))
    assert logins.add(request(1, 2)) is not logins.add(request(1, 1))
    assert len(logins.list()) == 2


def test_who_asks_for_other_tags_is_another_login_and_not_the_one_that_was_shown(logins: Logins) -> None:
    first = logins.add(request(1, 1))
    second = logins.add(request(1, 1, "tag:a"))
    assert logins.get(first.shown.login) is None
    assert logins.add(request(1, 1, "tag:a")) is second
    assert [login.request_tags for login in logins.list()] == [("tag:a",)]


def test_another_machine_with_the_same_node_key_is_another_login(logins: Logins) -> None:
    assert logins.add(request(1, 1)) is not logins.add(request(2, 1))


def test_a_machine_has_four_and_its_oldest_gives_way(logins: Logins) -> None:
    first = logins.add(request(1, 0))
    other = logins.add(request(2, 0))
    for node in range(1, MOST_OF_MACHINE + 1):
        logins.add(request(1, node))
    assert logins.get(first.shown.login) is None
    assert logins.get(other.shown.login) is other
    assert len(logins.list()) == MOST_OF_MACHINE + 1


def test_a_thousand_wait_and_the_next_is_turned_away_while_they_do(
    logins: Logins, clock: VirtualClock
) -> None:
    first = logins.add(request(0))
    for machine in range(1, MOST):
        logins.add(request(machine))
    with pytest.raises(LoginsFull) as caught:
        logins.add(request(MOST))
    assert caught.value.code == "login.full"
    assert logins.get(first.shown.login) is first
    assert logins.add(request(0)) is first
    first.decide(REPLY, clock.now())
    clock.advance(MEMORY_MILLIS / 1_000)
    assert logins.add(request(MOST)).shown in logins.list()


def test_a_machine_changes_its_own_logins_even_when_all_places_are_taken(logins: Logins) -> None:
    for node in range(MOST_OF_MACHINE):
        logins.add(request(0, node))
    for machine in range(1, MOST - MOST_OF_MACHINE + 1):
        logins.add(request(machine))
    assert logins.add(request(0, 99)).shown in logins.list()
    assert len(logins.list()) == MOST


def test_a_login_lasts_a_quarter_of_an_hour(logins: Logins, clock: VirtualClock) -> None:
    login = logins.add(request(1))
    clock.advance((LIFE_MILLIS - 1) / 1_000)
    assert logins.undecided(login.shown.login) is login
    clock.advance(0.001)
    with pytest.raises(NotFound):
        logins.undecided(login.shown.login)


def test_a_decided_login_is_remembered_but_not_decided_twice(logins: Logins, clock: VirtualClock) -> None:
    login = logins.add(request(1))
    login.decide(REPLY, clock.now())
    assert logins.get(login.shown.login) is login
    assert logins.list() == ()
    with pytest.raises(NotFound):
        logins.undecided(login.shown.login)
    clock.advance(MEMORY_MILLIS / 1_000)
    assert logins.get(login.shown.login) is None


async def test_who_waits_is_woken_at_once(logins: Logins, clock: VirtualClock) -> None:
    login = logins.add(request(1))
    waiting = asyncio.create_task(login.wait(60))
    await asyncio.sleep(0)
    login.decide(REPLY, clock.now())
    async with asyncio.timeout(1):
        assert await waiting == REPLY
    assert await login.wait(60) == REPLY


async def test_a_stop_lets_nobody_wait(logins: Logins) -> None:
    login = logins.add(request(1))
    waiting = asyncio.create_task(login.wait(60))
    await asyncio.sleep(0)
    logins.release()
    async with asyncio.timeout(1):
        assert await waiting is None
        assert await login.wait(60) is None


async def test_a_wait_ends_without_a_decision(logins: Logins) -> None:
    assert await logins.add(request(1)).wait(0.01) is None


async def test_more_waiters_than_a_client_has_are_not_held(logins: Logins) -> None:
    login = logins.add(request(1))
    held = [asyncio.create_task(login.wait(60)) for _ in range(MOST_WAITERS)]
    await asyncio.sleep(0)
    async with asyncio.timeout(1):
        assert await login.wait(60) is None
    for task in held:
        task.cancel()
    await asyncio.gather(*held, return_exceptions=True)
    assert login.waiters == 0


def test_an_unknown_login_is_not_found(logins: Logins) -> None:
    with pytest.raises(NotFound) as caught:
        logins.undecided(LoginId("x"))
    assert caught.value.code == "login.unknown"
