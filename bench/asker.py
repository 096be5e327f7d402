"""A NATS client that can do one thing: ask, and note when the answers come.

A library's client costs as much for each request as what is measured; this one about 10 µs.

    in flight    `closed(n, seconds)`   n requests wait at any time; each answer brings the next request
    at a rate    `open(rate, seconds)`  every millisecond what is due, whether answers come or not

Rule 1: an answer counts if it contains `good`; every other one is an error, and the first is kept to be shown.
"""

import asyncio
import contextlib
import json
import secrets
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final, cast
from urllib.parse import urlsplit

import msgspec

from engine.adapters.bus.context import Context

Question = Callable[[int], tuple[str, bytes]]
"""The n-th request's subject and body."""
CONNECT_SECONDS: Final = 5.0
DRAIN_SECONDS: Final = 5.0
"""How long the last answers may take."""
TICK_SECONDS: Final = 0.001


class Answers(msgspec.Struct):
    """What came of many requests; latencies in seconds, in the order of their answers."""

    seconds: float = 0.0
    done: int = 0
    """Good answers within `seconds`; later ones have a latency only."""
    latencies: list[float] = []
    errors: int = 0
    unanswered: int = 0
    first_error: str = ""
    cpu: float = 0.0
    """Processor seconds of this process meanwhile."""

    @property
    def rate(self) -> float:
        """Good answers a second."""
        return self.done / self.seconds if self.seconds else 0.0


