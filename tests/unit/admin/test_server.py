"""The socket: it opens, serves, closes who never asks, and ends when told to."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest
from starlette.requests import Request
from starlette.responses import PlainTextResponse

from engine.ports import Fault
from frontends.admin import server as served
from frontends.admin.listen import free_port, opened
from frontends.admin.server import Server, server_of
from tests.unit.admin.stage import api, until

GET = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
CLOSING = GET.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")


@contextlib.asynccontextmanager
async def serving(application: object) -> AsyncIterator[tuple[Server, int]]:
    sock = opened("127.0.0.1", 0)
    server = server_of(application)  # type: ignore[arg-type]
    task = asyncio.create_task(server.serve(sockets=[sock]))
    await until(lambda: server.started)
    try:
        yield server, sock.getsockname()[1]
    finally:
        server.should_exit = True
        async with asyncio.timeout(20):
            await task


async def hello(scope: object, receive: object, send: object) -> None:
    request = Request(scope, receive)  # type: ignore[arg-type]
    await PlainTextResponse(request.url.path)(scope, receive, send)  # type: ignore[arg-type]


async def said(port: int, data: bytes) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(data)
        async with asyncio.timeout(10):
            return await reader.read()
    finally:
        writer.close()


async def test_a_request_is_answered_and_the_server_says_nothing_of_itself() -> None:
    async with serving(hello) as (_, port):
        answer = await said(port, CLOSING)
        assert answer.startswith(b"HTTP/1.1 200")
        assert b"uvicorn" not in answer.lower()


async def test_who_never_asks_is_closed_and_who_asks_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(served, "HEAD_SECONDS", 0.05)
    async with serving(hello) as (_, port):
        assert await said(port, b"") == b""
        assert await said(port, GET[:20]) == b""
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(GET)
        await reader.readuntil(b"\r\n\r\n/")
        writer.write(GET[:20])
        async with asyncio.timeout(10):
            assert await reader.read() == b"", "closed after half of a second head"
        writer.close()


async def test_a_request_under_way_is_not_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(served, "HEAD_SECONDS", 0.01)
    looked = asyncio.Event()
    looks = 0
    sweep = served.Protocol._sweep

    def counting(self: served.Protocol) -> None:
        nonlocal looks
        looks += 1
        if looks > 5:
            looked.set()
        sweep(self)

    async def slow(scope: object, receive: object, send: object) -> None:
        await looked.wait()
        await hello(scope, receive, send)

    monkeypatch.setattr(served.Protocol, "_sweep", counting)
    async with serving(slow) as (_, port):
        assert (await said(port, CLOSING)).startswith(b"HTTP/1.1 200")


async def test_a_head_that_is_too_long_is_400() -> None:
    async with serving(hello) as (_, port):
        head = b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"a" * (served.MAX_HEAD + 10)
        assert (await said(port, head)).startswith(b"HTTP/1.1 400")


async def test_a_taken_port_is_said() -> None:
    with opened("127.0.0.1", 0) as held:
        held.listen()
        port = held.getsockname()[1]
        with pytest.raises(Fault, match=str(port)):
            opened("127.0.0.1", port)
    assert 0 < free_port("127.0.0.1") < 65_536


async def test_the_whole_api_answers_over_the_socket() -> None:
    async with api() as at, serving(at.app) as (_, port):
        head = f"GET /api/v1/user HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {at.key}\r\nConnection: close\r\n\r\n"
        answer = await said(port, head.encode())
        assert answer.startswith(b"HTTP/1.1 200")
        assert b'"name":"alice"' in answer
