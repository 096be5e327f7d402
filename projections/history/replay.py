"""Records in, until the moment: the netmap state there, and what made it so; the same fold as the present's, stopped earlier.

Rule 1: sans I/O: whoever has the log feeds it; `take` says when there is no need for more.
Rule 2: recorded time never goes back in a log, so the first record after the moment ends it.
Rule 3: soft state is not in the log: history says nothing of online, endpoints and last seen.
"""

from collections.abc import Iterable
from typing import assert_never

from engine.ports import Recorded
from projections.history.causes import Causes
from projections.history.kept import Kept
from projections.history.moment import AtPosition, AtTime, Moment
from projections.netmap.fold import fold
from projections.netmap.state import NetmapState


class Replay:
    """A state on its way to a moment, from the beginning of the log or from an earlier moment of it."""

    def __init__(self, until: Moment, start: Kept | None = None) -> None:
        self.state = NetmapState() if start is None else start.state
        self.causes = Causes() if start is None else start.causes
        self.arrived = False
        self._until = until

    def take(self, records: Iterable[Recorded]) -> bool:
        """Fold the records up to the moment; return whether it was reached."""
        for record in records:
            if self.arrived or is_after(record, self._until):
                self.arrived = True
                break
            self.causes.take(record, self.state.tailnet)
            fold(self.state, record)
        return self.arrived


def is_after(record: Recorded, until: Moment) -> bool:
    """Return whether the record came after the moment."""
    match until:
        case AtPosition(position=position):
            return record.position > position
        case AtTime(at=at):
            return record.envelope.at > at
        case _:
            assert_never(until)
