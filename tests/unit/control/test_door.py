"""How many strangers there may be, from where."""

import asyncio

import pytest

from engine.ports import Fault
from frontends.control.door import PENDING, ROUNDS, STRANGERS, STRANGERS_PER_ADDRESS, Door, place_of
from tests.unit.control.test_connection import Socket


class Visitor(Socket):
    """A guest that does nothing."""

    def sweep(self, now: float) -> None: ...

    def leave(self) -> None: ...


def addresses(count: int) -> list[str]:
    return [f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}" for number in range(count)]


async def test_the_threshold_holds_so_many_in_all() -> None:
    door = Door()
    crowd = addresses(PENDING + 1)
    assert [door.enter(Visitor(), address) for address in crowd] == [True] * PENDING + [False]
    door.passed(crowd[0])
    assert door.enter(Visitor(), crowd[-1])


async def test_strangers_are_bounded_in_all_and_for_one_address() -> None:
    door = Door()
    assert all(door.admit("192.0.2.1") for _ in range(STRANGERS_PER_ADDRESS))
    assert not door.admit("192.0.2.1")
    rest = addresses(STRANGERS - STRANGERS_PER_ADDRESS)
    assert all(door.admit(address) for address in rest)
    assert not door.admit("198.51.100.1")
    door.known(rest[0])
    assert door.admit("198.51.100.1")


async def test_a_network_of_ipv6_counts_as_one_address() -> None:
    door = Door()
    assert all(door.admit(f"2001:db8::{number:x}") for number in range(STRANGERS_PER_ADDRESS))
    assert not door.admit("2001:db8::ffff:1:2:3")
    assert door.admit("2001:db8:0:1::1")


@pytest.mark.parametrize("address", ["127.0.0.1", "127.1.2.3", "::1", "::ffff:127.0.0.1", "", "no address"])
async def test_loopback_is_bounded_only_in_all(address: str) -> None:
    door = Door()
    assert all(door.admit(address) for _ in range(STRANGERS))
    assert not door.admit(address)


def test_an_ipv4_address_written_as_ipv6_is_that_address() -> None:
    assert place_of("::ffff:192.0.2.1") == place_of("192.0.2.1") == "192.0.2.1"


async def test_nobody_is_inside_once_all_have_left() -> None:
    door, guest = Door(), Visitor()
    assert door.enter(guest, "192.0.2.1")
    assert not door.empty.is_set()
    door.leave(guest)
    async with asyncio.timeout(1):
        await door.empty.wait()


class Swept(Visitor):
    """A guest that counts how often it has looked after itself."""

    def __init__(self) -> None:
        super().__init__()
        self.swept = 0

    def sweep(self, now: float) -> None:
        self.swept += int(now >= 0)


@pytest.mark.parametrize("count", [1, ROUNDS - 1, ROUNDS, 3 * ROUNDS + 1])
async def test_everybody_has_a_turn_in_so_many_sweeps_and_nobody_all_of_them(count: int) -> None:
    door, guests = Door(), [Swept() for _ in range(count)]
    for guest in guests:
        door.enter(guest, "127.0.0.1")
    for _ in range(ROUNDS):
        door.sweep(0.0)
    assert all(guest.swept for guest in guests)
    assert sum(guest.swept for guest in guests) <= count + ROUNDS
    door.leave(guests[0])
    before = guests[0].swept
    for _ in range(2 * ROUNDS):
        door.sweep(0.0)
    assert guests[0].swept == before


async def test_a_balancer_is_bounded_only_in_all() -> None:
    door = Door(("10.0.0.5", "2001:db8:7::/48"))
    assert all(door.admit("10.0.0.5") for _ in range(2 * STRANGERS_PER_ADDRESS))
    assert all(door.admit("2001:db8:7::1") for _ in range(2 * STRANGERS_PER_ADDRESS))
    assert all(door.admit("10.0.0.6") for _ in range(STRANGERS_PER_ADDRESS))
    assert not door.admit("10.0.0.6")
    for _ in range(2 * STRANGERS_PER_ADDRESS):
        door.known("10.0.0.5")
    assert door.admit("10.0.0.5")


def test_a_balancer_that_is_no_address_is_named() -> None:
    async def make() -> Door:
        return Door(("balancer.example",))

    with pytest.raises(Fault, match=r"balancer\.example"):
        asyncio.run(make())
