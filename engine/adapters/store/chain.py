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


def verify(rows: Iterable[Notification], known: Head | None = None) -> Break | None:
    """Return where a whole log, as stored, first breaks; None when it holds.

    Args:
        rows: all rows of the log in the order of their positions.
        known: a head of this log that was kept elsewhere; its record must be there with its digest.
    """
    after, prev = Position(0), ""
    met = known is None or known.position == 0
    for row in rows:
        at = Position(row.id)
        try:
            link = _link(row.state).prev
            found = digest(link, str(row.originator_id), row.originator_version, row.topic, row.state)
        except (ValueError, struct.error):
            return Break(after, at, "not a record")
        if at <= after:
            return Break(after, at, "out of order")
        if link != prev:
            return Break(after, at, "does not follow the record before it")
        if known is not None and at == known.position:
            met = True
            if found != known.digest:
                return Break(after, at, "not the record that was known here")
        after, prev = at, found
    if known is not None and not met:
        return Break(after, known.position, "the record that was known here is gone")
    return None
