"""A frontend that `netmap serve` has started (`children.py`): `python -m frontends.cli.child`.

Rule 1: its settings are the first line of its standard input, in JSON: arguments can be read by everybody on the host.
Rule 2: when that input ends, its parent is gone, and it ends too, without a drain.
Rule 3: on its standard output it says, one word a line, whether it is ready.
"""

import asyncio
import contextlib
import sys
from typing import TYPE_CHECKING, Final

from frontends.cli.process import run, stopping, until

if TYPE_CHECKING:
    from engine.config import Settings

READY: Final = "ready"
UNREADY: Final = "unready"


def main() -> None:
    """Serve until told to stop, or alone.

    Raises:
        Failure: the infrastructure failed (exit 1).
    """
    import msgspec

    from engine.config import Settings

    line = sys.stdin.buffer.readline()
    if not line:
        return  # the parent was gone first
    settings = msgspec.json.decode(line, type=Settings)
    run(settings.log_level, _serve(settings))


async def _serve(settings: "Settings") -> None:
    from frontends.control.listen import run_frontend

    with stopping() as stop:
        orphaned = asyncio.create_task(_orphaned(stop))
        try:
            await until(stop, "frontend", run_frontend(settings, stop, _say))
        finally:
            orphaned.cancel()


def _say(*, ready: bool) -> None:
    with contextlib.suppress(BrokenPipeError):
        print(READY if ready else UNREADY, flush=True)


async def _orphaned(stop: asyncio.Event) -> None:
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), sys.stdin.buffer
    )
    await reader.read()
    stop.set()


if __name__ == "__main__":
    import click

    try:
        main()
    except click.ClickException as failure:
        failure.show()
        sys.exit(failure.exit_code)
    except click.exceptions.Exit as ended:
        sys.exit(ended.exit_code)
