"""A whole log folded by itself, away from everything that runs: `netmap replay`.

Rule 1: it is the fold of a projection, from the first record; nothing that was kept is used or written.
Rule 2: a state digest is told at the last record before each multiple of so many positions, and at the end: two hosts that replay one
        log tell the same, however they read it.
Rule 3: a record that cannot be read ends it; what is told says after which record that was.
"""

import gc
from collections.abc import Callable, Sequence
from typing import Final

import msgspec

from engine.domain.values import Epoch, Millis, Position
from engine.ports import Clock, EventReader, Fault, Recorded
from projections.history.moment import Moment, moment
from projections.history.replay import is_after
from projections.live import Live

PAGE: Final = 1_000
"""Records in a read."""

Tell = Callable[[Position, int], None]
"""Is called after each page: the position, and how many records were taken."""


class Mark(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """The state digest at a position."""

    position: Position
    digest: str


class Replayed(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What came of a log; `why` says that it ended early: nothing can be read after `position`."""

    epoch: Epoch
    position: Position
    at: Millis
    records: int
    nodes: int
    objects: int
    digest: str
    record: str
    """The digest of the last record: names the whole history up to it (L7)."""
    seconds: float
    rate: int
    """Records a second."""
    digests: tuple[Mark, ...] = ()
    why: str = ""


class _Replay:
    def __init__(self, reader: EventReader, clock: Clock, until: Moment | None, every: int) -> None:
        self.live = Live(reader, clock)
        self.records = 0
        self.marks: list[Mark] = []
        self.why = ""
        self._until = until
        self._every = every

    async def run(self, tell: Tell) -> None:
        """Read to the moment, the end, or what cannot be read."""
        size = PAGE
        while True:
            try:
                records = await self.live.reader.read(self.live.state.position, size)
            except Fault as fault:
                if size == 1:
                    self.why = str(fault)
                    return
                size = 1  # which of them is it?
                continue
            if not records or not self._take(records):
                return
            tell(self.live.state.position, self.records)

    def _take(self, records: Sequence[Recorded]) -> bool:
        """Take the records up to the moment; return whether there may be more."""
        wanted = records
        if self._until is not None:
            wanted = [record for record in records if not is_after(record, self._until)]
        start, last = 0, self.live.state.position
        for end, record in enumerate(wanted):
            if self._every and last and (last - 1) // self._every != (record.position - 1) // self._every:
                self.live.take(wanted[start:end])
                self.marks.append(Mark(position=last, digest=self.live.state.state_digest()))
                start = end
            last = record.position
        self.live.take(wanted[start:])
        self.records += len(wanted)
        return len(wanted) == len(records)


async def replay(
    reader: EventReader,
    clock: Clock,
    *,
    at: int | str | None = None,
    every: int = 0,
    tell: Tell = lambda *_: None,
) -> Replayed:
    """Fold the log up to a moment, or to its end; tell a digest for every so many positions (0: only at the end).

    Raises:
        Invalid: `history.moment`: `at` is none of the forms of a moment.
    """
    began = clock.monotonic()
    run = _Replay(reader, clock, moment(at, clock.now()), every)
    gc.disable()  # as when a projection catches up
    try:
        await run.run(tell)
    finally:
        gc.enable()
    state, seconds = run.live.state, max(clock.monotonic() - began, 1e-9)
    return Replayed(
        epoch=state.epoch,
        position=state.position,
        at=state.at,
        records=run.records,
        nodes=len(state.tailnet.nodes),
        objects=len(state.objects),
        digest=state.state_digest(),
        record=state.digest,
        seconds=round(seconds, 3),
        rate=round(run.records / seconds),
        digests=tuple(run.marks),
        why=run.why,
    )
