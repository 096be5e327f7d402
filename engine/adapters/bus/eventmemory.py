"""A stream of events in memory, for tests and for looking at."""

from collections.abc import Sequence
from typing import Final

from engine.contracts import cloudevents
from engine.ports import Fault, Message
from engine.streamports import Told


class MemoryEvents:
    """`EventStream` that keeps all messages; `broken` lets as many more in, and then fails until it is None."""

    def __init__(self) -> None:
        self.messages: Final[list[Message]] = []
        self.broken: int | None = None
        self._open = False

    async def open(self) -> None:
        """See `EventStream.open`."""
        self._open = True

    async def last(self) -> Told | None:
        """See `EventStream.last`."""
        if not self.messages:
            return None
        headers = self.messages[-1].headers
        place = cloudevents.place_of(headers[cloudevents.ID])
        if place is None:
            return None
        return Told(epoch=place[0], position=place[1], digest=headers[cloudevents.DIGEST])

    async def publish(self, batch: Sequence[Message]) -> None:
        """See `EventStream.publish`."""
        if not self._open:
            raise Fault("the stream is not open")
        for message in batch:
            if self.broken is not None:
                if self.broken <= 0:
                    raise Fault("the stream is broken")
                self.broken -= 1
            self.messages.append(message)

    async def wipe(self) -> None:
        """See `EventStream.wipe`."""
        self.messages.clear()
        self._open = True