class Asker(asyncio.Protocol):
    """One connection; made by `connected`.

    Args:
        context: where, and as whom.
        keyed: whether each request has a command id, as a sender that wants it done once gives it.
    """

    def __init__(self, context: Context, *, keyed: bool) -> None:
        self._context: Final = context
        self._keyed: Final = keyed
        self._ready = asyncio.get_running_loop().create_future()
        self._settled = asyncio.Event()
        self._transport: asyncio.Transport | None = None
        self._held = b""
        self._run = secrets.token_hex(4)
        self._asked = 0
        self._sent: dict[int, float] = {}
        self._question: Question = lambda _: ("", b"")
        self._good = b""
        self._until = 0.0
        self._again = False
        self._last = 0
        self._answers = Answers()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Log in, and listen on one inbox."""
        self._transport = cast("asyncio.Transport", transport)
        hello = {
            "verbose": False,
            "headers": True,
            "no_responders": True,
            "user": self._context.user,
            "pass": self._context.password,
        }
        inbox = self._context.inbox_prefix
        self._transport.write(
            f"CONNECT {json.dumps(hello)}\r\nSUB {inbox}.bench.{self._run}.* 1\r\nPING\r\n".encode()
        )

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell whoever waits to be let in."""
        if not self._ready.done():
            self._ready.set_exception(exc or ConnectionError("nats-server hung up"))

    async def ready(self) -> None:
        """Wait until the server has let us in."""
        await asyncio.wait_for(self._ready, CONNECT_SECONDS)

    def close(self) -> None:
        """Hang up."""
        if self._transport is not None:
            self._transport.close()

    async def closed(self, in_flight: int, seconds: float, question: Question, good: bytes) -> Answers:
        """Keep so many requests waiting for so long."""
        self._begin(question, good, time.perf_counter() + seconds, again=True)
        began, cpu = time.perf_counter(), time.process_time()
        self._write([self._next() for _ in range(in_flight)])
        await asyncio.sleep(seconds)
        return await self._end(began, cpu)

    async def open(self, rate: float, seconds: float, question: Question, good: bytes) -> Answers:
        """Send so many a second for so long."""
        began, cpu = time.perf_counter(), time.process_time()
        self._begin(question, good, began + seconds, again=False)
        sent = 0
        while (now := time.perf_counter()) < self._until:
            count = int((now - began) * rate) - sent
            if count > 0:
                self._write([self._next() for _ in range(count)])
                sent += count
            await asyncio.sleep(TICK_SECONDS)
        return await self._end(began, cpu)

    async def all(self, count: int, in_flight: int, question: Question, good: bytes) -> Answers:
        """Send the first `count` questions, `in_flight` at a time, and wait for every answer.

        Raises:
            TimeoutError: no good one came for `DRAIN_SECONDS`.
        """
        began, cpu = time.perf_counter(), time.process_time()
        self._begin(question, good, float("inf"), again=True)
        self._last = self._asked + count
        self._write([self._next() for _ in range(min(count, in_flight))])
        while self._sent:
            seen = len(self._answers.latencies)
            self._settled.clear()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._settled.wait(), DRAIN_SECONDS)
            if self._sent and len(self._answers.latencies) == seen:
                raise TimeoutError(f"{len(self._sent)} requests have no answer")
        return await self._end(began, cpu)

    def _begin(self, question: Question, good: bytes, until: float, *, again: bool) -> None:
        self._question, self._good, self._until, self._again = question, good, until, again
        self._answers = Answers()
        self._last = sys.maxsize
        self._sent.clear()

    async def _end(self, began: float, cpu: float) -> Answers:
        ended, used = time.perf_counter(), time.process_time()
        self._again = False
        answers = self._answers
        answers.done, answers.seconds, answers.cpu = len(answers.latencies), ended - began, used - cpu
        deadline = ended + DRAIN_SECONDS
        while self._sent and time.perf_counter() < deadline:
            await asyncio.sleep(TICK_SECONDS)
        answers.unanswered = len(self._sent)
        return answers

    def _next(self) -> bytes:
        number = self._asked
        self._asked += 1
        subject, body = self._question(number)
        self._sent[number] = time.perf_counter()
        inbox = f"{self._context.inbox_prefix}.bench.{self._run}.{number}"  # a server lets nobody answer one subject for ever
        if not self._keyed:
            return f"PUB {subject} {inbox} {len(body)}\r\n".encode() + body + b"\r\n"
        head = f"NATS/1.0\r\nNats-Msg-Id: {self._run}-{number}\r\n\r\n".encode()
        sizes = f"{len(head)} {len(head) + len(body)}"
        return f"HPUB {subject} {inbox} {sizes}\r\n".encode() + head + body + b"\r\n"

    def _write(self, parts: list[bytes]) -> None:
        if self._transport is not None and parts:
            self._transport.write(b"".join(parts))

    def data_received(self, data: bytes) -> None:
        """Take the answers, and ask on."""
        data = self._held + data if self._held else data
        at, more = 0, []
        now = time.perf_counter()
        while (end := data.find(b"\r\n", at)) >= 0:
            words = data[at:end].split(b" ")
            if words[0] in (b"MSG", b"HMSG"):
                after = end + 2 + int(words[-1])
                if after + 2 > len(data):
                    break
                self._take(int(words[1].rpartition(b".")[2]), data[end + 2 : after], now)
                if self._again and now < self._until and self._asked < self._last:
                    more.append(self._next())
                at = after + 2
                continue
            at = end + 2
            if words[0] == b"PING":
                more.append(b"PONG\r\n")
            elif words[0] == b"PONG" and not self._ready.done():
                self._ready.set_result(None)
            elif words[0] == b"-ERR":
                self._fail(data[:end])
        self._held = data[at:]
        self._write(more)

    def _take(self, number: int, body: bytes, now: float) -> None:
        sent = self._sent.pop(number, None)
        if sent is None:
            return
        if self._good in body:
            self._answers.latencies.append(now - sent)
        else:
            self._fail(body)
        if not self._sent:
            self._settled.set()

    def _fail(self, what: bytes) -> None:
        self._answers.errors += 1
        self._answers.first_error = self._answers.first_error or what[:300].decode(errors="replace")
        if not self._ready.done():
            self._ready.set_exception(ConnectionError(what.decode(errors="replace")))


def context_in(directory: Path, role: str) -> Context:
    """Return how a role of this directory connects."""
    return msgspec.json.decode((directory / "contexts" / f"{role}.json").read_bytes(), type=Context)


@asynccontextmanager
async def connected(directory: Path, role: str, *, keyed: bool = False) -> AsyncIterator[Asker]:
    """Connect as a role of the directory."""
    context = context_in(directory, role)
    place = urlsplit(context.url)
    loop = asyncio.get_running_loop()
    _, asker = await loop.create_connection(
        lambda: Asker(context, keyed=keyed), place.hostname or "", place.port or 0
    )
    try:
        await asker.ready()
        yield asker
    finally:
        asker.close()
