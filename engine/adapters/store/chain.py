"""The hash chain over the log (invariant L7): what a record's digest is, and where a chain breaks.

A record's digest, in hex in `Recorded.digest` and in the next record's `prev`:

    SHA-256( 0x00 ‖ previous digest ‖ u32 length ‖ stream id ‖ u64 version ‖ u32 length ‖ topic ‖ state )

Rule 1: the first record's `prev` is empty; 32 zero octets stand for it under the hash.
Rule 2: a record carries `prev` inside its state, so one record is enough to compute its digest, and two to check it.
Rule 3: only a head kept somewhere else shows that the end was cut off or written anew.
"""

import hashlib
import struct
from collections.abc import Iterable
from typing import Final

import msgspec
from eventsourcing.persistence import Notification

from engine.contracts.checkpoint import Checkpoint
from engine.contracts.merkle import Frontier
from engine.domain.values import Position
from engine.ports import Head

_NOTHING_BEFORE: Final = bytes(32)
_LENGTH: Final = struct.Struct(">I")
_VERSION_AND_LENGTH: Final = struct.Struct(">QI")


class Break(msgspec.Struct, frozen=True):
    """The first join that does not hold: everything before `after` is as it was, `after` or `at` is not.

    A changed record is noticed by its successor: it is `after`. A removed one was between the two; an inserted,
    swapped or undecodable one is `at`. At the end of a log that is shorter than a known head, `at` is that head's position.
    """

    after: Position
    at: Position
    why: str


class _Link(msgspec.Struct, frozen=True):
    prev: str


_link: Final = msgspec.json.Decoder(_Link).decode


def digest(prev: str, stream_id: str, version: int, topic: str, state: bytes) -> str:
    """Return the record's digest in hex; `prev` is the digest of the record before it, empty for the first.

    Raises:
        ValueError: `prev` is not hex.
    """
    name = stream_id.encode()
    kind = topic.encode()
    return hashlib.sha256(
        b"".join(
            (
                b"\0",
                bytes.fromhex(prev) or _NOTHING_BEFORE,
                _LENGTH.pack(len(name)),
                name,
                _VERSION_AND_LENGTH.pack(version, len(kind)),
                kind,
                state,
            )
        )
    ).hexdigest()


def link_of(row: Notification) -> tuple[str, str]:
    """Return the digest that a row follows, and its own.

    Raises:
        ValueError: it is no record.
    """
    prev = _link(row.state).prev
    try:
        return prev, digest(prev, str(row.originator_id), row.originator_version, row.topic, row.state)
    except struct.error:
        raise ValueError("a version beyond 64 bits") from None


class Walk:
    """A log on its way past: rows in order, the tree over them, and the first join that does not hold.

    Args:
        known: what the log was, kept elsewhere: a head, or checkpoints in any order.
    """

    def __init__(self, known: Iterable[Head | Checkpoint] = ()) -> None:
        self.position = Position(0)
        self.digest = ""
        self.tree: Final = Frontier()
        self.held = Position(0)
        """The last position at which the log was what was known of it."""
        self._known: dict[Position, list[Head | Checkpoint]] = {}
        for head in known:
            self._known.setdefault(head.position, []).append(head)
        self._known.pop(Position(0), None)

    def take(self, row: Notification) -> Break | None:
        """Look at the next row; after a break there is no more to be learnt."""
        at = Position(row.id)
        try:
            link, found = link_of(row)
        except ValueError:
            return Break(self.position, at, "not a record")
        if at <= self.position:
            return Break(self.position, at, "out of order")
        if link != self.digest:
            return Break(self.position, at, "does not follow the record before it")
        self.tree.add(bytes.fromhex(found))
        after, self.position, self.digest = self.position, at, found
        return self._compared(after, at) if at in self._known else None

    def _compared(self, after: Position, at: Position) -> Break | None:
        for known in self._known.pop(at):
            if known.digest != self.digest:
                return Break(after, at, "not the record that was known here")
            if isinstance(known, Checkpoint) and (known.size, known.root) != (
                self.tree.size,
                self.tree.root(),
            ):
                return Break(self.held, at, "not the records that were known up to here")
        self.held = at
        return None

    def end(self) -> Break | None:
        """Return what is missing of what was known, after the last row."""
        if not self._known:
            return None
        gone = min(self._known)
        return Break(min(self.position, gone), gone, "the record that was known here is gone")


def verify(rows: Iterable[Notification], known: Head | None = None) -> Break | None:
    """Return where a whole log, as stored, first breaks; None when it holds.

    Args:
        rows: all rows of the log in the order of their positions.
        known: a head of this log that was kept elsewhere; its record must be there with its digest.
    """
    walk = Walk(() if known is None else (known,))
    for row in rows:
        found = walk.take(row)
        if found is not None:
            return found
    return walk.end()
