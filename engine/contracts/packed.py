"""Taking out what a zstd frame holds, within a bound."""

from typing import Final

import zstandard

_STEP: Final = 1024 * 1024
"""Octets taken out at a time, so that the bound is looked at before much is held."""
_MAX_WINDOW: Final = 8 * 1024 * 1024
"""Octets of window that a decoder must support (RFC 8878 §3.1.1.1.2); level 1 uses less."""


class BadFrameError(ValueError):
    """It is no zstd frame."""


class TooLargeError(ValueError):
    """It holds more than it may."""


def unpacked(packed: bytes | memoryview, limit: int) -> bytes:
    """Return what the zstd frame holds, taken out in steps: one octet of input may stand for many thousands.

    Raises:
        BadFrameError: it is none.
        TooLargeError: it holds more than `limit` octets.
    """
    out: list[bytes] = []
    size = 0
    try:
        with zstandard.ZstdDecompressor(max_window_size=_MAX_WINDOW).stream_reader(packed) as reader:
            while step := reader.read(_STEP):
                size += len(step)
                if size > limit:
                    raise TooLargeError(limit)
                out.append(step)
    except zstandard.ZstdError as error:
        raise BadFrameError(str(error)) from error
    return b"".join(out)
