"""A log in a PostgreSQL database, over the library's recorder; one log to a database.

Rule 1: one engine holds a session's advisory lock (`lease.py`); others stand by. The lock elects; it protects nothing.
Rule 2: what protects is the fence (L6): who takes over raises the number in `netmap_fence`, and every append locks and
        reads that row in its own transaction. A deposed engine gets `WrongFence`.
Rule 3: that row's lock lets one append at a time through, until it has committed, so that readers never see a position
        after which an earlier one appears (L4). It stands for the library's lock of the whole table, behind which
        appends would wait for VACUUM and ANALYZE.
Rule 4: nothing is tried again here: an append whose answer was lost would come back as a conflict with itself.
Rule 5: only an engine makes tables; a reader finds them or fails. Readers' sessions are read-only.
Rule 6: the server must be durable (`REQUIRED`), and POSTGRES_ENABLE_DB_FUNCTIONS off: with it readers miss events.
Rule 7: an append is sent whole before its answer is awaited. In its pipeline mode psycopg 3.3 gives up flushing while the
        socket is full (`generators._pipeline_communicate` looks at no result of `flush`) and then waits for an answer to what
        was never sent: with a megabyte, for ever.
Rule 8: whoever waits too long may `cut` the connections; what their sessions hold in the server is ended before the next
        append.
"""

import os
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any, Final

import psycopg
from eventsourcing.domain import EventSourcingError
from eventsourcing.persistence import InterfaceError, Notification, OperationalError, StoredEvent
from eventsourcing.postgres import PostgresApplicationRecorder
from eventsourcing.utils import strtobool
from psycopg import Cursor
from psycopg.conninfo import conninfo_to_dict
from psycopg.generators import send
from psycopg.rows import DictRow, dict_row
from psycopg.sql import SQL, Identifier

from engine.adapters.store.cutting import CuttableDatastore
from engine.adapters.store.lease import SILENT_SECONDS, Lease
from engine.adapters.store.log import LogMovedError
from engine.ports import Fault, WrongFence

REQUIRED: Final[Mapping[str, frozenset[str]]] = {
    "fsync": frozenset({"on"}),
    "synchronous_commit": frozenset({"on", "remote_apply"}),
    "default_transaction_isolation": frozenset({"read committed"}),
    "server_encoding": frozenset({"UTF8"}),
}
"""Settings of a session that appends.

Isolation: what is read behind the fence must be newer than the fence's lock. Encoding: in an SQL_ASCII database the
driver gives octets for text.
"""

CONNECTION: Final[Mapping[str, Any]] = {
    "connect_timeout": 5,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 20_000,
}
"""How soon a lost server is noticed (libpq's parameters; seconds, the last in ms); a URL may say otherwise."""

POOL_TIMEOUT: Final = 5.0
"""Seconds to wait for a connection."""

_MAKE_FENCE: Final = """
    CREATE TABLE IF NOT EXISTS netmap_fence (one boolean PRIMARY KEY DEFAULT true CHECK (one), fence bigint NOT NULL)
"""
_FENCE_PATIENCE: Final = "SET LOCAL lock_timeout = '1s'"
_RAISE_FENCE: Final = """
    INSERT INTO netmap_fence AS f (fence) VALUES (1) ON CONFLICT (one) DO UPDATE SET fence = f.fence + 1 RETURNING fence
"""

_END_APPENDS: Final = """
    SELECT pg_terminate_backend(pid) FROM pg_locks
    WHERE relation = to_regclass('netmap_fence') AND granted AND pid <> pg_backend_pid()
"""
_END_CUT: Final = """
    SELECT pg_terminate_backend(pid) FROM pg_locks
    WHERE pid = ANY(%s) AND relation = to_regclass('netmap_fence') AND granted
"""
"""Ends sessions that were cut in an append: they hold the fence's row until the server notices, which may be never."""

_INSERT: Final = SQL(
    "INSERT INTO {table} (originator_id, originator_version, topic, state)"
    " SELECT * FROM unnest(%s::text[], %s::bigint[], %s::text[], %b::bytea[]) RETURNING notification_id"
)
"""The library sends one array of composites: 22 µs of the driver's time for each event instead of 3, and more of the server's."""
_COPY: Final = SQL(
    "COPY {table} (originator_id, originator_version, topic, state, notification_id) FROM STDIN"
)
_SET_SEQUENCE: Final = "SELECT setval(pg_get_serial_sequence(%s, 'notification_id'), %s)"


