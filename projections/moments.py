"""Packed moments of one log on a shelf: from where a projection starts, and a replay, instead of at the beginning.

Rule 1: one is kept as the present passes, whenever `EVERY` records have gone by, and as many as it has objects: so keeping costs
        each record the same, a small part of its fold. Packing and writing go on beside the present, one at a time.
Rule 2: there are at most `MOST`, in `MOST_OCTETS`: then the one goes that leaves the smallest gap, of alike ones the oldest. The
        newest never goes.
Rule 3: nothing on the shelf is believed: a moment is used if it is whole, of this code's fold, and the log has the record that it
        names at its position. Any other is let go with a word in the log, and the next older one is tried.
Rule 4: a shelf that fails costs time, never an answer.
"""

import asyncio
import re
from bisect import insort
from collections.abc import Callable, Iterable
from typing import Final, NamedTuple

import structlog

from engine.domain.values import Millis, Position
from engine.ports import EventReader, Fault, Shelf
from projections.history.kept import BadKept, Kept, Unpacked, encode, pack, unpack
from projections.history.moment import AtPosition, Moment
from projections.live import Live

EVERY: Final = 2_500
"""Records at least: to read and fold them takes 0.04 s on an idle core, 0.2 s where others have it."""
MOST: Final = 500
MOST_OCTETS: Final = 1024 * 1024 * 1024
SUFFIX: Final = ".moment"
"""Of the files."""

_NAME: Final = re.compile(r"(\d{1,18})-(\d{1,18})", re.ASCII)
_log = structlog.get_logger(__name__)


Spacing = Callable[[int], int]
"""From how many objects a moment has to how many records lie between two."""


def spacing_for(objects: int) -> int:
    """Return how many records lie between two moments of so many objects (rule 1)."""
    return max(EVERY, objects)


class Place(NamedTuple):
    """A moment on the shelf: the position and the time of its last record, and how large it is packed."""

    position: Position
    at: Millis
    octets: int

    @property
    def name(self) -> str:
        """Return what it is called on the shelf."""
        return f"{self.position}-{self.at}"


class Moments:
    """What is on the shelf, in order of the log; before `open` nothing is known of it."""

    def __init__(
        self,
        shelf: Shelf,
        reader: EventReader,
        *,
        spacing: Spacing = spacing_for,
        most: int = MOST,
        octets: int = MOST_OCTETS,
    ) -> None:
        self.places: list[Place] = []
        self._shelf = shelf
        self._reader = reader
        self._spacing = spacing
        self._most = most
        self._octets = octets
        self._passed = Position(0)
        """Where the last one was kept, or begun to be."""
        self._writing: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """Look what is there.

        Raises:
            Fault: the shelf cannot be read.
        """
        found = await asyncio.to_thread(self._shelf.names)
        self.places = sorted(_placed(found.items()))
        for name in found.keys() - {place.name for place in self.places}:
            _log.warning("this is no kept moment", name=name)
            await asyncio.to_thread(self._shelf.drop, name)

    async def resume(self, live: Live) -> bool:
        """Start the present from the last moment that holds for the log; return whether there was one.

        Raises:
            Fault: the log cannot be read.
        """
        for place in reversed(self.places):
            try:
                live.resume(await self._loaded(place))
            except BadKept as bad:
                await self.let_go(place, bad)
            else:
                self._passed = place.position
                return True
        return False

    async def before(self, moment: Moment) -> Kept | None:
        """Return the last one at or before the moment; it is the caller's own.

        Raises:
            Fault: the log cannot be read.
        """
        for place in [place for place in reversed(self.places) if _is_before(place, moment)]:
            try:
                return await self._loaded(place)
            except BadKept as bad:
                await self.let_go(place, bad)
        return None

    async def note(self, live: Live) -> None:
        """Keep the present if that is due; waits only for one that is still being written."""
        state = live.state
        if not state.epoch or state.position - self._passed < self._spacing(len(state.objects)):
            return
        await self.settled()
        self._passed = state.position
        encoded = encode(state, live.causes, live.policies)
        self._writing = asyncio.create_task(self._keep(state.position, state.at, encoded))

    async def settled(self) -> None:
        """Wait until nothing is being written."""
        writing = self._writing
        if writing is not None:
            await writing
            if self._writing is writing:  # nobody has begun another one meanwhile
                self._writing = None

    async def _keep(self, position: Position, at: Millis, encoded: bytes) -> None:
        try:
            packed = await asyncio.to_thread(pack, encoded)
            place = Place(position, at, len(packed))
            await asyncio.to_thread(self._shelf.put, place.name, packed)
        except Fault as fault:
            _log.warning("a moment was not kept", position=position, why=str(fault))
            return
        self.places = [held for held in self.places if held.name != place.name]
        insort(self.places, place)
        while (goes := self._superfluous()) is not None:
            self.places.remove(goes)
            await asyncio.to_thread(self._shelf.drop, goes.name)

    def _superfluous(self) -> Place | None:
        """Return which one has to go; None while there is room (rule 2)."""
        held = self.places
        if len(held) <= self._most and sum(place.octets for place in held) <= self._octets:
            return None
        inner = range(1, len(held) - 1)
        if not inner:
            return held[0] if len(held) > 1 else None
        return held[min(inner, key=lambda index: held[index + 1].position - held[index - 1].position)]

    async def found_at(self, place: Place) -> Unpacked:
        """Return a moment as it is packed, for who can tell whether it is right; the log is not looked at.

        Raises:
            BadKept: it is gone, or not whole, or of another version of this program.
        """
        data = await asyncio.to_thread(self._shelf.get, place.name)
        if data is None:
            raise BadKept("it is not there")
        found = await asyncio.to_thread(unpack, data)
        if (found.position, found.at) != (place.position, place.at):
            raise BadKept("it is not the moment that its name says")
        return found

    async def _loaded(self, place: Place) -> Kept:
        found = await self.found_at(place)
        records = await self._reader.read(Position(found.position - 1), 1)
        if not records or (records[0].position, records[0].digest) != (found.position, found.digest):
            raise BadKept("it is of another log")
        return await asyncio.to_thread(found.kept)

    async def let_go(self, place: Place, why: BadKept) -> None:
        """Remove a moment that is of no use, with a word in the log."""
        _log.warning("a kept moment is of no use", name=place.name, why=str(why))
        self.places = [held for held in self.places if held != place]
        await asyncio.to_thread(self._shelf.drop, place.name)


def _placed(found: Iterable[tuple[str, int]]) -> Iterable[Place]:
    for name, octets in found:
        match = _NAME.fullmatch(name)
        if match is not None:
            place = Place(Position(int(match[1])), Millis(int(match[2])), octets)
            if place.name == name and place.position:
                yield place


def _is_before(place: Place, moment: Moment) -> bool:
    """Return whether all records up to the place are at or before the moment: recorded time never goes back."""
    return place.position <= moment.position if isinstance(moment, AtPosition) else place.at <= moment.at
