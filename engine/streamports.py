"""The port of the stream that other systems read; the rules of `ports.py` hold here."""

from collections.abc import Sequence
from typing import Protocol

import msgspec

from engine.domain.values import Epoch, Position
from engine.ports import Message


class Told(msgspec.Struct, frozen=True, kw_only=True):
    """Which event a stream has last."""

    epoch: Epoch
    position: Position
    digest: str


class EventStream(Protocol):
    """Where other systems read what happened; made from the log, and may be made anew."""

    async def open(self) -> None:
        """Make the stream, or bring it to what the settings say.

        Raises:
            Fault: there is no JetStream, or it refuses.
        """
        ...

    async def last(self) -> Told | None:
        """Return the event that it has last, None if it has none; what is published next follows this.

        Raises:
            Fault: it cannot be read.
        """
        ...

    async def publish(self, batch: Sequence[Message]) -> None:
        """Keep the messages in order; none is kept before one that is not.

        Raises:
            Fault: unknown how many are kept: ask `last` before the next.
        """
        ...

    async def wipe(self) -> None:
        """Leave nothing in it, and forget what it has had.

        Raises:
            Fault: it may be there no more.
        """
        ...
