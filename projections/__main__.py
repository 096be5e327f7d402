"""`python -m projections [settings.toml]`: one projection process, until SIGTERM or SIGINT."""

import asyncio
import os
import signal
import sys
from pathlib import Path

import uvloop

from engine.adapters import log
from engine.config import Settings, parse
from projections.runner import run_projection


async def live(settings: Settings) -> None:
    """Run until a signal says stop."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    await run_projection(settings, stop)


def main(arguments: list[str]) -> None:
    """Read the settings, then run."""
    text = Path(arguments[0]).read_text(encoding="utf-8") if arguments else ""
    settings = parse(text, os.environ)
    log.configure(settings.log_level)
    uvloop.run(live(settings))


if __name__ == "__main__":
    main(sys.argv[1:])
