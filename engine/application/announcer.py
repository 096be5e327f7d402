"""Says on the bus where the log is: at once after a commit, and every second, so that a lost word costs one.

It is a wake-up: who hears it reads the log, which is the truth.
"""

import asyncio
from collections.abc import Sequence
from typing import Final

import structlog

from engine.application.answers import json_answer
from engine.application.engine import Engine
from engine.contracts import subjects
from engine.domain.values import TailnetName
from engine.ports import Bus, Fault, Recorded

_LOG: Final = structlog.get_logger()
REPEAT_SECONDS: Final = 1.0


class Announcer:
    """The publisher of `log.head`; commits that come together are told once."""

    def __init__(self, engine: Engine, bus: Bus, tailnet: TailnetName) -> None:
        self._engine = engine
        self._bus = bus
        self._subject = subjects.log_head(tailnet)
        self._moved = asyncio.Event()
        engine.watch(self._on_commit)

    async def run(self, stop: asyncio.Event) -> None:
        """Tell the head until `stop`."""
        while not stop.is_set():
            self._moved.clear()
            try:
                await self._bus.publish(self._subject, json_answer(self._engine.head()).data)
            except Fault as fault:
                _LOG.warning("announcer.unheard", fault=type(fault).__name__)
            try:
                await asyncio.wait_for(self._moved.wait(), REPEAT_SECONDS)
            except TimeoutError:
                continue

    def _on_commit(self, _records: Sequence[Recorded]) -> None:
        self._moved.set()
