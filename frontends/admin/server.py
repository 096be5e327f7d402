"""HTTP/1.1 by uvicorn, within limits.

Rule 1: a connection that has no request under way, and whose next one does not arrive within `HEAD_SECONDS`, is closed.
Rule 2: signals are the program's, not the server's; nothing of a request is logged.
"""

import asyncio
import contextlib
from collections.abc import Iterator
from typing import Any, Final

import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol

HEAD_SECONDS: Final = 10.0
"""As for the control protocol's handshake."""
IDLE_SECONDS: Final = 30
"""How long a connection may be kept for the next request; tools that poll every 5 or 10 s keep theirs."""
DRAIN_SECONDS: Final = 5
MAX_HEAD: Final = 16 * 1024
MAX_CONNECTIONS: Final = 200
"""Connections, and requests under way; further ones hear 503."""
BACKLOG: Final = 128


class Protocol(H11Protocol):
    """uvicorn's protocol, which waits for a head without end (rule 1)."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        """Begin to wait for a request."""
        super().connection_made(transport)
        self._last: Any = None
        self._sweeper = self.loop.call_later(HEAD_SECONDS, self._sweep)

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait for nothing any more."""
        self._sweeper.cancel()
        super().connection_lost(exc)

    def _sweep(self) -> None:
        """Close a connection on which since the last look no request was under way, or has begun."""
        cycle: Any = self.cycle
        waits = cycle is None or cycle.response_complete
        if waits and cycle is self._last and self.timeout_keep_alive_task is None:
            self.transport.close()
            return
        self._last = cycle
        self._sweeper = self.loop.call_later(HEAD_SECONDS, self._sweep)


class Server(uvicorn.Server):
    """uvicorn's server, without signals (rule 2)."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave signals alone."""
        yield


def server_of(application: ASGIApp) -> Server:
    """Return the server of an application; `serve(sockets=…)` runs it until `should_exit`."""
    return Server(
        uvicorn.Config(
            application,
            http=Protocol,
            ws="none",
            lifespan="off",
            loop="none",
            log_config=None,
            log_level="critical",
            access_log=False,
            proxy_headers=False,
            server_header=False,
            h11_max_incomplete_event_size=MAX_HEAD,
            limit_concurrency=MAX_CONNECTIONS,
            timeout_keep_alive=IDLE_SECONDS,
            timeout_graceful_shutdown=DRAIN_SECONDS,
            backlog=BACKLOG,
        )
    )
