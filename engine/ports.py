"""What the application needs of the world, as protocols; adapters are in `engine/adapters`.

Rule 1: an adapter proves itself by the contract suite of its port in `tests/contract`.
Rule 2: a port raises `Fault` when the infrastructure fails; a library's exception never gets this far.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from typing import ClassVar, Protocol

import msgspec

from engine.domain.events import Event
from engine.domain.values import CommandId, Epoch, Millis, Position


class Fault(Exception):  # noqa: N818 (the house's word for infrastructure at fault)
    """The infrastructure failed; trying again may help.

    `code`, `told`, `hint` and `retry_after` (seconds) are what a requester hears (503, retryable); the text is for the log.
    """

    code: ClassVar[str] = "service.unavailable"
    told: ClassVar[str] = "something that this service needs does not answer"
    hint: ClassVar[str] = "try again in a moment"
    command_id: str = ""
    retry_after: float = 0.0


class WrongFence(Fault):
    """Another engine has taken over: this one must stop (invariant L6)."""


class VersionConflict(Fault):
    """A stream was not at the expected version: unknown until the command's receipt has been looked up (L2)."""


class Undecodable(Fault):
    """A record is broken, of an unknown type, or does not follow the one before it: trying again does not help.

    Whoever folds the log stops here: what it does not understand may be a revocation.
    """


class Unsealable(Fault):
    """What should be a sealed text cannot be opened: the ring's keys are others than when it was sealed."""

    code = "keyring.unsealable"
    told = "a secret cannot be opened with the keys of this directory"
    hint = "give the engine the keys that it had, or the secret again"


class Envelope(msgspec.Struct, frozen=True, kw_only=True):
    """Everything about an event but what happened."""

    stream: str
    """The aggregate, as `node/7`."""
    version: int
    """Place in the stream, from 1."""
    at: Millis
    """Recorded time; never goes backwards in a log."""
    actor: str
    command_id: CommandId
    cause: str = ""
    reason: str = ""


class Pending(msgspec.Struct, frozen=True, kw_only=True):
    """An event that waits to be appended."""

    envelope: Envelope
    event: Event


class Recorded(msgspec.Struct, frozen=True, kw_only=True):
    """An event as the log has it; `digest` is the hash of this record and all before it, in hex (L7)."""

    position: Position
    envelope: Envelope
    event: Event
    digest: str


class Head(msgspec.Struct, frozen=True, kw_only=True):
    """Where a log ends; an empty log is at position 0 with an empty epoch and digest."""

    epoch: Epoch
    position: Position
    digest: str
    at: Millis


class EventReader(Protocol):
    """A log that can be read; many processes may."""

    async def read(self, after: Position, limit: int = 1_000) -> Sequence[Recorded]:
        """Return at most `limit` records after the position, in order; none means the end was reached.

        Raises:
            Undecodable: a record cannot be decoded (an unknown event type stops the reader).
            Fault: the store cannot be read.
        """
        ...

    async def close(self) -> None:
        """Let go of the store."""
        ...


class EventStore(EventReader, Protocol):
    """A log that one engine appends to."""

    @property
    def head(self) -> Head:
        """Return the last record that this store has appended or read: the one the next append must follow."""
        ...

    async def open(self) -> None:
        """Take the lock, raise the fence, check the settings of design §3.

        Raises:
            Fault: the lock is held elsewhere, or the store is not set up to be durable.
        """
        ...

    async def held(self) -> None:
        """Wait as long as this is the one engine's store; raise `WrongFence` when it is not, or nobody knows."""
        ...

    async def append(self, batch: Sequence[Pending]) -> Sequence[Recorded]:
        """Append all or nothing, durably, in one transaction.

        Raises:
            WrongFence: another engine has taken over.
            VersionConflict: a stream already has that version, or the log goes on after `head`; perhaps by an
                earlier call whose outcome was unknown: read on after `head`, look for the receipt, decide again.
            Fault: the outcome is unknown.
        """
        ...


Headers = Mapping[str, str]


class Message(msgspec.Struct, frozen=True):
    """What came on a subject."""

    subject: str
    data: bytes
    headers: Headers = {}


class Answer(msgspec.Struct, frozen=True):
    """What goes back."""

    data: bytes
    headers: Headers = {}


Handler = Callable[[Message], Awaitable[None]]
Responder = Callable[[Message], Awaitable[Answer]]


class Endpoint(msgspec.Struct, frozen=True, kw_only=True):
    """One endpoint of a NATS service: `name` for `nats micro req`, metadata with its JSON Schema.

    What `respond` raises becomes an error reply (`engine/contracts/requests.py`): a Refusal as it is, a Fault as 503,
    anything else as 500 with a fixed text and an id that the log has too.
    """

    name: str
    subject: str
    respond: Responder
    metadata: Mapping[str, str] = {}


class NoResponders(Fault):
    """Nobody listens on the subject."""


class TimedOut(Fault):
    """No answer in time: the outcome is unknown."""


