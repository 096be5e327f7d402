"""One client's connection: HTTP/1.1 until the upgrade, then HTTP/2 inside Noise records.

Rule 1: 101, the Noise response, the early payload and our SETTINGS leave in one write.
Rule 2: who has not finished the handshake within `HANDSHAKE_SECONDS` is cut off; `Door` bounds how many are trying.
Rule 3: what is sealed must be sent (the counter orders it), so no more is sealed than the transport takes: slices of
        `SLICE`, and none while the transport holds `HIGH_WATER`.
Rule 4: a request is a task; a stream that its client resets cancels it. Errors have constant texts.
Rule 5: a connection that takes nothing for `STALL_SECONDS` although something waits is cut off, and so is one that
        wants nothing for `IDLE_SECONDS` (a stranger, whose machine has no node: for `STRANGER_IDLE_SECONDS`), or has a
        request on its way for `REQUEST_SECONDS`.
Rule 6: what strangers may make us hold is bounded: `MAX_WAITING` octets of answers, `MAX_BODIES` of requests.
"""

import asyncio
import contextlib
import secrets
from collections.abc import Callable, Coroutine
from typing import Any, Final, cast

import h11
import structlog

from engine.domain.values import MachineKey
from engine.ports import Fault
from frontends.control.door import Door
from frontends.control.exchange import Answer, Request, text, unavailable
from frontends.control.frontend import Frontend
from frontends.control.outlet import MapStream
from frontends.control.pages import page
from frontends.control.routes import route
from frontends.control.threshold import Threshold, Upgrade, refusal, tune
from frontends.wire import early, upgrade
from frontends.wire.budget import MAX_BODIES
from frontends.wire.errors import LocalProtocolError, ProtocolError, RemoteProtocolError
from frontends.wire.frames import RecordReader, RecordWriter
from frontends.wire.http2 import BodyReceived, Event, GoneAway, Http2, RequestReceived, Role, StreamClosed
from frontends.wire.keytext import Kind, show
from frontends.wire.noise import Asked, PrivateKey
from frontends.wire.phases import Phase, Saw, step

HANDSHAKE_SECONDS: Final = 10.0
STALL_SECONDS: Final = 30.0
IDLE_SECONDS: Final = 300.0
"""Clients of 1.70 – 1.88 close a connection that was idle for one minute; later ones keep it."""
STRANGER_IDLE_SECONDS: Final = 30.0
"""A client that wants in asks at once, and is held while it waits for an approval."""
HIGH_WATER: Final = 256 * 1024
LOW_WATER: Final = 64 * 1024
REQUEST_SECONDS: Final = 30.0
"""How long a request may be on its way: real ones have 1–3 KiB."""
MAX_WAITING: Final = 2 * 1024 * 1024
"""Octets that may wait for the transport; map frames stop at `HIGH_WATER`, so more are answers that nobody reads."""
KEY_OCTETS: Final = 32

Spawn = Callable[[Coroutine[Any, Any, None]], "asyncio.Task[None]"]
_log = structlog.get_logger(__name__)


