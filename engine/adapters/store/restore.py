"""A log from a backup into a store without records, under a new epoch (invariant F6).

Rule 1: a restored log is another history: what follows the backup in the old one may have been seen, and is gone. So
        the last record of every restore is a `LogStarted` with a new epoch; frontends and projections start anew.
Rule 2: all or nothing, the new beginning included: no process ever sees the records under their old epoch.
Rule 3: positions are kept, with their holes: checkpoints, causes and clocks of others speak of them.
Rule 4: every record is looked at again on its way into the store, which is rolled back at the first that is wrong.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import Final, NamedTuple, Protocol

from eventsourcing.persistence import Notification

from engine.adapters.store.archive import (
    Backup,
    BrokenError,
    Progress,
    Until,
    facts_of,
    report,
    whole_commands,
)
from engine.adapters.store.chain import Walk
from engine.adapters.store.codec import Codec
from engine.adapters.store.log import START_OF_HISTORY, Recording
from engine.domain.events import LogStarted
from engine.domain.values import CommandId, Epoch, Millis, Position, TailnetName
from engine.ports import Envelope, Fault, Pending

CAUSE: Final = "restore"
_EVERYTHING: Final = Until()


class Fillable(Recording, Protocol):
    """A recording that can be filled while it is empty."""

    def fill(self, rows: Iterable[Notification]) -> None:
        """Store the rows under their positions in one transaction; what `rows` raises rolls it back.

        The next append gets a position after the last row's.

        Raises:
            Fault: there are records already; no row was asked for.
        """
        ...


class Beginning(NamedTuple):
    """Who begins the new history, when and why."""

    epoch: Epoch
    command_id: CommandId
    actor: str
    at: Millis
    reason: str


class Restored(NamedTuple):
    """The log as it is now: `position` is that of its new beginning, `kept` that of the last record of the backup."""

    records: int
    kept: Position
    position: Position
    epoch: Epoch


def restore(
    backup: Backup,
    target: Fillable,
    beginning: Beginning,
    *,
    until: Until = _EVERYTHING,
    ready: Callable[[Position], None] = lambda _: None,
    progress: Progress = lambda *_: None,
) -> Restored:
    """Fill the store with the records of a backup that was checked.

    Args:
        backup: where the records are.
        target: the store; it is closed at the end.
        beginning: of the new history.
        until: the last moment that is wanted.
        ready: called with the position of the last record, when all are in and nothing is committed.
        progress: see `Progress`.

    Raises:
        BadBackupError, BrokenError: the backup is not what it was; the store is still empty.
        Fault: the store has records, an engine, or cannot be written; or there is no record to restore.
    """
    history = _History(beginning, backup.manifest.tailnet, progress)

    def rows() -> Iterator[Notification]:
        yield from history.of(whole_commands(backup.rows(), until))
        ready(history.walk.position)

    try:
        if not target.take():
            raise Fault("an engine is active on the store: stop it first")
        target.prepare()
        target.fill(rows())
    except target.errors as error:
        raise Fault(f"the store cannot be filled: {type(error).__name__}: {error}") from error
    finally:
        target.close()
    return Restored(
        records=history.walk.tree.size + 1,
        kept=history.walk.position,
        position=Position(history.walk.position + 1),
        epoch=beginning.epoch,
    )


class _History:
    """Records on their way into a store, and the beginning that follows them."""

    def __init__(self, beginning: Beginning, tailnet: str, progress: Progress) -> None:
        self.walk: Final = Walk()
        self._beginning = beginning
        self._codec = Codec(TailnetName(tailnet))
        self._progress = progress

    def of(self, rows: Iterable[Notification]) -> Iterator[Notification]:
        """Yield the rows, and the beginning."""
        stream = self._codec.stream_id(START_OF_HISTORY)
        version, at = 0, Millis(0)
        for row in rows:
            broken = self.walk.take(row)
            if broken is not None:
                raise BrokenError(broken)
            if row.originator_id == stream:
                version = row.originator_version
            at = max(at, facts_of(row).at)
            yield row
            report(self.walk, self._progress)
        if not self.walk.position:
            raise Fault("there is no record at or before that moment in the backup")
        yield self._begin(version + 1, at)

    def _begin(self, version: int, at: Millis) -> Notification:
        told = self._beginning
        envelope = Envelope(
            stream=START_OF_HISTORY,
            version=version,
            at=max(told.at, at),
            actor=told.actor,
            command_id=told.command_id,
            cause=CAUSE,
            reason=told.reason,
        )
        [row], _ = self._codec.encode(
            [Pending(envelope=envelope, event=LogStarted(epoch=told.epoch))], self.walk.digest
        )
        return Notification(
            row.originator_id, row.originator_version, row.topic, row.state, id=self.walk.position + 1
        )
