"""When a handshake is done: now, in its turn, or not at all; for the storm that follows when many clients come back at once.

Rule 1: so many a second, `BURST` of them at once; who comes too early waits in a queue and is let in by a timer, a few at a time, so
        that the sessions that are open go on.
Rule 2: machines that have a node have a queue of their own; others have a lower rate of their own: neither waits behind the other.
Rule 3: where a queue is full, who comes is told to come back (503 with a time); while the whole is full, before its key is even read.
Rule 4: `Queue` is pure: the time is passed in, in seconds that never go back.
"""

import asyncio
from typing import Final, Protocol

PER_SECOND: Final = 400.0
"""Handshakes of known machines: half of a core with what follows, the rest is for the maps (reliability §5.2 has 200)."""
BURST: Final = 100.0
"""Handshakes at once, of known machines and of others."""
STRANGERS_PER_SECOND: Final = 100.0
"""Of machines that have no node: they come to register, one by one, unless somebody wants to do harm."""
WAITING: Final = 1_500
STRANGERS_WAITING: Final = 300
"""Who waits in each queue: less than 4 s of it, and together less than `door.PENDING`."""
AT_A_TIME: Final = 8
"""Handshakes before the loop gets its turn: about 3 ms."""
LOOK_SECONDS: Final = 0.01


class Applicant(Protocol):
    """A connection that wants to shake hands; compared by identity."""

    def proceed(self) -> None:
        """Do it now."""
        ...


class Queue:
    """One kind of applicants: a token bucket, and those who wait for a token in the order of their coming."""

    def __init__(self, per_second: float, burst: float, most: int, now: float) -> None:
        self._per_second: Final = per_second
        self._burst: Final = burst
        self._most: Final = most
        self._left = burst
        self._since = now
        self._waiting: Final[dict[Applicant, None]] = {}

    def __len__(self) -> int:
        return len(self._waiting)

    @property
    def is_full(self) -> bool:
        """Whether nobody more may wait."""
        return len(self._waiting) >= self._most

    def passes(self, now: float) -> bool:
        """Take a token, if there is one and nobody waits; return whether."""
        return not self._waiting and self._spend(now)

    def wait(self, applicant: Applicant) -> None:
        """Let somebody wait; whether there is room was asked before."""
        self._waiting[applicant] = None

    def forget(self, applicant: Applicant) -> None:
        """Forget somebody who is gone, or does not wait."""
        self._waiting.pop(applicant, None)

    def next(self, now: float) -> Applicant | None:
        """Return the next whose turn it is, or None."""
        if not self._waiting or not self._spend(now):
            return None
        applicant = next(iter(self._waiting))
        del self._waiting[applicant]
        return applicant

    def _spend(self, now: float) -> bool:
        self._left = min(self._burst, self._left + (now - self._since) * self._per_second)
        self._since = now
        if self._left < 1:
            return False
        self._left -= 1
        return True


class Admission:
    """Both queues, and the timer that serves them."""

    def __init__(self) -> None:
        now = asyncio.get_running_loop().time()
        self._known: Final = Queue(PER_SECOND, BURST, WAITING, now)
        self._strangers: Final = Queue(STRANGERS_PER_SECOND, BURST, STRANGERS_WAITING, now)
        self._timer: asyncio.Handle | None = None

    def __len__(self) -> int:
        return len(self._known) + len(self._strangers)

    @property
    def is_full(self) -> bool:
        """Whether nobody more may wait, whoever it is."""
        return self._known.is_full

    def ask(self, applicant: Applicant, *, is_known: bool) -> bool:
        """Let an applicant proceed now or in its turn; return False if it must come back later."""
        queue = self._known if is_known else self._strangers
        if queue.passes(asyncio.get_running_loop().time()):
            applicant.proceed()
            return True
        if queue.is_full:
            return False
        queue.wait(applicant)
        if self._timer is None:
            self._later()
        return True

    def forget(self, applicant: Applicant) -> None:
        """Forget an applicant that is gone."""
        self._known.forget(applicant)
        self._strangers.forget(applicant)

    def _later(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(LOOK_SECONDS, self._serve)

    def _serve(self) -> None:
        loop = asyncio.get_running_loop()
        self._timer = None
        for _ in range(AT_A_TIME):
            applicant = self._known.next(loop.time()) or self._strangers.next(loop.time())
            if applicant is None:
                break
            applicant.proceed()
        else:
            self._timer = loop.call_soon(self._serve)
            return
        if len(self):
            self._later()
