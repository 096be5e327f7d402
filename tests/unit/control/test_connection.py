"""One connection against a socket of memory: what strangers may cost."""

import asyncio
import base64
import contextlib
import os
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest

from engine.adapters.bus.memory import Hub, MemoryBus
from engine.adapters.clock import SystemClock
from engine.adapters.ids import RandomIds
from engine.contracts import subjects
from engine.contracts.netmap import Change, Snapshot
from engine.domain.values import Epoch, Position, TailnetName
from engine.ports import Answer, Endpoint, Message
from frontends.control.connection import (
    IDLE_SECONDS,
    MAX_WAITING,
    REQUEST_SECONDS,
    STALL_SECONDS,
    STRANGER_IDLE_SECONDS,
    Connection,
)
from frontends.control.door import Door
from frontends.control.frontend import Frontend, Identity
from frontends.control.outlet import MapStream
from frontends.wire.budget import MAX_BODIES
from frontends.wire.early import EarlyReader
from frontends.wire.frames import RecordReader, RecordWriter, split_response
from frontends.wire.http2 import Http2, Role
from frontends.wire.keytext import Kind, show
from frontends.wire.noise import Initiator, PrivateKey
from frontends.wire.upgrade import HANDSHAKE_HEADER, PROTOCOL
from tests.unit.control.objects import node

TAILNET = TailnetName("default")
SERVER = PrivateKey(b"\1" * 32)
NO_WINDOWS = bytes.fromhex("000006 04 00 00000000 0004 00000000")
"""HTTP/2 SETTINGS: INITIAL_WINDOW_SIZE is 0 (RFC 9113 §6.5.2)."""


class Socket(asyncio.Transport):
    """A transport whose other side takes everything at once, or nothing at all."""

    def __init__(self) -> None:
        super().__init__()
        self.written = bytearray()
        self.waiting = 0
        self.takes = True
        self.open = True

    def write(self, data: Any) -> None:
        self.written += data
        self.waiting += 0 if self.takes else len(data)

    def get_write_buffer_size(self) -> int:
        return self.waiting

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None: ...

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return ("192.0.2.1", 1) if name == "peername" else default

    def is_closing(self) -> bool:
        return not self.open

    def close(self) -> None:
        self.open = False

    def abort(self) -> None:
        self.open = False


