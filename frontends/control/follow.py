"""Keeps the replica at the log's head: subscribe, fetch a snapshot, drop what is old, follow; a gap starts again.

Rule 1: the subscription is made before the snapshot is asked for, so nothing falls between the two.
Rule 2: a delta that does not follow is a gap: one snapshot is fetched, then the delta is judged once more.
Rule 3: news is a delta or bookmark at or after our own position. Without any, age grows: `STALE`, then `UNREADY`
        (no new sessions), then `FENCED` (no sessions at all): clients keep their last netmap and try elsewhere (F3).
Rule 4: a map session starts at a version that is not below the log's head when its request came (F4): `current`.
Rule 5: whoever tells of our position says what all objects are there. If ours are others, or one of them is not what came from the
        bus, that is told loudly and a snapshot replaces everything: at once, and if it does not help, ever more seldom.
Rule 6: an undecodable delta stops the follower until a snapshot that it understands replaces everything (F7).
"""

import asyncio
from collections.abc import Callable
from enum import IntEnum
from typing import Final

import msgspec
import structlog

from engine.contracts import subjects
from engine.contracts.chunks import MAX_CHUNKS, BadSnapshot, assemble
from engine.contracts.digest import differ
from engine.contracts.netmap import Delta, SnapshotChunk, Verdict
from engine.contracts.queries import HeadReply, Query
from engine.contracts.requests import ERROR_CODE
from engine.domain.values import Epoch, Position, TailnetName
from engine.ports import Bus, Clock, Fault, Message
from frontends.control.replica import Replica, Touched

STALE_SECONDS: Final = 3.0
UNREADY_SECONDS: Final = 10.0
FENCED_SECONDS: Final = 30.0
"""Invariant F3: bookmarks come every second."""
SNAPSHOT_SECONDS: Final = 10.0
"""How long one chunk may take: the first waits for a projection to encode a whole tailnet."""
RETRY_SECONDS: Final = 0.5
HEAD_SECONDS: Final = 1.0
"""How long the engine has to say where the log's head is; it answers from memory."""
MAX_DISTRUST_SECONDS: Final = 60.0
"""The longest time between two snapshots that are fetched because digests differ; the shortest is `RETRY_SECONDS`."""
SCRUB_SECONDS: Final = 1.0
"""How often some of the objects are looked at again."""
REACH_SECONDS: Final = 2.0
"""How long a new session waits for the replica to get there (F4)."""

_NOWHERE: Final = Position(0)
_log = structlog.get_logger(__name__)
_DELTA: Final = msgspec.json.Decoder(Delta)
_CHUNK: Final = msgspec.json.Decoder(SnapshotChunk)
_HEAD: Final = msgspec.json.Decoder(HeadReply)


class Age(IntEnum):
    """How old the replica's news are."""

    FRESH = 0
    STALE = 1
    UNREADY = 2
    FENCED = 3


