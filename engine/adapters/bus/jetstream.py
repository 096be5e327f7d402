"""The work queue of durable commands, on JetStream.

Rule 1: `cmdq` is a work queue of its own stream: a stream over `cmd` would answer requesters with its acknowledgement
        (reference: ecosystem §3.6).
Rule 2: what is not settled within `ACK_SECONDS` comes again, in any number of tries.
Rule 3: the server pushes, at most `MAX_UNSETTLED` ahead: nats-py's pull waits for a full batch or its time-out
        (2.16, js/client.py), which would be a second for a lone command.
"""

import asyncio
import contextlib
from collections.abc import Sequence
from typing import Final

import nats.errors
import nats.js.errors
from nats.aio.msg import Msg
from nats.js import JetStreamContext
from nats.js.api import AckPolicy, ConsumerConfig, RetentionPolicy, StreamConfig

from engine.adapters.bus.nats import NatsBus
from engine.contracts import subjects
from engine.contracts.requests import COMMAND_ID
from engine.domain.values import TailnetName
from engine.ports import Fault, Headers, Message

DAY: Final = 86_400.0
QUEUE_AGE: Final = 7 * DAY
RESULT_AGE: Final = DAY
DEAD_AGE: Final = 30 * DAY
ACK_SECONDS: Final = 30.0
MAX_UNSETTLED: Final = 512
CONSUMER: Final = "engine"
PUBLISH_SECONDS: Final = 5.0


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

    def __init__(self, bus: NatsBus, tailnet: TailnetName, *, open_commands: bool) -> None:
        self._js: JetStreamContext = bus.client.jetstream(timeout=PUBLISH_SECONDS)
        self._tailnet = tailnet
        self._open = open_commands
        self._pushed: asyncio.Queue[JetStreamJob] | None = None

    async def open(self) -> None:
        """See `WorkQueue.open`."""
        try:
            for config in _streams(self._tailnet, open_commands=self._open):
                await self._have(config)
            self._pushed = await self._subscribe()
        except (nats.errors.Error, OSError) as error:
            raise Fault(f"no work queue: {type(error).__name__}") from error

    async def take(self, limit: int, *, timeout: float) -> Sequence[JetStreamJob]:
        """See `WorkQueue.take`."""
        if self._pushed is None:
            raise Fault("the work queue is not open")
        try:
            jobs = [await asyncio.wait_for(self._pushed.get(), timeout)]
        except TimeoutError:
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

    async def _subscribe(self) -> asyncio.Queue[JetStreamJob]:
        pushed: asyncio.Queue[JetStreamJob] = asyncio.Queue()  # bounded by MAX_UNSETTLED, and what came again

        async def take(raw: Msg) -> None:
            pushed.put_nowait(JetStreamJob(raw))

        await self._js.subscribe(
            ">",
            queue=CONSUMER,
            stream=subjects.CMDQ_STREAM,
            cb=take,
            manual_ack=True,
            config=ConsumerConfig(
                ack_policy=AckPolicy.EXPLICIT, ack_wait=ACK_SECONDS, max_ack_pending=MAX_UNSETTLED
            ),
        )
        return pushed

    async def _have(self, config: StreamConfig) -> None:
        try:
            await self._js.add_stream(config)
        except nats.js.errors.BadRequestError:  # it is there, with other settings
            await self._js.update_stream(config)


def _streams(tailnet: TailnetName, *, open_commands: bool) -> Sequence[StreamConfig]:
    heard = [subjects.durable_as(tailnet, "*", ">")]
    if open_commands:
        heard.append(subjects.durable(tailnet, ">"))
    return (
        StreamConfig(
            name=subjects.CMDQ_STREAM,
            subjects=heard,
            retention=RetentionPolicy.WORK_QUEUE,
            max_age=QUEUE_AGE,
            duplicate_window=120,
        ),
        StreamConfig(
            name=subjects.RES_STREAM,
            subjects=[f"{subjects.ROOT}.{tailnet}.res.*"],
            max_age=RESULT_AGE,
            max_msgs_per_subject=1,
            allow_direct=True,
        ),
        StreamConfig(
            name=subjects.DLQ_STREAM,
            subjects=[f"{subjects.ROOT}.{tailnet}.dlq.>"],
            max_age=DEAD_AGE,
        ),
    )
