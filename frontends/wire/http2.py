"""HTTP/2 as the control protocol uses it, around the h2 library; server or client by choice.

    receive(bytes, now) → events        send_headers, send_data → data_to_send() → bytes

Rule 1: a request is handed over whole: RequestReceived at its headers, BodyReceived at its end, whatever the
        method. Clients send GET with a body.
Rule 2: data that does not fit into the other side's windows stays with its stream and goes when they open.
        `pending` says how much that is; to bound it is the caller's part.
Rule 3: whoever breaks the protocol or a limit of `budget` gets GOAWAY: `receive` raises, `data_to_send` holds the
        last words, and nothing else is to be done with the connection.
Rule 4: a stream that the other side has ended is no error to send on: the call returns False and does nothing.
"""

import struct
from collections import deque
from collections.abc import Sequence
from enum import Enum
from typing import Final

import h2.config
import h2.connection
import h2.errors
import h2.events
import h2.exceptions
import h2.settings
import h2.stream
import msgspec

from frontends.wire.budget import (
    MAX_BODIES,
    MAX_BODY,
    MAX_HEADERS,
    MAX_STREAMS,
    WINDOW,
    FrameCensus,
    GlitchBucket,
    resets_in,
)
from frontends.wire.errors import LocalProtocolError, RemoteProtocolError

Headers = Sequence[tuple[bytes, bytes]]
_SLICE: Final = 4096
"""The library eats this much at a time, so that a budget is checked before the next piece costs anything."""
_MAX_FRAME: Final = 16_384
"""We never send longer DATA frames, whatever the other side would take."""
_DEFAULT_WINDOW: Final = 65_535
_CLIENT_WINDOW: Final = 4 * 1024 * 1024
_CLIENT_CONNECTION_WINDOW: Final = 1 << 30
"""Windows of Go's client, seen on the wire (control-protocol §3.7)."""

_DATA_HEAD: Final = struct.Struct(">HBBBI")
_DATA: Final = 0
"""Length, type, flags and stream of a frame (RFC 9113, §4.1, §6.1)."""
_SENDING: Final = (h2.stream.StreamState.OPEN, h2.stream.StreamState.HALF_CLOSED_REMOTE)


class Role(Enum):
    """Which side we are."""

    SERVER = "server"
    CLIENT = "client"


class RequestReceived(msgspec.Struct, frozen=True):
    """A request has begun; its `BodyReceived` follows. The authority means nothing and is left out."""

    stream: int
    method: str
    path: str
    headers: tuple[tuple[bytes, bytes], ...]


class BodyReceived(msgspec.Struct, frozen=True):
    """A request is whole; its body may be empty."""

    stream: int
    body: bytes


class ResponseReceived(msgspec.Struct, frozen=True):
    """A response has begun."""

    stream: int
    status: int
    headers: tuple[tuple[bytes, bytes], ...]


class DataReceived(msgspec.Struct, frozen=True):
    """A piece of a response's body."""

    stream: int
    data: bytes


class StreamClosed(msgspec.Struct, frozen=True):
    """The other side has ended a stream: `error` is its HTTP/2 error code, or None for a response that is whole.

    To a server it always means that the request was cancelled.
    """

    stream: int
    error: int | None = None


class GoneAway(msgspec.Struct, frozen=True):
    """The other side has ended the connection, and with it every stream."""

    error: int


Event = RequestReceived | BodyReceived | ResponseReceived | DataReceived | StreamClosed | GoneAway


class _Stream:
    """What we hold of one stream: a body that comes, data that waits."""

    __slots__ = ("body", "ended", "ending", "pending", "waiting")

    def __init__(self) -> None:
        self.body = bytearray()
        self.ended = False
        """The other side has sent its last."""
        self.pending: deque[memoryview] = deque()
        self.waiting = 0
        self.ending = False
        """We shall send no more than what is pending."""


