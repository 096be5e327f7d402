"""A connection's first request, in HTTP/1.1: an ordinary page, or the upgrade with the first half of the handshake.

Rule 1: one request, then this is over and its memory is given back.
Rule 2: what a request may cost is bounded: `MAX_HEAD` octets before it is whole, `MAX_IGNORED_BODY` of a body that nobody reads.
Rule 3: who is turned away because of load hears when to come back, at a time of its own.
"""

import asyncio
import contextlib
import random
import socket
from typing import Final, NamedTuple

import h11

from frontends.control.exchange import Answer
from frontends.wire import upgrade
from frontends.wire.errors import RemoteProtocolError

MAX_HEAD: Final = 16 * 1024
"""Octets of a request's head."""
MAX_IGNORED_BODY: Final = 64 * 1024
OVERLOADED: Final = 503
USER_TIMEOUT_MILLIS: Final = 90_000
"""How long the kernel waits for an acknowledgement before it gives the other side up: longer than a keep-alive."""


class Upgrade(NamedTuple):
    """A client wants to speak the control protocol: the first half of its handshake."""

    initiation: bytes


class Page(NamedTuple):
    """Somebody asks for an ordinary page."""

    method: str
    target: str


class Threshold:
    """Reads one request and writes the answer to it."""

    __slots__ = ("_http1", "_ignored", "_request")

    def __init__(self) -> None:
        self._http1: Final = h11.Connection(h11.SERVER, max_incomplete_event_size=MAX_HEAD)
        self._request: h11.Request | None = None
        self._ignored = 0

    def receive(self, data: bytes) -> Upgrade | Page | None:
        """Return the request once it is whole.

        Raises:
            RemoteProtocolError: it is not one, or too long.
            h11.RemoteProtocolError: it is no HTTP/1.1.
        """
        self._http1.receive_data(data)
        while True:
            event = self._http1.next_event()
            if event is h11.NEED_DATA or event is h11.PAUSED or isinstance(event, h11.ConnectionClosed):
                return None
            if isinstance(event, h11.Request):
                self._request = event
            elif isinstance(event, h11.Data):
                self._ignored += len(event.data)
                if self._ignored > MAX_IGNORED_BODY:
                    raise RemoteProtocolError("the body is too long", status=413)
            elif isinstance(event, h11.EndOfMessage) and self._request is not None:
                return self._whole(self._request)

    def _whole(self, request: h11.Request) -> Upgrade | Page:
        if not upgrade.is_upgrade_path(request.target):
            return Page(request.method.decode(), request.target.decode("ascii", "replace"))
        initiation = upgrade.read_initiation(request.method, request.headers)
        if self._http1.trailing_data[0]:
            raise RemoteProtocolError("the client spoke before its turn")
        return Upgrade(initiation)

    def answer(self, answer: Answer, *, body: bool) -> bytes:
        """Return the octets of an answer to a page; without its `body` to a HEAD."""
        length = (b"content-length", b"%d" % len(answer.body))
        head = h11.Response(
            status_code=answer.status, headers=[*answer.headers, length, (b"connection", b"close")]
        )
        parts = [self._http1.send(head), self._http1.send(h11.Data(answer.body)) if body else b""]
        parts.append(self._http1.send(h11.EndOfMessage()))
        return b"".join(part for part in parts if part)


def refusal(status: int) -> bytes:
    """Return the whole answer to a request that is not served (rule 3)."""
    later = b"retry-after: %d\r\n" % random.randint(1, 5) if status == OVERLOADED else b""  # noqa: S311 (spreads load)
    return b"HTTP/1.1 %d Refused\r\nconnection: close\r\n%bcontent-length: 0\r\n\r\n" % (status, later)


def tune(transport: asyncio.Transport) -> None:
    """Set what a connection's socket is to do."""
    sock = transport.get_extra_info("socket")
    if sock is None or sock.family not in (socket.AF_INET, socket.AF_INET6):
        return
    with contextlib.suppress(OSError):
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, USER_TIMEOUT_MILLIS)
