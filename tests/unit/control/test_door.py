"""How many strangers there may be, from where."""

import asyncio

import pytest

from frontends.control.door import PENDING, STRANGERS, STRANGERS_PER_ADDRESS, Door, place_of
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