class Connection(asyncio.Protocol):
    """The protocol of one TCP connection; `spawn` starts its requests' tasks."""

    __slots__ = (
        "_address", "_applied", "_asked", "_bodies", "_deadline", "_door", "_frontend", "_http2", "_leaving", "_machine",
        "_paused", "_phase", "_reader", "_seen", "_sent", "_spawn", "_stranger", "_streams", "_tasks", "_threshold",
        "_transport", "_writer",
    )  # fmt: skip

    def __init__(self, frontend: Frontend, door: Door, spawn: Spawn) -> None:
        self._frontend: Final = frontend
        self._door: Final = door
        self._spawn: Final = spawn
        self._phase = Phase.UPGRADING
        self._transport: asyncio.Transport | None = None
        self._address = ""
        self._deadline: asyncio.TimerHandle | None = None
        self._threshold: Threshold | None = Threshold()
        self._applied: Asked | None = None
        """The first half of the handshake, while it waits for its turn."""
        self._machine = MachineKey("")
        self._stranger = False
        """Whether the door counts this connection among the strangers."""
        self._reader: RecordReader | None = None
        self._writer: RecordWriter | None = None
        self._http2: Http2 | None = None
        self._asked: dict[int, tuple[RequestReceived, float]] = {}
        """Requests whose bodies are on their way, and when they began."""
        self._bodies: dict[int, int] = {}
        """Octets of the bodies of requests that are being answered."""
        self._tasks: dict[int, asyncio.Task[None]] = {}
        self._streams: dict[int, MapStream] = {}
        self._paused = False
        self._leaving = False
        """Whether it goes when the requests that are being answered have their answers."""
        self._sent = 0
        self._seen = (0, 0.0)
        """How much had been taken at the last sweep that saw progress, and when that was."""

    # The transport says -----------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        self._transport = cast("asyncio.Transport", transport)
        self._transport.set_write_buffer_limits(high=HIGH_WATER, low=LOW_WATER)
        tune(self._transport)
        peer = self._transport.get_extra_info("peername")
        self._address = str(peer[0]) if peer else ""
        if not self._door.enter(self, self._address):
            self._transport.abort()
            return
        loop = asyncio.get_running_loop()
        self._seen = (0, loop.time())
        self._deadline = loop.call_later(HANDSHAKE_SECONDS, self.abort)

    def data_received(self, data: bytes) -> None:
        """Take in what came."""
        try:
            if self._phase is Phase.UPGRADING:
                self._on_http1(data)
            elif self._phase in (Phase.SERVING, Phase.DRAINING):
                self._on_records(data)
            elif self._phase is Phase.HANDSHAKING:
                raise RemoteProtocolError("the client spoke before its turn")
        except (ProtocolError, h11.RemoteProtocolError, h11.LocalProtocolError) as error:
            self._refuse(error)

    def eof_received(self) -> bool:
        """Close: a client has nothing to wait for after its last word."""
        return False

    def pause_writing(self) -> None:
        """Seal no more for now."""
        self._paused = True

    def resume_writing(self) -> None:
        """Go on."""
        self._paused = False
        self._pump()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 (why does not matter)
        """Forget everything."""
        if self._phase is not Phase.CLOSED:
            self._phase = step(self._phase, Saw.EOF)
        self._passed()
        self._acquaint()
        self._door.admission.forget(self)
        self._applied = None
        self._door.leave(self)
        for task in self._tasks.values():
            task.cancel()
        self._tasks.clear()
        streams, self._streams = self._streams, {}
        for stream in streams.values():
            stream.lost()
        self._transport = None

    # HTTP/1.1 ---------------------------------------------------------------------------------------------------

    def _on_http1(self, data: bytes) -> None:
        threshold = self._threshold
        asked = None if threshold is None else threshold.receive(data)
        if isinstance(asked, Upgrade):
            self._phase = step(self._phase, Saw.UPGRADE)
            self._apply(asked.initiation)
        elif asked is not None and threshold is not None:
            self._phase = step(self._phase, Saw.REQUEST)
            answer = page(self._frontend, asked.method, asked.target)
            self._write(threshold.answer(answer, body=asked.method != "HEAD"))
            self.close()

    def _apply(self, initiation: bytes) -> None:
        """Ask to be let in."""
        admission = self._door.admission
        if self._frontend.draining or admission.is_full:
            raise RemoteProtocolError("nobody is let in now", status=503)
        self._applied = Asked(self._frontend.identity.key, initiation)
        self._machine = MachineKey(show(Kind.MACHINE, self._applied.machine))
        if not admission.ask(self, is_known=self._is_known()):
            raise RemoteProtocolError("too many want to be let in", status=503)

    def proceed(self) -> None:
        """Finish the handshake."""
        try:
            self._switch()
        except ProtocolError as error:
            self._refuse(error)

    def _switch(self) -> None:
        applied, self._applied = self._applied, None
        if applied is None:
            return
        self._stranger = not self._is_known()
        if self._stranger and not self._door.admit(self._address):
            self._stranger = False  # not counted
            raise RemoteProtocolError("too many strangers are here", status=503)
        response, session = applied.answer(PrivateKey(secrets.token_bytes(KEY_OCTETS)))
        self._phase = step(self._phase, Saw.INITIATION)
        self._passed()
        self._threshold = None
        self._reader, self._writer = RecordReader(session.receive), RecordWriter(session.send)
        self._http2 = Http2(Role.SERVER, asyncio.get_running_loop().time())
        challenge = secrets.token_bytes(
            KEY_OCTETS
        )  # any octets are a public key; nobody here wants an answer
        first = self._writer.seal(early.build(challenge) + self._http2.data_to_send())
        self._write(b"".join((upgrade.SWITCHING, response, first)))

    def _passed(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
            self._door.passed(self._address)

    def _is_known(self) -> bool:
        """Return whether the machine has a node; before there is a replica everybody's has."""
        replica = self._frontend.replica
        return not replica.loaded or replica.knows(self._machine)

    def _acquaint(self) -> None:
        if self._stranger:
            self._stranger = False
            self._door.known(self._address)

    # HTTP/2 inside Noise ----------------------------------------------------------------------------------------

    def _on_records(self, data: bytes) -> None:
        if self._reader is None or self._http2 is None:
            return
        plain = self._reader.receive(data)
        for event in self._http2.receive(plain, asyncio.get_running_loop().time()):
            self._on(event)
        self._flush()
        self._pump()

    def _on(self, event: Event) -> None:
        match event:
            case RequestReceived(stream=number):
                self._asked[number] = (event, asyncio.get_running_loop().time())
            case BodyReceived(stream=number, body=body):
                asked, _ = self._asked.pop(number)
                self._bodies[number] = len(body)
                if sum(self._bodies.values()) > MAX_BODIES:
                    raise RemoteProtocolError("too much is asked at once", status=413)
                request = Request(self._machine, asked.method, asked.path, body)
                self._tasks[number] = self._spawn(self._answer(number, request))
            case StreamClosed(stream=number):
                self._on_closed(number)
            case GoneAway():
                self._phase = step(self._phase, Saw.GOAWAY)
                self.close()
            case _:
                pass  # what only clients hear

    def _on_closed(self, number: int) -> None:
        self._asked.pop(number, None)
        self._bodies.pop(number, None)
        task = self._tasks.pop(number, None)
        if task is not None:
            task.cancel()
        stream = self._streams.pop(number, None)
        if stream is not None:
            stream.lost()

    async def _answer(self, number: int, request: Request) -> None:
        stream = MapStream(self, number)
        answer: Answer | None
        try:
            answer = await route(request)(self._frontend, request, stream)
        except RemoteProtocolError as error:
            answer = text(error.status, "the request is not what it should be")
        except Fault:
            answer = unavailable()
        except Exception:  # noqa: BLE001 (the top of a task)
            _log.exception("a request failed")
            answer = text(500, "something went wrong here")
        self._tasks.pop(number, None)
        self._bodies.pop(number, None)
        try:
            self._reply(number, answer)
        except LocalProtocolError:  # this connection's end, and no other's
            _log.exception("an answer could not be sent")
            self.abort()
        if self._leaving:
            self.leave()

    def _reply(self, number: int, answer: Answer | None) -> None:
        if answer is None or self._http2 is None or self._transport is None:
            return
        self._http2.send_headers(number, answer.status, answer.headers, end=not answer.body)
        if answer.body:
            self._http2.send_data(number, answer.body, end=True)
        self._flush()

    # For the streams --------------------------------------------------------------------------------------------

    def begin(self, stream: MapStream) -> bool:
        """Send the head of a stream that goes on; return False if it is gone."""
        if self._http2 is None or self._transport is None:
            return False
        if not self._http2.send_headers(stream.number, 200):
            return False
        self._streams[stream.number] = stream
        self._flush()
        return True

    def takes(self, number: int) -> bool:
        """Return whether a slice of this stream can be sealed and sent now."""
        if self._paused or self._http2 is None or self._transport is None or self._transport.is_closing():
            return False
        return self._http2.is_open(number) and self._http2.pending(number) == 0

    def send(self, number: int, piece: bytes | memoryview) -> None:
        """Seal and send a slice of a stream."""
        if self._http2 is not None:
            self._http2.send_data(number, bytes(piece))
            self._flush()

    def drop(self, number: int, *, whole: bool) -> None:
        """End a stream from our side; one that is not `whole` is reset."""
        self._streams.pop(number, None)
        if self._http2 is None or self._transport is None:
            return
        if whole and self._http2.pending(number) == 0:
            self._http2.send_data(number, b"", end=True)
        else:
            self._http2.reset(number)
        self._flush()

    def _pump(self) -> None:
        for stream in list(self._streams.values()):
            stream.pump()

    def _flush(self) -> None:
        if self._http2 is not None and self._writer is not None:
            data = self._http2.data_to_send()
            if data:
                self._write(bytes(self._writer.seal(data)))

    def _write(self, data: bytes) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._sent += len(data)
            self._transport.write(data)
            if self._transport.get_write_buffer_size() > MAX_WAITING:
                self.abort()

    # Ends -------------------------------------------------------------------------------------------------------

    def sweep(self, now: float) -> None:
        """Cut off a connection that is stuck, or idle for long."""
        if self._asked and any(now - began > REQUEST_SECONDS for _, began in self._asked.values()):
            self.abort()
            return
        if self._stranger and self._is_known():
            self._acquaint()
        idle = STRANGER_IDLE_SECONDS if self._stranger else IDLE_SECONDS
        taken, since = self._seen
        left = 0 if self._transport is None else self._transport.get_write_buffer_size()
        stuck = self._http2.pending(0) if self._http2 is not None else 0
        waits = self._paused or stuck or any(stream.waits for stream in self._streams.values())
        busy = bool(self._tasks or self._streams or self._asked)
        if self._sent - left != taken or (busy and not waits):
            self._seen = (self._sent - left, now)
        elif now - since > (STALL_SECONDS if waits else idle):
            self.abort()

    def _refuse(self, error: Exception) -> None:
        """Say the last words that are possible, and hang up."""
        self._applied = None
        if self._phase in (Phase.UPGRADING, Phase.HANDSHAKING):
            status = error.status if isinstance(error, RemoteProtocolError) else 400
            self._write(refusal(status))
        else:
            with contextlib.suppress(ProtocolError):
                self._flush()
        self._phase = step(self._phase, Saw.REFUSED)
        self.close()

    def leave(self) -> None:
        """Say GOAWAY and close, once the requests that are being answered have their answers."""
        if self._tasks:
            self._leaving = True
        else:
            self.drain()

    def drain(self) -> None:
        """Say GOAWAY and close."""
        if self._http2 is not None and self._transport is not None:
            self._http2.close()
            self._flush()
        self.close()

    def close(self) -> None:
        """Close once what is written is sent."""
        if self._transport is not None:
            self._transport.close()

    def abort(self) -> None:
        """Close at once."""
        if self._transport is not None:
            self._transport.abort()
