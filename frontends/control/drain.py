"""How a frontend ends: nobody new, then one client after the other, then its last words.

Rule 1: from the first moment on `/health` says 503, so that a balancer sends nobody here, and no session begins. Who comes all the
        same is told to come back, before any handshake.
Rule 2: a frontend that shares its port closes it at once: the kernel then sends everybody to the others. One that has it alone
        keeps it open to the end: a balancer is to hear `/health`, not silence.
Rule 3: connections close one after the other over `seconds`, in no order, so that the clients do not come back all at once. Each says
        GOAWAY when the requests that it has been asked are answered; who has not gone at the end is shown out.
Rule 4: their nodes stay online for everybody until another frontend has them, or the lease is over (V4).
Rule 5: what clients have told is published before the end: it was acknowledged to them.
"""

import asyncio
import contextlib
import random
from typing import Final

import structlog

from frontends.control.door import Door
from frontends.control.frontend import Frontend

LAST_SECONDS: Final = 2.0
"""For who has been told to go: to get the last octets, to have a request answered."""
STEP_SECONDS: Final = 0.05
"""Connections that are due within so short a time close together."""

_log = structlog.get_logger(__name__)


async def drain(
    frontend: Frontend, door: Door, server: asyncio.Server, seconds: float, *, shared: bool
) -> None:
    """Send everybody home within about `seconds`; return when nobody is left."""
    frontend.draining = True
    if shared:
        server.close()
    _log.info("draining", sessions=len(frontend.sessions), connections=len(door.guests), seconds=seconds)
    await _one_by_one(door, seconds)
    server.close()
    frontend.sessions.end_all()
    for guest in list(door.guests):  # who came meanwhile, and at once everybody if there is no time
        guest.leave()
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(door.empty.wait(), LAST_SECONDS)
    for guest in list(door.guests):
        guest.abort()
    await frontend.presence.flush()


async def _one_by_one(door: Door, seconds: float) -> None:
    loop = asyncio.get_running_loop()
    began, guests = loop.time(), list(door.guests)
    random.shuffle(guests)
    total = len(guests)
    while guests and seconds and not door.empty.is_set():
        await asyncio.sleep(min(STEP_SECONDS, seconds))
        left = int(total * (1 - (loop.time() - began) / seconds))
        while len(guests) > max(0, left):
            guests.pop().leave()
