"""Keys in a table of their own, in the database of the log.

Rule 1: only an engine makes the table; for a reader that finds none there are no keys.
Rule 2: a destroyed key leaves its row, so that "destroyed" is never taken for "lost", nor the other way round.
Rule 3: after a destroy the table is written anew (an ordinary VACUUM leaves the octets in the page). The server's WAL, its archive and its dumps hold the
        key as long as they are kept: their retention is the operator's (`docs/history.md`).
Rule 4: nobody fences this: who makes a key twice finds the first one, and only keys of whom the log calls erased are destroyed.
"""

import threading
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any, Final

import psycopg
from psycopg.conninfo import conninfo_to_dict

from engine.adapters.subjectkeys.memory import found, joined, made_of, wanting
from engine.domain.values import UserId
from engine.ports import Fault

_TABLE: Final = "CREATE TABLE IF NOT EXISTS netmap_subjects (subject bigint PRIMARY KEY, key bytea)"
_LOCK: Final = "LOCK TABLE netmap_subjects IN SHARE ROW EXCLUSIVE MODE"
_READ: Final = "SELECT subject, key FROM netmap_subjects"
_PUT: Final = """
    INSERT INTO netmap_subjects (subject, key) VALUES (%s, %s) ON CONFLICT (subject) DO UPDATE SET key = excluded.key
"""


class PostgresSubjectKeys:
    """`SubjectKeys` in a database.

    Args:
        parameters: a connection string, and what it leaves open (libpq's parameters).
        read_only: for readers (rule 1).
    """

    def __init__(self, url: str, parameters: Mapping[str, Any], *, read_only: bool = False) -> None:
        try:
            self._parameters: dict[str, Any] = {**parameters, **conninfo_to_dict(url)}
        except psycopg.ProgrammingError:
            raise Fault("the store's URL is not one of PostgreSQL") from None
        self._parameters.setdefault("application_name", "netmap-engine")
        self._read_only = read_only
        self._lock = threading.Lock()
        self._connection: psycopg.Connection[Any] | None = None
        self._made = False

    def __repr__(self) -> str:
        return "PostgresSubjectKeys(…)"

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
            with self._opened() as connection:
                connection.execute("VACUUM FULL netmap_subjects")  # rule 3

    def all(self) -> Mapping[UserId, bytes | None]:
        """Return every key; see `SubjectKeys.all`."""
        return self._held(None)

    def fill(self, keys: Mapping[UserId, bytes | None]) -> None:
        """Take in keys; see `SubjectKeys.fill`."""
        if keys or self.all():
            with self._writing() as connection:
                after = joined(keys, _read(connection, None))
                connection.execute("DELETE FROM netmap_subjects")
                _put(connection, after)

    def close(self) -> None:
        """Close the connection."""
        with self._lock:
            self._drop()

    def _held(self, subjects: Collection[UserId] | None) -> dict[UserId, bytes | None]:
        with self._opened() as connection:
            try:
                return _read(connection, subjects)
            except psycopg.errors.UndefinedTable:
                return {}

    @contextmanager
    def _writing(self) -> Iterator[psycopg.Connection[Any]]:
        if self._read_only:
            raise Fault("the keys are open for reading only")
        with self._opened() as connection:
            if not self._made:
                connection.execute(_TABLE)
                self._made = True
            with connection.transaction():
                connection.execute(_LOCK)
                yield connection

    @contextmanager
    def _opened(self) -> Iterator[psycopg.Connection[Any]]:
        """Yield a connection; one that fails is let go of, the next call makes another."""
        with self._lock:
            try:
                if self._connection is None or self._connection.closed:
                    self._connection = psycopg.connect(**self._parameters, autocommit=True)
                yield self._connection
            except psycopg.Error as error:
                self._drop()
                raise Fault(f"the keys of the log: {type(error).__name__}") from error

    def _drop(self) -> None:
        if self._connection is not None:
            with suppress(psycopg.Error):
                self._connection.close()
            self._connection = None


def _read(
    connection: psycopg.Connection[Any], subjects: Collection[UserId] | None
) -> dict[UserId, bytes | None]:
    if subjects is None:
        rows = connection.execute(_READ)
    else:
        rows = connection.execute(f"{_READ} WHERE subject = ANY(%s)", (list(subjects),))
    return {UserId(subject): None if key is None else bytes(key) for subject, key in rows}


def _put(connection: psycopg.Connection[Any], keys: Mapping[UserId, bytes | None]) -> None:
    if keys:
        with connection.cursor() as cursor:
            cursor.executemany(_PUT, list(keys.items()))
