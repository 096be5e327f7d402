"""One command at a time, group commit, receipts.

A command is decided when it comes, against state that already has what is being appended. One task appends all that
waits in one transaction and then answers; what comes meanwhile shares the next one.

Rule 1: an accepted command has a receipt in its own transaction; a resend of the id gets the first answer (L2).
Rule 2: a refused command leaves nothing; a resend of it is decided anew.
Rule 3: what was decided on uncommitted state, also a refusal, is told after the commit, or not at all.
Rule 4: after a fault every waiter hears "unknown", and the state is read anew before anything else is decided.
Rule 5: an engine whose store is no longer its own decides nothing more, whatever it is waiting for (L6).
Rule 6: nothing waits without a bound: see `admission.py`.
"""

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import Final

import structlog

from engine.application.admission import Admission
from engine.application.ledger import Ledger, Order, accepted_before, accepted_now
from engine.application.sealing import sealed_order
from engine.application.standby import Standby
from engine.contracts.checkpoint import Checkpoint
from engine.contracts.queries import HeadReply
from engine.contracts.requests import Accepted
from engine.domain.decide import decide
from engine.domain.decision import Decision, Given
from engine.domain.errors import Conflict, Refusal
from engine.domain.events import CommandHandled, LogStarted
from engine.domain.state import Tailnet
from engine.domain.values import Epoch, Millis, Position
from engine.ports import (
    Clock,
    EventStore,
    Fault,
    IdSource,
    KeyRing,
    Pending,
    Recorded,
    VersionConflict,
    WrongFence,
)

_LOG: Final = structlog.get_logger()
BATCH: Final = 512
"""Events in one transaction, unless one command alone has more (reference: python-stack §7.4)."""
RECOVERY_SECONDS: Final = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0)
"""Between two tries to read the store anew; the last is repeated."""

Watcher = Callable[[Sequence[Recorded]], None]


class Recovering(Fault):
    """The engine is not deciding now."""

    code = "engine.unavailable"
    told = "the engine is reading its log, or stopping"
    hint = "resend the same command id in a moment"


class UnknownOutcome(Fault):
    """The store failed while the command was being appended."""

    code = "engine.unknown_outcome"
    told = "the store failed before it said whether the command was kept"
    hint = "resend the same command id: it has one effect at most"

    def __init__(self, command_id: str) -> None:
        super().__init__(self.told)
        self.command_id = command_id


class _Work:
    """A decided command that waits for its transaction; without events, for that of what it was decided on."""

    def __init__(self, order: Order, outcome: Decision | Refusal, pending: tuple[Pending, ...]) -> None:
        self.order = order
        self.outcome = outcome
        self.pending = pending
        self.answer: asyncio.Future[Accepted] = asyncio.get_running_loop().create_future()
        self.answer.add_done_callback(_look_at)  # the asker may be gone

    def tell(self, position: Position) -> None:
        if isinstance(self.outcome, Refusal):
            self.answer.set_exception(self.outcome)
        else:
            self.answer.set_result(accepted_now(self.order, self.outcome, position))

    def tell_unknown(self) -> None:
        self.answer.set_exception(UnknownOutcome(self.order.command_id))


