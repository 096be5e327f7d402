"""The process of the HTTP API: its socket, its tasks, its end.

Rule 1: on stop the socket closes, what is under way ends within `DRAIN_SECONDS` of `server.py`, then the bus closes.
"""

import asyncio
import socket

import structlog

from engine.adapters.bus.nats import open_bus
from engine.adapters.clock import SystemClock
from engine.adapters.ids import RandomIds
from engine.config import Settings
from engine.domain.values import TailnetName
from engine.ports import Bus, Clock, Fault
from frontends.admin.app import app
from frontends.admin.asking import Asking
from frontends.admin.gate import Gate
from frontends.admin.server import Server, server_of

_log = structlog.get_logger(__name__)


async def run_admin(settings: Settings, stop: asyncio.Event) -> None:
    """Serve the HTTP API until told to stop.

    Raises:
        Fault: the bus is not there, or the socket cannot be had.
    """
    bus = await open_bus(settings, "admin", name="netmap admin")
    try:
        await serve(settings, bus, SystemClock(), stop)
    finally:
        await bus.close()


async def serve(settings: Settings, bus: Bus, clock: Clock, stop: asyncio.Event) -> None:
    """Serve the HTTP API over a bus until told to stop.

    Raises:
        Fault: the bus is not connected, or the socket cannot be had.
    """
    sock = opened(settings.admin_host, settings.admin_port)
    asking = Asking(bus, TailnetName(settings.tailnet), clock, RandomIds(clock))
    heads = await asking.open()
    server = server_of(app(asking, Gate(asking, clock)))
    async with asyncio.TaskGroup() as tasks:
        following = tasks.create_task(asking.follow(heads))
        ending = tasks.create_task(_end(server, stop))
        _log.info("listening", address=str(sock.getsockname()))
        await server.serve(sockets=[sock])
        following.cancel()
        ending.cancel()


def opened(host: str, port: int) -> socket.socket:
    """Return a socket that is bound to the address; port 0 takes a free one.

    Raises:
        Fault: it cannot be had.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        sock = socket.socket(family, kind, protocol)
    except OSError as error:
        raise Fault(f"cannot listen on {host}:{port}") from error
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(address)
    except OSError as error:
        sock.close()
        raise Fault(f"cannot listen on {host}:{port}") from error
    return sock


def free_port(host: str) -> int:
    """Return a port of the address that nobody listens on at the moment of asking.

    Raises:
        Fault: the address cannot be had.
    """
    with opened(host, 0) as probe:
        port: int = probe.getsockname()[1]
        return port


async def _end(server: Server, stop: asyncio.Event) -> None:
    await stop.wait()
    server.should_exit = True
