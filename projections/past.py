"""Earlier states, by reading the log again up to a moment, from the nearest moment before it that is kept.

Rule 1: one replay at a time; its pages are small, so that the present goes on meanwhile.
Rule 2: the last few are kept: who pages through one moment, or compares two, reads the log once for each.
Rule 3: a moment at or after the present is the present: what has been read is all there is.
"""

import asyncio
from collections import OrderedDict
from typing import Final, NamedTuple

from engine.contracts.queries import BEHIND_SECONDS
from engine.domain.values import Epoch
from engine.ports import Fault
from projections.history.causes import Causes
from projections.history.moment import AtPosition, Moment
from projections.history.replay import Replay
from projections.live import Live
from projections.moments import Moments
from projections.netmap.state import NetmapState

PAGE: Final = 500
"""Records at a time: some 5 ms of folding."""
KEPT: Final = 2
REPLAY_SECONDS: Final = 30.0
"""How long a replay may take: a log of 1 M records of which no moment is kept takes about half of it."""


class Then(NamedTuple):
    """A moment: the state, and which records made it so; only for reading. Of the past all objects stand at its position."""

    state: NetmapState
    causes: Causes


class Past:
    """The states of one log at earlier moments."""

    def __init__(self, live: Live, moments: Moments) -> None:
        self._live = live
        self._moments = moments
        self._kept: OrderedDict[tuple[Epoch, int, Moment], Then] = OrderedDict()
        self._turn = asyncio.Lock()

    async def at(self, moment: Moment | None) -> NetmapState:
        """Return the state at the moment; only for reading.

        Raises:
            Behind, Fault: as `then`.
        """
        return (await self.then(moment)).state

    async def then(self, moment: Moment | None) -> Then:
        """Return the moment.

        Raises:
            Behind: the log has not come to that position.
            Fault: the log cannot be read, or the replay takes too long.
        """
        now = Then(self._live.state, self._live.causes)
        if moment is None:
            return now
        if isinstance(moment, AtPosition):
            await self._live.reached(moment.position, BEHIND_SECONDS)
            if moment.position == now.state.position:
                return now
        elif moment.at >= now.state.at:
            return now
        try:
            async with asyncio.timeout(REPLAY_SECONDS), self._turn:
                return await self._replayed(moment)
        except TimeoutError:
            raise Fault(f"a replay took more than {REPLAY_SECONDS:.0f} s") from None

    async def _replayed(self, moment: Moment) -> Then:
        key = (self._live.state.epoch, self._live.generation, moment)
        held = self._kept.get(key)
        if held is not None:
            self._kept.move_to_end(key)
            return held
        replay = Replay(moment, await self._moments.before(moment))
        while not replay.arrived:
            records = await self._live.reader.read(replay.position, PAGE)
            if not records or replay.take(records):
                break
            await asyncio.sleep(0)  # a reader in memory never waits: let the present go on
        self._kept[key] = Then(await asyncio.to_thread(replay.state), replay.causes)
        if len(self._kept) > KEPT:
            self._kept.popitem(last=False)
        return self._kept[key]
