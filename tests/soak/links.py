"""TCP connections that can be cut and stalled: what stands between a process and its broker in a soak.

Rule 1: `cut` ends what there is and refuses what comes; `stall` lets nothing through and keeps it; `open` lets all flow.
"""

import asyncio
import contextlib
from typing import Final

from tests.kit.proxy import CONNECT_SECONDS

_CHUNK: Final = 65_536


class Link:
    """One listener before one target."""

    def __init__(self, target: tuple[str, int]) -> None:
        self.port = 0
        self._target = target
        self._server: asyncio.Server | None = None
        self._flows = asyncio.Event()
        self._flows.set()
        self._is_cut = False
        self._writers: set[asyncio.StreamWriter] = set()
        self._serving: set[asyncio.Task[None] | None] = set()

    async def start(self) -> None:
        """Listen on a free port of loopback."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    def set(self, state: str) -> None:
        """`cut`, `stall` or `open`."""
        self._is_cut = state == "cut"
        if state == "stall":
            self._flows.clear()
        else:
            self._flows.set()
        if self._is_cut:
            for writer in list(self._writers):
                writer.transport.abort()

    async def close(self) -> None:
        """Cut, listen no more, and return when nobody is served any more."""
        self.set("cut")
        if self._server is not None:
            self._server.close()
        await asyncio.gather(*filter(None, self._serving))

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        task = asyncio.current_task()
        self._serving.add(task)
        try:
            await self._join(reader, writer)
        except (OSError, TimeoutError):
            pass  # the other side is not there, or was cut off: the process before us sees the end
        finally:
            self._serving.discard(task)
            self._writers.discard(writer)
            writer.close()

    async def _join(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._is_cut:
            return
        async with asyncio.timeout(CONNECT_SECONDS):
            far_reader, far_writer = await asyncio.open_connection(*self._target)
        self._writers.add(far_writer)
        try:
            await asyncio.gather(self._pump(reader, far_writer), self._pump(far_reader, writer))
        finally:
            self._writers.discard(far_writer)
            far_writer.close()

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(_CHUNK):
                await self._flows.wait()
                writer.write(data)
                await writer.drain()
        writer.close()
