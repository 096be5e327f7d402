"""Events to stored rows and back: the door of the store, where old shapes become the newest one.

A row: stream id `<tailnet>/<stream>`, version, topic = the event's tag, and a state of JSON:

    {"at": ms, "actor": "", "cmd": "", "cause": "", "reason": "", "schema": 1, "prev": "<hex>", "data": {fields}}

Rule 1: an unknown tag, another tailnet's record or a broken chain stops the reader: a skipped event may be a revocation.
Rule 2: nothing is written that could not be read back: an event is decoded once before it is stored.
Rule 3: further in than this, nobody sees an old shape (`UPCASTS`).
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final, Generic, Literal, NamedTuple, TypeVar

import msgspec
from eventsourcing.persistence import Notification, StoredEvent

from engine.adapters.store.chain import digest
from engine.domain.events import EVENTS, Event, tag_of
from engine.domain.values import CommandId, Millis, Position, TailnetName
from engine.ports import Envelope, Fault, Pending, Recorded

SCHEMA: Final = 1
"""The layout of a state, as in the docstring of this module."""

T = TypeVar("T")


class State(msgspec.Struct, Generic[T], frozen=True, kw_only=True):
    """What a row holds besides its keys."""

    at: Millis
    actor: str
    cmd: CommandId
    cause: str
    reason: str
    schema: Literal[1]
    prev: str
    data: T


class Upcast(NamedTuple):
    """How an old event becomes a newer one: the tag it gets, and its fields from the old fields; pure and total."""

    to: str
    change: Callable[[Mapping[str, Any]], Mapping[str, Any]]


UPCASTS: Final[Mapping[str, Upcast]] = {}
"""By old tag. There is no old event yet."""

_BY_TAG: Final[Mapping[str, type[Event]]] = {str(event.__struct_config__.tag): event for event in EVENTS}

Decode = Callable[[bytes], State[Event]]


class Codec:
    """The door of one tailnet's log.

    Args:
        tailnet: the prefix of its stream ids.
        upcasts: by old tag; a chain of them must end in an event of today, else ValueError.
    """

    def __init__(self, tailnet: TailnetName, upcasts: Mapping[str, Upcast] = UPCASTS) -> None:
        self._prefix = f"{tailnet}/"
        self._encode = msgspec.json.Encoder().encode
        self._decoders: dict[str, Decode] = {tag: _plain(event) for tag, event in _BY_TAG.items()}
        self._decoders |= {tag: _upcasting(tag, upcasts) for tag in upcasts}

    def stream_id(self, stream: str) -> str:
        """Return the stored name of a stream, as `default/node/7`."""
        return self._prefix + stream

    def encode(self, batch: Sequence[Pending], prev: str) -> tuple[list[StoredEvent], list[Recorded]]:
        """Return the rows of a batch that follows the record with digest `prev`, and how they will read.

        The records' positions are 0: only the store can tell them.

        Raises:
            Fault: an event that could not be read back; nothing of the batch may be stored.
        """
        rows: list[StoredEvent] = []
        records: list[Recorded] = []
        for pending in batch:
            row = self._row(pending, prev)
            notification = Notification(row.originator_id, row.originator_version, row.topic, row.state, id=0)
            [record] = self.decode([notification], prev)
            rows.append(row)
            records.append(record)
            prev = record.digest
        return rows, records

    def decode(self, rows: Iterable[Notification], prev: str | None) -> list[Recorded]:
        """Return the records of consecutive rows; `prev` is the digest before the first, None when not known.

        Raises:
            Fault: a row is not a record of this log, or does not follow the one before it (rule 1).
        """
        records: list[Recorded] = []
        for row in rows:
            state = self._state(row)
            if prev is not None and state.prev != prev:
                raise Fault(f"the log is broken: the record at {row.id} does not follow the one before it")
            stream_id = str(row.originator_id)
            if not stream_id.startswith(self._prefix):
                raise Fault(f"the record at {row.id} belongs to another tailnet than {self._prefix[:-1]}")
            try:
                prev = digest(state.prev, stream_id, row.originator_version, row.topic, row.state)
            except ValueError:
                raise Fault(f"the log is broken: the record at {row.id} follows no record") from None
            envelope = Envelope(
                stream=stream_id[len(self._prefix) :],
                version=row.originator_version,
                at=state.at,
                actor=state.actor,
                command_id=state.cmd,
                cause=state.cause,
                reason=state.reason,
            )
            records.append(
                Recorded(position=Position(row.id), envelope=envelope, event=state.data, digest=prev)
            )
        return records

    def _row(self, pending: Pending, prev: str) -> StoredEvent:
        envelope = pending.envelope
        state = State(
            at=envelope.at,
            actor=envelope.actor,
            cmd=envelope.command_id,
            cause=envelope.cause,
            reason=envelope.reason,
            schema=SCHEMA,
            prev=prev,
            data=pending.event,
        )
        try:
            octets = self._encode(state)
        except (TypeError, ValueError) as error:
            raise Fault(f"a {tag_of(pending.event)} cannot be stored: {error}") from None
        return StoredEvent(self.stream_id(envelope.stream), envelope.version, tag_of(pending.event), octets)

    def _state(self, row: Notification) -> State[Event]:
        decode = self._decoders.get(row.topic)
        if decode is None:
            raise Fault(f"the record at {row.id} is of an unknown type: {row.topic}")
        try:
            return decode(row.state)
        except (ValueError, LookupError, TypeError) as error:  # the last two are an upcast's
            raise Fault(f"the record at {row.id} is no {row.topic}: {error}") from None


def _plain(event: type[Event]) -> Decode:
    decoder: msgspec.json.Decoder[State[Event]] = msgspec.json.Decoder(State[event])  # type: ignore[valid-type]
    return decoder.decode


def _upcasting(tag: str, upcasts: Mapping[str, Upcast]) -> Decode:
    """Return a decoder that follows the upcasts from `tag`; refuse a chain that leads nowhere."""
    chain: list[Upcast] = []
    while tag in upcasts and len(chain) < len(upcasts):
        chain.append(upcasts[tag])
        tag = upcasts[tag].to
    if tag in upcasts or tag not in _BY_TAG:
        raise ValueError(f"upcasts end at {tag}, which is no event")
    old = msgspec.json.Decoder(State[dict[str, Any]])
    new = msgspec.json.Decoder[Event](_BY_TAG[tag])

    def decode(octets: bytes) -> State[Event]:
        state = old.decode(octets)
        fields: Mapping[str, Any] = {name: value for name, value in state.data.items() if name != "type"}
        for upcast in chain:
            fields = upcast.change(fields)
        event = new.decode(msgspec.json.encode(fields))
        return State(**{**{name: getattr(state, name) for name in State.__struct_fields__}, "data": event})

    return decode
