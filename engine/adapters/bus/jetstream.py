"""The work queue of durable commands, on JetStream.

Rule 1: `cmdq` is a work queue of its own stream: a stream over `cmd` would answer requesters with its acknowledgement
        (reference: ecosystem §3.6).
Rule 2: what is not settled within `ACK_SECONDS` comes again, in any number of tries.
Rule 3: the server pushes, at most `MAX_UNSETTLED` ahead: nats-py's pull waits for a full batch or its time-out
        (2.16, js/client.py), which would be a second for a lone command.
Rule 4: a broker is a cache: while nothing comes, it is looked every `LOOK_SECONDS` whether the streams and the consumer are
        still there, and they are made again. Commands that went with them are their senders': who has no answer sends again.
"""

import asyncio
import contextlib
from collections.abc import Sequence
from typing import Final

import nats.errors
import nats.js.errors
import structlog
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription
from nats.js import JetStreamContext
from nats.js.api import AckPolicy, ConsumerConfig

from engine.adapters.bus import streams
from engine.adapters.bus.nats import NatsBus
from engine.contracts import subjects
from engine.contracts.requests import COMMAND_ID
from engine.domain.values import TailnetName
from engine.ports import Fault, Headers, Message

_LOG: Final = structlog.get_logger()
ACK_SECONDS: Final = 30.0
MAX_UNSETTLED: Final = 512
CONSUMER: Final = "engine"
PUBLISH_SECONDS: Final = 5.0
LOOK_SECONDS: Final = 5.0


class JetStreamJob:
    """A message of the work queue."""

    def __init__(self, raw: Msg) -> None:
        self._raw = raw

    @property
    def message(self) -> Message:
        """See `Job.message`."""
        return Message(self._raw.subject, self._raw.data, self._raw.headers or {})

    async def done(self) -> None:
        """See `Job.done`."""
        try:
            await (
                self._raw.ack()
            )  # not waited for: a lost one brings the job again, and its receipt settles that
        except (nats.errors.Error, OSError) as error:
            raise Fault(f"not acknowledged: {type(error).__name__}") from error

    async def again(self, delay: float) -> None:
        """See `Job.again`."""
        with contextlib.suppress(nats.errors.Error, OSError):  # it comes again anyway, later
            await self._raw.nak(delay=delay)


class JetStreamQueue:
    """`WorkQueue` on three streams; `open_commands` lets the short subjects in."""

    def __init__(self, bus: NatsBus, tailnet: TailnetName, *, open_commands: bool, replicas: int = 1) -> None:
        self._js: JetStreamContext = bus.client.jetstream(timeout=PUBLISH_SECONDS)
        self._streams = streams.queue_streams(tailnet, open_commands=open_commands, replicas=replicas)
        self._pushed: asyncio.Queue[JetStreamJob] = (
            asyncio.Queue()
        )  # bounded by MAX_UNSETTLED, and what came again
        self._subscription: Subscription | None = None
        self._looked = 0.0

    async def open(self) -> None:
        """See `WorkQueue.open`."""
        await self._open(streams.PATIENCE_SECONDS)

    async def _open(self, patience: float) -> None:
        try:
            for config in self._streams:
                await streams.have(self._js, config, patience)
            if self._subscription is not None:
                await self._subscription.unsubscribe()
                self._subscription = None
            self._subscription = await streams.patiently(self._subscribe, patience)
        except (nats.errors.Error, OSError) as error:
            raise Fault(f"no work queue: {type(error).__name__}") from error
        self._looked = asyncio.get_running_loop().time()

    async def take(self, limit: int, *, timeout: float) -> Sequence[JetStreamJob]:
        """See `WorkQueue.take`."""
        if self._subscription is None:
            await self._open(timeout)
        try:
            jobs = [await asyncio.wait_for(self._pushed.get(), timeout)]
        except TimeoutError:
            await self._look(timeout)
            return []
        while len(jobs) < limit and not self._pushed.empty():
            jobs.append(self._pushed.get_nowait())
        return jobs

    async def keep(self, subject: str, data: bytes, headers: Headers | None = None) -> None:
        """See `WorkQueue.keep`."""
        # A dead letter keeps the command's id; as a message id it would be dropped when the same id fails again.
        kept = {
            f"Netmap-{key}" if key == COMMAND_ID else key: value for key, value in (headers or {}).items()
        }
        try:
            await self._js.publish(subject, data, headers=kept or None)
        except (nats.errors.Error, OSError) as error:
            raise Fault(f"not kept: {type(error).__name__}") from error

    async def _look(self, patience: float) -> None:
        """Make again what is gone (rule 4)."""
        now = asyncio.get_running_loop().time()
        if now < self._looked + LOOK_SECONDS:
            return
        self._looked = now
        try:
            for config in self._streams:
                await self._js.stream_info(str(config.name))
            await self._js.consumer_info(subjects.CMDQ_STREAM, CONSUMER)
        except nats.js.errors.NotFoundError:
            _LOG.warning("queue.gone")
            await self._open(patience)
        except (nats.errors.Error, OSError) as error:
            raise Fault(f"the work queue does not answer: {type(error).__name__}") from error

    async def _subscribe(self) -> Subscription:
        async def take(raw: Msg) -> None:
            self._pushed.put_nowait(JetStreamJob(raw))

        return await self._js.subscribe(
            ">",
            queue=CONSUMER,
            stream=subjects.CMDQ_STREAM,
            cb=take,
            manual_ack=True,
            config=ConsumerConfig(
                ack_policy=AckPolicy.EXPLICIT, ack_wait=ACK_SECONDS, max_ack_pending=MAX_UNSETTLED
            ),
        )