class Engine:
    """The one that decides. `start`, then `handle` while `run` runs."""

    def __init__(self, store: EventStore, clock: Clock, ids: IdSource, keyring: KeyRing) -> None:
        self._store = store
        self._clock = clock
        self._ids = ids
        self._keyring = keyring
        self._ledger = Ledger()
        self._queue: deque[_Work] = deque()
        self._admission = Admission(clock)
        self._in_flight: dict[str, _Work] = {}
        self._wake = asyncio.Event()
        self._appending = False
        self._deciding = False
        self._watchers: list[Watcher] = []

    @property
    def tailnet(self) -> Tailnet:
        """The tailnet as decisions see it: read only, and perhaps ahead of the log."""
        return self._ledger.tailnet

    def head(self) -> HeadReply:
        """Return where the committed log is."""
        return HeadReply(epoch=self._ledger.epoch, position=self._ledger.position)

    def size(self) -> int:
        """Return how many records the committed log has."""
        return self._ledger.tree.size

    def checkpoint(self, origin: str) -> Checkpoint:
        """Return what the committed log is, under the name of the log."""
        ledger = self._ledger
        return Checkpoint(
            origin=origin,
            size=ledger.tree.size,
            root=ledger.tree.root(),
            position=ledger.position,
            digest=ledger.digest,
        )

    def watch(self, watcher: Watcher) -> None:
        """Let the watcher see the records of each commit, before the commands are answered."""
        self._watchers.append(watcher)

    async def start(self, standby: Standby | None = None) -> None:
        """Take the store, read the log, and begin one in an empty store; a standby's ledger is kept warm meanwhile.

        Raises:
            Fault: the store cannot be taken or read.
        """
        if standby is None:
            await self._store.open()
            self._ledger = await Ledger.replay(self._store)
        else:
            following = asyncio.create_task(standby.follow())
            try:
                await self._store.open()
            finally:
                following.cancel()
                await asyncio.gather(following, return_exceptions=True)
            self._ledger = await standby.taken_over(self._store)
        if not self._ledger.position:
            event = LogStarted(epoch=Epoch(self._ids.token()))
            pending = self._ledger.start(event, self._ids.command_id(), self._clock.now())
            self._ledger.committed(await self._store.append([pending]))
        self._deciding = True

    async def run(self, stop: asyncio.Event) -> None:
        """Append what is decided until `stop`, and then what still waits.

        Raises:
            WrongFence: another engine has taken over.
        """
        async with asyncio.TaskGroup() as group:
            watching = group.create_task(self._store.held())
            group.create_task(self._close_at(stop))
            await group.create_task(self._write_until(stop))
            watching.cancel()

    async def handle(self, order: Order) -> Accepted:
        """Decide the command and return its answer after the commit.

        Raises:
            Refusal: the answer is no.
            Fault: not decided (`Overloaded`, `Recovering`), or `UnknownOutcome`.
        """
        return await self.settle(order, lambda: self._decide(order))

    async def settle(self, order: Order, decider: Callable[[], Decision]) -> Accepted:
        """Do as `handle`, with a decision that needs more than the tailnet: pending logins.

        Raises:
            Refusal: the answer is no.
            Fault: see `handle`.
        """
        before = await self.told_before(order)
        if before is not None:
            return before
        self._admit(order)
        work = self._decided(order, decider)
        if work.pending:
            self._in_flight[order.command_id] = work
        elif not self._queue and not self._appending:
            work.tell(self._ledger.position)
            return await work.answer
        self._queue.append(work)
        self._admission.enter(order.actor)
        self._wake.set()
        return await asyncio.shield(work.answer)

    def _decided(self, order: Order, decider: Callable[[], Decision]) -> _Work:
        try:
            decision = decider()
        except Refusal as refusal:
            return _Work(order, refusal, ())
        if not decision.events and not order.receipt_always:
            return _Work(order, decision, ())
        return _Work(order, decision, self._ledger.stage(order, decision, self._clock.now()))

    async def told_before(self, order: Order) -> Accepted | None:
        """Return the answer that the command's id has had already, also if that is on its way; else None.

        Raises:
            Conflict: `command.id_reused`: the id was another command's.
            Fault: the receipt cannot be read, or the first one's outcome is unknown.
        """
        first = self._in_flight.get(order.command_id)
        if first is not None:
            _same(first.order.digest, order)
            return await asyncio.shield(first.answer)
        position = self._ledger.receipts.get(order.command_id)
        if position is None:
            return None
        record = (await self._store.read(Position(position - 1), 1))[0]
        receipt = record.event
        if not isinstance(receipt, CommandHandled):
            raise Fault("a receipt is not where it was")
        _same(receipt.digest, order)
        return accepted_before(receipt, order, position, self.given(order).secret)

    def _decide(self, order: Order) -> Decision:
        return decide(self._ledger.tailnet, order.command, self.given(order))

    def sealed(self, order: Order) -> Order:
        """Return the order with its secrets sealed (`sealing.py`); it must be the sealed one that is handled.

        Raises:
            Invalid: `provider.account`.
        """
        return sealed_order(order, self._keyring)

    def now(self) -> Millis:
        """Return the recorded time that an event would have now."""
        return Millis(max(self._clock.now(), self._ledger.at))

    def given(self, order: Order) -> Given:
        """Return the world's part of a decision on the order."""
        secret = self._keyring.derive("command", order.command_id)
        return Given(now=self.now(), secret=secret, strict=order.strict)

    def _admit(self, order: Order) -> None:
        if not self._deciding:
            raise Recovering("not deciding")
        if order.deadline and self._clock.now() > order.deadline:
            raise Conflict(
                "command.expired",
                "the command's deadline has passed",
                hint="send it again with a later Netmap-Deadline",
            )
        self._admission.must_have_room(order.actor)

    def must_have_room(self, actor: str, command_id: str) -> None:
        """See, before a command is looked at more closely, that it may wait, or has been heard before.

        Raises:
            Overloaded: it may not.
        """
        if command_id not in self._in_flight and command_id not in self._ledger.receipts:
            self._admission.must_have_room(actor)

    async def _close_at(self, stop: asyncio.Event) -> None:
        await stop.wait()
        self._deciding = False
        self._wake.set()

    async def _write_until(self, stop: asyncio.Event) -> None:
        try:
            await self._write(stop)
        finally:
            self._deciding = False
            self._tell_all_unknown(self._queue)
            self._queue.clear()

    async def _write(self, stop: asyncio.Event) -> None:
        while self._queue or not stop.is_set():
            if not self._queue:
                self._wake.clear()
                await self._wake.wait()
                continue
            batch = self._take()
            self._appending = True
            try:
                events = [pending for work in batch for pending in work.pending]
                records = await self._store.append(events) if events else ()
            except (WrongFence, asyncio.CancelledError):
                self._tell_all_unknown(batch)
                raise
            except Fault as fault:
                await self._recover([*batch, *self._queue], fault, stop)
            else:
                self._tell(batch, records)
            finally:
                self._appending = False

    def _take(self) -> list[_Work]:
        batch, events = [self._queue.popleft()], 0
        events = len(batch[0].pending)
        while self._queue and events + len(self._queue[0].pending) <= BATCH:
            batch.append(self._queue.popleft())
            events += len(batch[-1].pending)
        return batch

    def _tell(self, batch: Sequence[_Work], records: Sequence[Recorded]) -> None:
        self._ledger.committed(records)
        if records:
            for watcher in self._watchers:
                watcher(records)
        self._admission.committed(len(batch))
        last = 0
        for work in batch:
            last += len(work.pending)
            self._forget(work)
            work.tell(records[last - 1].position if work.pending else self._ledger.position)

    def _tell_all_unknown(self, works: Iterable[_Work]) -> None:
        for work in works:
            self._forget(work)
            work.tell_unknown()

    def _forget(self, work: _Work) -> None:
        self._admission.leave(work.order.actor)
        if self._in_flight.get(work.order.command_id) is work:
            del self._in_flight[work.order.command_id]

    async def _recover(self, works: Sequence[_Work], fault: Fault, stop: asyncio.Event) -> None:
        """Read the log anew; after a version conflict it says what became of the commands (port `EventStore`)."""
        _LOG.error("store.failed", fault=type(fault).__name__, waiting=len(works))
        self._deciding = False
        self._queue.clear()
        conflict = isinstance(fault, VersionConflict)
        if not conflict:
            self._tell_all_unknown(works)
        await self._read_anew(stop)
        if conflict:
            self._tell_from_receipts(works)
        self._deciding = not stop.is_set()

    async def _read_anew(self, stop: asyncio.Event) -> None:
        tries = 0
        while not stop.is_set():
            try:
                self._ledger = await Ledger.replay(self._store)
            except Fault as fault:
                _LOG.error("store.unreadable", fault=type(fault).__name__)
                with contextlib.suppress(TimeoutError):
                    pause = RECOVERY_SECONDS[min(tries, len(RECOVERY_SECONDS) - 1)]
                    await asyncio.wait_for(stop.wait(), pause)
                tries += 1
            else:
                return

    def _tell_from_receipts(self, works: Sequence[_Work]) -> None:
        for work in works:
            position = self._ledger.receipts.get(work.order.command_id)
            self._forget(work)
            if position is None or not work.pending:
                work.tell_unknown()
            else:
                work.tell(position)


def _same(digest: str, order: Order) -> None:
    if digest != order.digest:
        raise Conflict(
            "command.id_reused",
            "this command id was used for another command, or by somebody else",
            hint="a new command needs a new id",
        )


def _look_at(answer: asyncio.Future[Accepted]) -> None:
    if not answer.cancelled():
        answer.exception()