class Http2:
    """One HTTP/2 connection; `now` is a steady clock's seconds."""

    def __init__(self, role: Role, now: float) -> None:
        self._server: Final = role is Role.SERVER
        self._h2: Final = _connection(server=self._server)
        self._out: Final = bytearray()
        self._streams: Final[dict[int, _Stream]] = {}
        self._bodies = 0
        self._closed = False
        self._bucket: Final = GlitchBucket(now)
        self._census: Final = FrameCensus(preface=self._server)

    def receive(self, data: bytes, now: float) -> list[Event]:
        """Return what the bytes bring about.

        Raises:
            RemoteProtocolError: the other side broke the protocol or a limit; send what there is and hang up.
        """
        if self._closed:
            return []
        try:
            self._bucket.spend(self._census.glitches(data), now)
            events: list[Event] = []
            for start in range(0, len(data), _SLICE):
                found = self._h2.receive_data(data[start : start + _SLICE])
                reply = self._h2.data_to_send()  # now: `_send_piece` would take it along
                self._out.extend(reply)
                self._bucket.spend(resets_in(reply), now)
                for event in found:
                    self._on(event, events, now)
        except h2.exceptions.ProtocolError:
            self._shut()
            raise RemoteProtocolError("not HTTP/2 as we understand it") from None
        except RemoteProtocolError:
            self.close(h2.errors.ErrorCodes.ENHANCE_YOUR_CALM)
            raise
        return events

    def data_to_send(self) -> bytes:
        """Return what must go out, in order, and forget it."""
        self._out.extend(self._h2.data_to_send())
        data = bytes(self._out)
        self._out.clear()
        return data

    def send_request(self, method: str, path: str, body: bytes = b"", *, authority: str = "unused") -> int:
        """Send a request and return its stream; clients only."""
        if self._server or self._closed:
            raise LocalProtocolError("only a client with an open connection sends requests")
        stream = self._h2.get_next_available_stream_id()
        head = [
            (b":method", method.encode()),
            (b":scheme", b"https"),
            (b":authority", authority.encode()),
            (b":path", path.encode()),
        ]
        try:
            self._h2.send_headers(stream, head, end_stream=not body)
        except h2.exceptions.TooManyStreamsError:
            raise LocalProtocolError("the server takes no more streams") from None
        self._streams[stream] = _Stream()
        if body:
            self.send_data(stream, body, end=True)
        return int(stream)

    def send_headers(self, stream: int, status: int, headers: Headers = (), *, end: bool = False) -> bool:
        """Send a response's head; return False if the stream is gone."""
        held = self._streams.get(stream)
        if held is None:
            return False
        try:
            self._h2.send_headers(stream, [(b":status", b"%d" % status), *headers], end_stream=end)
        except h2.exceptions.ProtocolError:
            raise LocalProtocolError("a response has one head, and servers send it") from None
        if end:
            held.ending = True
            self._finish(stream, held)
        return True

    def send_data(self, stream: int, data: bytes, *, end: bool = False) -> bool:
        """Send a piece of a body, or keep it until the windows open; return False if the stream is gone."""
        held = self._streams.get(stream)
        if held is None:
            return False
        if held.ending:
            raise LocalProtocolError("a body ends once")
        if data:
            held.pending.append(memoryview(data))
            held.waiting += len(data)
        held.ending = end
        self._flush(stream, held)
        return True

    def pending(self, stream: int) -> int:
        """Return how many bytes of a stream, or with 0 of all streams, wait for their windows."""
        if not stream:
            return sum(held.waiting for held in self._streams.values())
        held = self._streams.get(stream)
        return 0 if held is None else held.waiting

    def is_open(self, stream: int) -> bool:
        """Return whether something sent on the stream could still arrive."""
        return stream in self._streams

    def reset(self, stream: int, error: int = h2.errors.ErrorCodes.CANCEL) -> None:
        """End a stream at once and drop what waits."""
        if stream in self._streams:
            self._forget(stream)
            self._h2.reset_stream(stream, error)

    def close(self, error: int = h2.errors.ErrorCodes.NO_ERROR) -> None:
        """Say GOAWAY; every stream ends here, and what waits is dropped."""
        if not self._closed:
            self._h2.close_connection(error)
            self._shut()

    def _shut(self) -> None:
        self._closed = True
        self._streams.clear()

    def _on(self, event: h2.events.Event, events: list[Event], now: float) -> None:
        match event:
            case h2.events.DataReceived():
                self._on_data(event, events, now)
            case h2.events.RequestReceived(stream_id=stream, headers=headers):
                self._streams[stream] = _Stream()
                known, rest = _split(headers)
                events.append(
                    RequestReceived(stream, known.get(b":method", ""), known.get(b":path", ""), rest)
                )
            case h2.events.ResponseReceived(stream_id=stream, headers=headers):
                known, rest = _split(headers)
                events.append(ResponseReceived(stream, _status(known), rest))
            case h2.events.StreamEnded(stream_id=stream):
                self._on_ended(stream, events)
            case h2.events.StreamReset(stream_id=stream, error_code=error):
                if self._forget(stream):
                    events.append(StreamClosed(stream, error or 0))
            case h2.events.WindowUpdated(stream_id=stream):
                self._flush_some(stream)
            case h2.events.RemoteSettingsChanged():
                self._flush_some(0)
            case h2.events.ConnectionTerminated(error_code=error):
                self._shut()
                events.append(GoneAway(error or 0))
            case _:
                pass  # acknowledgements, trailers, informational responses, priorities: nothing follows from them

    def _on_data(self, event: h2.events.DataReceived, events: list[Event], now: float) -> None:
        stream, data = event.stream_id, event.data
        if not data and event.stream_ended is None:
            self._bucket.spend(1, now)
        self._h2.acknowledge_received_data(event.flow_controlled_length, stream)
        held = self._streams.get(stream)
        if held is None or not data:
            return
        if not self._server:
            events.append(DataReceived(stream, bytes(data)))
            return
        held.body += data
        self._bodies += len(data)
        if len(held.body) > MAX_BODY or self._bodies > MAX_BODIES:
            raise RemoteProtocolError("the body is too long", status=413)

    def _on_ended(self, stream: int, events: list[Event]) -> None:
        held = self._streams.get(stream)
        if held is None:
            return
        held.ended = True
        if self._server:
            self._bodies -= len(held.body)
            events.append(BodyReceived(stream, bytes(held.body)))
            held.body = bytearray()
            return
        self._forget(stream)
        events.append(StreamClosed(stream))

    def _forget(self, stream: int) -> bool:
        held = self._streams.pop(stream, None)
        if held is not None:
            self._bodies -= len(held.body)
        return held is not None

    def _finish(self, stream: int, held: _Stream) -> None:
        if not self._server:
            return
        self._forget(stream)
        if not held.ended:  # the answer is complete before the request: RFC 9113 §8.1
            self._h2.reset_stream(stream, h2.errors.ErrorCodes.NO_ERROR)

    def _flush_some(self, stream: int) -> None:
        for number in [stream] if stream else list(self._streams):
            held = self._streams.get(number)
            if held is not None and held.pending:
                self._flush(number, held)

    def _flush(self, stream: int, held: _Stream) -> None:
        pending = held.pending
        while pending:
            window = self._h2.local_flow_control_window(stream)
            if window <= 0:
                return
            head = pending[0]
            piece = head[: min(window, _MAX_FRAME)]
            if len(piece) == len(head):
                pending.popleft()
            else:
                pending[0] = head[len(piece) :]
            held.waiting -= len(piece)
            self._census.sent(len(piece))
            if held.ending and not pending:
                self._h2.send_data(stream, piece, end_stream=True)
                self._finish(stream, held)
                return
            self._send_piece(stream, piece)
        if held.ending:
            self._h2.end_stream(stream)
            self._finish(stream, held)

    def _send_piece(self, stream: int, piece: memoryview) -> None:
        """Send DATA that does not end its stream: by hand, for it is most of what a server sends.

        The library's way costs 9 µs more; it keeps the windows, and is told what they have lost. A stream on which it would
        not send is left to it, to say so.
        """
        known = self._h2.streams.get(stream)
        if known is None or known.state_machine.state not in _SENDING:
            self._h2.send_data(stream, piece)
            return
        size = len(piece)
        known.outbound_flow_control_window -= size
        self._h2.outbound_flow_control_window -= size
        out = self._out
        out += self._h2.data_to_send()
        out += _DATA_HEAD.pack(size >> 8, size & 0xFF, _DATA, 0, stream)
        out += piece


