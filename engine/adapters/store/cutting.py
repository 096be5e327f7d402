"""A datastore whose connections can be cut by somebody who has waited long enough.

Rule 1: a wait inside libpq ends when its socket ends, and by nothing else that is sure: a server that does not answer takes no
        cancellation, and its own time-outs do not run while it waits for the rest of a message.
Rule 2: there is no `statement_timeout`: it would also end a COMMIT's wait for a synchronous replica, and the server would then
        say that it has committed.
Rule 3: the session of a cut connection may live on in the server, with its locks; `end_cut` ends it.
"""

import contextlib
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
from eventsourcing.postgres import PostgresDatastore
from psycopg import Connection
from psycopg.rows import DictRow


class CuttableDatastore(PostgresDatastore):
    """The library's datastore, which knows the connections that are in use."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._used: set[Connection[DictRow]] = set()
        self._cut: set[int] = set()

    @contextmanager
    def get_connection(self) -> Iterator[Connection[DictRow]]:
        """Yield a connection of the pool."""
        with super().get_connection() as connection:
            self._used.add(connection)
            try:
                yield connection
            finally:
                self._used.discard(connection)

    def cut(self) -> None:
        """End the sockets of all connections in use: whoever waits on one gets an error. From any thread."""
        for connection in tuple(self._used):
            with contextlib.suppress(psycopg.Error, OSError):
                self._cut.add(connection.info.backend_pid)
                end_socket(connection)

    def end_cut(self, statement: str) -> None:
        """Run the statement with the process numbers of the sessions that were cut, if there are any (rule 3)."""
        if self._cut:
            with self.get_connection() as connection:
                connection.execute(statement.encode(), (sorted(self._cut),))
            self._cut.clear()


def end_socket(connection: Connection[Any]) -> None:
    """Shut the connection's socket down; libpq finds out and closes it.

    Raises:
        OSError, psycopg.Error: it is closed already.
    """
    with socket.socket(fileno=os.dup(connection.pgconn.socket)) as end:
        end.shutdown(socket.SHUT_RDWR)