class Bus(Protocol):
    """Messages between processes: at most once, in order for each publisher."""

    async def publish(self, subject: str, data: bytes, headers: Headers | None = None) -> None:
        """Send; nobody says whether it arrived.

        Raises:
            Fault: not connected, and the buffer is full.
        """
        ...

    async def request(
        self, subject: str, data: bytes, *, timeout: float, headers: Headers | None = None
    ) -> Message:
        """Send and wait for one reply.

        Raises:
            NoResponders: nobody listens.
            TimedOut: no answer within `timeout` seconds.
        """
        ...

    async def subscribe(self, subject: str, *, limit: int = 65_536) -> AsyncIterator[Message]:
        """Return the messages from now on; at most `limit` wait, then further ones are dropped (chains notice).

        The server has the subscription when this returns; the iterator ends when the bus closes.
        """
        ...

    async def serve(
        self,
        name: str,
        version: str,
        description: str,
        endpoints: Sequence[Endpoint],
        *,
        metadata: dict[str, str] | None = None,
    ) -> None:
        """Answer requests as a `nats.micro` service, until the bus closes; `metadata` is told as it is then.

        Many requests are answered at a time. Endpoints are tried in order and the first whose subject matches
        answers: a request has one answer even when a later endpoint's wildcard matches too.
        """
        ...

    async def close(self) -> None:
        """Drain and disconnect."""
        ...


class Job(Protocol):
    """A message taken from a work queue; it comes again unless `done`."""

    @property
    def message(self) -> Message:
        """Return what was put into the queue."""
        ...

    async def done(self) -> None:
        """Say that it is settled; it never comes again.

        Raises:
            Fault: nobody heard; it comes again.
        """
        ...

    async def again(self, delay: float) -> None:
        """Let it come again after `delay` seconds."""
        ...


class WorkQueue(Protocol):
    """Durable commands, and what became of them."""

    async def open(self) -> None:
        """Make the streams, or bring them to what this version wants.

        Raises:
            Fault: there is no JetStream, or it refuses.
        """
        ...

    async def take(self, limit: int, *, timeout: float) -> Sequence[Job]:
        """Return at most `limit` jobs in order; none when `timeout` seconds bring none.

        Raises:
            Fault: the queue cannot be read.
        """
        ...

    async def keep(self, subject: str, data: bytes, headers: Headers | None = None) -> None:
        """Store a result or a dead letter; it is stored when this returns.

        Raises:
            Fault: unknown whether it is stored.
        """
        ...


class LookupFailed(Fault):
    """A host name was not found; the text says why, in words for people."""


class LookedUp(msgspec.Struct, frozen=True, kw_only=True):
    """The addresses of a host name, in the order of the answer, and for how many seconds they hold."""

    addresses: tuple[str, ...]
    seconds: float


class Resolver(Protocol):
    """Host names to addresses."""

    async def look_up(self, host: str) -> LookedUp:
        """Return the addresses of a fully qualified host name, of both families, at least one.

        Raises:
            LookupFailed: there is no such name, it has no address, or nobody answers in time.
        """
        ...


class Clock(Protocol):
    """The wall clock, in milliseconds; and a monotonic one, in seconds."""

    def now(self) -> Millis:
        """Return Unix time in milliseconds."""
        ...

    def monotonic(self) -> float:
        """Return seconds that never go back."""
        ...


class IdSource(Protocol):
    """Where identities come from."""

    def command_id(self) -> CommandId:
        """Return a fresh command id: UUIDv7, so that receipts sort by time."""
        ...

    def token(self) -> str:
        """Return 24 lower-case base32 characters of 120 random bits."""
        ...


class CheckpointFile(Protocol):
    """Where checkpoints are kept, apart from the log that they speak of."""

    def add(self, note: str) -> None:
        """Keep a signed note, durably, after those that are there.

        Raises:
            Fault: it cannot be written.
        """
        ...


class Shelf(Protocol):
    """Blobs by name that can be made again: any of them may be gone at any time. Calls block: not for the event loop.

    A name has 1 to 64 digits, lower-case letters and hyphens.
    """

    def names(self) -> Mapping[str, int]:
        """Return what is there, with its size in octets.

        Raises:
            Fault: the shelf cannot be read.
        """
        ...

    def put(self, name: str, data: bytes) -> None:
        """Keep the blob, whole or not at all, in place of one of the same name.

        Raises:
            Fault: it cannot be written.
        """
        ...

    def get(self, name: str) -> bytes | None:
        """Return the blob; None if it is not there, or cannot be read."""
        ...

    def drop(self, name: str) -> None:
        """Let go of the blob if it is there and can be removed."""
        ...


class KeyRing(Protocol):
    """Secrets that live in files of mode 0600, never in events."""

    def noise_private(self) -> bytes:
        """Return the 32 octets of the control protocol's machine key."""
        ...

    def checkpoint_private(self) -> bytes:
        """Return the 32 octets of the Ed25519 key that signs checkpoints of the log."""
        ...

    def derive(self, purpose: str, subject: str) -> str:
        """Return 32 hex digits that only this ring can know, the same for the same arguments."""
        ...

    def seal(self, purpose: str, text: str) -> str:
        """Return the text as nobody without this ring can read or change it; another one each time."""
        ...

    def unseal(self, purpose: str, sealed: str) -> str:
        """Return the text that was sealed for this purpose.

        Raises:
            Unsealable: it is not this ring's, or was changed, or sealed for something else.
        """
        ...
