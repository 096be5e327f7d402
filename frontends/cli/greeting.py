"""What `netmap serve` says when everybody answers: where it serves, and what a person types next."""

import asyncio
import contextlib
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from frontends.cli.failure import Failure
from frontends.cli.place import Place
from frontends.cli.session import Session, session
from frontends.cli.text import colours, note
from frontends.cli.world import World, reach

if TYPE_CHECKING:
    from engine.config import Settings

PATIENCE_SECONDS: Final = 15.0
"""After this a person is told who does not answer yet; a long log is replayed first, so nothing is given up."""
LOOK_SECONDS: Final = 0.2
"""Between two looks."""


async def greet(
    settings: "Settings", stop: asyncio.Event, more: Callable[[], str] = lambda: "", *, quiet: bool
) -> None:
    """Wait until everybody answers, then say what to type; `more` says who else is not ready."""
    place = Place(directory=settings.directory, tailnet=settings.tailnet)
    async with session(place, World(connect=reach)) as tailnet:
        looks = 0
        while (missing := await _missing(tailnet, settings) or more()) and not stop.is_set():
            looks += 1
            if looks == int(PATIENCE_SECONDS / LOOK_SECONDS):
                note(f"not ready yet: {missing}")
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), LOOK_SECONDS)
    if not quiet and not missing:
        click.echo(said(settings, program_folder()), color=colours())


def program_folder() -> str:
    """Return the folder of this program if a shell would not find it, else nothing."""
    return "" if shutil.which("netmap") else str(Path(sys.executable).parent)


def said(settings: "Settings", program: str = "") -> str:
    """Return the lines for a person; `program` is a folder that is to be put on the PATH first."""
    where, url = settings.directory, settings.public_url()
    path = (f"  export PATH={program}:$PATH",) if program else ()
    lines = (
        click.style(f"netmap serves tailnet {settings.tailnet!r} from {where}", bold=True),
        f"  clients   {url}",
        f"  HTTP API  {_admin_url(settings)}   keys: `netmap apikey create`",
        f"  stop      Ctrl-C; `netmap serve --dir {where}` has everything back",
        "",
        "next, in another terminal:",
        *path,
        f"  export NETMAP_DIR={where}",
        "  netmap user create alice",
        "  netmap preauthkey create --user alice",
        f"  tailscale up --login-server {url} --auth-key nmkey-…",
    )
    return "\n".join(lines)


def _admin_url(settings: "Settings") -> str:
    host = f"[{settings.admin_host}]" if ":" in settings.admin_host else settings.admin_host
    return f"http://{host}:{settings.admin_port}"


async def _missing(tailnet: Session, settings: "Settings") -> str:
    """Return who does not answer yet; empty when everybody does."""
    try:
        await tailnet.ask("login", "list")  # the engine answers
        await tailnet.ask("settings", "get")  # a projection answers
    except Failure as failure:
        return failure.trouble.message
    places = (
        ("frontend", settings.listen_host, settings.listen_port),
        ("HTTP API", settings.admin_host, settings.admin_port),
    )
    for name, host, port in places:
        try:
            async with asyncio.timeout(LOOK_SECONDS):
                _, writer = await asyncio.open_connection("127.0.0.1" if host == "0.0.0.0" else host, port)  # noqa: S104 (compared)
            writer.close()
        except OSError as error:
            return f"the {name} does not listen: {type(error).__name__}"
    return ""
