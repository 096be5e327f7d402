"""The log as its one thread sees it: what is common to every store, without any waiting.

Rule 1: an append lands on the head that this log has appended or read, and nowhere else; the store checks it in the
        transaction of the append. After an unknown outcome one reads on from `head`, then appends again.
Rule 2: `head` only moves forward; the writing and the reading thread may both move it.
Rule 3: the joins between records are checked on every read that goes on where the last one ended.
"""

import threading
from collections.abc import Sequence
from typing import Final, Protocol

import msgspec
from eventsourcing.persistence import ApplicationRecorder, IntegrityError, Notification, StoredEvent

from engine.adapters.store.codec import Codec
from engine.domain.events import LogStarted
from engine.domain.values import Epoch, Millis, Position
from engine.ports import Fault, Head, Pending, Recorded, VersionConflict

EMPTY: Final = Head(epoch=Epoch(""), position=Position(0), digest="", at=Millis(0))
"""The head of a log without records."""

START_OF_HISTORY: Final = "tailnet"
"""The stream in which every history begins (`events.stream_of`)."""


class LogMovedError(Exception):
    """A recorder found records after the expected one: nothing was inserted."""


class Recording(Protocol):
    """A library's recorder, opened; every call may block, and raises `Fault` or what `errors` names."""

    errors: tuple[type[Exception], ...]
    """What else the library and its driver raise."""

    def recorder(self) -> ApplicationRecorder:
        """Return the recorder; it takes `expected`, the position of the last record, when it inserts."""
        ...

    def take(self) -> bool:
        """Try to become the one engine; False as long as another one is, and it makes sense to wait."""
        ...

    def holds(self) -> bool:
        """Return whether what `take` got is still ours, as far as is known without asking."""
        ...

    def prepare(self) -> None:
        """Make the tables, check the settings, raise the fence; only for who was let in by `take`."""
        ...

    def cut(self) -> None:
        """Make calls that wait for a server raise soon, what they do being unknown then; from any thread."""
        ...

    def close(self) -> None:
        """Let go of connections and locks; more than once is fine."""
        ...


class Log:
    """One tailnet's log over a recorder."""

    def __init__(self, recording: Recording, codec: Codec) -> None:
        self._recording = recording
        self._codec = codec
        self._moving = threading.Lock()
        self._head = EMPTY
        self._read_to = (Position(0), "")

    @property
    def head(self) -> Head:
        """Return the last record that was appended or read."""
        return self._head

    def take(self) -> bool:
        """Try to become the one engine of this log; False: another one is, wait.

        Raises:
            Fault: another one is, and waiting is pointless; or the store is out of reach.
        """
        try:
            return self._recording.take()
        except self._recording.errors as error:
            raise _fault("the store cannot be opened", error) from error

    def holds(self) -> bool:
        """Return whether this still is the one engine's log, as far as is known."""
        return self._recording.holds()

    def prepare(self) -> None:
        """Make the store ready for appends, and find its head.

        Raises:
            Fault: the store is not durable, out of reach, or its last record is not one of this log.
        """
        try:
            self._recording.prepare()
            recorder = self._recording.recorder()
            last = recorder.max_notification_id()
            if last is None:
                return
            rows = recorder.select_notifications(last, 1)
            starts = recorder.select_events(self._codec.stream_id(START_OF_HISTORY), desc=True)
        except self._recording.errors as error:
            raise _fault("the store cannot be opened", error) from error
        [record] = self._codec.decode(rows, None)
        self._move(self._epoch(starts), [record])

    def append(self, batch: Sequence[Pending]) -> list[Recorded]:
        """Append all or nothing after `head`; see `EventStore.append`."""
        head = self._head
        rows, records = self._codec.encode(batch, head.digest)
        try:
            positions = self._recording.recorder().insert_events(rows, expected=head.position)
        except IntegrityError:
            raise VersionConflict("a stream already has that version") from None
        except LogMovedError:
            raise VersionConflict(f"the log goes on after {head.position}") from None
        except self._recording.errors as error:
            raise _fault("nobody knows whether the events were appended", error) from error
        appended = [
            msgspec.structs.replace(record, position=Position(position))
            for record, position in zip(records, positions or (), strict=True)
        ]
        self._move(head.epoch, appended)
        return appended

    def read(self, after: Position, limit: int) -> list[Recorded]:
        """Return at most `limit` records after the position; see `EventReader.read`."""
        try:
            rows = self._recording.recorder().select_notifications(after, limit, inclusive_of_start=False)
        except self._recording.errors as error:
            raise _fault("the log cannot be read", error) from error
        records = self._codec.decode(rows, self._digest_at(after))
        if records:
            self._read_to = (records[-1].position, records[-1].digest)
            self._move(self._head.epoch, records)
        return records

    def cut(self) -> None:
        """End what takes too long; see `Recording.cut`."""
        self._recording.cut()

    def close(self) -> None:
        """Let go of the store."""
        self._recording.close()

    def _digest_at(self, position: Position) -> str | None:
        """Return the digest of the record at the position, if this reader has just been there."""
        if position == 0:
            return ""
        known, digest = self._read_to
        return digest if known == position else None

    def _epoch(self, rows: Sequence[StoredEvent]) -> Epoch:
        """Return what the newest beginning of a history says; `rows` has the newest first."""
        for row in rows:
            if row.topic.startswith("LogStarted."):
                notification = Notification(
                    row.originator_id, row.originator_version, row.topic, row.state, id=0
                )
                [record] = self._codec.decode([notification], None)
                if isinstance(record.event, LogStarted):
                    return record.event.epoch
        return EMPTY.epoch

    def _move(self, epoch: Epoch, records: Sequence[Recorded]) -> None:
        last = records[-1]
        for record in records:
            if isinstance(record.event, LogStarted):
                epoch = record.event.epoch
        with self._moving:
            if last.position > self._head.position:
                self._head = Head(
                    epoch=epoch, position=last.position, digest=last.digest, at=last.envelope.at
                )


def _fault(what: str, error: Exception) -> Fault:
    return Fault(f"{what}: {type(error).__name__}: {error}".rstrip(": "))
