"""`netmap serve`: all roles in one process, from one directory. The composition root; only here do the three meet.

Rule 1: the bundled nats-server is there before the roles and after them; a role that ends unasked ends them all.
Rule 2: Ctrl-C or SIGTERM drains and stops; a second one stops at once.
Rule 3: everything is in the directory (mode 0700): a second start has everything back.
Rule 4: one `serve` in a directory at a time: a second would end the first one's nats-server as one left behind.
"""

import asyncio
import contextlib
import fcntl
import json
import os
import signal
from collections.abc import Awaitable, Callable, Coroutine
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

import click

from frontends.cli import greeting
from frontends.cli.failure import Exit, Failure, Trouble

if TYPE_CHECKING:
    from engine.config import Settings

Role = Callable[["Settings", asyncio.Event], Awaitable[None]]
ROLES: Final = ("engine", "projection", "frontend", "admin")
DERP_FILE: Final = "derp.json"
LOCK_FILE: Final = "serve.lock"
T = TypeVar("T")


def run_all(settings: "Settings", *, derp_map: str | None, quiet: bool) -> None:
    """Run every role until told to stop; `derp_map` is a file or an address.

    Raises:
        Failure: the infrastructure failed, or the DERP map cannot be read (exit 1, 2).
    """
    import msgspec

    folder = Path(settings.directory)
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    _lock(folder)
    if derp_map:
        settings = _with_derp_map(settings, derp_map, folder / DERP_FILE)
    own = msgspec.structs.replace(settings, nats_urls=(), nats_user="", nats_password="")
    _run(settings, _all_roles(own, quiet=quiet))


def _lock(folder: Path) -> None:
    """Take the directory for as long as this process lives (rule 4).

    Raises:
        Failure: another process has it (exit 1).
    """
    held = os.open(folder / LOCK_FILE, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        hint = "stop it first, or serve from another directory with --dir"
        message = f"another `netmap serve` runs from {folder}"
        raise Failure(Exit.FAILED, Trouble("serve.running", message, hint=hint)) from None


def run_role(name: str, settings: "Settings") -> None:
    """Run one of `ROLES` until it is told to stop.

    Raises:
        Failure: the infrastructure failed (exit 1).
    """
    _run(settings, _one_role(name, settings))


def role_of(name: str) -> Role:
    """Return what runs a role; its libraries are imported now."""
    if name == "engine":
        from engine.bootstrap import run_engine

        return run_engine
    if name == "projection":
        from projections.runner import run_projection

        return run_projection
    if name == "admin":
        from frontends.admin.listen import run_admin

        return run_admin
    from frontends.control.listen import run_frontend

    return run_frontend


def _with_derp_map(settings: "Settings", source: str, file: Path) -> "Settings":
    import msgspec

    from frontends.cli.derpmap import read

    file.write_text(json.dumps(read(source), indent=2) + "\n")
    return msgspec.structs.replace(settings, derp_map=str(file))


async def _one_role(name: str, settings: "Settings") -> None:
    with _stopping() as stop:
        await _until(stop, name, role_of(name)(settings, stop))


async def _all_roles(settings: "Settings", *, quiet: bool) -> None:
    import msgspec

    from engine.adapters.bus.server import bundled
    from frontends.admin.listen import free_port

    if not settings.admin_port:  # who greets must know it
        settings = msgspec.structs.replace(settings, admin_port=free_port(settings.admin_host))
    with _stopping() as stop:
        async with bundled(settings) as served, asyncio.TaskGroup() as group:
            for name in ROLES:
                group.create_task(_until(stop, name, role_of(name)(served, stop)), name=name)
            group.create_task(greeting.greet(served, stop, quiet=quiet), name="greeting")


async def _until(stop: asyncio.Event, name: str, role: Awaitable[None]) -> None:
    """Wait for a role; one that ends before it was told to is a fault (rule 1)."""
    from engine.ports import Fault

    try:
        await role
    finally:
        asked = stop.is_set()
        stop.set()
    if not asked:
        raise Fault(f"the {name} ended unasked")


@contextlib.contextmanager
def _stopping() -> Any:
    """Yield the event that a signal sets; a second signal cancels (rule 2)."""
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


def _run(settings: "Settings", whole: Coroutine[Any, Any, None]) -> None:
    """Run on uvloop; faults become one sentence.

    Raises:
        Failure: the infrastructure failed (exit 1).
    """
    import uvloop

    from engine.adapters import log
    from engine.ports import Fault

    log.configure(settings.log_level)
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
