"""Questions of what would undo a command that is in the log.

Rule 1: a position stands for the whole command whose record is there: what it did together is undone together.
Rule 2: nothing is done here: the commands are for whoever asks, to look at and to send.
"""

from collections.abc import Sequence
from typing import Final

from engine.contracts.queries import Query
from engine.domain.errors import Invalid, NotFound
from engine.domain.events import CommandHandled
from engine.domain.values import Position
from engine.ports import Recorded
from projections.history.inverse import undoing
from projections.history.lines import NamesNow, line
from projections.history.moment import AtPosition
from projections.history.undo import Ends
from projections.live import Live
from projections.past import Past

AROUND: Final = 5_000
"""Records before and after a position in which its command is looked for: no command has more events."""


class Undoings:
    """Answers of how something is undone from what one projection process knows."""

    def __init__(self, live: Live, past: Past) -> None:
        self._live: Final = live
        self._past: Final = past

    async def undo(self, query: Query) -> dict[str, object]:
        """Return what undoes the command whose record is at the position `at`.

        Raises:
            Invalid: `undo.position`: `at` is no position.
            NotFound: `record.not_found`.
        """
        if not isinstance(query.at, int) or query.at < 1:
            raise Invalid("undo.position", f"'at' is the position of a record, not {query.at!r}", field="at")
        records = await self._command(Position(query.at))
        first, last = records[0], records[-1]
        before = await self._past.at(AtPosition(Position(first.position - 1)))
        after = await self._past.at(AtPosition(last.position))
        now = self._live.state
        events = [record.event for record in records]
        found = undoing(events, Ends(before.tailnet, after.tailnet, now.tailnet))
        names = NamesNow(now.tailnet)
        return {
            "position": now.position,
            "commandId": first.envelope.command_id,
            "name": next((event.name for event in events if isinstance(event, CommandHandled)), ""),
            "actor": first.envelope.actor,
            "at": first.envelope.at,
            "reason": first.envelope.reason,
            "events": [line(event, names) for event in events if not isinstance(event, CommandHandled)],
            "steps": found.steps,
            "lasting": found.lasting,
            "obstacles": found.obstacles,
        }

    async def _command(self, position: Position) -> Sequence[Recorded]:
        """Return the records of the command that has one at the position: they stand together."""
        start = Position(max(0, position - AROUND))
        records = await self._live.reader.read(start, 2 * AROUND)
        wanted = next((record for record in records if record.position == position), None)
        if wanted is None:
            raise NotFound(
                "record.not_found",
                f"there is no record at position {position}; positions may have holes",
                field="at",
                hint="netmap events list",
            )
        key = wanted.envelope.command_id
        return [record for record in records if record.envelope.command_id == key]
