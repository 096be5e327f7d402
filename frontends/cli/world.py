"""What the command line takes from the world: a bus, a clock, fresh ids, chance; tests bring their own."""

import random
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, NamedTuple

import click

from frontends.cli.place import Place, context_at, unreachable

if TYPE_CHECKING:
    from engine.ports import Bus


async def connect(place: Place) -> "Bus":
    """Connect as the operator.

    Raises:
        Failure: no server answers, or it does not let us in (exit 6).
    """
    from engine.adapters import log

    log.configure("critical")  # what goes wrong is said once, by the command
    return await reach(place)


async def reach(place: Place) -> "Bus":
    """Connect as the operator; the log stays as it is.

    Raises:
        Failure: as `connect`.
    """
    from engine.adapters.bus.nats import NatsBus
    from engine.ports import Fault

    context = context_at(place)
    try:
        return await NatsBus.connect(
            context.url.split(","), name="netmap-cli", credentials=context, within=place.timeout
        )
    except Fault as error:
        raise unreachable(place, f"{context.url}: {error}") from None


def now() -> int:
    """Return Unix time in milliseconds."""
    from engine.adapters.clock import SystemClock

    return SystemClock().now()


def fresh_id() -> str:
    """Return a new command id."""
    from engine.adapters.clock import SystemClock
    from engine.adapters.ids import RandomIds

    return RandomIds(SystemClock()).command_id()


async def pause(seconds: float) -> None:
    """Wait."""
    import asyncio

    await asyncio.sleep(seconds)


class World(NamedTuple):
    """All of it, as it is."""

    connect: Callable[[Place], Awaitable["Bus"]] = connect
    now: Callable[[], int] = now
    fresh_id: Callable[[], str] = fresh_id
    pause: Callable[[float], Awaitable[None]] = pause
    """Waits so many seconds."""
    chance: Callable[[], float] = random.random
    """Says a number from 0 to 1, that nobody depends on."""


def world_of(context: click.Context) -> World:
    """Return the world that was given as `obj`, else the real one."""
    given = context.find_object(World)
    return given if isinstance(given, World) else World()
