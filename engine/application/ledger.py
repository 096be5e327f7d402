"""What the engine knows of the log, in memory: the tailnet, the streams' versions, the receipts, the head.

Rule 1: it may be ahead of the log by what is being appended; after a fault it is thrown away and read anew.
Rule 2: receipts are known by position only: a resend is rare, and reads the receipt itself from the store.
"""

import gc
from collections.abc import Mapping, Sequence
from typing import Final, Self, cast

import msgspec

from engine.contracts.merkle import Frontier
from engine.contracts.requests import Accepted
from engine.domain.apikeys import key_text
from engine.domain.authkeys import secret_text
from engine.domain.commands import Command, CreateApiKey, CreateAuthKey
from engine.domain.decision import Decision
from engine.domain.events import CommandHandled, Event, LogStarted, stream_of
from engine.domain.state import Tailnet
from engine.domain.values import AuthKeyId, CommandId, Epoch, Millis, Position
from engine.ports import Envelope, EventReader, Pending, Recorded

PAGE: Final = 5_000
"""Records per read of a replay: a page of small events is about 2 MB."""
RECEIPT_STREAM: Final = "receipt/"


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """A command with all that is known of its message."""

    command: Command
    name: str
    """`peer.register`; an alias is the same name."""
    command_id: CommandId
    actor: str
    digest: str
    """`answers.digest_of` actor, name and body."""
    reason: str = ""
    cause: str = ""
    deadline: Millis = Millis(0)
    strict: bool = False
    """Whether a warning is a no."""
    receipt_always: bool = True
    """False: without events there is no receipt. So strangers' registrations and routers that poll leave nothing in the log."""


class Ledger:
    """The log, folded; see the module's rules."""

    def __init__(self) -> None:
        self.tailnet = Tailnet()
        self.epoch = Epoch("")
        self.position = Position(0)
        """The last committed position."""
        self.at = Millis(0)
        """The last recorded time, committed or not."""
        self.receipts: dict[str, Position] = {}
        """Committed receipts by command id."""
        self.digest = ""
        """The last committed record's digest, in hex."""
        self.tree: Final = Frontier()
        """The Merkle tree over all committed records."""
        self._versions: dict[str, int] = {}

    @classmethod
    async def replay(cls, store: EventReader) -> Self:
        """Return the ledger of the whole log.

        Raises:
            Fault: the store cannot be read.
        """
        ledger = cls()
        await ledger.read_on(store)
        return ledger

    async def read_on(self, store: EventReader) -> None:
        """Take in what the log has after `position`; nothing of it may be staged here.

        Raises:
            Fault: the store cannot be read; what was read before is taken in.
        """
        collecting = gc.isenabled()
        gc.disable()  # nothing here becomes garbage in cycles, and a full collection of 100,000 nodes takes 0.27 s
        try:
            while page := await store.read(self.position, PAGE):
                for record in page:
                    self._learn(record)
        finally:
            if collecting:
                gc.enable()

    def _learn(self, record: Recorded) -> None:
        envelope = record.envelope
        self.tailnet.apply(record.event, envelope.at)
        self.at = max(self.at, envelope.at)
        if not isinstance(record.event, CommandHandled):
            self._versions[envelope.stream] = envelope.version
        self.committed([record])

    def stage(self, order: Order, decision: Decision, now: Millis) -> tuple[Pending, ...]:
        """Take in what was decided, and return it as events that wait to be appended, the receipt last."""
        self.at = max(self.at, now)
        receipt = CommandHandled(name=order.name, digest=order.digest, result=_stored(decision))
        return tuple(self._pend(event, order) for event in (*decision.events, receipt))

    def start(self, event: LogStarted, command_id: CommandId, now: Millis) -> Pending:
        """Take in the first event of a log."""
        self.at = max(self.at, now)
        order = Order(command=Command(), name="", command_id=command_id, actor="engine", digest="")
        return self._pend(event, order)

    def _pend(self, event: Event, order: Order) -> Pending:
        stream = stream_of(event, order.command_id)
        version = 1
        if not stream.startswith(RECEIPT_STREAM):
            version = self._versions.get(stream, 0) + 1
            self._versions[stream] = version
        self.tailnet.apply(event, self.at)
        envelope = Envelope(
            stream=stream,
            version=version,
            at=self.at,
            actor=order.actor,
            command_id=order.command_id,
            cause=order.cause,
            reason=order.reason,
        )
        return Pending(envelope=envelope, event=event)

    def committed(self, records: Sequence[Recorded]) -> None:
        """Note that the records are in the log."""
        for record in records:
            self.tree.add(bytes.fromhex(record.digest))
            if isinstance(record.event, CommandHandled):
                self.receipts[record.envelope.command_id] = record.position
            elif isinstance(record.event, LogStarted):
                self.epoch = record.event.epoch
        if records:
            self.position, self.digest = records[-1].position, records[-1].digest


class _Stored(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A receipt's `result`: the reply without position and secrets."""

    result: Mapping[str, object] = {}
    warnings: tuple[str, ...] = ()


def _stored(decision: Decision) -> msgspec.Raw:
    return msgspec.Raw(msgspec.json.encode(_Stored(result=decision.result, warnings=decision.warnings)))


def accepted_now(order: Order, decision: Decision, position: Position) -> Accepted:
    """Return the answer to a command that was just committed, secrets included."""
    return _accepted(order, position, {**decision.result, **decision.secret_result}, decision.warnings)


def accepted_before(receipt: CommandHandled, order: Order, position: Position, secret: str) -> Accepted:
    """Return the first answer again, from its receipt; `secret` is what the first decision was given."""
    stored = msgspec.json.decode(receipt.result, type=_Stored)
    result = dict(stored.result)
    if isinstance(order.command, CreateAuthKey):
        result["key"] = secret_text(AuthKeyId(cast("int", result["id"])), secret)
    elif isinstance(order.command, CreateApiKey):
        result["key"] = key_text(secret)
    return _accepted(order, position, result, stored.warnings)


def _accepted(
    order: Order, position: Position, result: dict[str, object], warnings: tuple[str, ...]
) -> Accepted:
    number = result.get("id")
    return Accepted(
        ok=True,
        position=position,
        command_id=order.command_id,
        id=number if isinstance(number, int | str) else None,
        result=result,
        warnings=warnings,
    )
