"""Map responses on their stream: length, then one compressed JSON object.

    length:4 (little-endian)   zstd frame(s) of one JSON object            no other delimiters

Rule 1: frames are independent: no dictionary, no shared context. Several zstd frames in one map frame decode as one
        text, so pieces that many clients share are compressed once (tailscale util/zstdframe, «zero or more»).
Rule 2: a declared size is a claim. It is compared with the cap before anything is decoded, and a frame that
        declares none is decoded under the cap.
Rule 3: the keep-alive is not byte for byte `{"KeepAlive":true}`. Clients 1.90 – 1.102.3 remember a frame with exactly
        that text by a slice of their read buffer, and then take any later frame of the same compressed length
        for a keep-alive, and drop it. The blank in ours makes them decode it like any other frame.
"""

from collections.abc import Iterator
from typing import Final

import zstandard

from frontends.wire.errors import RemoteProtocolError

LENGTH: Final = 4
LEVEL: Final = 1
"""Level 1 is as small as level 3 on netmaps and three times as fast (python-stack §3)."""
MAX_COMPRESSED: Final = 64 * 1024 * 1024
MAX_WINDOW: Final = 8 * 1024 * 1024
"""The largest window that a zstd decoder is expected to allow (RFC 8878 §3.1.1.1.2)."""
KEEP_ALIVE_JSON: Final = b'{"KeepAlive": true}'
_SKIPPABLE: Final = range(0x184D2A50, 0x184D2A60)
_BLOCK_HEAD: Final = 3
_RLE: Final = 1
_RESERVED: Final = 3
_BROKEN: Final = "a map frame is not zstd"
_TOO_LONG: Final = "a map frame is too long"


class Encoder:
    """Makes map frames; one per thread, it reuses its compressor."""

    def __init__(self) -> None:
        self._compressor: Final = zstandard.ZstdCompressor(level=LEVEL)

    def compress(self, text: bytes) -> bytes:
        """Return a piece of JSON as a zstd frame, to be shared by many map frames."""
        return self._compressor.compress(text)

    def encode(self, text: bytes) -> bytes:
        """Return the map frame of one JSON object."""
        return join(self._compressor.compress(text))


def join(*pieces: bytes) -> bytes:
    """Return the map frame of zstd frames whose texts, one after the other, are one JSON object."""
    return b"".join((sum(map(len, pieces)).to_bytes(LENGTH, "little"), *pieces))


KEEP_ALIVE: Final = Encoder().encode(KEEP_ALIVE_JSON)
"""The whole map frame of a keep-alive."""


class Decoder:
    """Cuts a response body into the texts of its map frames; `cap` bounds each text, in bytes."""

    def __init__(self, cap: int) -> None:
        self._cap: Final = cap
        self._held: Final = bytearray()
        self._decompressor: Final = zstandard.ZstdDecompressor(max_window_size=MAX_WINDOW)

    def receive(self, data: bytes) -> Iterator[bytes]:
        """Yield the text of every map frame that is whole once this data has come.

        Raises:
            RemoteProtocolError: a frame is not zstd, or longer than allowed.
        """
        held = self._held
        held += data
        while len(held) >= LENGTH:
            size = int.from_bytes(held[:LENGTH], "little")
            if size > min(MAX_COMPRESSED, self._cap):
                raise RemoteProtocolError(_TOO_LONG)
            if len(held) < LENGTH + size:
                return
            compressed = bytes(held[LENGTH : LENGTH + size])
            del held[: LENGTH + size]
            yield self._text(compressed)

    def finish(self) -> None:
        """Note the end of the body.

        Raises:
            RemoteProtocolError: it came inside a frame.
        """
        if self._held:
            raise RemoteProtocolError("the body ends inside a map frame")

    def _text(self, compressed: bytes) -> bytes:
        texts: list[bytes] = []
        left = self._cap
        try:
            for piece in _zstd_frames(compressed):
                text = self._one(piece, left)
                left -= len(text)
                if left < 0:
                    raise RemoteProtocolError(_TOO_LONG)
                texts.append(text)
        except zstandard.ZstdError:
            raise RemoteProtocolError(_BROKEN) from None
        return texts[0] if len(texts) == 1 else b"".join(texts)

    def _one(self, frame: bytes, left: int) -> bytes:
        declared = zstandard.get_frame_parameters(frame).content_size
        if declared == zstandard.CONTENTSIZE_UNKNOWN:
            return self._decompressor.decompress(frame, max_output_size=max(left, 1))
        if declared > left:
            raise RemoteProtocolError(_TOO_LONG)
        return self._decompressor.decompress(frame)


def _zstd_frames(data: bytes) -> Iterator[bytes]:
    """Yield each zstd frame in the data; the library decodes only the first by itself."""
    view = memoryview(data)
    at = 0
    while at < len(view):
        end = _frame_end(view, at)
        if end > len(view):
            raise RemoteProtocolError(_BROKEN)
        if int.from_bytes(view[at : at + 4], "little") not in _SKIPPABLE:
            yield data if end - at == len(data) else bytes(view[at:end])
        at = end


def _frame_end(view: memoryview, at: int) -> int:
    """Return where the zstd frame at `at` ends, from its block heads (RFC 8878 §3.1.1)."""
    if int.from_bytes(view[at : at + 4], "little") in _SKIPPABLE:
        return at + 8 + int.from_bytes(view[at + 4 : at + 8], "little")
    parameters = zstandard.get_frame_parameters(view[at:])
    end = at + zstandard.frame_header_size(view[at:])
    last = False
    while not last:
        if end + _BLOCK_HEAD > len(view):
            raise RemoteProtocolError(_BROKEN)
        head = int.from_bytes(view[end : end + _BLOCK_HEAD], "little")
        last, kind, size = bool(head & 1), head >> 1 & 3, head >> 3
        if kind == _RESERVED:
            raise RemoteProtocolError(_BROKEN)
        end += _BLOCK_HEAD + (1 if kind == _RLE else size)
    return end + (4 if parameters.has_checksum else 0)