class Follower:
    """Feeds a replica; `on_change` hears which keys changed, `on_reset` that another history has begun."""

    def __init__(self, bus: Bus, clock: Clock, tailnet: TailnetName, frontend: str, replica: Replica) -> None:
        self._bus = bus
        self._clock = clock
        self._tailnet = tailnet
        self._replica = replica
        self._head = _Head(bus, subjects.registration(tailnet, frontend, "head"))
        self._news: float | None = None
        self._moved = asyncio.Event()
        self._heard = asyncio.Event()
        self.disagreements = 0
        """How often the objects were not what a projection says that they are, or not what had come."""
        self.disagrees = False
        """Whether that was so when it was looked at last."""
        self._scrubbed = clock.monotonic()
        self._distrust = 0.0
        """Seconds after which a difference brings a snapshot again."""
        self._trusted_until = clock.monotonic()
        self.on_change: Callable[[Touched], None] = lambda _: None
        self.on_reset: Callable[[], None] = lambda: None

    def age(self) -> Age:
        """Return how old the news are; before the first snapshot there are none."""
        if self._news is None or not self._replica.loaded:
            return Age.UNREADY
        seconds = self._clock.monotonic() - self._news
        if seconds < STALE_SECONDS:
            return Age.FRESH
        if seconds < UNREADY_SECONDS:
            return Age.STALE
        return Age.UNREADY if seconds < FENCED_SECONDS else Age.FENCED

    async def run(self) -> None:
        """Follow until cancelled or the bus closes."""
        messages = await self._bus.subscribe(subjects.map_delta(self._tailnet))
        await self._resync()
        async for message in messages:
            await self._on(message)

    async def _on(self, message: Message) -> None:
        try:
            delta = _DELTA.decode(message.data)
        except msgspec.MsgspecError:
            _log.error("a netmap delta cannot be read", octets=len(message.data))
            self._news = None
            await self._resync()
            return
        if self._apply(delta) is Verdict.RESYNC:
            await self._resync()
            self._apply(delta)
        if self._is_doubtful(delta):
            await self._resync(past=self._replica.position)

    def _apply(self, delta: Delta) -> Verdict:
        verdict, touched = self._replica.receive(delta)
        if verdict is not Verdict.RESYNC and delta.cur >= self._replica.position:
            self._news = self._clock.monotonic()
            self._heard.set()
            self._heard = asyncio.Event()
        if verdict is Verdict.APPLY:
            self._advance(touched)
        return verdict

    def _is_doubtful(self, delta: Delta) -> bool:
        """Return whether a snapshot is due because the objects are not what they should be (rule 5)."""
        now, replica = self._clock.monotonic(), self._replica
        bad: list[str] = []
        if now - self._scrubbed >= SCRUB_SECONDS:
            self._scrubbed, bad = now, replica.scrub()
        compared = bool(delta.digest) and (delta.epoch, delta.cur) == (replica.epoch, replica.position)
        if not (compared or bad):
            return False
        own = replica.state_digest()
        self.disagrees = bool(bad) or differ(own, delta.digest)
        if not self.disagrees:
            if now >= self._trusted_until:
                self._distrust = 0.0
            return False
        self.disagreements += 1
        _log.error(
            "the netmap objects are not what they should be",
            epoch=replica.epoch,
            position=replica.position,
            own=own,
            theirs=delta.digest,
            by=delta.by,
            spoilt=bad,
        )
        if now < self._trusted_until:
            return False
        self._distrust = min(max(RETRY_SECONDS, 2 * self._distrust), MAX_DISTRUST_SECONDS)
        self._trusted_until = now + self._distrust
        return True

    def _advance(self, touched: Touched) -> None:
        self._moved.set()
        self._moved = asyncio.Event()
        if touched:
            self.on_change(touched)

    async def _resync(self, past: Position = _NOWHERE) -> None:
        """Fetch and load a snapshot, however long that takes; the first try is for one that is not from before `past`."""
        loaded, before = self._replica.loaded, self._replica.epoch
        while (touched := await self._try_load(past)) is None:
            past = _NOWHERE
        self._news = self._clock.monotonic()
        _log.info("loaded a snapshot", epoch=self._replica.epoch, position=self._replica.position)
        if loaded and self._replica.epoch != before:
            self.on_reset()
        self._advance(touched)

    async def _try_load(self, past: Position) -> Touched | None:
        """Load a snapshot and return what differs from before, or None after a pause."""
        try:
            first = await self._chunk(Query(min_position=past))
            count = min(first.count, MAX_CHUNKS)
            rest = [await self._chunk(Query(chunk=n, snapshot=first.id)) for n in range(1, count)]
            return self._replica.load(assemble([first, *rest]))
        except (Fault, BadSnapshot, msgspec.MsgspecError) as problem:
            _log.warning("no snapshot yet", problem=f"{type(problem).__name__}: {problem}")
            await asyncio.sleep(RETRY_SECONDS)
            return None

    async def _chunk(self, query: Query) -> SnapshotChunk:
        subject = subjects.query(self._tailnet, "snapshot", "get")
        reply = await self._bus.request(subject, msgspec.json.encode(query), timeout=SNAPSHOT_SECONDS)
        if ERROR_CODE in reply.headers:
            raise BadSnapshot("the projection has none to give")
        return _CHUNK.decode(reply.data)

    async def reach(self, epoch: Epoch, position: Position, seconds: float = REACH_SECONDS) -> bool:
        """Wait until the replica is at the position or later; return whether it came."""
        try:
            async with asyncio.timeout(seconds):
                while (self._replica.epoch, self._replica.position >= position) != (epoch, True):
                    await self._moved.wait()
        except TimeoutError:
            return False
        return True

    async def news_come(self, seconds: float = REACH_SECONDS) -> bool:
        """Wait for the next news; return whether they came."""
        heard = self._heard
        try:
            async with asyncio.timeout(seconds):
                await heard.wait()
        except TimeoutError:
            return False
        return True

    async def current(self) -> bool:
        """Return whether a map session that was asked for just now may start (rule 4).

        If the engine says nothing, the next news must do: a projection sends them only when it has just read the log.
        News from before the question do not: they tell nothing of what was acknowledged since.
        """
        if self.age() >= Age.UNREADY:
            return False
        try:
            head = await self._head.ask()
        except Fault:
            return await self.news_come()
        return await self.reach(Epoch(head.epoch), Position(head.position))


class _Head:
    """Asks the engine where the log's head is; those who come while it is being asked share the next question."""

    def __init__(self, bus: Bus, subject: str) -> None:
        self._bus = bus
        self._subject = subject
        self._asking: asyncio.Task[HeadReply] | None = None
        self._next: asyncio.Task[HeadReply] | None = None

    async def ask(self) -> HeadReply:
        """Return a head that was read after this call began.

        Raises:
            Fault: the engine does not say.
        """
        if self._next is None:
            self._next = asyncio.create_task(self._after(self._asking))
        return await asyncio.shield(self._next)

    async def _after(self, before: "asyncio.Task[HeadReply] | None") -> HeadReply:
        if before is not None:
            await asyncio.wait([before])
        self._asking, self._next = self._next, None
        reply = await self._bus.request(self._subject, b"{}", timeout=HEAD_SECONDS)
        if ERROR_CODE in reply.headers:
            raise Fault("the engine does not say where the head is")
        try:
            return _HEAD.decode(reply.data)
        except msgspec.MsgspecError as error:
            raise Fault("the engine's head cannot be read") from error
