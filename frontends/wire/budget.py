"""What one connection may ask of us before anybody knows it: a stranger can finish a Noise handshake.

Rule 1: limits are counted on frame heads, before the HTTP/2 library does any work for them.
Rule 2: a glitch is a frame that costs us and moves nothing: a reset of either side, PING, SETTINGS, PRIORITY, an
        unknown type, an empty CONTINUATION or DATA, a WINDOW_UPDATE beyond what our own data calls for.
Rule 3: time is passed in, in seconds of any steady clock.
"""

import struct
from typing import Final

from frontends.wire.errors import RemoteProtocolError

# reference: reliability-security §4.5. A real client has 2–4 streams, bodies of 1–3 KiB and headers under 1 KiB.
MAX_STREAMS: Final = 16
MAX_HEADERS: Final = 16 * 1024
"""Bytes of one header block, both as sent and as the list that it decodes to."""
MAX_BODY: Final = 1024 * 1024
"""Bytes of one request body; headscale's limit too (hscontrol/noise.go)."""
MAX_BODIES: Final = 2 * MAX_BODY
"""Bytes of all unfinished request bodies of one connection."""
WINDOW: Final = 256 * 1024
"""Our receive window, of a stream and of the connection."""
GLITCH_BURST: Final = 100
GLITCH_RATE: Final = 10.0
"""Glitches a second that a connection gets back (nghttp2 allows 1000 and 33)."""

_UPDATE_ALLOWANCE: Final = 64
_BYTES_PER_UPDATE: Final = 512
"""Go's client opens its windows in steps of 4 KiB or more, stream and connection apart: 2 KiB for each frame."""

_HEAD: Final = struct.Struct(">HBBBI")
_HEAD_LENGTH: Final = 9
_PREFACE_LENGTH: Final = 24
_DATA: Final = 0
_HEADERS: Final = 1
_RST_STREAM: Final = 3
_PUSH_PROMISE: Final = 5
_GOAWAY: Final = 7
_WINDOW_UPDATE: Final = 8
_CONTINUATION: Final = 9
_USEFUL: Final = frozenset({_DATA, _HEADERS, _GOAWAY, _WINDOW_UPDATE, _CONTINUATION})


class GlitchBucket:
    """A token bucket: `GLITCH_BURST` at once, `GLITCH_RATE` a second."""

    __slots__ = ("_at", "_left")

    def __init__(self, now: float) -> None:
        self._left = float(GLITCH_BURST)
        self._at = now

    def spend(self, count: int, now: float) -> None:
        """Take tokens.

        Raises:
            RemoteProtocolError: there are not so many.
        """
        if count == 0:
            return
        self._left = min(GLITCH_BURST, self._left + (now - self._at) * GLITCH_RATE)
        self._at = now
        self._left -= count
        if self._left < 0:
            raise RemoteProtocolError("too many frames that move nothing", status=429)


class FrameCensus:
    """Reads the frame heads of an HTTP/2 byte stream and counts what costs us."""

    __slots__ = ("_block", "_head", "_skip", "_updates")

    def __init__(self, *, preface: bool) -> None:
        self._skip = _PREFACE_LENGTH if preface else 0
        self._head = b""
        self._block = 0
        self._updates = float(_UPDATE_ALLOWANCE)

    def sent(self, size: int) -> None:
        """Note that we sent so many bytes of DATA: they call for WINDOW_UPDATE frames."""
        self._updates += size / _BYTES_PER_UPDATE

    def glitches(self, data: bytes) -> int:
        """Return how many frames that move nothing begin in this piece of the stream.

        Raises:
            RemoteProtocolError: a header block is longer than `MAX_HEADERS`.
        """
        count, at, size = 0, self._skip, len(data)
        if self._head:
            data = self._head + data
            size = len(data)
            at = 0
        while size - at >= _HEAD_LENGTH:
            high, low, kind, _flags, _stream = _HEAD.unpack_from(data, at)
            length = high << 8 | low
            count += self._weigh(kind, length)
            at += _HEAD_LENGTH + length
        self._head = data[at:]
        self._skip = max(0, at - size)
        return count

    def _weigh(self, kind: int, length: int) -> int:
        if kind in (_HEADERS, _PUSH_PROMISE):
            self._block = length
        elif kind == _CONTINUATION:
            self._block += length
        if self._block > MAX_HEADERS:
            raise RemoteProtocolError("the headers are too long", status=431)
        if kind == _WINDOW_UPDATE:
            self._updates -= 1
            return int(self._updates < 0)
        return int(kind not in _USEFUL or (kind == _CONTINUATION and length == 0))


def resets_in(frames: bytes) -> int:
    """Return how many RST_STREAM frames there are among whole frames."""
    count = at = 0
    while at < len(frames):
        high, low, kind, _flags, _stream = _HEAD.unpack_from(frames, at)
        count += kind == _RST_STREAM
        at += _HEAD_LENGTH + (high << 8 | low)
    return count