class Stranger:
    """A client whose machine nobody knows, after its handshake."""

    def __init__(self, door: Door | None = None, socket: Socket | None = None) -> None:
        self.hub = Hub()
        identity = Identity(TAILNET, "f1", "http://127.0.0.1:8080", SERVER)
        clock = SystemClock()
        frontend = Frontend(identity, MemoryBus(self.hub), clock, RandomIds(clock))
        self.replica = frontend.replica
        self.replica.load(Snapshot(epoch=Epoch("e1"), position=Position(0), objects=()))
        self.key = PrivateKey(os.urandom(32))
        self.socket = socket or Socket()
        self.tasks: list[asyncio.Task[None]] = []
        self.connection = Connection(frontend, door or Door(), self._spawn)
        self.connection.connection_made(self.socket)
        self._http2 = Http2(Role.CLIENT, 0.0)
        self._early = EarlyReader()
        self._seal, self._open = self._shake_hands()
        self.read()

    def _spawn(self, work: Any) -> "asyncio.Task[None]":
        task: asyncio.Task[None] = asyncio.create_task(work)
        self.tasks.append(task)
        return task

    def _shake_hands(self) -> tuple[RecordWriter, RecordReader]:
        initiator = Initiator(self.key, PrivateKey(os.urandom(32)), SERVER.public, 130)
        head = (
            f"POST /ts2021 HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\nConnection: upgrade\r\nUpgrade: {PROTOCOL}\r\n"
            f"{HANDSHAKE_HEADER}: {base64.b64encode(initiator.initiation).decode()}\r\n\r\n"
        )
        self.connection.data_received(head.encode())
        parts = split_response(bytes(self.socket.written).partition(b"\r\n\r\n")[2])
        assert parts is not None
        self.socket.written[:] = parts[1]
        session = initiator.finish(parts[0])
        return RecordWriter(session.send), RecordReader(session.receive)

    def join(self) -> None:
        """Become a node of the tailnet."""
        value = msgspec.structs.replace(node(1, "u1"), machine_key=show(Kind.MACHINE, self.key.public))
        change = Change(key="node/1", at=Position(1), value=value)
        self.replica.load(Snapshot(epoch=Epoch("e1"), position=Position(1), objects=(change,)))

    def ask(self, path: str, body: bytes = b"") -> None:
        self._http2.send_request("POST", path, body)
        self.send()

    def send(self) -> None:
        data = self._http2.data_to_send()
        if data and self.socket.open:
            self.connection.data_received(bytes(self._seal.seal(data)))

    def send_frame(self, frame: bytes) -> None:
        self.connection.data_received(bytes(self._seal.seal(frame)))

    async def ask_long(self) -> None:
        """Send a registration of an eighth of what all may have together."""
        self.ask("/machine/register", body(MAX_BODIES // 8))
        self.read()
        await settle()

    def read(self) -> None:
        """Take in what the server has written, windows included, and answer it."""
        while self.socket.written:
            data, self.socket.written = bytes(self.socket.written), bytearray()
            self._http2.receive(self._early.receive(self._open.receive(data)), 0.0)
            self.send()

    async def close(self) -> None:
        self.connection.connection_lost(None)
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)


@pytest.fixture
async def stranger() -> AsyncIterator[Stranger]:
    found = Stranger()
    yield found
    await found.close()


async def settle() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


async def test_who_asks_and_never_reads_is_cut_off(stranger: Stranger) -> None:
    stranger.socket.takes = False
    stranger.ask("/nowhere")
    await settle()
    assert stranger.socket.open
    stranger.socket.waiting = MAX_WAITING
    stranger.ask("/nowhere")
    await settle()
    assert not stranger.socket.open


async def test_a_stranger_that_wants_nothing_is_cut_off_soon(stranger: Stranger) -> None:
    now = asyncio.get_running_loop().time()
    stranger.connection.sweep(now)
    stranger.connection.sweep(now + STRANGER_IDLE_SECONDS - 1)
    assert stranger.socket.open
    stranger.connection.sweep(now + STRANGER_IDLE_SECONDS + 1)
    assert not stranger.socket.open


async def test_a_stranger_that_gets_a_node_is_none_any_more(stranger: Stranger) -> None:
    stranger.join()
    now = asyncio.get_running_loop().time()
    stranger.connection.sweep(now)
    stranger.connection.sweep(now + STRANGER_IDLE_SECONDS + 1)
    assert stranger.socket.open
    stranger.connection.sweep(now + IDLE_SECONDS + 1)
    assert not stranger.socket.open


async def test_strangers_have_places_and_give_them_back() -> None:
    door, address = Door(), "192.0.2.1"
    joined, gone = Stranger(door), Stranger(door)
    while door.admit(address):
        pass
    socket = Socket()
    with pytest.raises(AssertionError):  # there is no Noise response
        Stranger(door, socket)
    assert socket.written.startswith(b"HTTP/1.1 503 ")
    assert not socket.open
    joined.join()
    joined.connection.sweep(asyncio.get_running_loop().time())
    assert (door.admit(address), door.admit(address)) == (True, False)
    await gone.close()
    await joined.close()
    assert (door.admit(address), door.admit(address)) == (True, False)


async def test_who_asks_and_never_opens_a_window_is_cut_off(stranger: Stranger) -> None:
    stranger.join()  # else it would be cut off for another reason
    stranger.send_frame(NO_WINDOWS)
    stranger.ask("/nowhere")
    await settle()
    now = asyncio.get_running_loop().time()
    stranger.connection.sweep(now)
    stranger.connection.sweep(now + STALL_SECONDS - 1)
    assert stranger.socket.open
    stranger.connection.sweep(now + STALL_SECONDS + 1)
    assert not stranger.socket.open


async def test_an_answer_that_cannot_be_sent_ends_its_connection_and_nothing_else(stranger: Stranger) -> None:
    async with waiting(stranger):
        stranger.ask("/machine/register", body(0))
        await settle()
        assert stranger.connection.begin(
            MapStream(stranger.connection, 1)
        )  # the head is sent: there is no second
    async with asyncio.timeout(5):
        await asyncio.gather(*stranger.tasks)
    assert not stranger.socket.open


async def test_asking_for_more_is_no_sign_of_taking_anything(stranger: Stranger) -> None:
    stranger.socket.takes = False
    stranger.connection.pause_writing()
    now = asyncio.get_running_loop().time()
    stranger.connection.sweep(now)
    for _ in range(3):
        stranger.ask("/nowhere")
        await settle()
        now += STALL_SECONDS / 2 + 1
        stranger.connection.sweep(now)
    assert not stranger.socket.open


async def test_a_request_that_does_not_come_to_its_end_is_cut_off(stranger: Stranger) -> None:
    stranger.ask("/machine/register", b"x" * 300_000)  # more than the window: the rest is never sent
    now = asyncio.get_running_loop().time()
    stranger.connection.sweep(now + REQUEST_SECONDS - 1)
    assert stranger.socket.open
    stranger.connection.sweep(now + REQUEST_SECONDS + 1)
    assert not stranger.socket.open


async def test_a_request_that_is_whole_may_wait_for_its_answer(stranger: Stranger) -> None:
    async with waiting(stranger):
        stranger.ask("/machine/register", body(0))
        await settle()
        now = asyncio.get_running_loop().time()
        stranger.connection.sweep(now + 10 * REQUEST_SECONDS)
        assert stranger.socket.open


async def test_bodies_of_requests_that_wait_count_together(stranger: Stranger) -> None:
    async with waiting(stranger):
        for _ in range(7):
            await stranger.ask_long()
        assert stranger.socket.open
        for _ in range(3):
            await stranger.ask_long()
        assert not stranger.socket.open


def body(size: int) -> bytes:
    """Return a registration in so many octets, blanks included."""
    fields = {"Version": 130, "NodeKey": "nodekey:" + "ab" * 32}
    return msgspec.json.encode(fields).ljust(size)


@contextlib.asynccontextmanager
async def waiting(stranger: Stranger) -> AsyncIterator[None]:
    """Let the engine take its time over registrations."""
    bus, decided = MemoryBus(stranger.hub), asyncio.Event()

    async def register(_message: Message) -> Answer:
        await decided.wait()
        return Answer(b"{}")

    subject = subjects.registration(TAILNET, "*", "register")
    await bus.serve("engine", "1.0.0", "the engine", [Endpoint(name="r", subject=subject, respond=register)])
    yield
    decided.set()
    await bus.close()
