"""Whether this projection and the others say the same of the same positions; pure.

Rule 1: a digest is compared with those of the same epoch, position and form that others have said, whoever comes there first.
Rule 2: all projections of a tailnet say one at least at the last record before each multiple of `WAYPOINT` positions: under load too
        there are positions of which all of them speak.
Rule 3: what was said is remembered for the last `REMEMBERED` positions; who is further behind than that agrees with nobody.
"""

from collections import OrderedDict
from collections.abc import Iterator, Sequence
from typing import Final, TypeVar

import msgspec

from engine.contracts.digest import differ
from engine.domain.values import Epoch, Position
from engine.ports import Recorded

T = TypeVar("T")
WAYPOINT: Final = 1_000
"""Positions: about a second of a log that grows as fast as it can on two cores."""
REMEMBERED: Final = 512
"""Positions of which it is known what was said: ten minutes of a log in which little happens."""


class Heard(msgspec.Struct, frozen=True):
    """What is read of another projection's delta: only what it says of itself."""

    epoch: Epoch
    cur: Position
    digest: str = ""
    by: str = ""


class Disagreement(msgspec.Struct, frozen=True, kw_only=True):
    """Two projections that hold other objects at one position; one of them is wrong."""

    epoch: Epoch
    position: Position
    own: str
    theirs: str
    by: str
    """Who says the other digest."""


class Agreement:
    """What was said of the last positions, by this projection and by others."""

    def __init__(self, own_name: str) -> None:
        self.compared = 0
        """How often there was something to compare."""
        self._name = own_name
        self._own: OrderedDict[tuple[Epoch, Position], str] = OrderedDict()
        self._theirs: OrderedDict[tuple[Epoch, Position], Heard] = OrderedDict()

    def say(self, epoch: Epoch, position: Position, digest: str) -> Disagreement | None:
        """Note what this projection says; return who has said otherwise."""
        _remember(self._own, (epoch, position), digest)
        heard = self._theirs.get((epoch, position))
        return None if heard is None else self._compared(digest, heard)

    def hear(self, heard: Heard) -> Disagreement | None:
        """Note what another one says; return whether this one has said otherwise."""
        if not heard.digest or heard.by in {"", self._name}:
            return None
        _remember(self._theirs, (heard.epoch, heard.cur), heard)
        own = self._own.get((heard.epoch, heard.cur))
        return None if own is None else self._compared(own, heard)

    def forget(self) -> None:
        """Let go of what this projection has said: it has another state now."""
        self._own.clear()

    def _compared(self, own: str, heard: Heard) -> Disagreement | None:
        self.compared += 1
        if not differ(own, heard.digest):
            return None
        return Disagreement(epoch=heard.epoch, position=heard.cur, own=own, theirs=heard.digest, by=heard.by)


def waypoints(records: Sequence[Recorded]) -> Iterator[Sequence[Recorded]]:
    """Yield the records in runs, each of which ends where all projections say a digest (rule 2), or at the end."""
    start = 0
    for end in range(1, len(records) + 1):
        if end == len(records) or _leg(records[end]) != _leg(records[end - 1]):
            yield records[start:end]
            start = end


def _leg(record: Recorded) -> int:
    return record.position // WAYPOINT


def _remember(said: OrderedDict[tuple[Epoch, Position], T], key: tuple[Epoch, Position], what: T) -> None:
    said[key] = what
    said.move_to_end(key)
    if len(said) > REMEMBERED:
        said.popitem(last=False)
