"""What happened, read from the log: pages of events, and the receipts of commands.

Rule 1: a page looks at records until it is full; after `SCANNED` records it ends as soon as it has one row, and after
        `SCAN_SECONDS` even with none: `next` (of the newest: `previous`) then says where to go on.
Rule 2: a time is found in the log by halving it: recorded time never goes back.
"""

from typing import Final

from engine.contracts.queries import Query
from engine.domain.errors import Invalid, NotFound
from engine.domain.refs import number_of
from engine.domain.values import CommandId, Position
from engine.ports import Recorded
from projections.history.audit import event_row, receipt_row
from projections.history.lines import NamesNow
from projections.history.moment import AtPosition, Moment, moment
from projections.history.wanted import Wanted
from projections.live import Live
from projections.pages import MAX_ROWS, PAGE_OCTETS, page

SCANNED: Final = 10_000
SCAN_SECONDS: Final = 2.0
PAGE: Final = 500
"""Records at a time."""


class Events:
    """The log of one projection's reader, for people."""

    def __init__(self, live: Live) -> None:
        self._live = live

    async def listed(self, query: Query) -> dict[str, object]:
        """Return the events between two moments that the query wants, the oldest or the newest of them.

        Raises:
            Invalid: `query.id_needed`: somebody is named otherwise than by id; `history.moment`.
        """
        _refuse_names(query)
        wanted = Wanted(query, NamesNow(self._live.state.tailnet))
        start, end = await self._span(query)
        if query.last:
            return await self._last(wanted, start, self._live.state.position if end is None else end, query)
        found, seen, is_end = await self._oldest(wanted, start, end, min(query.limit, MAX_ROWS))
        rows = ((record.position, event_row(record, wanted.names)) for record in found)
        shown = page(rows, after=start, limit=query.limit, budget=PAGE_OCTETS)
        follows = shown.next if shown.next is not None else (None if is_end else seen)
        position = max(self._live.state.position, seen)
        return {"position": position, "events": shown.rows, "next": follows}

    async def _last(self, wanted: Wanted, start: Position, end: Position, query: Query) -> dict[str, object]:
        if query.before is not None:
            end = min(end, Position(query.before - 1))
        found, previous = await self._newest(wanted, start, end, min(query.limit, MAX_ROWS))
        rows = ((-record.position, event_row(record, wanted.names)) for record in found)
        shown = page(rows, after=-end - 1, limit=query.limit, budget=PAGE_OCTETS)
        return {
            "position": self._live.state.position,
            "events": shown.rows[::-1],
            "next": None,
            "previous": previous if shown.next is None else -shown.next,
        }

    async def command(self, query: Query) -> dict[str, object]:
        """Return the receipt of a command."""
        if not query.id:
            raise Invalid("query.id_missing", "which command? 'id' is missing", field="id")
        record = await self._receipt(CommandId(query.id))
        row = None if record is None else receipt_row(record)
        position = self._live.state.position
        if row is None:
            raise NotFound(
                "command.not_found",
                f"no command with this id was accepted up to position {position}",
                field="id",
                hint="It may still come: sending it again with the same id is safe.",
            )
        return {"position": position, "command": row}

    async def _span(self, query: Query) -> tuple[Position, Position | None]:
        """Return after which position events are wanted, and up to which; None: whatever comes."""
        now = self._live.clock.now()
        since = await self._place(moment(query.since, now))
        until = await self._place(moment(query.until, now))
        start = max(Position(query.after), since or Position(0))
        return start, until

    async def _place(self, at: Moment | None) -> Position | None:
        """Return the position of the last record at or before a moment; 0 if there is none."""
        if at is None:
            return None
        if isinstance(at, AtPosition):
            return at.position
        low, high = Position(0), self._live.state.position  # the answer is in [low, high]
        while low < high:
            middle = (low + high + 1) // 2
            [record] = await self._live.reader.read(Position(middle - 1), 1)
            if record.envelope.at <= at.at:
                low = record.position
            else:
                high = Position(middle - 1)
        return low

    async def _oldest(
        self, wanted: Wanted, start: Position, end: Position | None, limit: int
    ) -> tuple[list[Recorded], Position, bool]:
        stop = self._live.clock.monotonic() + SCAN_SECONDS
        found: list[Recorded] = []
        seen, looked = start, 0
        while True:
            records = await self._live.reader.read(seen, PAGE)
            for record in records:
                if end is not None and record.position > end:
                    return found, seen, True
                seen = record.position
                if wanted(record):
                    found.append(record)
                if len(found) >= limit:
                    return found, seen, False
            looked += len(records)
            is_late = self._live.clock.monotonic() > stop
            if len(records) < PAGE or (looked >= SCANNED and found) or is_late:
                return found, seen, len(records) < PAGE

    async def _newest(
        self, wanted: Wanted, start: Position, end: Position, limit: int
    ) -> tuple[list[Recorded], Position | None]:
        """Return the newest first, and before which position to go on."""
        stop = self._live.clock.monotonic() + SCAN_SECONDS
        found: list[Recorded] = []
        high, looked = end, 0
        while high > start:
            low = Position(max(start, high - PAGE))
            records = [r for r in await self._live.reader.read(low, PAGE) if r.position <= high]
            for record in reversed(records):
                if wanted(record):
                    found.append(record)
                if len(found) >= limit:
                    return found, record.position
            high, looked = low, looked + PAGE
            if (looked >= SCANNED and found) or self._live.clock.monotonic() > stop:
                return found, Position(high + 1) if high > start else None
        return found, None

    async def _receipt(self, command: CommandId) -> Recorded | None:
        place = self._live.receipts.find(command)
        if place is not None:
            records = await self._live.reader.read(Position(place - 1), 1)
            return records[0] if records and records[0].position == place else None
        high = self._live.receipts.since
        while high:  # the newest first: who asks has mostly just sent it
            low = Position(max(0, high - PAGE))
            for record in reversed(await self._live.reader.read(low, PAGE)):
                if record.envelope.command_id == command and receipt_row(record) is not None:
                    return record
            high = low
        return None


def _refuse_names(query: Query) -> None:
    """A name means different things at different positions: history is asked by id."""
    for field, ref in (("node", query.node), ("peer", query.peer), ("user", query.user)):
        if ref is not None and number_of(ref) is None:
            raise Invalid("query.id_needed", f"events are found by id; {field!r} is a name", field=field)
