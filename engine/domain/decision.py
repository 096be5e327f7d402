"""What a decision is given, and what it gives.

Rule 1: everything a decision needs from the world comes in `Given`; the same state, command and `Given`
always give the same `Decision`.
"""

from collections.abc import Mapping

import msgspec

from engine.domain.events import Event
from engine.domain.values import Millis


class Given(msgspec.Struct, frozen=True, kw_only=True):
    """The world's part of a decision.

    `now` is the engine's recorded time; `secret` is 32 hex digits of 128 bits, unguessable and a function of
    the command's id, so that a resend of the command gets the same pre-auth key again. With `strict`, the sender takes a warning
    for a no.
    """

    now: Millis
    secret: str
    strict: bool = False

    def __repr__(self) -> str:
        """Return the time, and no secret."""
        return f"Given(now={self.now}, secret=…)"


class Decision(msgspec.Struct, frozen=True, kw_only=True):
    """What happens: events in order (none: nothing to do), and what the sender is told.

    `result` is JSON-able and goes into the receipt; `secret_result` is told but never stored.
    """

    events: tuple[Event, ...] = ()
    result: Mapping[str, object] = {}
    secret_result: Mapping[str, object] = {}
    warnings: tuple[str, ...] = ()

    def __repr__(self) -> str:
        """Return what may be logged: all but the secrets."""
        return f"Decision(events={self.events!r}, result={self.result!r}, warnings={self.warnings!r})"
