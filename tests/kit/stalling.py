"""A relay before PostgreSQL that can stand still: connections stay open, and nothing passes any more.

1. It listens on a Unix socket in a folder of its own, under the name that libpq looks for.
2. What stands still is what is connected now; who connects later passes. Nobody is told: that is what a firewall does,
   and a server that is stopped.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

SOCKET: Final = ".s.PGSQL.5432"


class Relay:
    """The relay to the server's socket."""

    def __init__(self, server: Path) -> None:
        self._server = server
        self._lines: list[_Line] = []
        self._tasks: set[asyncio.Task[None]] = set()

    def stall(self, *, after: int) -> None:
        """Let what is connected pass `after` more octets to the server, and no answers from then on."""
        for line in self._lines:
            line.left = after

    def mute(self, *, after: bytes) -> None:
        """Let what is connected hear nothing from the server any more once it has said that."""
        for line in self._lines:
            line.last_words = after

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        back_reader, back_writer = await asyncio.open_unix_connection(str(self._server))
        line = _Line()
        self._lines.append(line)
        for pumping in (line.up(reader, back_writer), line.down(back_reader, writer)):
            task = asyncio.create_task(pumping)
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def close(self) -> None:
        """End every connection."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


class _Line:
    """One connection; `left` are the octets that may still pass to the server, if they are numbered."""

    def __init__(self) -> None:
        self.left: int | None = None
        self.last_words = b""
        self.heard = asyncio.Event()
        self.heard.set()

    async def up(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError), contextlib.closing(writer):
            while data := await reader.read(16_384):
                if self.left is not None:
                    data, self.left = data[: self.left], max(0, self.left - len(data))
                if self.last_words and self.last_words in data:
                    self.heard.clear()
                writer.write(data)
                await writer.drain()
                if self.left == 0:
                    self.heard.clear()
                    await asyncio.Event().wait()

    async def down(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError), contextlib.closing(writer):
            while data := await reader.read(16_384):
                await self.heard.wait()
                writer.write(data)
                await writer.drain()


@asynccontextmanager
async def relayed(server: Path, folder: Path) -> AsyncIterator[Relay]:
    """Relay what comes to the folder's socket to the one in the server's folder."""
    relay = Relay(server / SOCKET)
    listener = await asyncio.start_unix_server(relay.serve, str(folder / SOCKET))
    try:
        yield relay
    finally:
        listener.close()
        await relay.close()
