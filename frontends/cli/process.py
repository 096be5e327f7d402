"""What every process of ours does: run on uvloop, stop on a signal, end with one sentence.

Rule 1: Ctrl-C or SIGTERM drains and stops; a second one stops at once.
Rule 2: a role that ends before it was told to is a fault.
"""

import asyncio
import contextlib
import signal
from collections.abc import Awaitable, Coroutine, Iterator
from typing import Any

import click

from frontends.cli.failure import Exit, Failure, Trouble


@contextlib.contextmanager
def stopping() -> Iterator[asyncio.Event]:
    """Yield the event that a signal sets; a second signal cancels the task (rule 1)."""
    stop = asyncio.Event()
    loop, task = asyncio.get_running_loop(), asyncio.current_task()

    def told() -> None:
        if stop.is_set() and task is not None:
            task.cancel()
        stop.set()

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, told)
    try:
        yield stop
    finally:
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(number)


async def until(stop: asyncio.Event, name: str, role: Awaitable[None]) -> None:
    """Wait for a role, and stop the others when it ends.

    Raises:
        Fault: it ended before it was told to (rule 2).
    """
    from engine.ports import Fault

    try:
        await role
    finally:
        asked = stop.is_set()
        stop.set()
    if not asked:
        raise Fault(f"the {name} ended unasked")


def run(log_level: str, whole: Coroutine[Any, Any, None]) -> None:
    """Run on uvloop; faults become one sentence.

    Raises:
        Failure: the infrastructure failed (exit 1).
    """
    import uvloop

    from engine.adapters import log
    from engine.ports import Fault

    log.configure(log_level)
    try:
        uvloop.run(whole)
    except* Fault as group:
        raise _failed(group) from None
    except* asyncio.CancelledError:
        raise click.exceptions.Exit(Exit.FAILED) from None


def _failed(group: BaseExceptionGroup[Any]) -> Failure:
    said = dict.fromkeys(str(error) for error in _leaves(group))
    return Failure(Exit.FAILED, Trouble("fault", "; ".join(said)))


def _leaves(error: BaseException) -> list[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        return [leaf for inner in error.exceptions for leaf in _leaves(inner)]
    return [error]