def _connection(*, server: bool) -> h2.connection.H2Connection:
    config = h2.config.H2Configuration(
        client_side=not server, validate_outbound_headers=False, normalize_outbound_headers=False
    )
    connection = h2.connection.H2Connection(config)
    codes = h2.settings.SettingCodes
    if server:
        initial = {
            codes.INITIAL_WINDOW_SIZE: WINDOW,
            codes.MAX_CONCURRENT_STREAMS: MAX_STREAMS,
            codes.MAX_HEADER_LIST_SIZE: MAX_HEADERS,
        }
        connection.decoder.max_header_list_size = MAX_HEADERS
    else:
        initial = {codes.INITIAL_WINDOW_SIZE: _CLIENT_WINDOW, codes.ENABLE_PUSH: 0}
    connection.local_settings = h2.settings.Settings(client=not server, initial_values=initial)
    connection.initiate_connection()
    whole = WINDOW if server else _CLIENT_CONNECTION_WINDOW
    connection.increment_flow_control_window(whole - _DEFAULT_WINDOW)
    return connection


def _split(headers: Headers) -> tuple[dict[bytes, str], tuple[tuple[bytes, bytes], ...]]:
    """Return the pseudo headers as text, and the others; the library has checked that none is there twice."""
    known = {name: value.decode("ascii", "replace") for name, value in headers if name.startswith(b":")}
    return known, tuple((name, value) for name, value in headers if not name.startswith(b":"))


def _status(known: dict[bytes, str]) -> int:
    text = known.get(b":status", "")
    if not (text.isascii() and text.isdigit()):
        raise RemoteProtocolError("a response has no status")
    return int(text)
