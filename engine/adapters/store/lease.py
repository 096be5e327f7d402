"""The session that holds the engine's advisory lock in PostgreSQL, and shows that its holder lives.

Rule 1: the holder beats: every `BEAT_SECONDS` it runs a statement on the very session that has the lock. A beat that fails is
        the loss of the lock; one that is not answered for `SILENT_SECONDS` is too, for by then somebody else may have it.
Rule 2: whoever stands by looks at the holder's last statement, by the database's own clock and its `pg_stat_activity`: nothing
        is written. A holder that has been silent for `SILENT_SECONDS` (stopped, cut off, hung) loses its session.
Rule 3: so one at a time is elected, and protected by nothing: the fence protects (`postgres.py`, rule 2).
Rule 4: beats come from a thread of their own: an engine that is busy for seconds is not dead.
"""

import contextlib
import threading
import time
from collections.abc import Mapping
from typing import Any, Final

import psycopg
import structlog

from engine.adapters.store.cutting import end_socket

LOCK: Final = int.from_bytes(b"netmap\0\1")
"""The key of the advisory lock; locks are per database."""
BEAT_SECONDS: Final = 1.0
SILENT_SECONDS: Final = 6.0
"""Five beats may be late, on a machine that has no time; with what follows a takeover takes less than 15 s."""

_TRY: Final = "SELECT pg_try_advisory_lock(%s)"
_BEAT: Final = "SELECT 1"
_DEPOSE: Final = """
    SELECT pg_terminate_backend(held.pid) FROM pg_locks held JOIN pg_stat_activity USING (pid)
    WHERE held.locktype = 'advisory' AND held.granted AND held.objsubid = 1
      AND held.database = (SELECT oid FROM pg_database WHERE datname = current_database())
      AND held.classid::bigint = %s AND held.objid::bigint = %s
      AND clock_timestamp() - greatest(state_change, query_start) > make_interval(secs => %s)
"""
"""A 64-bit key is in two halves there, with `objsubid` 1 (https://www.postgresql.org/docs/18/view-pg-locks.html)."""

_LOG: Final = structlog.get_logger()


class Lease:
    """The lock, tried for or held.

    Args:
        parameters: of the connection, as libpq has them.
        silent: seconds of silence after which a holder is taken for dead.
    """

    def __init__(self, parameters: Mapping[str, Any], *, silent: float = SILENT_SECONDS) -> None:
        self._parameters = parameters
        self._silent = silent
        self._session: psycopg.Connection[Any] | None = None
        self._beating: threading.Thread | None = None
        self._over = threading.Event()
        self._answered = 0.0
        self._lost = False

    def take(self) -> bool:
        """Try to get the lock, and depose a holder that is silent; False as long as another session has it.

        Raises:
            psycopg.Error: the server is out of reach.
        """
        if self._session is None or self._session.closed:
            self._session = psycopg.connect(**self._parameters, autocommit=True)
        asked = time.monotonic()
        row = self._session.execute(_TRY, (LOCK,)).fetchone()
        if not row or not row[0]:
            halves = LOCK >> 32, LOCK & 0xFFFF_FFFF
            for _ in self._session.execute(_DEPOSE, (*halves, self._silent)):
                _LOG.warning("store.deposed", silent=self._silent)
            return False
        self._answered = asked
        self._beating = threading.Thread(target=self._beat, args=(self._session,), name="lease", daemon=True)
        self._beating.start()
        return True

    @property
    def is_held(self) -> bool:
        """Whether the lock was still ours at the last beat, and that is not long ago (rule 1)."""
        fresh = time.monotonic() - self._answered < self._silent
        return self._beating is not None and not self._lost and fresh

    def close(self) -> None:
        """Let go of the lock, if it is held, and of the session; more than once is fine."""
        self._over.set()
        if self._beating is not None:
            self._beating.join(BEAT_SECONDS)
            if (
                self._beating.is_alive() and self._session is not None
            ):  # it waits for an answer that may never come
                with contextlib.suppress(psycopg.Error, OSError):
                    end_socket(self._session)
            self._beating.join()
        if self._session is not None:
            self._session.close()
            self._session = None

    def _beat(self, session: psycopg.Connection[Any]) -> None:
        while not self._over.wait(BEAT_SECONDS):
            asked = time.monotonic()
            try:
                session.execute(_BEAT)
            except psycopg.Error as error:
                self._lost = True
                _LOG.error("store.lock_lost", error=type(error).__name__)
                return
            self._answered = asked