class FencedRecorder(PostgresApplicationRecorder):
    """The library's recorder behind a fence (rules 2 to 4)."""

    read_fence = "SELECT fence FROM netmap_fence FOR UPDATE"

    def __init__(self, datastore: CuttableDatastore) -> None:
        super().__init__(datastore)
        self._cuttable = datastore
        self.fence = 0
        self.lock_table_statements = []
        self.insert_events_statement = _INSERT.format(
            table=Identifier(datastore.schema, self.events_table_name)
        )
        # The function that inserts without any lock is not even made (rule 6).
        del self.sql_create_statements[self.create_insert_function_statement_index]

    def raise_fence(self) -> None:
        """Depose whoever was the engine; its append has a second to end, and is ended then."""
        with self.datastore.transaction(commit=True) as cursor:
            cursor.execute(_MAKE_FENCE)
        try:
            self._raise_fence()
        except OperationalError:  # a stopped engine's append would hold the row for ever
            with self.datastore.cursor() as cursor:
                cursor.execute(_END_APPENDS)
            self._raise_fence()

    def _raise_fence(self) -> None:
        with self.datastore.transaction(commit=True) as cursor:
            cursor.execute(_FENCE_PATIENCE)
            row = cursor.execute(_RAISE_FENCE).fetchone()
            self.fence = row["fence"] if row else 0

    def insert_events(self, stored_events: Sequence[StoredEvent], **kwargs: Any) -> Sequence[int] | None:
        """Insert once (rule 4); after a lost connection the others are let go of too: to look at them could take for ever."""
        once = PostgresApplicationRecorder.insert_events.__wrapped__
        try:
            self._cuttable.end_cut(_END_CUT)
            ids: Sequence[int] | None = once(self, stored_events, **kwargs)
        except (InterfaceError, OperationalError):
            with suppress(psycopg.Error):
                self.datastore.pool.drain()
            raise
        return ids

    def select_notifications(self, *args: Any, **kwargs: Any) -> Sequence[Notification]:
        """Select once (rule 4)."""
        once = PostgresApplicationRecorder.select_notifications.__wrapped__
        rows: Sequence[Notification] = once(self, *args, **kwargs)
        return rows

    def _insert_events(
        self, curs: Cursor[DictRow], stored_events: Sequence[StoredEvent], *, expected: int = 0, **kwargs: Any
    ) -> None:
        """Check the fence and the end of the log: two statements, one round trip, in the append's transaction.

        The second has its own, later snapshot: it sees what an append has committed that held the lock before.
        """
        curs.execute(self.read_fence)
        with curs.connection.cursor() as ends:
            ends.execute(self.max_notification_id_statement)
            fence, end = curs.fetchone(), ends.fetchone()
        if fence is None or fence["fence"] != self.fence:
            raise WrongFence("another engine has taken over")
        if end is None or (end["max"] or 0) != expected:
            raise LogMovedError
        super()._insert_events(curs, stored_events, **kwargs)

    def _insert_stored_events(
        self, curs: Cursor[DictRow], stored_events: Sequence[StoredEvent], **_: Any
    ) -> None:
        """Insert as four arrays (`_INSERT`), and see that all of it is on its way (rule 7)."""
        self._lock_table(curs)
        self._notify_channel(curs)
        columns = (
            [event.originator_id for event in stored_events],
            [event.originator_version for event in stored_events],
            [event.topic for event in stored_events],
            [event.state for event in stored_events],
        )
        curs.execute(self.insert_events_statement, columns)
        curs.connection.wait(send(curs.connection.pgconn))


