"""Tells other systems every event, in order, in a stream that they read at their own pace.

Rule 1: it follows the log by itself, with a reader of its own: no command waits for it. After each batch it rests as long
        as that took, and `BUSY_RESTS` times as long while the log grows meanwhile: a busy engine keeps its time for commands.
Rule 2: at least once: it goes on after the last event that the stream has, and asks the stream again after any fault.
Rule 3: a stream that has nothing, or tells another history than the log, is filled from the beginning of the present epoch
        or of the log; what it has already, it may get a second time.
Rule 4: receipts are not told: they are between the engine and who sent the command; each event has that command's id.
Rule 5: nobody is told a secret, not even sealed or as a digest (`HIDDEN`).
"""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Final

import msgspec
import structlog

from engine.application.answers import json_answer
from engine.application.engine import Engine
from engine.application.service import VERSION
from engine.contracts import cloudevents as ce
from engine.contracts import subjects
from engine.contracts.queries import StreamReply
from engine.domain.apikeyevents import ApiKeyCreated
from engine.domain.events import AuthKeyCreated, CommandHandled, Event, LogStarted, tag_of
from engine.domain.providerevents import ProviderAdded, ProviderUpdated
from engine.domain.values import Epoch, Position, TailnetName
from engine.ports import Answer, Bus, Endpoint, EventReader, Fault, Message, Recorded
from engine.streamports import EventStream, Told

_LOG: Final = structlog.get_logger()
BATCH: Final = 256
"""Records that are read and told at a time."""
BUSY_RECORDS: Final = 16
"""By so many the log grows while a batch is told, and the engine is busy."""
BUSY_RESTS: Final = 9
"""Telling an event costs as much as a tenth of a command and more; it was a tenth of all time under full load."""
LONGEST_REST: Final = 1.0
"""Seconds."""
AGAIN_SECONDS: Final = 1.0
"""After a fault."""
LOOK_SECONDS: Final = 15.0
"""While nothing happens the stream is asked this often what it has: who lost its data gets them again."""
HIDDEN: Final[Mapping[type[Event], str]] = {
    AuthKeyCreated: "digest",
    ApiKeyCreated: "digest",
    ProviderAdded: "account",
    ProviderUpdated: "account",
}
"""The field of an event that is told as an empty text."""


