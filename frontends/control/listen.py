"""The process of a frontend: its socket, its tasks, its end.

Rule 1: the socket opens at once; until the replica is ready, clients are told to come back (503), and so is `/health`.
Rule 2: news older than `Age.FENCED` end all sessions; when news return after a silence, everybody says everything.
Rule 3: on stop the socket closes, then the sessions, each with a GOAWAY; their nodes stay online until another
        frontend has them, or the lease is over.
"""

import asyncio
import contextlib
import gc
from pathlib import Path
from typing import Final

import structlog

from engine.adapters.bus.nats import open_bus
from engine.adapters.clock import SystemClock
from engine.adapters.ids import RandomIds
from engine.adapters.keyring import FileKeyRing
from engine.config import Settings
from engine.domain.values import TailnetName
from engine.ports import Bus, Clock, Fault
from frontends.control.connection import Connection
from frontends.control.door import Door
from frontends.control.follow import Age
from frontends.control.frontend import Frontend, Identity
from frontends.wire.noise import PrivateKey

KEYS: Final = "keys"
"""The folder of the Noise key, in the settings' directory: all frontends of a tailnet have the same."""
WATCH_SECONDS: Final = 0.5
DRAIN_SECONDS: Final = 3.0
BACKLOG: Final = 4_096
"""Connections that the kernel holds for us: a reconnect storm comes at once."""

_log = structlog.get_logger(__name__)


async def run_frontend(settings: Settings, stop: asyncio.Event) -> None:
    """Serve clients until told to stop.

    Raises:
        Fault: the bus or the keys are not there, or the socket cannot be had.
    """
    clock = SystemClock()
    ring = FileKeyRing(Path(settings.directory) / KEYS)
    bus = await open_bus(settings, "frontend", name=f"netmap frontend {settings.frontend}")
    try:
        await serve(settings, bus, clock, PrivateKey(ring.noise_private()), stop)
    finally:
        await bus.close()


async def serve(settings: Settings, bus: Bus, clock: Clock, key: PrivateKey, stop: asyncio.Event) -> None:
    """Serve clients over a bus until told to stop.

    Raises:
        Fault: the socket cannot be had.
    """
    identity = Identity(TailnetName(settings.tailnet), settings.frontend, settings.public_url(), key)
    frontend = Frontend(identity, bus, clock, RandomIds(clock))
    async with asyncio.TaskGroup() as tasks:
        running = [
            tasks.create_task(frontend.follower.run()),
            tasks.create_task(frontend.presence.run()),
            tasks.create_task(frontend.sessions.run()),
        ]
        door = Door()
        server = await _open(settings, frontend, door, tasks)
        running += [tasks.create_task(_watch(frontend, door))]
        await stop.wait()
        server.close()
        frontend.sessions.end_all()
        await _empty(door)
        for task in running:
            task.cancel()


async def _empty(door: Door) -> None:
    """Send everybody home; who does not go in time is shown out."""
    for guest in list(door.guests):
        guest.drain()
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(door.empty.wait(), DRAIN_SECONDS)
    for guest in list(door.guests):
        guest.abort()


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
        )
    except OSError as error:
        raise Fault(f"cannot listen on {settings.listen_host}:{settings.listen_port}") from error
    for sock in server.sockets:
        _log.info("listening", address=str(sock.getsockname()))
    return server


async def _watch(frontend: Frontend, door: Door) -> None:
    """See how old the news are, and whether a connection is stuck."""
    before = Age.UNREADY
    frozen = False
    while True:
        await asyncio.sleep(WATCH_SECONDS)
        age = frontend.follower.age()
        if age is not before:
            _log.info("news", age=age.name.lower())
        if age is Age.FENCED and len(frontend.sessions):
            frontend.sessions.end_all()
        if age is Age.FRESH and before > Age.FRESH:
            await frontend.presence.rejoin()
            if not frozen:
                gc.collect()
                gc.freeze()  # what is loaded now stays; collections need not look at it
                frozen = True
        before = age
        now = asyncio.get_running_loop().time()
        for guest in list(door.guests):
            guest.sweep(now)