class PostgresRecording:
    """A `Recording` over a database.

    Args:
        url: a connection string, as libpq has them.
        read_only: for readers (rule 5).
        recorder: what appends.
        silent: seconds of silence after which an engine that has the lock is deposed (`lease.py`).
    """

    errors: tuple[type[Exception], ...] = (EventSourcingError, psycopg.Error, OSError)

    def __init__(
        self,
        url: str,
        *,
        read_only: bool = False,
        recorder: type[FencedRecorder] = FencedRecorder,
        silent: float = SILENT_SECONDS,
    ) -> None:
        try:
            self._parameters: dict[str, Any] = {**CONNECTION, **conninfo_to_dict(url)}
        except psycopg.ProgrammingError:
            raise Fault("the store's URL is not one of PostgreSQL") from None
        self._parameters.setdefault("application_name", "netmap-engine")
        self._read_only = read_only
        if read_only:
            options = self._parameters.get("options", "")
            self._parameters["options"] = f"{options} -c default_transaction_read_only=on".strip()
        self._make = recorder
        self._datastore = self._connect()
        self._recorder: FencedRecorder | None = None
        self._lease = Lease(self._parameters, silent=silent)

    def recorder(self) -> FencedRecorder:
        """Return the recorder.

        Raises:
            Fault: a store that is not open.
        """
        if self._recorder is None:
            if not self._read_only:
                raise Fault("the store is not open")
            self._recorder = self._make(self._datastore)
        return self._recorder

    def take(self) -> bool:
        """Try to get the lock, and depose a silent holder; False as long as another session has it."""
        return self._lease.take()

    def holds(self) -> bool:
        """Return whether the lock is still ours, as far as we know."""
        return self._lease.is_held

    def prepare(self) -> None:
        """Check the settings, make the tables, raise the fence.

        Only the holder of the lock makes tables, so nobody else makes them at the same time.
        """
        _check_environment(self._datastore)
        with self._datastore.cursor() as cursor:
            _check_settings(cursor)
        recorder = self._make(self._datastore)
        recorder.raise_fence()  # first: an append that was left in the middle would keep the tables locked
        recorder.create_table()
        self._recorder = recorder

    def fill(self, rows: Iterable[Notification]) -> None:
        """Store the rows of another log under their positions; see `Fillable.fill`.

        The library's recorder takes positions from the table's sequence, so this copies the rows itself, in the library's
        transaction, and then sets the sequence: it is not rolled back, and a higher one only makes a hole.
        """
        recorder = self.recorder()
        table = Identifier(self._datastore.schema, recorder.events_table_name)
        with self._datastore.transaction(commit=True) as cursor:
            found = cursor.execute(recorder.max_notification_id_statement).fetchone()
            if found is None or found["max"]:
                raise Fault("the database has records already: restore into another one")
            last = 0
            with cursor.copy(_COPY.format(table=table)) as copy:
                for row in rows:
                    copy.write_row((row.originator_id, row.originator_version, row.topic, row.state, row.id))
                    last = row.id
            cursor.execute(_SET_SEQUENCE, (table.as_string(cursor), last))

    def cut(self) -> None:
        """Cut the connections that are in use (rule 8); whoever waits on one gets an error. From any thread."""
        self._datastore.cut()

    def close(self) -> None:
        """Close the connections; the lock goes with its own, last."""
        self._datastore.close()
        self._lease.close()

    def _connect(self) -> CuttableDatastore:
        """Return a datastore whose pool connects as the URL says, with parameters that the library does not know."""
        datastore = CuttableDatastore(
            "",
            "",
            "",
            "",
            "",
            connect_timeout=POOL_TIMEOUT,
            idle_in_transaction_session_timeout=POOL_TIMEOUT,
            pool_size=1,
            max_overflow=0 if self._read_only else 1,
            originator_id_type="text",
        )
        datastore.pool.kwargs = {"row_factory": dict_row, **self._parameters}
        return datastore


def _check_environment(datastore: CuttableDatastore) -> None:
    name = "POSTGRES_ENABLE_DB_FUNCTIONS"
    try:
        on = strtobool(os.environ.get(name) or "no")
    except ValueError:
        on = True
    if on or datastore.enable_db_functions:
        raise Fault(f"{name} is on: readers would miss events; unset it")


def _check_settings(cursor: Cursor[DictRow]) -> None:
    for name, allowed in REQUIRED.items():
        row = cursor.execute("SELECT current_setting(%s) AS value", (name,)).fetchone()
        value = row["value"] if row else ""
        if value not in allowed:
            raise Fault(
                f"PostgreSQL is not set up as it must be: {name} is {value}, not {' or '.join(sorted(allowed))}"
            )
