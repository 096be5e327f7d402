"""A log as it is stored, for those who do not take its word: whether it holds, and proof of one record.

Rule 1: nothing is decoded but the link to the record before: a record of a type that is unknown here is looked at too.
Rule 2: what this blocks on is the disk; it is for a process of its own.
"""

import base64
from collections.abc import Callable, Iterable, Iterator
from typing import Final, Self

import msgspec
from eventsourcing.persistence import Notification

from engine.adapters.store.chain import Break, Walk, link_of
from engine.adapters.store.log import Recording
from engine.contracts.checkpoint import BadNoteError, Checkpoint, Verifier, read
from engine.contracts.merkle import leaf_of, proof_of, root_from
from engine.domain.values import Position
from engine.ports import Fault, Head

PAGE: Final = 5_000
"""Rows per read."""

Progress = Callable[[Position, int], None]
"""Is told the position that was reached, and how many rows were read."""


class Rows:
    """The rows of one log, in the order of their positions."""

    def __init__(self, recording: Recording) -> None:
        self._recording = recording

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._recording.close()

    def end(self) -> Position:
        """Return the last position, 0 of an empty log.

        Raises:
            Fault: the log cannot be read.
        """
        try:
            return Position(self._recording.recorder().max_notification_id() or 0)
        except self._recording.errors as error:
            raise Fault(f"the log cannot be read: {type(error).__name__}: {error}") from error

    def pages(self) -> Iterator[list[Notification]]:
        """Yield the rows, `PAGE` at a time.

        Raises:
            Fault: the log cannot be read.
        """
        after = 0
        while True:
            try:
                rows = self._recording.recorder().select_notifications(after, PAGE, inclusive_of_start=False)
            except self._recording.errors as error:
                raise Fault(f"the log cannot be read: {type(error).__name__}: {error}") from error
            if not rows:
                return
            yield list(rows)
            after = rows[-1].id


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a look at a whole log: so many records up to a position, and where it breaks, if it does."""

    records: int
    position: Position
    digest: str
    root: bytes
    broken: Break | None


class Proof(msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """That a record was in the log which a checkpoint speaks of; checked without the log by `checked`.

    `path` holds the siblings' hashes in base64 (RFC 9162 §2.1.3), `state` the record's stored octets as text.
    """

    stream: str
    version: int
    topic: str
    state: str
    position: int
    index: int
    path: tuple[str, ...]
    checkpoint: str


def verify(rows: Rows, known: Iterable[Head | Checkpoint], progress: Progress = lambda *_: None) -> Verdict:
    """Look at a whole log, up to its first break.

    Raises:
        Fault: the log cannot be read.
    """
    walk = Walk(known)
    broken: Break | None = None
    for page in rows.pages():
        for row in page:
            broken = walk.take(row)
            if broken is not None:
                break
        progress(walk.position, walk.tree.size)
        if broken is not None:
            break
    return Verdict(
        records=walk.tree.size,
        position=walk.position,
        digest=walk.digest,
        root=walk.tree.root(),
        broken=broken or walk.end(),
    )


def prove(rows: Rows, position: Position, note: str, progress: Progress = lambda *_: None) -> Proof | None:
    """Return the proof that the record at a position is in the log of a checkpoint; None: it is not in there.

    Raises:
        BadNoteError: the note is no checkpoint, or not one of this log.
        Fault: the log cannot be read.
    """
    checkpoint, _ = read(note, ())
    leaves: list[bytes] = []
    found: tuple[int, Notification] | None = None
    for page in rows.pages():
        for row in page[: checkpoint.size - len(leaves)]:
            if row.id == position:
                found = len(leaves), row
            leaves.append(leaf_of(bytes.fromhex(link_of(row)[1])))
        progress(Position(page[-1].id), len(leaves))
        if len(leaves) == checkpoint.size:
            break
    if found is None:
        return None
    index, row = found
    path = proof_of(leaves, index)
    if root_from(leaves[index], index, checkpoint.size, path) != checkpoint.root:
        raise BadNoteError("the checkpoint does not speak of this log as it is: verify it")
    return Proof(
        stream=str(row.originator_id),
        version=row.originator_version,
        topic=row.topic,
        state=row.state.decode(),
        position=row.id,
        index=index,
        path=tuple(base64.b64encode(node).decode() for node in path),
        checkpoint=note,
    )


def checked(proof: Proof, verifiers: Iterable[Verifier]) -> tuple[Checkpoint, bool]:
    """Return the checkpoint that the record is proven to be in, and whether a known key signed it.

    Raises:
        BadNoteError: it proves nothing; the text says why.
    """
    checkpoint, signed = read(proof.checkpoint, verifiers)
    row = Notification(proof.stream, proof.version, proof.topic, proof.state.encode(), id=proof.position)
    try:
        leaf = leaf_of(bytes.fromhex(link_of(row)[1]))
        path = [base64.b64decode(node, validate=True) for node in proof.path]
    except ValueError:
        raise BadNoteError("the proof cannot be read") from None
    if root_from(leaf, proof.index, checkpoint.size, path) != checkpoint.root:
        raise BadNoteError("the record is not in the log of the checkpoint")
    return checkpoint, signed
