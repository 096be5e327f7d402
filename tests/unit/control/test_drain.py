"""A frontend that ends: nobody new, the others one by one, and no peer is shown offline for it."""

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest

from engine.adapters.ids import process_name
from engine.contracts import subjects
from engine.contracts.soft import SoftState
from engine.ports import Answer, Endpoint, Message
from frontends.wire.noise import PrivateKey
from tests.kit.control_client import Gone, Refused, connect
from tests.unit.control.test_frontend import LIMIT, TAILNET, Rest, Site, key, rest

__all__ = ["rest"]
CLIENTS = 6
DRAIN = 0.6


@pytest.fixture
async def two(rest: Rest) -> AsyncIterator[tuple[Site, Site]]:
    sites = (Site(rest, "f1", DRAIN), Site(rest, "f2"))
    for site in sites:
        await site.until(lambda health: health["ready"])
    yield sites
    for site in sites:
        site.stop.set()
        async with asyncio.timeout(LIMIT):
            await site.task


async def _stay(
    number: int, machine: PrivateKey, ports: list[int], offline: list[tuple[int, int]], ended: list[int]
) -> None:
    """Keep a session open, at the first port that lets us in, and note every peer that is seen offline."""
    seen: set[int] = set()
    while True:
        for port in ports:
            with contextlib.suppress(OSError, Gone, Refused, StopAsyncIteration):
                async with connect("127.0.0.1", port, machine) as client:
                    stream = await client.map_stream(key(number))
                    while True:
                        await stream.next()
                        for peer, shown in stream.view.peers.items():
                            if shown.get("Online"):
                                seen.add(peer)
                            elif peer in seen:
                                offline.append((number, peer))
            ended.append(number)
        await asyncio.sleep(0.01)


async def test_clients_of_a_frontend_that_drains_go_elsewhere_and_nobody_is_shown_offline(
    rest: Rest, two: tuple[Site, Site]
) -> None:
    first, second = two
    machines = [await rest.machine(number + 1) for number in range(CLIENTS)]
    offline: list[tuple[int, int]] = []
    ended: list[int] = []
    running = [
        asyncio.create_task(_stay(i + 1, machine, [first.port, second.port], offline, ended))
        for i, machine in enumerate(machines)
    ]
    await first.until(lambda health: health["sessions"] == CLIENTS)
    first.stop.set()
    await first.until(lambda health: health["draining"] and not health["ready"])
    assert (await first.page("/health"))[0] == 503
    with pytest.raises(Refused) as refused:
        async with connect("127.0.0.1", first.port, PrivateKey(os.urandom(32))):
            pass
    assert refused.value.status == 503
    assert len(set(ended)) < CLIENTS  # not all at once
    changed = await rest.machine(CLIENTS + 1)  # a change while they move
    await second.until(lambda health: health["sessions"] == CLIENTS)
    async with asyncio.timeout(LIMIT):
        await first.task
    async with connect("127.0.0.1", second.port, changed) as client:
        stream = await client.map_stream(key(CLIENTS + 1))
        view = await stream.until(
            lambda view: all(view.peers.get(n + 1, {}).get("Online") for n in range(CLIENTS))
        )
    assert sorted(view.peers) == list(range(1, CLIENTS + 1))
    assert offline == []
    assert first.said[-1:] == [False]
    for task in running:
        task.cancel()
    await asyncio.gather(*running, return_exceptions=True)


async def test_a_request_that_is_being_answered_is_answered_before_its_connection_goes(
    rest: Rest, two: tuple[Site, Site]
) -> None:
    asked, answered = asyncio.Event(), asyncio.Event()

    async def slowly(message: Message) -> Answer:
        asked.set()
        await answered.wait()
        return Answer(b"{}")

    subject = subjects.registration(TAILNET, "*", "log-out")
    await rest.bus.serve("slow", "1.0.0", "log-outs", [Endpoint(name="out", subject=subject, respond=slowly)])
    first, _ = two
    async with connect("127.0.0.1", first.port, PrivateKey(os.urandom(32))) as client:
        asking = asyncio.create_task(client.register(key(1), Expiry="1970-01-01T00:02:03Z"))
        await asked.wait()
        first.stop.set()
        await asyncio.sleep(DRAIN)
        answered.set()
        assert (await asking)["NodeKeyExpired"] is True
    async with asyncio.timeout(LIMIT):
        await first.task


async def test_what_a_client_has_told_is_published_before_the_end(rest: Rest) -> None:
    site = Site(rest, "f1")
    await site.until(lambda health: health["ready"])
    states = await rest.bus.subscribe(subjects.soft(TAILNET, "f1", "state"))
    machine = await rest.machine(1)
    await site.until(lambda health: health["position"] == rest.position)
    async with connect("127.0.0.1", site.port, machine) as client:
        assert await client.map_lite(key(1), Endpoints=["192.0.2.7:41641"]) == 200
        site.stop.set()  # before the pause in which facts are gathered is over
        async with asyncio.timeout(LIMIT):
            await site.task
    assert "192.0.2.7:41641" in await _endpoints(states)


async def _endpoints(states: AsyncIterator[Message]) -> list[str]:
    async with asyncio.timeout(LIMIT):
        async for message in states:
            state = msgspec.json.decode(message.data, type=SoftState)
            found: list[Any] = [endpoint for fact in state.facts for endpoint in fact.endpoints]
            if found:
                return found
    return []


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("web-3", "web-3-7"),
        ("Web_3.example.NET", "web-3-example-net-7"),
        ("é", "f-7"),
        ("x" * 80, "x" * 40 + "-7"),
    ],
)
def test_an_id_is_made_of_host_and_process(host: str, expected: str) -> None:
    assert process_name(host, 7, "f") == expected
