"""A connection that lasts: what a server says or does not say, the next one is tried."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from engine.adapters.bus import nats as bus_module
from engine.adapters.bus.nats import NatsBus
from tests.contract.bus_suite import take
from tests.kit.nats_server import NatsServer

pytestmark = pytest.mark.real
INFO = {"server_id": "x", "version": "2.15.1", "max_payload": 1 << 20, "proto": 1, "headers": True}
Then = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def odd_server(then: Then) -> AsyncIterator[str]:
    """A server that greets as a good one does, and then does something else; yield its URL."""
    visitors: set[asyncio.Task[None]] = set()

    async def visit(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        visitors.add(task)
        writer.write(b"INFO " + json.dumps(INFO).encode() + b"\r\n")
        while not (await reader.readline()).startswith(b"PING"):
            pass
        writer.write(b"PONG\r\n")
        try:
            await then(reader, writer)
        finally:
            writer.transport.abort()

    server = await asyncio.start_server(visit, "127.0.0.1", 0, limit=1024)
    try:
        yield f"nats://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        for task in visitors:
            task.cancel()
        await asyncio.gather(*visitors, return_exceptions=True)
        server.close()


async def connected_to(bus: NatsBus, url: str) -> None:
    async with asyncio.timeout(20):
        while not (bus.client.is_connected and _url(bus) == url):
            await asyncio.wait({asyncio.ensure_future(asyncio.sleep(0.02))})


def _url(bus: NatsBus) -> str:
    found = bus.client.connected_url
    return found.geturl() if found else ""


@pytest.mark.parametrize(
    "said", ["'Authorization Violation'", "'Unknown Protocol Operation'", "'Stale Connection'"]
)
async def test_no_error_of_a_server_ends_it(tmp_path: Path, said: str) -> None:
    told = asyncio.Event()

    async def complain(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await told.wait()
        writer.write(f"-ERR {said}\r\n".encode())
        await reader.read()

    with NatsServer(tmp_path) as good:
        async with odd_server(complain) as url:
            bus = await NatsBus.connect([url], name="x")
            bus.client.set_server_pool([url, good.url])
            told.set()
            await connected_to(bus, good.url)
        stream = await bus.subscribe("x")
        await bus.publish("x", b"1")
        assert [message.data for message in await take(stream, 1)] == [b"1"]
        await bus.close()


async def test_a_server_that_takes_nothing_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bus_module, "PING_SECONDS", 0.1)

    async def stand_still(_reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
        await asyncio.Event().wait()

    with NatsServer(tmp_path) as good:
        async with odd_server(stand_still) as url:
            bus = await NatsBus.connect([url], name="x")
            bus.client.set_server_pool([url, good.url])
            writing = asyncio.create_task(_fill(bus))
            await connected_to(bus, good.url)
            writing.cancel()
            await asyncio.gather(writing, return_exceptions=True)
        await bus.close()


async def _fill(bus: NatsBus) -> None:
    """Write more than sockets hold."""
    for _ in range(64):
        await bus.publish("x", bytes(1 << 19))
