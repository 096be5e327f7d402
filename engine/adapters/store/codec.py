"""Events to stored rows and back: the door of the store, where old shapes become the newest one.

A row: stream id `<tailnet>/<stream>`, version, topic = the event's tag, and a state of JSON:

    {"at": ms, "actor": "", "cmd": "", "cause": "", "reason": "", "schema": 1, "prev": "<hex>", "data": {fields}}

One whose personal fields are sealed (`vault.py`) has schema 2, a tombstone in `data`, and `"sealed": {…}` after it. The chain runs over
what is stored, so that it holds whether or not anybody can open it.

Rule 1: an unknown tag, another tailnet's record or a broken chain stops the reader: a skipped event may be a revocation.
Rule 2: nothing is written that could not be read back: an event is decoded once before it is stored.
Rule 3: further in than this, nobody sees an old shape (`UPCASTS`).
Rule 4: without a vault nothing is sealed and nothing opened: sealed records read as tombstones. For who copies rows, and for tests.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any, Final, Generic, Literal, NamedTuple, TypeVar

import msgspec
from eventsourcing.persistence import Notification, StoredEvent

from engine.adapters.store.chain import digest
from engine.adapters.store.vault import Sealed, Vault
from engine.domain.events import EVENTS, Event, UserErased, tag_of
from engine.domain.personal import PERSONAL, tombstone
from engine.domain.values import CommandId, Millis, Position, TailnetName, UserId
from engine.ports import Envelope, Fault, Pending, Recorded

SCHEMA: Final = 1
"""The layout of a state, as in the docstring of this module."""
SEALED_SCHEMA: Final = 2
"""That of one with sealed fields: a program that knows nothing of these must not take the tombstone for what happened."""

T = TypeVar("T")


class State(msgspec.Struct, Generic[T], frozen=True, kw_only=True, omit_defaults=True):
    """What a row holds besides its keys."""

    at: Millis
    actor: str
    cmd: CommandId
    cause: str
    reason: str
    schema: Literal[1, 2]
    prev: str
    data: T
    sealed: Sealed | None = None


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
        vault: opens and seals personal fields (rule 4).
    """

    def __init__(
        self, tailnet: TailnetName, upcasts: Mapping[str, Upcast] = UPCASTS, *, vault: Vault | None = None
    ) -> None:
        self._prefix = f"{tailnet}/"
        self._vault = vault
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
        if self._vault is not None:
            self._vault.prepare({subject for pending in batch for subject in pending.subjects})
        for pending in batch:
            row, fields = self._row(pending, prev)
            notification = Notification(row.originator_id, row.originator_version, row.topic, row.state, id=0)
            [record] = self._decoded([notification], prev, fields)
            rows.append(row)
            records.append(record)
            prev = record.digest
        return rows, records

    def decode(self, rows: Iterable[Notification], prev: str | None) -> list[Recorded]:
        """Return the records of consecutive rows; `prev` is the digest before the first, None when not known.

        Raises:
            Fault: a row is not a record of this log, or does not follow the one before it (rule 1).
        """
        records = self._decoded(rows, prev)
        if self._vault is not None:
            for record in records:
                if isinstance(record.event, UserErased):
                    self._vault.forget(record.event.user)
        return records

    def _decoded(
        self, rows: Iterable[Notification], prev: str | None, fields: bytes | None = None
    ) -> list[Recorded]:
        """Do as `decode`, with rows that may not be stored yet: an erasure among them is none so far.

        `fields` are those of the only row, which has just sealed them: to open them again costs as much as the rest.
        """
        records: list[Recorded] = []
        for row in rows:
            state = self._state(row)
            event = state.data if state.sealed is None else self._opened(row, state, fields)
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
                Recorded(
                    position=Position(row.id),
                    envelope=envelope,
                    event=event,
                    digest=prev,
                    sealed=state.schema == SEALED_SCHEMA,
                )
            )
        return records

    def destroy(self, subjects: Collection[UserId]) -> None:
        """Destroy the keys of subjects, durably.

        Raises:
            Fault: unknown whether they are destroyed.
        """
        if self._vault is not None and subjects:
            self._vault.destroy(subjects)

    def close(self) -> None:
        """Let go of the keys."""
        if self._vault is not None:
            self._vault.close()

    def _row(self, pending: Pending, prev: str) -> tuple[StoredEvent, bytes | None]:
        """Return the row, and its sealed fields if it has any."""
        envelope, event = pending.envelope, pending.event
        stream_id, tag = self.stream_id(envelope.stream), tag_of(event)
        data, fields, sealed = event, None, None
        schema: Literal[1, 2] = SCHEMA
        try:
            if self._vault is not None and pending.subjects and type(event) in PERSONAL:
                data, schema = tombstone(event), SEALED_SCHEMA
                fields = self._encode({name: getattr(event, name) for name in PERSONAL[type(event)]})
                binding = _binding(stream_id, envelope.version, tag)
                sealed = self._vault.sealed(pending.subjects, fields, binding)
            state = State(
                at=envelope.at,
                actor=envelope.actor,
                cmd=envelope.command_id,
                cause=envelope.cause,
                reason=envelope.reason,
                schema=schema,
                prev=prev,
                data=data,
                sealed=sealed,
            )
            octets = self._encode(state)
        except (TypeError, ValueError) as error:
            raise Fault(f"a {tag} cannot be stored: {error}") from None
        return StoredEvent(stream_id, envelope.version, tag, octets), fields

    def _opened(self, row: Notification, state: State[Event], fields: bytes | None) -> Event:
        """Return the event of a sealed record with its personal fields; as a tombstone if its subject is erased."""
        sealed = state.sealed
        if sealed is None or self._vault is None:
            return state.data
        try:
            if fields is None:
                binding = _binding(str(row.originator_id), row.originator_version, row.topic)
                fields = self._vault.opened(sealed, binding)
            return state.data if fields is None else _merged(state.data, fields)
        except (ValueError, LookupError, TypeError) as error:
            raise Fault(f"the record at {row.id} cannot be opened: {error}") from None

    def _state(self, row: Notification) -> State[Event]:
        decode = self._decoders.get(row.topic)
        if decode is None:
            raise Fault(f"the record at {row.id} is of an unknown type: {row.topic}")
        try:
            return decode(row.state)
        except (ValueError, LookupError, TypeError) as error:  # the last two are an upcast's
            raise Fault(f"the record at {row.id} is no {row.topic}: {error}") from None


