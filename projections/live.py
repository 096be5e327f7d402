"""The present: the folded state of one process, and whoever waits for it to move.

Rule 1: `take` is the only writer, after `resume` at most once, and `swap`; neither awaits, so nobody sees half a batch.
Rule 2: who waits for a position also wakes the reader: read your writes costs a read, not a poll's turn.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import ClassVar, Final

from engine.domain.events import NodeDeleted
from engine.domain.values import Position
from engine.ports import Clock, EventReader, Fault, Recorded, Undecodable
from projections.history.causes import Causes
from projections.history.kept import Kept
from projections.inventory.receipts import Receipts
from projections.inventory.versions import Versions
from projections.netmap.deltas import Step
from projections.netmap.fold import fold
from projections.netmap.state import NetmapState
from projections.soft_cache import SoftCache

FRESH_SECONDS: Final = 3.0
"""How long ago the log's end may have been seen by who answers for now (reference: reliability F3, stale): who was stopped for a while
looks first."""


class Behind(Fault):
    """This replica has not read as far as it was asked to be."""

    code: ClassVar[str] = "query.behind"
    told: ClassVar[str] = "this projection has not read as far as that position yet"
    hint: ClassVar[str] = "try again in a moment; if it stays so, see the projection's log"


class Doubtful(Fault):
    """Somebody says otherwise, or an object is not what was put there: nothing is told before that is settled."""

    code: ClassVar[str] = "projection.doubtful"
    told: ClassVar[str] = "this projection compares what it holds with the log before it says more"
    hint: ClassVar[str] = "try again in a moment, another projection may answer; see netmap projection list"


class AnotherLog(Undecodable):
    """The log is not the one that was read before: it was restored or truncated under a running projection (F6)."""


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
        self.head = Position(0)
        """The newest position of the log that was heard of; at least that of the state."""
        self.doubt = ""
        """Why nothing is to be told at present; empty when there is no doubt."""
        self.generation = 0
        """How often another state has taken the place of this one."""
        self._looked: float | None = None
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
            self.heard_head(self.state.position)
            self._stir()
        return steps

    async def following(self, limit: int) -> Sequence[Recorded]:
        """Read on from the last record, which must still be there and be the same: it names all before it.

        Raises:
            AnotherLog: it is not.
            Fault: the log cannot be read.
        """
        state = self.state
        if not state.position:
            return await self.reader.read(state.position, limit)
        records = await self.reader.read(Position(state.position - 1), limit + 1)
        if not records or (records[0].position, records[0].digest) != (state.position, state.digest):
            raise AnotherLog(f"the record at {state.position} is not the one that was read there")
        return records[1:]

    def swap(self, other: "Live") -> None:
        """Go on from another one's state, which is at the same position of the same log."""
        self.state, self.causes, self.policies = other.state, other.causes, other.policies
        self.generation += 1

    def saw_end(self, when: float) -> None:
        """Take note that a read that began then (monotonic seconds) came to the end of the log."""
        self._looked = when
        self._stir()

    def heard_head(self, position: Position) -> None:
        """Take note of where the engine says that the log is."""
        self.head = max(self.head, position)

    def lag_seconds(self) -> float:
        """Return how long ago it was last seen that nothing follows; 0 while nobody follows a log."""
        return 0.0 if self._looked is None else max(0.0, self.clock.monotonic() - self._looked)

    def lag(self) -> int:
        """Return how many positions the log is ahead, as far as was heard; positions may have holes."""
        return max(0, self.head - self.state.position)

    async def fresh(self, within: float) -> None:
        """Wait until the log's end has been seen in the last `FRESH_SECONDS`.

        Raises:
            Doubtful: what is held may be wrong.
            Behind: it has not been seen `within` seconds.
        """
        if self.doubt:
            raise Doubtful(self.doubt)
        await self._until(lambda: self.lag_seconds() <= FRESH_SECONDS, within, self._unseen)

    def _stir(self) -> None:
        self._moved.set()
        self._moved = asyncio.Event()

    async def reached(self, position: Position, within: float) -> None:
        """Wait until the state is at the position or after it.

        Raises:
            Behind: it is not there `within` seconds.
        """
        await self._until(
            lambda: self.state.position >= position,
            within,
            lambda: f"at {self.state.position}, asked for {position}",
        )

    async def _until(self, holds: Callable[[], bool], within: float, why: Callable[[], str]) -> None:
        """Wait until it holds, and wake the reader if it does not yet."""
        if holds():
            return
        self.wake.set()
        try:
            async with asyncio.timeout(within):
                while not holds():
                    await self._moved.wait()
        except TimeoutError:
            raise Behind(why()) from None

    def _unseen(self) -> str:
        return f"at {self.state.position}, the log's end not seen for {self.lag_seconds():.1f} s"
