"""Records in, until the moment: the tailnet there, what made it so, and at the end the netmap state.

Rule 1: sans I/O: whoever has the log feeds it; `take` says when there is no need for more.
Rule 2: recorded time never goes back in a log, so the first record after the moment ends it.
Rule 3: soft state is not in the log: history says nothing of online, endpoints and last seen.
Rule 4: netmap objects are made once, at the end (`netmap/rebuild.py`): they are the fold's (P2, P3), but all stand at the moment's
        position. Where each was changed last matters to holders of the present only.
"""

from collections.abc import Iterable
from typing import assert_never

from engine.domain.events import CommandHandled, LogStarted
from engine.domain.state import Tailnet
from engine.domain.values import NEVER, Epoch, Position
from engine.ports import Recorded
from projections.history.causes import Causes
from projections.history.kept import Kept
from projections.history.moment import AtPosition, AtTime, Moment
from projections.netmap.rebuild import rebuild
from projections.netmap.state import NetmapState


class Replay:
    """A tailnet on its way to a moment, from the beginning of the log or from an earlier moment of it."""

    def __init__(self, until: Moment, start: Kept | None = None) -> None:
        self.position = Position(0) if start is None else start.position
        self.causes = Causes() if start is None else start.causes
        self.arrived = False
        self._until = until
        self._tailnet = Tailnet() if start is None else start.tailnet
        self._epoch = Epoch("") if start is None else start.epoch
        self._at = NEVER if start is None else start.at
        self._digest = "" if start is None else start.digest

    def take(self, records: Iterable[Recorded]) -> bool:
        """Take in the records up to the moment; return whether it was reached."""
        for record in records:
            if self.arrived or is_after(record, self._until):
                self.arrived = True
                break
            self.position, self._digest = record.position, record.digest
            self._at = record.envelope.at
            if isinstance(record.event, CommandHandled):
                continue
            if isinstance(record.event, LogStarted):
                self._epoch = record.event.epoch
            self.causes.take(record, self._tailnet)
            self._tailnet.apply(record.event, self._at)
        return self.arrived

    def state(self) -> NetmapState:
        """Return the netmap state of where it is; it takes no more records then."""
        state = rebuild(self._tailnet, self._epoch, self.position)
        state.at, state.digest = self._at, self._digest
        return state


def is_after(record: Recorded, until: Moment) -> bool:
    """Return whether the record came after the moment."""
    match until:
        case AtPosition(position=position):
            return record.position > position
        case AtTime(at=at):
            return record.envelope.at > at
        case _:
            assert_never(until)
