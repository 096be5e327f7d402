"""Keys in an SQLite file of their own, beside the log's.

Rule 1: no WAL, and `secure_delete`: a key that is destroyed is overwritten in the file, and the rollback journal that held the page is
        gone with the commit. What the disk under it keeps of freed blocks is not in our hands.
Rule 2: the file is for its owner only (0600); readers open it read-only and never create it.
Rule 3: a destroyed key leaves its row, so that "destroyed" is never taken for "lost", nor the other way round.
"""

import os
import sqlite3
import threading
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final
from urllib.parse import quote

import msgspec

from engine.adapters.subjectkeys.memory import found, joined, made_of, wanting
from engine.domain.values import UserId
from engine.ports import Fault

WAIT_SECONDS: Final = 5.0
"""For another process' transaction, which is one page."""
_TABLE: Final = "CREATE TABLE IF NOT EXISTS subjects (subject INTEGER PRIMARY KEY, key BLOB) STRICT"
_PUT: Final = (
    "INSERT INTO subjects (subject, key) VALUES (?, ?) ON CONFLICT (subject) DO UPDATE SET key = excluded.key"
)


class SqliteSubjectKeys:
    """`SubjectKeys` in a file.

    Args:
        path: the file; its folder must exist.
        read_only: for readers (rule 2).
    """

    def __init__(self, path: Path, *, read_only: bool = False) -> None:
        self._path = path
        self._read_only = read_only
        self._lock = threading.Lock()
        self._connection: sqlite3.Connection | None = None

    def __repr__(self) -> str:
        return f"SqliteSubjectKeys({str(self._path)!r})"

    def get(self, subject: UserId) -> bytes | None:
        """Return the key; see `SubjectKeys.get`."""
        return found(subject, self._held((subject,)))

    def make(self, subjects: Collection[UserId]) -> Mapping[UserId, bytes]:
        """Make those that are missing; see `SubjectKeys.make`."""
        held = self._held(subjects)
        if not wanting(subjects, held):
            return made_of(subjects, held)
        with self._writing() as connection:
            made = made_of(subjects, _read(connection, subjects))
            _put(connection, made)
        return made

    def destroy(self, subjects: Collection[UserId]) -> None:
        """Destroy keys; see `SubjectKeys.destroy`."""
        held = self._held(subjects)
        if any(held.get(subject, b"") is not None for subject in subjects):
            with self._writing() as connection:
                _put(connection, dict.fromkeys(subjects))

    def all(self) -> Mapping[UserId, bytes | None]:
        """Return every key; see `SubjectKeys.all`."""
        with self._opened() as connection:
            return {} if connection is None else _read(connection)

    def fill(self, keys: Mapping[UserId, bytes | None]) -> None:
        """Take in keys; see `SubjectKeys.fill`."""
        if keys or self.all():
            with self._writing() as connection:
                after = joined(keys, _read(connection))
                connection.execute("DELETE FROM subjects")
                _put(connection, after)

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            if self._connection is not None:
                self._connection.close()
                self._connection = None

    def _held(self, subjects: Collection[UserId]) -> dict[UserId, bytes | None]:
        with self._opened() as connection:
            return {} if connection is None else _read(connection, subjects)

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        with self._opened(make=True) as connection:
            if connection is None:
                raise Fault(f"{self._path} is open for reading only")
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield connection
                connection.execute("COMMIT")
            except BaseException:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                raise

    @contextmanager
    def _opened(self, *, make: bool = False) -> Iterator[sqlite3.Connection | None]:
        """Yield the connection; None while there is no file, and none is to be made."""
        with self._lock:
            try:
                if self._connection is None and (self._path.exists() or (make and not self._read_only)):
                    self._connection = self._connect()
                yield self._connection
            except (sqlite3.Error, OSError) as error:
                raise Fault(f"{self._path}: {type(error).__name__}: {error}") from error

    def _connect(self) -> sqlite3.Connection:
        if not self._read_only and not self._path.exists():
            os.close(os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
        uri = f"file:{quote(str(self._path))}?mode={'ro' if self._read_only else 'rw'}"
        connection = sqlite3.connect(
            uri, uri=True, timeout=WAIT_SECONDS, isolation_level=None, check_same_thread=False
        )
        if not self._read_only:
            for pragma in ("journal_mode=DELETE", "synchronous=EXTRA", "secure_delete=ON"):
                connection.execute(f"PRAGMA {pragma}").fetchall()
            connection.execute(_TABLE)
            _sync(self._path.parent)
        return connection


def _read(
    connection: sqlite3.Connection, subjects: Collection[UserId] | None = None
) -> dict[UserId, bytes | None]:
    if subjects is None:
        return dict(connection.execute("SELECT subject, key FROM subjects"))
    wanted = msgspec.json.encode(sorted(subjects)).decode()
    return dict(
        connection.execute(
            "SELECT subject, key FROM subjects WHERE subject IN (SELECT value FROM json_each(?))", (wanted,)
        )
    )


def _put(connection: sqlite3.Connection, keys: Mapping[UserId, bytes | None]) -> None:
    connection.executemany(_PUT, keys.items())


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