def _binding(stream_id: str, version: int, tag: str) -> bytes:
    """Return what a sealed text is bound to: no part of it has a line end."""
    return f"{stream_id}\n{version}\n{tag}".encode()


_NO_JSON: Final = msgspec.Raw(b"")
_NONE_YET: Final[Mapping[Any, Any]] = {str: None, msgspec.Raw: _NO_JSON}
"""By type: what stands for a field that was not there when a record was sealed; it keeps the tombstone's."""


def _fields_of(event: type[Event]) -> Callable[[bytes], msgspec.Struct]:
    """Return what decodes the sealed fields of an event, each as its type."""
    types = {field.name: field.type for field in msgspec.structs.fields(event)}
    fields = [(name, types[name], _NONE_YET[types[name]]) for name in PERSONAL[event]]
    struct = msgspec.defstruct(f"Personal{event.__name__}", fields, frozen=True)
    return msgspec.json.Decoder(struct).decode


_PERSONAL_FIELDS: Final = {event: _fields_of(event) for event in PERSONAL}


def _merged(event: Event, fields: bytes) -> Event:
    kind = type(event)
    found = _PERSONAL_FIELDS[kind](fields)
    values = ((name, getattr(found, name)) for name in PERSONAL[kind])
    return msgspec.structs.replace(
        event, **{name: value for name, value in values if value is not None and value is not _NO_JSON}
    )


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
