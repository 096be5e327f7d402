"""Records as rows that an operator reads: what happened, when, by whom and why.

Rule 1: digests of secrets and what is sealed are left out: nobody has a use for them here.
Rule 2: an event's own fields are in camelCase under `event`; what they hold is as it is in the log.
"""

from typing import Final

import msgspec

from engine.domain.events import ApiKeyCreated, AuthKeyCreated, CommandHandled, Event, tag_of
from engine.domain.providerevents import ProviderAdded, ProviderUpdated
from engine.ports import Recorded
from projections.history.lines import Names, line


class EventRow(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """One record; `digest` names the whole history up to here."""

    position: int
    type: str
    stream: str
    version: int
    at: int
    actor: str
    command_id: str
    cause: str
    reason: str
    digest: str
    event: dict[str, object]
    text: str
    """What happened, in words that go after the actor's name."""


class ReceiptRow(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A command that was accepted: its receipt."""

    command_id: str
    name: str
    position: int
    at: int
    actor: str
    reason: str
    result: msgspec.Raw


_HIDDEN: Final = {
    AuthKeyCreated: "digest",
    ApiKeyCreated: "digest",
    CommandHandled: "digest",
    ProviderAdded: "account",
    ProviderUpdated: "account",
}


def event_row(record: Recorded, names: Names) -> EventRow:
    """Return a record's row; `names` says what things are called in its text."""
    envelope = record.envelope
    return EventRow(
        position=record.position,
        type=tag_of(record.event),
        stream=envelope.stream,
        version=envelope.version,
        at=envelope.at,
        actor=envelope.actor,
        command_id=envelope.command_id,
        cause=envelope.cause,
        reason=envelope.reason,
        digest=record.digest,
        event=_fields(record.event),
        text=line(record.event, names),
    )


def receipt_row(record: Recorded) -> ReceiptRow | None:
    """Return the record's row as a receipt; None when it is none."""
    envelope = record.envelope
    if not isinstance(record.event, CommandHandled):
        return None
    return ReceiptRow(
        command_id=envelope.command_id,
        name=record.event.name,
        position=record.position,
        at=envelope.at,
        actor=envelope.actor,
        reason=envelope.reason,
        result=record.event.result,
    )


def _fields(event: Event) -> dict[str, object]:
    hidden = _HIDDEN.get(type(event))
    return {_camel(name): getattr(event, name) for name in event.__struct_fields__ if name != hidden}


def _camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(word.capitalize() for word in rest)
