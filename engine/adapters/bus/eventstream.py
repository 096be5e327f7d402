"""The stream of events for other systems, on JetStream.

Rule 1: each message says which one it follows, the first of a batch by its sequence: one that is lost lets none after it in.
Rule 2: the stream is made with what the settings say, and brought to it when they change; who may only read can
        neither delete nor purge (their rights, not the stream's: the engine makes it anew to fill it anew).
"""

import asyncio
from collections.abc import Sequence
from typing import Final

import nats.errors
import nats.js.errors
from nats.js import JetStreamContext
from nats.js.api import Header, PubAck

from engine.adapters.bus import streams
from engine.adapters.bus.nats import NatsBus
from engine.contracts import cloudevents, subjects
from engine.domain.values import TailnetName
from engine.ports import Fault, Message
from engine.streamports import Told

PUBLISH_SECONDS: Final = 10.0
"""How long an acknowledgement may take."""


class JetStreamEvents:
    """`EventStream` on the stream `NETMAP_EVENTS`.

    Args:
        bus: the connection.
        tailnet: whose events.
        age: seconds that an event is kept; 0 is for ever.
        octets: how large the stream may be before the oldest go; 0 is without bound.
        replicas: on how many servers of the cluster it is.
    """

    def __init__(
        self, bus: NatsBus, tailnet: TailnetName, *, age: float, octets: int, replicas: int = 1
    ) -> None:
        self._js: JetStreamContext = bus.client.jetstream(timeout=PUBLISH_SECONDS)
        self._sequence = 0
        self._config = streams.event_stream(tailnet, age=age, octets=octets, replicas=replicas)

    async def open(self) -> None:
        """See `EventStream.open`."""
        try:
            await streams.have(self._js, self._config)
        except (nats.errors.Error, OSError) as error:
            raise Fault(f"no stream of events: {type(error).__name__}") from error

    async def last(self) -> Told | None:
        """See `EventStream.last`."""
        try:
            state = (await self._js.stream_info(subjects.EVENT_STREAM)).state
            self._sequence = state.last_seq
            if not state.messages:
                return None
            headers = (await self._js.get_msg(subjects.EVENT_STREAM, state.last_seq)).headers or {}
        except (nats.errors.Error, OSError) as error:
            raise Fault(f"the stream of events cannot be read: {type(error).__name__}") from error
        place = cloudevents.place_of(headers.get(cloudevents.ID, ""))
        if place is None:
            return None
        return Told(epoch=place[0], position=place[1], digest=headers.get(cloudevents.DIGEST, ""))

    async def publish(self, batch: Sequence[Message]) -> None:
        """See `EventStream.publish`."""
        before = ""
        sending = []
        for message in batch:
            headers = dict(message.headers) | (
                {Header.EXPECTED_LAST_MSG_ID.value: before}
                if before
                else {Header.EXPECTED_LAST_SEQUENCE.value: str(self._sequence)}
            )
            before = message.headers[cloudevents.MESSAGE_ID]
            sending.append(self._js.publish(message.subject, message.data, headers=headers))
        found = await asyncio.gather(*sending, return_exceptions=True)
        acknowledged = [each for each in found if isinstance(each, PubAck)]
        for error in found:
            if isinstance(error, nats.errors.Error | OSError):
                raise Fault(f"events are not told: {type(error).__name__}") from error
            if isinstance(error, BaseException):
                raise error
        if any(each.duplicate for each in acknowledged):
            raise Fault("the stream has had these events: it was emptied a moment ago")
        self._sequence += len(batch)

    async def wipe(self) -> None:
        """See `EventStream.wipe`."""
        try:
            await self._js.delete_stream(subjects.EVENT_STREAM)
        except nats.js.errors.NotFoundError:
            pass
        except (nats.errors.Error, OSError) as error:
            raise Fault(f"the stream of events cannot be made anew: {type(error).__name__}") from error
        await self.open()
