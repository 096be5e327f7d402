"""The process of a frontend: its socket, its tasks, its end.

Rule 1: the socket opens at once; until the replica is ready, clients are told to come back (503), and so is `/health`.
Rule 2: news older than `Age.FENCED` end all sessions; when news return after a silence, everybody says everything.
Rule 3: at the end its clients are sent to others (`drain.py`).
Rule 4: its id is unique in the tailnet; without one in the settings it is made of the names of host and process.
"""

import asyncio
import gc
from pathlib import Path
from typing import Final, Protocol

import structlog

from engine.adapters.bus.nats import open_bus
from engine.adapters.clock import SystemClock
from engine.adapters.ids import RandomIds, own_name
from engine.adapters.keyring import FileKeyRing
from engine.config import Settings
from engine.domain.values import TailnetName
from engine.ports import Fault
from frontends.control.connection import Connection
from frontends.control.door import Door
from frontends.control.drain import drain
from frontends.control.follow import Age
from frontends.control.frontend import Frontend, Identity
from frontends.wire.noise import PrivateKey

KEYS: Final = "keys"
"""The folder of the Noise key, in the settings' directory: all frontends of a tailnet have the same."""
WATCH_SECONDS: Final = 0.5
FIRST_SECONDS: Final = 0.1
"""Between two looks as long as there were no news at all: a start is waited for."""
BACKLOG: Final = 4_096
"""Connections that the kernel holds for us: a reconnect storm comes at once."""

_log = structlog.get_logger(__name__)


class Tell(Protocol):
    """Hears whether the frontend is ready, at first and whenever that changes."""

    def __call__(self, *, ready: bool) -> None:
        """Take note."""
        ...


def _silent(*, ready: bool) -> None:
    """Take no note."""


async def run_frontend(settings: Settings, stop: asyncio.Event, tell: Tell = _silent) -> None:
    """Serve clients until told to stop.

    Raises:
        Fault: the bus or the keys are not there, or the socket cannot be had.
    """
    clock = SystemClock()
    ring = FileKeyRing(Path(settings.directory) / KEYS)
    name = settings.frontend or own_name("f")
    bus = await open_bus(settings, "frontend", name=f"netmap frontend {name}")
    identity = Identity(
        TailnetName(settings.tailnet), name, settings.public_url(), PrivateKey(ring.noise_private())
    )
    try:
        await serve(settings, Frontend(identity, bus, clock, RandomIds(clock)), stop, tell)
    finally:
        await bus.close()


async def serve(settings: Settings, frontend: Frontend, stop: asyncio.Event, tell: Tell = _silent) -> None:
    """Serve clients until told to stop.

    Raises:
        Fault: the socket cannot be had.
    """
    async with asyncio.TaskGroup() as tasks:
        running = [
            tasks.create_task(frontend.follower.run()),
            tasks.create_task(frontend.presence.run()),
            tasks.create_task(frontend.sessions.run()),
        ]
        door = Door(settings.balancers)
        server = await _open(settings, frontend, door, tasks)
        running += [tasks.create_task(_watch(frontend, door, tell))]
        await stop.wait()
        tell(ready=False)
        await drain(frontend, door, server, settings.drain_seconds, shared=settings.share_port)
        for task in running:
            task.cancel()


async def _open(
    settings: Settings, frontend: Frontend, door: Door, tasks: asyncio.TaskGroup
) -> asyncio.Server:
    loop = asyncio.get_running_loop()
    try:
        server = await loop.create_server(
            lambda: Connection(frontend, door, tasks.create_task),
            settings.listen_host,
            settings.listen_port,
            backlog=BACKLOG,
            reuse_port=settings.share_port or None,
        )
    except OSError as error:
        raise Fault(f"cannot listen on {settings.listen_host}:{settings.listen_port}") from error
    for sock in server.sockets:
        _log.info("listening", address=str(sock.getsockname()))
    return server


async def _watch(frontend: Frontend, door: Door, tell: Tell) -> None:
    """See how old the news are, and whether a connection is stuck."""
    before = Age.UNREADY
    ready = frozen = False
    while True:
        await asyncio.sleep(WATCH_SECONDS if frozen else FIRST_SECONDS)
        age = frontend.follower.age()
        if age is not before:
            _log.info("news", age=age.name.lower())
        if frontend.is_ready is not ready:
            ready = not ready
            tell(ready=ready)
        if age is Age.FENCED and len(frontend.sessions):
            frontend.sessions.end_all()
        if age is Age.FRESH and before > Age.FRESH:
            await frontend.presence.rejoin()
            if not frozen:
                gc.collect()
                gc.freeze()  # what is loaded now stays; collections need not look at it
                frozen = True
        before = age
        door.sweep(asyncio.get_running_loop().time())
