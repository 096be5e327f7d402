"""Who may wait for a transaction, and what those hear who may not.

Rule 1: `QUEUE` commands wait at most, `SHARE` of one actor: a tool that sends without end leaves room for everybody else.
Rule 2: who is refused is told when to come again: after the time that those who wait will take, at the present pace.
Rule 3: it costs next to nothing to be refused: at three times the load that can be done, most are.
"""

from collections import Counter
from typing import Final

from engine.ports import Clock, Fault

QUEUE: Final = 1_000
"""Commands that may wait for a transaction (reference: reliability-security §3.4)."""
SHARE: Final = 750
SHORTEST: Final = 0.05
LONGEST: Final = 5.0
"""Seconds that a requester may be asked to wait."""
_WEIGHT: Final = 0.2
"""Of the newest commit in the pace."""


class Overloaded(Fault):
    """Too many commands wait."""

    code = "engine.overloaded"
    told = "too many commands wait for the store"
    hint = "resend the same command id after the time in retryAfter (seconds)"

    def __init__(self, text: str, retry_after: float) -> None:
        super().__init__(text)
        self.retry_after = retry_after


class Admission:
    """The door of one engine."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._waiting: Counter[str] = Counter()
        self._total = 0
        self._pace = SHORTEST / QUEUE
        self._last = clock.monotonic()

    def must_have_room(self, actor: str) -> None:
        """See that one more command of the actor may wait.

        Raises:
            Overloaded: it may not.
        """
        if self._total >= QUEUE or self._waiting[actor] >= SHARE:
            after = min(max(self._total * self._pace, SHORTEST), LONGEST)
            raise Overloaded("the queue is full", round(after, 3))

    def enter(self, actor: str) -> None:
        """Note that a command of the actor waits."""
        if not self._total:
            self._last = self._clock.monotonic()
        self._total += 1
        self._waiting[actor] += 1

    def leave(self, actor: str) -> None:
        """Note that a command of the actor waits no more."""
        self._total -= 1
        self._waiting[actor] -= 1
        if not self._waiting[actor]:
            del self._waiting[actor]

    def committed(self, count: int) -> None:
        """Take the pace from a commit that `count` commands shared."""
        now = self._clock.monotonic()
        self._pace += _WEIGHT * ((now - self._last) / count - self._pace)
        self._last = now
