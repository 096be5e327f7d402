"""A link lets bytes through, holds them back, and cuts them off."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from tests.soak.links import Link

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]
NOT_YET_SECONDS = 0.05
"""How long nothing must come."""
SOON_SECONDS = 5.0


async def _echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(1_024):
        writer.write(data)
    writer.close()
    with contextlib.suppress(ConnectionError):
        await writer.wait_closed()


@asynccontextmanager
async def linked() -> AsyncIterator[Link]:
    server = await asyncio.start_server(_echo, "127.0.0.1", 0)
    link = Link(server.sockets[0].getsockname()[:2])
    await link.start()
    yield link
    await link.close()
    server.close()
    await asyncio.gather(*asyncio.all_tasks() - {asyncio.current_task()})


async def said(streams: Streams, word: bytes, seconds: float = SOON_SECONDS) -> bytes:
    reader, writer = streams
    writer.write(word)
    async with asyncio.timeout(seconds):
        return await reader.read(1_024)


async def test_open_lets_all_through() -> None:
    async with linked() as link:
        streams = await asyncio.open_connection("127.0.0.1", link.port)
        assert await said(streams, b"one") == b"one"
        streams[1].close()


async def test_stall_holds_back_and_loses_nothing() -> None:
    async with linked() as link:
        streams = await asyncio.open_connection("127.0.0.1", link.port)
        assert await said(streams, b"one") == b"one"
        link.set("stall")
        with pytest.raises(TimeoutError):
            await said(streams, b"two", NOT_YET_SECONDS)
        link.set("open")
        assert await said(streams, b"") == b"two"
        streams[1].close()


async def test_cut_ends_what_there_is_and_refuses_what_comes_until_it_is_open() -> None:
    async with linked() as link:
        streams = await asyncio.open_connection("127.0.0.1", link.port)
        assert await said(streams, b"one") == b"one"
        link.set("cut")
        with contextlib.suppress(ConnectionError):
            assert await streams[0].read() == b""
        late = await asyncio.open_connection("127.0.0.1", link.port)
        assert await late[0].read() == b""
        link.set("open")
        again = await asyncio.open_connection("127.0.0.1", link.port)
        assert await said(again, b"two") == b"two"
        for _, writer in (streams, late, again):
            writer.close()
