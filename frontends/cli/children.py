"""The frontends of `netmap serve` when there are several: each a process of its own, all on one port.

Rule 1: a child is told its settings on its standard input, and ends when that ends: with its parent, however that died.
Rule 2: they share the port (SO_REUSEPORT: the kernel gives each new connection to one of them). The parent takes it first, so that
        no one of another tailnet can be among them, and holds it without listening.
Rule 3: one that dies is said, and started again after a pause, which doubles as long as it does not become ready.
Rule 4: at the end all are told together and have `STOP_SECONDS`; then they are killed.
Rule 5: they have sessions of their own: a Ctrl-C in the terminal reaches the parent alone, which tells them.
"""

import asyncio
import contextlib
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator, Sequence
from typing import TYPE_CHECKING, Final

import structlog

from frontends.cli.child import READY

if TYPE_CHECKING:
    from engine.config import Settings

PROGRAM: Final = (sys.executable, "-m", "frontends.cli.child")
PAUSE_SECONDS: Final = 0.5
MOST_PAUSE_SECONDS: Final = 10.0
STOP_SECONDS: Final = 5.0
"""More than a frontend takes for its last words (`frontends/control/drain.py`) when it closes its sessions at once."""
PORT_SECONDS: Final = 3.0
"""How long the port may be taken by frontends whose parent was just killed."""
LOOK_SECONDS: Final = 0.1

_log = structlog.get_logger(__name__)


def cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@contextlib.asynccontextmanager
async def port_held(settings: "Settings") -> AsyncIterator["Settings"]:
    """Take the port of the settings for frontends that share it; yield the settings with its number (rule 2).

    Raises:
        Fault: somebody else has it, or the address is not ours.
    """
    import msgspec

    held = await _held(settings.listen_host, settings.listen_port)
    try:
        yield msgspec.structs.replace(settings, share_port=True, listen_port=held.getsockname()[1])
    finally:
        held.close()


async def _held(host: str, port: int) -> socket.socket:
    from engine.ports import Fault

    deadline = asyncio.get_running_loop().time() + PORT_SECONDS
    while True:
        try:
            return _take(host, port)
        except OSError as error:
            if asyncio.get_running_loop().time() > deadline:
                raise Fault(f"cannot listen on {host}:{port}: {error.strerror or error}") from error
        await asyncio.sleep(LOOK_SECONDS)


def _take(host: str, port: int) -> socket.socket:
    family, kind, protocol, _, address = socket.getaddrinfo(
        host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )[0]
    with socket.socket(family, kind, protocol) as alone:  # fails if anybody listens there, sharing or not
        alone.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        alone.bind(address)
        address = alone.getsockname()
    held = socket.socket(family, kind, protocol)
    try:
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        held.bind(address)
    except OSError:
        held.close()
        raise
    return held


class Children:
    """So many frontends; they are called f1, f2, …."""

    def __init__(self, count: int, program: Sequence[str] = PROGRAM) -> None:
        self._program: Final = program
        self._ready: Final = {f"f{number + 1}": False for number in range(count)}
        self._running: Final[dict[str, asyncio.subprocess.Process]] = {}

    def missing(self) -> str:
        """Return who is not ready; empty when all are."""
        missing = [name for name, is_ready in self._ready.items() if not is_ready]
        return f"not all frontends are ready: {', '.join(missing)}" if missing else ""

    async def run(self, settings: "Settings", stop: asyncio.Event) -> None:
        """Keep them running until told to stop; then stop them."""
        watched = [asyncio.create_task(self._keep(name, settings)) for name in self._ready]
        try:
            await stop.wait()
        finally:
            for task in watched:
                task.cancel()
            await asyncio.gather(*watched, return_exceptions=True)
            await self._end(polite=stop.is_set())

    async def _keep(self, name: str, settings: "Settings") -> None:
        pause = PAUSE_SECONDS
        while True:
            child = await self._start(name, settings)
            became_ready = await self._listen(name, child)
            status = await child.wait()
            self._ready[name] = False
            pause = PAUSE_SECONDS if became_ready else min(2 * pause, MOST_PAUSE_SECONDS)
            _log.error("frontend.died", frontend=name, status=status, again_in_seconds=pause)
            await asyncio.sleep(pause)

    async def _start(self, name: str, settings: "Settings") -> asyncio.subprocess.Process:
        import msgspec

        number = list(self._ready).index(name)
        metrics = settings.metrics_port and settings.metrics_port + 1 + number
        own = msgspec.structs.replace(settings, frontend=name, metrics_port=metrics)
        child = self._running[name] = await asyncio.create_subprocess_exec(
            *self._program,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            start_new_session=True,
        )
        if child.stdin is not None:
            with contextlib.suppress(ConnectionError):
                child.stdin.write(msgspec.json.encode(own) + b"\n")
                await child.stdin.drain()
        return child

    async def _listen(self, name: str, child: asyncio.subprocess.Process) -> bool:
        """Take note of what a child says of itself until it ends; return whether it was ever ready."""
        became_ready = False
        while child.stdout is not None and (line := await child.stdout.readline()):
            self._ready[name] = line.strip() == READY.encode()
            became_ready |= self._ready[name]
        return became_ready

    async def _end(self, *, polite: bool) -> None:
        """Tell all, and kill who does not go (rule 4)."""
        running = [child for child in self._running.values() if child.returncode is None]
        if polite:
            _signal(running, signal.SIGTERM)
            ends = [asyncio.create_task(child.wait()) for child in running]
            if ends:
                await asyncio.wait(ends, timeout=STOP_SECONDS)
        _signal([child for child in running if child.returncode is None], signal.SIGKILL)
        await asyncio.gather(*(child.wait() for child in running))


def _signal(children: Sequence[asyncio.subprocess.Process], number: signal.Signals) -> None:
    for child in children:
        with contextlib.suppress(ProcessLookupError):
            child.send_signal(number)
