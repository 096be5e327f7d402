"""A TCP balancer: each new connection goes to the next backend that answers.

Run it as a process (`python -m tests.kit.proxy LISTEN BACKEND …`, each `host:port`), inside a namespace or outside.
"""

import asyncio
import contextlib
import itertools
import sys
from collections.abc import Sequence

CONNECT_SECONDS = 2.0


def address(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    return host, int(port)


class Balancer:
    """Round robin over the backends; a backend that refuses is passed over for this connection."""

    def __init__(self, backends: Sequence[tuple[str, int]]) -> None:
        self._backends = backends
        self._turn = itertools.count()

    async def _reach(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter] | None:
        first = next(self._turn)
        for step in range(len(self._backends)):
            host, port = self._backends[(first + step) % len(self._backends)]
            with contextlib.suppress(OSError, TimeoutError):
                return await asyncio.wait_for(asyncio.open_connection(host, port), CONNECT_SECONDS)
        return None

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        reached = await self._reach()
        if reached is None:
            writer.close()
            return
        back_reader, back_writer = reached
        await asyncio.gather(pump(reader, back_writer), pump(back_reader, writer))


async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Copy until either side ends, then close the other."""
    with contextlib.suppress(OSError):
        while data := await reader.read(65_536):
            writer.write(data)
            await writer.drain()
    writer.close()


async def main(listen: str, backends: Sequence[str]) -> None:
    balancer = Balancer([address(backend) for backend in backends])
    host, port = address(listen)
    server = await asyncio.start_server(balancer.serve, host, port)
    print(f"proxy: listening on {listen}", flush=True)  # noqa: T201
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(main(sys.argv[1], sys.argv[2:]))
