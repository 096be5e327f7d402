"""The response's side of a stream that is sent frame by frame, in slices that the connection takes.

Rule 1: at most one frame is held; the next is made when this one has gone.
Rule 2: a session whose next frame cannot be made ends, alone: whoever asked it goes on with the others (F7).
"""

from collections.abc import Callable
from typing import Final, Protocol

import structlog

SLICE: Final = 64 * 1024
"""Octets that are sealed at a time (python-stack §7.4)."""
_log = structlog.get_logger(__name__)


class Carrier(Protocol):
    """What a stream needs of its connection."""

    def begin(self, stream: "MapStream") -> bool:
        """Send the head; return False if the stream is gone."""
        ...

    def takes(self, number: int) -> bool:
        """Return whether a slice can be sent now."""
        ...

    def send(self, number: int, piece: bytes | memoryview) -> None:
        """Send a slice."""
        ...

    def drop(self, number: int, *, whole: bool) -> None:
        """End the stream."""
        ...

    def drain(self) -> None:
        """End the connection."""
        ...


class MapStream:
    """See `exchange.Stream`."""

    __slots__ = ("_carrier", "_ending", "_on_end", "_pumping", "_rest", "_source", "number")

    def __init__(self, carrier: Carrier, number: int) -> None:
        self.number: Final = number
        self._carrier = carrier
        self._source: Callable[[], bytes | None] | None = None
        self._on_end: Callable[[], None] | None = None
        self._rest: memoryview = memoryview(b"")
        self._ending = False
        self._pumping = False

    @property
    def waits(self) -> bool:
        """Whether a part of a frame waits to be taken."""
        return bool(self._rest)

    def start(self, source: Callable[[], bytes | None], on_end: Callable[[], None]) -> None:
        """See `Outlet.start`."""
        self._source, self._on_end = source, on_end
        if self._carrier.begin(self):
            self.pump()
        else:
            self.lost()

    def pump(self) -> None:
        """See `Outlet.pump`."""
        if self._pumping:
            return
        self._pumping = True
        try:
            while self._source is not None and self._carrier.takes(self.number) and self._step():
                pass
        except Exception:  # noqa: BLE001 (the top of what one session does)
            _log.exception("a map session failed")
            self._carrier.drop(self.number, whole=False)
            self.lost()
        finally:
            self._pumping = False

    def _step(self) -> bool:
        """Send one slice; return whether there was one."""
        if not self._rest:
            frame = self._source() if self._source is not None else None
            if frame is None:
                if self._ending:
                    self.end()
                return False
            self._rest = memoryview(frame)
        piece, self._rest = self._rest[:SLICE], self._rest[SLICE:]
        self._carrier.send(self.number, piece)
        return True

    def finish(self) -> None:
        """See `Stream.finish`."""
        self._ending = True
        self.pump()

    def end(self) -> None:
        """See `Outlet.end`."""
        if self._source is not None:
            self._source = self._on_end = None
            self._carrier.drop(self.number, whole=not self._rest)

    def hang_up(self) -> None:
        """See `Outlet.hang_up`."""
        self._source = self._on_end = None
        self._carrier.drain()

    def lost(self) -> None:
        """Take note that the other side has ended the stream."""
        on_end, self._on_end, self._source = self._on_end, None, None
        if on_end is not None:
            on_end()