class EventTeller:
    """The publisher of one log's events."""

    def __init__(
        self, engine: Engine, reader: EventReader, stream: EventStream, tailnet: TailnetName
    ) -> None:
        self._engine = engine
        self._reader = reader
        self._stream = stream
        self._tailnet = tailnet
        self._epoch = Epoch("")
        self._told = Position(0)
        self._opened = False
        self._grown = asyncio.Event()
        self._grown_by = 0
        """Records that were committed since the last batch was begun."""
        self._busy = asyncio.Lock()
        engine.watch(self._on_commit)

    async def run(self, stop: asyncio.Event) -> None:
        """Tell what has grown, until `stop`; a fault of the stream or of the reader is logged and tried again."""
        stopping = asyncio.create_task(stop.wait())
        try:
            while not stop.is_set():
                self._grown.clear()
                try:
                    await self._tell_all(stopping)
                except Fault as fault:
                    _LOG.warning("eventstream.failed", fault=str(fault))
                    await asyncio.wait({stopping}, timeout=AGAIN_SECONDS)
                    continue
                growing = asyncio.create_task(self._grown.wait())
                done, _ = await asyncio.wait(
                    {stopping, growing}, timeout=LOOK_SECONDS, return_when=asyncio.FIRST_COMPLETED
                )
                growing.cancel()
                self._opened = self._opened and bool(done)
        finally:
            stopping.cancel()

    async def _tell_all(self, stopping: "asyncio.Task[bool]") -> None:
        now = asyncio.get_running_loop().time
        while not stopping.done():
            began, self._grown_by = now(), 0
            if not await self.tell():
                return
            await asyncio.wait({stopping}, timeout=rest_after(now() - began, self._grown_by))

    async def tell(self) -> bool:
        """Tell the next records; return whether there were any.

        Raises:
            Fault: the log cannot be read, or the stream not written: the stream is asked again next time.
        """
        async with self._busy:
            try:
                if not self._opened:
                    await self._open()
                records = await self._reader.read(self._told, BATCH)
                await self._stream.publish(self._messages(records))
            except Fault:
                self._opened = False
                raise
            if records:
                self._told = records[-1].position
            return bool(records)

    async def serve(self, bus: Bus) -> None:
        """Answer who asks how far the stream is, or wants it made anew, until the bus closes.

        Raises:
            Fault: the bus is not connected.
        """
        verbs = {
            "get": (self.respond, "How far the stream of events is."),
            "rebuild": (self.rebuild, "Makes the stream of events anew, from the log."),
        }
        endpoints = [
            Endpoint(
                name=f"stream-{verb}",
                subject=subjects.query(self._tailnet, "stream", verb),
                respond=respond,
                metadata={"description": what},
            )
            for verb, (respond, what) in verbs.items()
        ]
        await bus.serve(subjects.EVENT_SERVICE, VERSION, f"The events of tailnet {self._tailnet}", endpoints)

    async def respond(self, _message: Message) -> Answer:
        """Answer `q.stream.get`: how far the stream is, and the log."""
        return json_answer(self._reply())

    async def rebuild(self, _message: Message) -> Answer:
        """Answer `q.stream.rebuild`: the stream is made anew and then filled from the log; who reads it begins again.

        Raises:
            Fault: it cannot be made anew.
        """
        async with self._busy:
            self._opened = False
            await self._stream.wipe()
            self._epoch, self._told = Epoch(""), Position(0)
        _LOG.info("eventstream.wiped")
        self._grown.set()
        return json_answer(self._reply())

    def _reply(self) -> StreamReply:
        head = self._engine.head()
        return StreamReply(
            stream=subjects.EVENT_STREAM, epoch=head.epoch, told=self._told, position=head.position
        )

    async def _open(self) -> None:
        await self._stream.open()
        last = await self._stream.last()
        before = self._told
        self._epoch, self._told = await self._place(last)
        self._opened = True
        if not before or last is None:
            _LOG.info("eventstream.open", after=self._told)

    async def _place(self, last: Told | None) -> tuple[Epoch, Position]:
        """Return the epoch and the position after which events are to be told (rule 3)."""
        if last is None:
            return Epoch(""), Position(0)
        epoch = Epoch(self._engine.head().epoch)
        if last.epoch == epoch:
            found = await self._reader.read(Position(last.position - 1), 1)
            if found and found[0].position == last.position and found[0].digest == last.digest:
                return epoch, last.position
        _LOG.warning("eventstream.other_history", position=last.position)
        return epoch, await self._before(epoch)

    async def _before(self, epoch: Epoch) -> Position:
        """Return the position before the record that began the epoch."""
        position = Position(0)
        while records := await self._reader.read(position):
            for record in records:
                if isinstance(record.event, LogStarted) and record.event.epoch == epoch:
                    return Position(record.position - 1)
            position = records[-1].position
        return Position(0)

    def _messages(self, records: Sequence[Recorded]) -> list[Message]:
        found = []
        for record in records:
            if isinstance(record.event, LogStarted):
                self._epoch = record.event.epoch
            if not isinstance(record.event, CommandHandled):
                found.append(message_of(record, self._epoch, self._tailnet))
        return found

    def _on_commit(self, records: Sequence[Recorded]) -> None:
        self._grown_by += len(records)
        self._grown.set()


def rest_after(took: float, grown_by: int) -> float:
    """Return how long to rest after a batch, in seconds: it took so long, and the log grew by so many meanwhile (rule 1)."""
    return min(took * (BUSY_RESTS if grown_by >= BUSY_RECORDS else 1), LONGEST_REST)


def message_of(record: Recorded, epoch: Epoch, tailnet: TailnetName) -> Message:
    """Return what other systems are told of a record: its event without secrets, and headers of CloudEvents."""
    envelope = record.envelope
    tag = tag_of(record.event)
    headers = {
        ce.MESSAGE_ID: ce.id_of(epoch, record.position),
        ce.ID: ce.id_of(epoch, record.position),
        ce.SOURCE: ce.source_of(tailnet),
        ce.TYPE: tag,
        ce.TIME: ce.time_of(envelope.at),
        ce.VERSION: ce.SPEC_VERSION,
        ce.SUBJECT: envelope.stream,
        ce.CONTENT: ce.CONTENT_TYPE,
        ce.EPOCH: epoch,
        ce.POSITION: str(record.position),
        ce.STREAM_VERSION: str(envelope.version),
        ce.ACTOR: ce.escaped(envelope.actor),
        ce.COMMAND: ce.escaped(envelope.command_id),
        ce.DIGEST: record.digest,
    }
    for name, text in ((ce.CAUSE, envelope.cause), (ce.REASON, envelope.reason)):
        if text:
            headers[name] = ce.escaped(text)
    subject = subjects.event(tailnet, envelope.stream, tag)
    return Message(subject, msgspec.json.encode(_open_part(record.event)), headers)


def _open_part(event: Event) -> Event:
    hidden = HIDDEN.get(type(event))
    return event if hidden is None else msgspec.structs.replace(event, **{hidden: ""})
