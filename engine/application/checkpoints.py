"""Signs what the log is, for whoever keeps it elsewhere: in a file, on the bus, at the asker's (invariant L7).

Rule 1: a checkpoint is made `EVERY_SECONDS` after the first new record, or after `EVERY_RECORDS` of them.
Rule 2: only what is committed is signed; a checkpoint is kept before it is told.
Rule 3: a file or a bus that fails is logged and tried again with the next one: commands go on.
"""

import asyncio
from collections.abc import Sequence
from typing import Final

import structlog

from engine.application.answers import json_answer
from engine.application.engine import Engine
from engine.contracts import subjects
from engine.contracts.checkpoint import CheckpointReply, Signer, origin_of
from engine.domain.values import Epoch, TailnetName
from engine.ports import Answer, Bus, CheckpointFile, Fault, KeyRing, Message, Recorded

_LOG: Final = structlog.get_logger()
EVERY_SECONDS: Final = 10.0
EVERY_RECORDS: Final = 1_000
"""Both from the reference: reliability-security §3.7."""


class Checkpoints:
    """The signer of one log's checkpoints."""

    def __init__(
        self, engine: Engine, keyring: KeyRing, bus: Bus, tailnet: TailnetName, file: CheckpointFile
    ) -> None:
        self._engine = engine
        self._bus = bus
        self._tailnet = tailnet
        self._file = file
        self._private = keyring.checkpoint_private()
        self._kept = -1
        self._grown = asyncio.Event()
        self._many = asyncio.Event()
        engine.watch(self._on_commit)

    async def run(self, stop: asyncio.Event) -> None:
        """Sign what has grown, until `stop`; and once more at the end."""
        stopping = asyncio.create_task(stop.wait())
        self._on_commit(())
        try:
            while not stop.is_set():
                await _first(stopping, self._grown)
                if not stop.is_set():
                    await _first(stopping, self._many, within=EVERY_SECONDS)
                await self.keep()
        finally:
            stopping.cancel()

    async def keep(self) -> None:
        """Sign, keep and tell what the log is now, if it has grown."""
        self._grown.clear()
        self._many.clear()
        size = self._engine.size()
        if size == self._kept:
            return
        note = self.note()
        try:
            await asyncio.to_thread(self._file.add, note)
            self._kept = size
            await self._bus.publish(subjects.log_checkpoint(self._tailnet), note.encode())
        except Fault as fault:
            _LOG.error("checkpoint.failed", fault=str(fault))

    def note(self) -> str:
        """Return the signed note of the log as it is now."""
        return self._noted(self._signer())

    async def respond(self, _message: Message) -> Answer:
        """Answer `q.log.checkpoint`: the present note, and the key that checks its signature."""
        signer = self._signer()
        return json_answer(CheckpointReply(note=self._noted(signer), key=str(signer.verifier)))

    def _noted(self, signer: Signer) -> str:
        return signer.note(self._engine.checkpoint(signer.verifier.name))

    def _signer(self) -> Signer:
        epoch = Epoch(self._engine.head().epoch)
        return Signer(origin_of(self._tailnet, epoch), self._private)

    def _on_commit(self, _records: Sequence[Recorded]) -> None:
        self._grown.set()
        if self._engine.size() >= self._kept + EVERY_RECORDS:
            self._many.set()


async def _first(
    stopping: "asyncio.Task[bool]", event: asyncio.Event, *, within: float | None = None
) -> None:
    waiting = asyncio.create_task(event.wait())
    await asyncio.wait({stopping, waiting}, timeout=within, return_when=asyncio.FIRST_COMPLETED)
    waiting.cancel()
