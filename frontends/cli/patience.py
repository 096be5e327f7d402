"""How a command is sent until it is answered: an engine that dies, or has too much to do, costs a person some seconds.

Rule 1: all tries have one command id: it is done once at most, and a try that comes after gets the first one's answer.
Rule 2: a try waits `TRY_SECONDS` at most: it may have gone to an engine that is dead.
Rule 3: after a try comes a pause that grows, never shorter than the answer asks for (`retryAfter`), and never the same for two people.
Rule 4: all of it takes `TIMES` the time that was given for an answer; if nobody listens at all, `ABSENT_SECONDS`.
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any, Final

from frontends.cli import text

if TYPE_CHECKING:
    from engine.ports import Bus, Message

TRY_SECONDS: Final = 3.0
TIMES: Final = 5.0
"""25 s by default: a takeover from an engine that is stopped may take 15."""
ABSENT_SECONDS: Final = 10.0
"""A takeover from an engine that died; longer than that, there is none."""
PAUSES: Final = (0.1, 0.2, 0.5, 1.0)
"""Seconds from one try to the next; the last is repeated."""


class Patience:
    """The tries of one command.

    Args:
        seconds: for everything together.
        pause: waits so many seconds.
        chance: says a number from 0 to 1.
    """

    def __init__(
        self, seconds: float, pause: Callable[[float], Awaitable[None]], chance: Callable[[], float]
    ) -> None:
        self._left = seconds
        self._limit = min(TRY_SECONDS, seconds)
        self._absent = min(ABSENT_SECONDS, seconds)
        self._pause = pause
        self._chance = chance
        self._tries = 0
        self.is_unsure = False
        """Whether a try was sent to somebody who never answered."""

    async def request(self, bus: "Bus", subject: str, data: bytes, headers: Mapping[str, str]) -> "Message":
        """Send until there is an answer that is not to be tried again, or patience is at its end.

        Raises:
            NoResponders: nobody listens.
            Fault: the last try was not answered.
        """
        from engine.ports import NoResponders, TimedOut

        while True:
            try:
                reply = await bus.request(subject, data, timeout=self._limit, headers=headers)
            except NoResponders:
                if not await self._again(0.0, absent=True):
                    raise
            except TimedOut:
                self.is_unsure = True
                self._left -= self._limit
                if not await self._again(0.0):
                    raise
            else:
                problem = _problem(reply)
                if not problem.get("retryable") or not await self._again(_seconds(problem.get("retryAfter"))):
                    return reply

    async def _again(self, asked: float, *, absent: bool = False) -> bool:
        """Pause before the next try; False if there is no time for one."""
        pause = max(asked, PAUSES[min(self._tries, len(PAUSES) - 1)]) * (1.0 + self._chance())
        if pause > min(self._left, self._absent if absent else self._left):
            return False
        if not self._tries:
            text.note("the engine does not answer yet: sending the command again, under the same id")
        self._tries += 1
        self._left -= pause
        if absent:
            self._absent -= pause
        await self._pause(pause)
        return True


def _problem(reply: "Message") -> dict[str, Any]:
    """Return the error that a reply tells of, without any check; an empty one if it tells of none."""
    import msgspec

    try:
        body = msgspec.json.decode(reply.data)
    except msgspec.DecodeError:
        return {}
    problem = body.get("error") if isinstance(body, dict) else None
    return problem if isinstance(problem, dict) else {}


def _seconds(value: object) -> float:
    return float(value) if isinstance(value, int | float) and 0 < value < ABSENT_SECONDS else 0.0
