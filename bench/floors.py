"""What the machine can do at best, measured in the same minute: the other half of every ratio.

    asked()      requests a second to a responder that only echoes, through the same server and accounts
    written()    one small encrypted write to each of many connections on loopback, until the last has it
    held()       the memory of one such connection
    encoded()    one map, by orjson and zstd

`python -m bench.floors echo <directory>` and `python -m bench.floors write <port> <octets>` are their other sides.
"""

import asyncio
import contextlib
import os
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final, cast

import orjson
import uvloop

from bench import machine
from bench.asker import Answers, connected
from bench.site import Site
from engine.adapters.bus.nats import open_bus
from engine.config import Settings
from engine.contracts import subjects
from engine.domain.values import DEFAULT_TAILNET
from frontends.wire.frames import RecordWriter
from frontends.wire.mapframe import Encoder
from frontends.wire.noise import CipherState
from tests.kit.lab.net import ROOT
from tests.kit.procs import Proc, free_port

ECHO: Final = subjects.query(DEFAULT_TAILNET, "bench", "echo")
GO: Final = b"!"
ROUNDS: Final = 5
ENCODINGS: Final = 20
PAUSE_SECONDS: Final = 0.05
_FRAME_HEAD: Final = 9


@contextlib.asynccontextmanager
async def echoing(site: Site) -> AsyncIterator[None]:
    """Run the echo."""
    argv = [sys.executable, "-m", "bench.floors", "echo", str(site.directory)]
    with Proc(argv, site.folder / "echo.log", cwd=ROOT) as echo:
        await asyncio.to_thread(echo.wait_line, "echo is ready")
        yield


async def asked(site: Site, in_flight: int, seconds: float, body: bytes) -> Answers:
    """Ask the echo for so long."""
    async with connected(site.directory, "operator", keyed=True) as asker:
        return await asker.closed(in_flight, seconds, lambda _: (ECHO, body), b"")


async def written(folder: Path, viewers: int, octets: int) -> float:
    """Return the seconds from a word to the writer until the last but 1 % has its write; the median of some rounds."""
    port = free_port()
    argv = [sys.executable, "-m", "bench.floors", "write", str(port), str(octets)]
    with Proc(argv, folder / "write.log", cwd=ROOT) as writer:
        await asyncio.to_thread(writer.wait_port, port)
        loop = asyncio.get_running_loop()
        told: list[float] = []
        made = [
            await loop.create_connection(lambda: _Reader(told), "127.0.0.1", port) for _ in range(viewers)
        ]
        _, word = await asyncio.open_connection("127.0.0.1", port)
        rounds = []
        for _ in range(ROUNDS):
            told.clear()
            began = time.perf_counter()
            word.write(GO)
            while len(told) < viewers:
                await asyncio.sleep(PAUSE_SECONDS)
            rounds.append(machine.percentile(told, 0.99) - began)
        word.close()
        for transport, _ in made:
            transport.abort()
        return machine.percentile(rounds, 0.5)


async def held(folder: Path, connections: int) -> float:
    """Return the octets that a process of Python has resident for each bare connection with a cipher."""
    port = free_port()
    argv = [sys.executable, "-m", "bench.floors", "write", str(port), "1"]
    with Proc(argv, folder / "held.log", cwd=ROOT) as holder:
        await asyncio.to_thread(holder.wait_port, port)
        loop, before, told = asyncio.get_running_loop(), machine.resident(holder.pid), list[float]()
        made = [
            await loop.create_connection(lambda: _Reader(told), "127.0.0.1", port) for _ in range(connections)
        ]
        await asyncio.sleep(PAUSE_SECONDS)
        octets = (machine.resident(holder.pid) - before) / connections
        for transport, _ in made:
            transport.abort()
        return octets


def encoded(text: bytes) -> float:
    """Return the seconds that orjson and zstd take for the map of this JSON text, the median of some."""
    netmap, encoder = orjson.loads(text), Encoder()
    found = []
    for _ in range(ENCODINGS):
        began = time.perf_counter()
        encoder.encode(orjson.dumps(netmap))
        found.append(time.perf_counter() - began)
    return machine.percentile(found, 0.5)


class _Reader(asyncio.Protocol):
    def __init__(self, told: list[float]) -> None:
        self._told = told

    def data_received(self, data: bytes) -> None:  # noqa: ARG002 (that it came is all)
        self._told.append(time.perf_counter())


class _Writer(asyncio.Protocol):
    """One accepted connection; who says `GO` sets all others off."""

    everybody: Final[list["_Writer"]] = []
    frame: bytes = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        self.writer = RecordWriter(CipherState(os.urandom(32)))
        self.everybody.append(self)

    def data_received(self, data: bytes) -> None:  # noqa: ARG002 (there is one word)
        for other in self.everybody:
            if other is not self:
                other.transport.write(other.writer.seal(self.frame))


async def _write(port: int, octets: int) -> None:
    _Writer.frame = os.urandom(_FRAME_HEAD + octets)
    server = await asyncio.get_running_loop().create_server(_Writer, "127.0.0.1", port, backlog=4_096)
    await server.serve_forever()


async def _echo(directory: str) -> None:
    bus = await open_bus(Settings(directory=directory), "projection", name="bench echo")

    async def answer(message: object) -> None:
        await message.respond(message.data)  # type: ignore[attr-defined]

    await bus.client.subscribe(ECHO, cb=answer)
    await bus.client.flush()
    print("echo is ready", flush=True)
    await asyncio.Event().wait()


def main() -> None:
    match sys.argv[1:]:
        case ["echo", directory]:
            uvloop.run(_echo(directory))
        case ["write", port, octets]:
            uvloop.run(_write(int(port), int(octets)))
        case _:
            sys.exit(__doc__)


if __name__ == "__main__":
    main()
