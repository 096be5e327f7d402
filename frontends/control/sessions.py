"""The open map sessions, and when each of them is told something.

Rule 1: a node has one session here: a new one takes the place of the old one.
Rule 2: changes are told together: at once when all is quiet, else after a pause as long as the last round took.
Rule 3: a frame is made only when its stream can take it; until then the session falls behind and holds nothing.
Rule 4: the same text is compressed once for all who get it in a round.
Rule 5: a client that hears nothing for 120 s gives up: a keep-alive comes after 50 to 60 s of silence.
"""

import asyncio
import math
import random
from collections.abc import Callable, Iterator
from typing import Final, Protocol

from engine.domain.values import NodeId
from engine.ports import Clock
from frontends.control.peerlist import PeerLists
from frontends.control.replica import Replica, Touched
from frontends.control.session import SETTLE_SECONDS, End, Session
from frontends.control.view import View
from frontends.wire import timetext
from frontends.wire.mapframe import KEEP_ALIVE, Encoder, join

KEEP_ALIVE_SECONDS: Final = 50.0
KEEP_ALIVE_JITTER: Final = 10.0
"""As the reference servers (control-protocol §5.2)."""
MIN_PAUSE: Final = 0.005
MAX_PAUSE: Final = 0.25
"""Bounds of the pause between rounds, in seconds."""
AT_A_TIME: Final = 200
"""Sessions that are told before the loop gets its turn: about 5 ms."""
TICK_SECONDS: Final = 1.0
_MAX_FRAMES: Final = 256


class Outlet(Protocol):
    """Where frames go: the response's side of a stream."""

    def start(self, source: Callable[[], bytes | None], on_end: Callable[[], None]) -> None:
        """Send the head; from then on `source` is asked for the next frame whenever one can be sent.

        `on_end` is called once when the other side has ended the stream, or the connection is lost.
        """
        ...

    def pump(self) -> None:
        """Ask `source`, if something can be sent."""
        ...

    def end(self) -> None:
        """End the stream now; `on_end` is not called."""
        ...

    def hang_up(self) -> None:
        """End the whole connection; `on_end` is not called for this stream."""
        ...


class _Open:
    """One open session, its generation, its outlet, and when it needs a keep-alive."""

    __slots__ = ("due", "generation", "outlet", "session", "settle_at")

    def __init__(self, session: Session, generation: int, outlet: Outlet) -> None:
        self.session: Final = session
        self.generation: Final = generation
        self.outlet: Final = outlet
        self.due = 0.0
        self.settle_at = math.inf


