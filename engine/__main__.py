"""`python -m engine`: the engine alone, with settings from the environment; `netmap run engine` has the flags."""

import asyncio
import os
import signal

import uvloop

from engine.adapters import log
from engine.bootstrap import run_engine
from engine.config import Settings, parse


async def _main(settings: Settings) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    await run_engine(settings, stop)


if __name__ == "__main__":
    found = parse("", os.environ)
    log.configure(found.log_level)
    uvloop.run(_main(found))
