"""A log in memory with a history in it, and time that only moves when told."""

from collections.abc import Sequence

import msgspec

from engine.adapters.store.memory import MemoryEventReader, MemoryEventStore, MemoryLog
from engine.ports import Pending, Recorded
from tests.kit.histories import Step, history


class Written:
    """A memory log that steps are written into; each step is one commit."""

    def __init__(self) -> None:
        self.log = MemoryLog()
        self.store = MemoryEventStore(self.log)
        self.course: list[Step] = []
        self.records: list[Recorded] = []

    async def open(self) -> "Written":
        await self.store.open()
        return self

    async def write(self, *steps: Step, at: int = 0) -> Sequence[Recorded]:
        """Append what the steps add to the history so far; `at` shifts the recorded time."""
        self.course += steps
        whole = history(self.course)
        fresh = [
            Pending(
                envelope=msgspec.structs.replace(record.envelope, at=record.envelope.at + at),
                event=record.event,
            )
            for record in whole[len(self.records) :]
        ]
        appended = await self.store.append(fresh)
        self.records += appended
        return appended

    def reader(self) -> MemoryEventReader:
        return MemoryEventReader(self.log)
