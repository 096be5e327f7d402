"""A log in an SQLite file, over the library's recorder.

Rule 1: every connection that may write runs WAL with synchronous=FULL, else it is refused: an acknowledged event is on
        the disk (L1).
Rule 2: one engine holds `<file>.lock` (flock) for as long as it has the file open; a second one is refused, not queued.
Rule 3: positions are rowids. No row is ever deleted, and nobody runs VACUUM: both may number rows anew.
Rule 4: readers open the file read-only and never create it.
"""

import fcntl
import os
import sqlite3
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import quote

from eventsourcing.domain import EventSourcingError
from eventsourcing.persistence import Notification, StoredEvent
from eventsourcing.sqlite import (
    SQLiteApplicationRecorder,
    SQLiteConnection,
    SQLiteConnectionPool,
    SQLiteCursor,
    SQLiteDatastore,
)

from engine.adapters.store.log import LogMovedError
from engine.ports import Fault

_FULL = 2
"""What `PRAGMA synchronous` says for FULL (https://sqlite.org/pragma.html#pragma_synchronous)."""


class DurablePool(SQLiteConnectionPool):
    """Connections that may write (rule 1)."""

    pragmas: ClassVar[Sequence[str]] = ("PRAGMA synchronous=FULL",)
    """Run on every new connection: some builds of SQLite (macOS) come with synchronous=NORMAL for WAL."""

    def _create_connection(self) -> SQLiteConnection:
        connection = super()._create_connection()
        with connection.cursor() as cursor:
            for pragma in self.pragmas:
                cursor.execute(pragma).fetchall()
            mode = cursor.execute("PRAGMA journal_mode").fetchone()[0]
            synchronous = cursor.execute("PRAGMA synchronous").fetchone()[0]
        if mode != "wal" or synchronous != _FULL:
            connection.close()
            raise Fault(
                f"SQLite is not durable: journal_mode={mode}, synchronous={synchronous}; wanted wal, {_FULL}"
            )
        return connection


class OrderedRecorder(SQLiteApplicationRecorder):
    """The library's recorder, which appends only after the record that the caller expects to be the last."""

    def _insert_events(
        self, c: SQLiteCursor, stored_events: Sequence[StoredEvent], *, expected: int = 0, **kwargs: Any
    ) -> Sequence[int] | None:
        if (self._max_notification_id(c) or 0) != expected:
            raise LogMovedError
        return super()._insert_events(c, stored_events, **kwargs)


class SqliteRecording:
    """A `Recording` over a file.

    Args:
        path: the database; its folder must exist.
        read_only: for readers (rule 4).
        pool: makes the connections of a store.
    """

    errors: tuple[type[Exception], ...] = (EventSourcingError, sqlite3.Error, OSError)

    def __init__(self, path: Path, *, read_only: bool = False, pool: type[DurablePool] = DurablePool) -> None:
        self._path = path
        self._lock: int | None = None
        name = f"file:{quote(str(path))}?mode={'ro' if read_only else 'rw'}"
        self._datastore = SQLiteDatastore(name, pool_size=2, max_overflow=0, originator_id_type="text")
        if not read_only:
            self._datastore.pool.close()
            self._datastore.pool = pool(db_name=name, pool_size=2, max_overflow=0)
        self._recorder = OrderedRecorder(self._datastore)

    def recorder(self) -> OrderedRecorder:
        """Return the recorder."""
        return self._recorder

    def take(self) -> bool:
        """Take the lock file.

        Raises:
            Fault: another engine holds it.
        """
        lock = os.open(f"{self._path}.lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(lock)
            raise Fault(f"another engine has {self._path} open: stop it first") from None
        self._lock = lock
        return True

    def holds(self) -> bool:
        """Return True: nobody can take a lock file away."""
        return True

    def prepare(self) -> None:
        """Make the file, readable for its owner only, and its table."""
        if not self._path.exists():
            os.close(os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
        self._recorder.create_table()

    def fill(self, rows: Iterable[Notification]) -> None:
        """Store the rows of another log under their positions; see `Fillable.fill`.

        The library's recorder lets SQLite choose rowids, so this says the insert itself, in the library's transaction.
        """
        with self._datastore.transaction(commit=True) as cursor:
            cursor.execute(self._recorder.select_max_notification_id_statement)
            if cursor.fetchone()[0]:
                raise Fault(f"{self._path} has records already: restore into another place")
            cursor.executemany(
                f"INSERT INTO {self._recorder.events_table_name} "  # noqa: S608 (the library's name of a table)
                "(rowid, originator_id, originator_version, topic, state) VALUES (?, ?, ?, ?, ?)",
                ((row.id, row.originator_id, row.originator_version, row.topic, row.state) for row in rows),
            )

    def cut(self) -> None:
        """Do nothing: there is no server, and a disk that does not answer cannot be told so."""

    def close(self) -> None:
        """Close the connections, then let go of the lock."""
        self._datastore.close()
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None
