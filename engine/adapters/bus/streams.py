"""The JetStream streams that a tailnet needs, and how they come to be as they should.

Rule 1: one that is missing is made; one that differs is changed, if a server can change that; nothing is ever deleted here.
Rule 2: a server that has no leader yet, or is not connected, is asked again for `PATIENCE_SECONDS`: a cluster that starts or
        loses a server elects for some seconds.
Rule 3: what is kept is bounded in age and, but for the events, in octets: a full work queue refuses new commands, so its
        sender is told; the others let the oldest go.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, TypeVar

import msgspec
import nats.errors
import nats.js.errors
from nats.js import JetStreamContext
from nats.js.api import DiscardPolicy, RetentionPolicy, StorageType, StreamConfig

from engine.config import Settings
from engine.contracts import subjects
from engine.domain.values import TailnetName

T = TypeVar("T")
DAY: Final = 86_400.0
QUEUE_AGE: Final = 7 * DAY
RESULT_AGE: Final = DAY
DEAD_AGE: Final = 30 * DAY
DUPLICATE_SECONDS: Final = 120.0
QUEUE_OCTETS: Final = 256 << 20
RESULT_OCTETS: Final = 64 << 20
DEAD_OCTETS: Final = 64 << 20
PATIENCE_SECONDS: Final = 30.0
"""An election takes 4 to 9 s (nats-server 2.15, raft.go: minElectionTimeout, maxElectionTimeout), and may fail once."""
AGAIN_SECONDS: Final = 0.5
NO_PEERS: Final = 10_005
"""JSClusterNoPeersErrF (nats-server 2.15, errors.json): fewer servers are there than replicas are wanted."""
FIXED: Final = ("retention", "storage")
"""What a server does not change of a stream."""
_COMPARED: Final = (
    "subjects",
    "retention",
    "storage",
    "max_age",
    "max_bytes",
    "max_msgs_per_subject",
    "discard",
    "duplicate_window",
    "allow_direct",
    "num_replicas",
)


class Difference(msgspec.Struct, frozen=True):
    """A field of a stream that is not as it should be."""

    field: str
    found: object
    wanted: object

    def __str__(self) -> str:
        return f"{self.field} {_said(self.found)} → {_said(self.wanted)}"


def queue_streams(tailnet: TailnetName, *, open_commands: bool, replicas: int) -> Sequence[StreamConfig]:
    """Return the streams of durable commands: the queue, the answers, the dead letters."""
    heard = [subjects.durable_as(tailnet, "*", ">")]
    if open_commands:
        heard.append(subjects.durable(tailnet, ">"))
    return (
        StreamConfig(
            name=subjects.CMDQ_STREAM,
            subjects=heard,
            retention=RetentionPolicy.WORK_QUEUE,
            storage=StorageType.FILE,
            max_age=QUEUE_AGE,
            max_bytes=QUEUE_OCTETS,
            discard=DiscardPolicy.NEW,
            duplicate_window=DUPLICATE_SECONDS,
            num_replicas=replicas,
        ),
        StreamConfig(
            name=subjects.RES_STREAM,
            subjects=[f"{subjects.ROOT}.{tailnet}.res.*"],
            retention=RetentionPolicy.LIMITS,
            storage=StorageType.FILE,
            max_age=RESULT_AGE,
            max_bytes=RESULT_OCTETS,
            max_msgs_per_subject=1,
            duplicate_window=DUPLICATE_SECONDS,
            allow_direct=True,
            num_replicas=replicas,
        ),
        StreamConfig(
            name=subjects.DLQ_STREAM,
            subjects=[f"{subjects.ROOT}.{tailnet}.dlq.>"],
            retention=RetentionPolicy.LIMITS,
            storage=StorageType.FILE,
            max_age=DEAD_AGE,
            max_bytes=DEAD_OCTETS,
            duplicate_window=DUPLICATE_SECONDS,
            num_replicas=replicas,
        ),
    )


def event_stream(tailnet: TailnetName, *, age: float, octets: int, replicas: int) -> StreamConfig:
    """Return the stream of events for other systems; `age` in seconds, `octets`: 0 is without bound."""
    return StreamConfig(
        name=subjects.EVENT_STREAM,
        description="The events of the log, for other systems; made from the log, and may be made anew.",
        subjects=[subjects.events(tailnet)],
        retention=RetentionPolicy.LIMITS,
        storage=StorageType.FILE,
        max_age=age,
        max_bytes=octets or -1,
        duplicate_window=min(DUPLICATE_SECONDS, age or DUPLICATE_SECONDS),
        allow_direct=True,
        num_replicas=replicas,
    )


def streams_of(settings: Settings) -> Sequence[StreamConfig]:
    """Return every stream that an engine with these settings has."""
    tailnet, replicas = TailnetName(settings.tailnet), settings.nats_replicas
    streams = list(queue_streams(tailnet, open_commands=settings.open_commands, replicas=replicas))
    if settings.event_stream:
        age = settings.event_days * DAY
        streams.append(event_stream(tailnet, age=age, octets=settings.event_octets, replicas=replicas))
    return streams


def differences(found: StreamConfig, wanted: StreamConfig) -> Sequence[Difference]:
    """Return what of a stream is not as wanted."""
    pairs = [(field, _plain(getattr(found, field)), _plain(getattr(wanted, field))) for field in _COMPARED]
    return [Difference(field, is_, should) for field, is_, should in pairs if is_ != should]


async def have(js: JetStreamContext, config: StreamConfig, patience: float = PATIENCE_SECONDS) -> None:
    """Make a stream as wanted, or change it to that (rule 1), for `patience` seconds (rule 2).

    Raises:
        nats.errors.Error: it cannot be, or no server says within the patience.
        OSError: likewise.
    """
    await patiently(lambda: _have(js, config), patience)


async def patiently(work: Callable[[], Awaitable[T]], seconds: float = PATIENCE_SECONDS) -> T:
    """Do it until a leader is there to do it (rule 2); what it returns.

    Raises:
        nats.errors.Error: refused, or still no leader after `seconds`.
    """
    loop = asyncio.get_running_loop()
    until = loop.time() + seconds
    while True:
        try:
            return await work()
        except nats.errors.Error as error:
            if loop.time() >= until or not _will_pass(error):
                raise
        await asyncio.sleep(AGAIN_SECONDS)


def _will_pass(error: nats.errors.Error) -> bool:
    passing = (
        nats.js.errors.ServiceUnavailableError,
        nats.js.errors.NoStreamResponseError,
        nats.errors.NoRespondersError,
        nats.errors.TimeoutError,
    )
    return isinstance(error, passing) or _is_short_of_servers(error)


def _is_short_of_servers(error: nats.errors.Error) -> bool:
    return isinstance(error, nats.js.errors.APIError) and error.err_code == NO_PEERS


async def _have(js: JetStreamContext, config: StreamConfig) -> None:
    try:
        await js.add_stream(config)
    except nats.js.errors.BadRequestError as error:
        if _is_short_of_servers(error):
            raise
        await js.update_stream(config)  # it is there, with other settings


def _plain(value: object) -> object:
    """Return what the server says for it: an absent value is its default."""
    match value:
        case list():
            return sorted(map(str, value))
        case RetentionPolicy() | StorageType() | DiscardPolicy():
            return value.value
        case None | False:
            return None
        case _:
            return value


def _said(value: object) -> str:
    match value:
        case None:
            return "absent"
        case list():
            return ",".join(map(str, value))
        case _:
            return str(value)
