"""A second fold of the same log beside the live one: what should be there, made from the beginning.

Rule 1: it reads pages that are small, so that the live one goes on meanwhile; nothing that was kept is its beginning.
Rule 2: it ends where the live one is, in the same turn of the loop: what is compared is of one position.
Rule 3: netmap objects are compared one by one, with the position of their last change; lists, causes and versions as they are kept;
        kept moments when it passes them. The first difference is named. A form is shown of netmap objects only: clients see those.
"""

import asyncio
from collections.abc import Sequence
from typing import Final

import msgspec

from engine.contracts.netmap import Change
from engine.contracts.projections import NOTHING, Difference
from engine.domain.values import Position
from engine.ports import Recorded, Undecodable
from projections.history.kept import BadKept, difference, encode
from projections.live import Live
from projections.moments import Moments, Place

PAGE: Final = 500
"""Records at a time: some 8 ms of folding. Each page begins at a record that must be there still: no join is missed."""


class Shadow:
    """One rebuild; `live` is its own, to be taken in place of the one that it was made beside."""

    def __init__(self, beside: Live, moments: Moments | None = None) -> None:
        self.live: Final = Live(beside.reader, beside.clock)
        self.records = 0
        self.good: list[Place] = []
        self.bad: list[Place] = []
        """Kept moments that are not what the log makes of it."""
        self._beside = beside
        self._shelf = moments
        self._places: list[Place] = []
        self._first: Difference | None = None

    @property
    def moments(self) -> int:
        """Return how many kept moments were compared."""
        return len(self.good) + len(self.bad)

    async def follow(self) -> Difference | None:
        """Read to where the live one is and compare; return the first difference. Nothing has moved when this returns.

        Raises:
            Fault: the log cannot be read or understood, or is not the one that the live one has read.
        """
        if self._shelf is not None:
            self._places = list(self._shelf.places)
        while self.live.state.position < self._beside.state.position:
            records = await self.live.following(PAGE)
            if not records:
                raise Undecodable(f"the log ends at {self.live.state.position}, before what was read of it")
            await self._take([record for record in records if record.position <= self._beside.state.position])
            await asyncio.sleep(0)  # a reader in memory never waits
        return self._netmap() or self._rest() or self._first

    async def _take(self, records: Sequence[Recorded]) -> None:
        start = 0
        for end, record in enumerate(records, start=1):
            place = self._due(record.position)
            if place is not None or end == len(records):
                self.live.take(records[start:end])
                self.records += end - start
                start = end
            if place is not None:
                await self._moment(place)

    def _due(self, position: Position) -> Place | None:
        while self._places and self._places[0].position <= position:
            place = self._places.pop(0)
            if place.position == position:
                return place
        return None

    async def _moment(self, place: Place) -> None:
        state = self.live.state
        if self._shelf is None:
            return
        try:
            found = await self._shelf.found_at(place)
            made = encode(state, self.live.causes, self.live.policies)
            other = await asyncio.to_thread(difference, found.encoded, made)
        except BadKept as bad:
            other = str(bad)
        (self.bad if other else self.good).append(place)
        if other:
            self._first = self._first or Difference(
                what="moment", key=f"{place.name} {other}", position=state.position
            )

    def _netmap(self) -> Difference | None:
        live, made = self._beside.state.objects, self.live.state.objects
        for key in sorted(live.keys() | made.keys()):
            one, other = live.get(key), made.get(key)
            if one != other:
                at = one.at if other is None and one is not None else self.live.state.position
                return Difference(
                    what="netmap",
                    key=key,
                    position=at if other is None else other.at,
                    live=_form(one),
                    rebuilt=_form(other),
                )
        return None

    def _rest(self) -> Difference | None:
        one, other = self._beside, self.live
        if not other.state.epoch:
            return None
        part = difference(
            encode(one.state, one.causes, one.policies), encode(other.state, other.causes, other.policies)
        )
        if not part:
            return None
        what = "lists" if part.startswith("tables") else "history"
        return Difference(what=what, key=part, position=other.state.position)


def _form(change: Change | None) -> msgspec.Raw:
    return NOTHING if change is None else msgspec.Raw(msgspec.json.encode(change.value))