class Sessions:
    """Every map session of this frontend; `on_closed` hears of each that ends, with its generation."""

    def __init__(self, clock: Clock, replica: Replica) -> None:
        self.on_closed: Callable[[NodeId, int], None] = lambda _node, _generation: None
        self._clock = clock
        self._encoder: Final = Encoder()
        self._view: Final = View(replica)
        self._lists: Final = PeerLists(self._view, self._encoder.compress)
        self._open: Final[dict[NodeId, _Open]] = {}
        self._frames: Final[dict[bytes, bytes]] = {}
        self._round: Iterator[_Open] | None = None
        self._again = False
        self._waiting: asyncio.TimerHandle | None = None
        self._began = 0.0
        self._pause_until = 0.0
        self._second = (0, "")

    def __len__(self) -> int:
        return len(self._open)

    def open(self, node: NodeId, capver: int, generation: int, outlet: Outlet) -> None:
        """Begin a map session on the outlet."""
        old = self._open.pop(node, None)
        if old is not None:
            old.outlet.end()
        fresh = self._open[node] = _Open(Session(node, capver), generation, outlet)
        outlet.start(lambda: self._next(fresh), lambda: self._lost(fresh))

    def fetch(self, node: NodeId, capver: int) -> bytes | None:
        """Return one whole map frame, outside of any session; None if the node is gone."""
        return self._first(Session(node, capver))

    def superseded(self, node: NodeId) -> None:
        """End the session of a client that has gone to another frontend, and its connection with it."""
        gone = self._open.pop(node, None)
        if gone is not None:
            gone.outlet.hang_up()

    def end_all(self) -> None:
        """End every session; clients come back, here or elsewhere."""
        for held in list(self._open.values()):
            self._end(held)

    # Changes ----------------------------------------------------------------------------------------------------

    def changed(self, touched: Touched) -> None:
        """Take over what the replica says of these keys, and tell everybody whom it concerns, soon."""
        self._lists.update(self._view.update(touched))
        self._frames.clear()
        self._plan()

    def forget(self) -> None:
        """Take it that another history has begun: every session starts afresh."""
        self._view.forget()
        self._plan()

    def _plan(self) -> None:
        if self._round is not None:
            self._again = True
        elif self._waiting is None:
            loop = asyncio.get_running_loop()
            pause = max(0.0, self._pause_until - loop.time())
            self._waiting = loop.call_later(pause, self._begin)

    def _begin(self) -> None:
        self._waiting = None
        self._again = False
        self._began = asyncio.get_running_loop().time()
        self._round = iter(list(self._open.values()))
        self._go_on()

    def _go_on(self) -> None:
        if self._round is None:
            return
        loop = asyncio.get_running_loop()
        for count, held in enumerate(self._round, start=1):
            if not held.session.rests(self._view) and self._open.get(held.session.node) is held:
                held.outlet.pump()
            if count == AT_A_TIME:
                loop.call_soon(self._go_on)
                return
        self._round = None
        now = loop.time()
        self._pause_until = now + min(max(now - self._began, MIN_PAUSE), MAX_PAUSE)
        if self._again:
            self._plan()

    # Frames -----------------------------------------------------------------------------------------------------

    def _next(self, held: _Open) -> bytes | None:
        session, now = held.session, self._clock.monotonic()
        frame: bytes | End | None
        frame = (self._first(session) or End.GONE) if session.told is None else self._difference(session)
        if isinstance(frame, End):
            self._end(held)
            return None
        if frame is None and now >= held.settle_at:
            held.settle_at = math.inf
            text = session.settle(self._time())
            frame = None if text is None else self._encoder.encode(text)
        if session.unsettled and held.settle_at == math.inf:
            held.settle_at = now + SETTLE_SECONDS[-session.unsettled]
        if frame is None and now >= held.due:
            frame = KEEP_ALIVE
        if frame is not None:
            held.due = now + KEEP_ALIVE_SECONDS + random.uniform(0, KEEP_ALIVE_JITTER)  # noqa: S311 (spreads load)
        return frame

    def _first(self, session: Session) -> bytes | None:
        whole = session.first(self._view, self._lists, self._time())
        if isinstance(whole, End):
            return None
        compress = self._encoder.compress
        tail = (compress(whole.tail),) if whole.tail else ()
        return join(compress(whole.head), *whole.peers, *tail)

    def _difference(self, session: Session) -> bytes | End | None:
        text = session.next(self._view, self._time())
        if not isinstance(text, bytes):
            return text
        frame = self._frames.get(text)
        if frame is None:
            frame = self._encoder.encode(text)
            if len(self._frames) < _MAX_FRAMES:
                self._frames[text] = frame
        return frame

    def _time(self) -> str:
        """Return the time in whole seconds: frames of one second may be equal."""
        second = self._clock.now() // 1_000
        if second != self._second[0]:
            self._second = (second, timetext.show(second * 1_000))
        return self._second[1]

    # Ends -------------------------------------------------------------------------------------------------------

    def _end(self, held: _Open) -> None:
        if self._drop(held):
            held.outlet.end()

    def _lost(self, held: _Open) -> None:
        self._drop(held)

    def _drop(self, held: _Open) -> bool:
        node = held.session.node
        if self._open.get(node) is not held:
            return False
        del self._open[node]
        self.on_closed(node, held.generation)
        return True

    async def run(self) -> None:
        """Keep quiet sessions alive until cancelled."""
        while True:
            await asyncio.sleep(TICK_SECONDS)
            now = self._clock.monotonic()
            for held in list(self._open.values()):
                if now >= min(held.due, held.settle_at):
                    held.outlet.pump()
