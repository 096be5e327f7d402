"""What happened, read from the log: pages of events, and the receipts of commands.

Rule 1: a page looks at records until it is full; after `SCANNED` records it ends as soon as it has one row, and after
        `SCAN_SECONDS` even with none: `next` then says where to go on.
"""

from typing import Final

from engine.contracts.queries import Query
from engine.domain.errors import Invalid, NotFound
from engine.domain.refs import number_of
from engine.domain.values import CommandId, Position
from engine.ports import Recorded
from projections.history.audit import event_row, receipt_row, wanted
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
        """Return the events after a position, of the wanted types, that concern a node, peer or user.

        Raises:
            Invalid: `query.id_needed`: somebody is named otherwise than by id.
        """
        _refuse_names(query)
        found, seen, is_end = await self._scan(query)
        rows = ((record.position, event_row(record)) for record in found)
        shown = page(rows, after=query.after, limit=query.limit, budget=PAGE_OCTETS)
        follows = shown.next if shown.next is not None else (None if is_end else seen)
        position = max(self._live.state.position, seen)
        return {"position": position, "events": shown.rows, "next": follows}

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

    async def _scan(self, query: Query) -> tuple[list[Recorded], Position, bool]:
        limit = min(query.limit, MAX_ROWS)
        until = self._live.clock.monotonic() + SCAN_SECONDS
        found: list[Recorded] = []
        seen, looked = Position(query.after), 0
        while True:
            records = await self._live.reader.read(seen, PAGE)
            for record in records:
                seen = record.position
                if _concerns(record, query):
                    found.append(record)
                if len(found) >= limit:
                    return found, seen, False
            looked += len(records)
            is_late = self._live.clock.monotonic() > until
            if len(records) < PAGE or (looked >= SCANNED and found) or is_late:
                return found, seen, len(records) < PAGE

    async def _receipt(self, command: CommandId) -> Recorded | None:
        place = self._live.receipts.find(command)
        if place is not None:
            records = await self._live.reader.read(Position(place - 1), 1)
            return records[0] if records and records[0].position == place else None
        if self._live.receipts.complete:
            return None
        after = Position(0)
        while records := await self._live.reader.read(after, PAGE):
            for record in records:
                if record.envelope.command_id == command and receipt_row(record) is not None:
                    return record
            after = records[-1].position
        return None


def _concerns(record: Recorded, query: Query) -> bool:
    if not wanted(record.event, query.types):
        return False
    asked = (("node", query.node), ("peer", query.peer), ("user", query.user))
    return all(ref is None or getattr(record.event, field, None) == number_of(ref) for field, ref in asked)


def _refuse_names(query: Query) -> None:
    """A name means different things at different positions: history is asked by id."""
    for field, ref in (("node", query.node), ("peer", query.peer), ("user", query.user)):
        if ref is not None and number_of(ref) is None:
            raise Invalid("query.id_needed", f"events are found by id; {field!r} is a name", field=field)
