"""The present: the folded state of one process, and whoever waits for it to move.

Rule 1: `take` is the only writer, after `resume` at most once; it does not await, so nobody sees half a batch.
Rule 2: who waits for a position also wakes the reader: read your writes costs a read, not a poll's turn.
"""

import asyncio
from collections.abc import Sequence
from typing import ClassVar, Final

from engine.domain.events import NodeDeleted
from engine.domain.values import Position
from engine.ports import Clock, EventReader, Fault, Recorded
from projections.history.causes import Causes
from projections.history.kept import Kept
from projections.inventory.receipts import Receipts
from projections.inventory.versions import Versions
from projections.netmap.deltas import Step
from projections.netmap.fold import fold
from projections.netmap.state import NetmapState
from projections.soft_cache import SoftCache


class Behind(Fault):
    """This replica has not read as far as it was asked to be."""

    code: ClassVar[str] = "query.behind"
    told: ClassVar[str] = "this projection has not read as far as that position yet"
    hint: ClassVar[str] = "try again in a moment; if it stays so, see the projection's log"


class Live:
    """What one projection process knows now."""

    def __init__(self, reader: EventReader, clock: Clock) -> None:
        self.reader: Final = reader
        self.clock: Final = clock
        self.state = NetmapState()
        self.receipts = Receipts()
        self.policies = Versions()
        self.causes = Causes()
        self.soft: Final = SoftCache(clock.monotonic)
        self.wake: Final = asyncio.Event()
        """Set by whoever thinks that the log has grown."""
        self._moved = asyncio.Event()

    def resume(self, kept: Kept) -> None:
        """Start from a moment of this log instead of its beginning; before anything was taken or asked.

        Raises:
            BadKept: see `Kept.state`; nothing was changed.
        """
        self.state = kept.state()
        self.causes, self.policies = kept.causes, kept.versions
        self.receipts = Receipts(since=kept.position)

    def take(self, records: Sequence[Recorded]) -> list[Step]:
        """Fold the records; return what each of them changed."""
        steps = []
        for record in records:
            self.causes.take(record, self.state.tailnet)
            changes = fold(self.state, record)
            steps.append(Step(self.state.epoch, self.state.position, changes))
            self.receipts.add(record)
            self.policies.add(record, self.state.policy.document)
            if isinstance(record.event, NodeDeleted):
                self.soft.forget(record.event.node)
        if steps:
            self._moved.set()
            self._moved = asyncio.Event()
        return steps

    async def reached(self, position: Position, within: float) -> None:
        """Wait until the state is at the position or after it.

        Raises:
            Behind: it is not there `within` seconds.
        """
        if self.state.position >= position:
            return
        self.wake.set()
        try:
            async with asyncio.timeout(within):
                while self.state.position < position:
                    await self._moved.wait()
        except TimeoutError:
            raise Behind(f"at {self.state.position}, asked for {position}") from None
