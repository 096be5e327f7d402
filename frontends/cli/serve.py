"""`netmap serve`: all roles from one directory. The composition root; only here do the three meet.

Rule 1: the bundled nats-server is there before the roles and after them; a role that ends unasked ends them all.
Rule 2: all roles are in this process, but for frontends, if there are several: those are processes of their own (`children.py`).
Rule 3: everything is in the directory (mode 0700): a second start has everything back.
Rule 4: one `serve` in a directory at a time: a second would end the first one's nats-server as one left behind.
Rule 5: when it stops there is no other frontend for clients to go to: sessions are closed at once, not over a time.
"""

import asyncio
import contextlib
import fcntl
import json
import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Final

from frontends.cli import greeting
from frontends.cli.failure import Exit, Failure, Trouble
from frontends.cli.process import run, stopping, until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from engine.config import Settings
    from engine.ports import Clock, EventReader
    from frontends.cli.children import Children

Role = Callable[["Settings", asyncio.Event], Awaitable[None]]
ROLES: Final = ("engine", "projection", "frontend", "admin")
DERP_FILE: Final = "derp.json"
LOCK_FILE: Final = "serve.lock"
FIRST: Final = "f1"
"""The id of a frontend in this process, if no setting gives one."""


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
    own = msgspec.structs.replace(
        settings,
        nats_urls=(),
        nats_user="",
        nats_password="",
        drain_seconds=0.0,
        frontend=settings.frontend or FIRST,
    )
    run(settings.log_level, _all_roles(own, quiet=quiet))


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
    run(settings.log_level, _one_role(name, settings))


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


async def replayed(reader: "EventReader", clock: "Clock", **given: object) -> dict[str, object]:
    """Fold a log by itself; return what came of it (`projections/replaying.py`).

    Raises:
        Invalid: the moment is none.
    """
    import msgspec

    from projections.replaying import replay

    facts: dict[str, object] = msgspec.to_builtins(await replay(reader, clock, **given))  # type: ignore[arg-type]
    return facts


async def _one_role(name: str, settings: "Settings") -> None:
    with stopping() as stop:
        await until(stop, name, role_of(name)(settings, stop))


async def _all_roles(settings: "Settings", *, quiet: bool) -> None:
    import msgspec

    from engine.adapters.bus.server import bundled
    from frontends.admin.listen import free_port

    if not settings.admin_port:  # who greets must know it
        settings = msgspec.structs.replace(settings, admin_port=free_port(settings.admin_host))
    with stopping() as stop:
        async with (
            _frontends(settings) as (own, frontends),
            bundled(own) as served,
            asyncio.TaskGroup() as group,
        ):
            for name in ROLES:
                role = frontends.run if name == "frontend" else role_of(name)
                group.create_task(until(stop, name, role(served, stop)), name=name)
            group.create_task(greeting.greet(served, stop, frontends.missing, quiet=quiet), name="greeting")


class _Here:
    """The one frontend, in this process."""

    def __init__(self) -> None:
        self._is_ready = False

    def missing(self) -> str:
        """Return that it is not ready, or nothing."""
        return "" if self._is_ready else "the frontend is not ready"

    async def run(self, settings: "Settings", stop: asyncio.Event) -> None:
        """Run it until told to stop."""
        from frontends.control.listen import run_frontend

        await run_frontend(settings, stop, self._told)

    def _told(self, *, ready: bool) -> None:
        self._is_ready = ready


@contextlib.asynccontextmanager
async def _frontends(settings: "Settings") -> "AsyncIterator[tuple[Settings, Children | _Here]]":
    """Yield the settings and who runs the frontends; if there are several, their port is taken (rule 2)."""
    from frontends.cli.children import Children, cores, port_held

    count = settings.frontends or cores()
    if count == 1:
        yield settings, _Here()
        return
    async with port_held(settings) as held:
        yield held, Children(count)
