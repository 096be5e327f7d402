"""A request inside Noise, its answer, and the stream that may answer bit by bit.

Rule 1: the caller is who the Noise handshake proved it to be; nothing in a request can say otherwise.
Rule 2: an answer's text is a constant of ours, or an answer of the engine's.
"""

import math
import random
from collections.abc import Awaitable, Callable
from typing import Final, NamedTuple, Protocol

import msgspec

from engine.domain.values import MachineKey
from frontends.control.frontend import Frontend
from frontends.control.sessions import Outlet

Headers = tuple[tuple[bytes, bytes], ...]
JSON: Final[Headers] = ((b"content-type", b"application/json"),)
TEXT: Final[Headers] = ((b"content-type", b"text/plain; charset=utf-8"),)


class Request(NamedTuple):
    """A whole request; `machine` is the caller's machine key."""

    machine: MachineKey
    method: str
    path: str
    body: bytes


class Answer(msgspec.Struct, frozen=True):
    """A whole response."""

    status: int
    body: bytes = b""
    headers: Headers = ()


class Stream(Outlet, Protocol):
    """The response's side of a stream, for those who answer frame by frame."""

    def finish(self) -> None:
        """End the stream once `source` has no more frame; `on_end` is not called."""
        ...


Handler = Callable[[Frontend, Request, Stream], Awaitable[Answer | None]]
"""Answers a request; None means that it has started the stream and the rest happens there."""


def text(status: int, message: str) -> Answer:
    """Return an answer in plain words."""
    return Answer(status, message.encode() + b"\n", TEXT)


def unavailable() -> Answer:
    """Return the answer of a frontend that cannot serve now; who asks comes back within 1 to 5 seconds."""
    seconds = random.randint(1, 5)  # noqa: S311 (spreads load, hides nothing)
    return Answer(503, b"not ready; try again\n", (*TEXT, (b"retry-after", b"%d" % seconds)))


def too_often(frontend: Frontend, request: Request) -> Answer | None:
    """Take one request from the machine's rate; return what it is told if it asks too often.

    Clients from 1.98 on wait for as long as they are told, older ones back off.
    """
    wait = frontend.rates.spend(request.machine, frontend.clock.monotonic())
    if not wait:
        return None
    return Answer(429, b"too many requests\n", (*TEXT, (b"retry-after", b"%d" % math.ceil(wait))))
