"""What every `EventStore` promises; an adapter proves itself by giving a `Place`."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Protocol

import msgspec
import pytest
from eventsourcing.persistence import ApplicationRecorder, Notification

from engine.adapters.store.chain import verify
from engine.adapters.store.codec import Codec
from engine.domain.events import (
    CommandHandled,
    DerpMapSet,
    Event,
    LogStarted,
    NodeDeleted,
    UserCreated,
    stream_of,
)
from engine.domain.values import DEFAULT_TAILNET, CommandId, Epoch, Millis, NodeId, Position, UserId
from engine.ports import Envelope, EventReader, EventStore, Fault, Head, Pending, VersionConflict

EMPTY = Head(epoch=Epoch(""), position=Position(0), digest="", at=Millis(0))


class Place(Protocol):
    """Where a log can be, and a way in that does not ask the store."""

    def store(self) -> EventStore:
        """A new store of this log, not open."""
        ...

    def reader(self, tailnet: str = DEFAULT_TAILNET) -> EventReader:
        """A new reader of this log."""
        ...

    def recorder(self) -> ApplicationRecorder:
        """The library's own recorder for this log, which checks nothing of ours."""
        ...

    def spoil(self, position: Position, topic: str) -> None:
        """Give the stored row another topic."""
        ...


@asynccontextmanager
async def opened(place: Place) -> AsyncIterator[EventStore]:
    """A store of the place, open; closed at the end."""
    store = place.store()
    try:
        await store.open()
        yield store
    finally:
        await store.close()


@asynccontextmanager
async def reading(place: Place, tailnet: str = DEFAULT_TAILNET) -> AsyncIterator[EventReader]:
    """A reader of the place; closed at the end."""
    reader = place.reader(tailnet)
    try:
        yield reader
    finally:
        await reader.close()


def pending(event: Event, version: int = 1, *, at: int = 1_000, command: str = "c") -> Pending:
    """The event, to be appended to its own stream."""
    envelope = Envelope(
        stream=stream_of(event, command),
        version=version,
        at=Millis(at),
        actor="operator",
        command_id=CommandId(command),
        cause="c0",
        reason="because — ünïcode",
    )
    return Pending(envelope=envelope, event=event)


def user(number: int) -> Pending:
    """The creation of a user."""
    return pending(UserCreated(user=UserId(number), name=f"user {number}"), at=1_000 + number)


def started(epoch: str, version: int = 1) -> Pending:
    """The beginning of a history."""
    return pending(LogStarted(epoch=Epoch(epoch)), version)


def rows(place: Place) -> list[Notification]:
    """The whole log as stored."""
    return list(place.recorder().select_notifications(None, 10_000))


class EventStoreContract:
    """The proof of an adapter: a subclass gives the fixture `place`."""

    async def test_a_new_log_is_empty(self, place: Place) -> None:
        async with opened(place) as store:
            assert store.head == EMPTY
            assert list(await store.read(Position(0))) == []

    async def test_what_was_appended_is_read_in_that_order(self, place: Place) -> None:
        batch = [started("e1"), user(1), pending(DerpMapSet(derp_map=msgspec.Raw(b'{"Regions":{}}')), 2)]
        receipt = pending(CommandHandled(name="X", digest="00", result=msgspec.Raw(b'{"ok":true}')))
        async with opened(place) as store:
            appended = [*await store.append(batch), *await store.append([receipt])]
            read = list(await store.read(Position(0)))
        assert read == appended
        assert [Pending(envelope=r.envelope, event=r.event) for r in read] == [*batch, receipt]
        assert [r.position for r in read] == sorted({r.position for r in read})
        assert read[0].position > 0

    async def test_a_page_starts_after_its_position_and_keeps_its_limit(self, place: Place) -> None:
        async with opened(place) as store:
            appended = await store.append([user(n) for n in range(1, 11)])
            page = list(await store.read(appended[3].position, 4))
            assert page == list(appended[4:8])
            assert list(await store.read(page[-1].position, 4)) == list(appended[8:])
            assert list(await store.read(appended[-1].position, 4)) == []

    async def test_the_head_is_the_last_record_under_the_newest_epoch(self, place: Place) -> None:
        async with opened(place) as store:
            await store.append([started("e1"), user(1)])
            assert store.head.epoch == "e1"
            last = (await store.append([started("e2", 2), user(2)]))[-1]
            assert store.head == Head(
                epoch=Epoch("e2"), position=last.position, digest=last.digest, at=Millis(1_002)
            )

    async def test_an_empty_batch_changes_nothing(self, place: Place) -> None:
        async with opened(place) as store:
            assert list(await store.append([])) == []
            assert store.head == EMPTY

    async def test_a_store_opened_again_has_the_same_head_and_goes_on(self, place: Place) -> None:
        async with opened(place) as store:
            await store.append([started("e1"), user(1), pending(DerpMapSet(derp_map=msgspec.Raw(b"{}")), 2)])
            before = store.head
        async with opened(place) as store:
            assert store.head == before
            await store.append([user(2)])
            assert [r.envelope.stream for r in await store.read(before.position)] == ["user/2"]
        assert verify(rows(place)) is None
        assert verify(rows(place), before) is None

    async def test_digests_are_the_chain_of_the_stored_rows(self, place: Place) -> None:
        async with opened(place) as store:
            appended = await store.append([user(1), user(2)])
            appended = [*appended, *await store.append([user(3)])]
        stored = rows(place)
        for record, row in zip(appended[1:], stored[1:], strict=True):
            assert appended[appended.index(record) - 1].digest.encode() in row.state
        assert verify(
            stored, Head(epoch=Epoch(""), position=appended[-1].position, digest="00", at=Millis(0))
        )

    async def test_a_taken_version_is_a_conflict_and_nothing_of_the_batch_is_kept(self, place: Place) -> None:
        async with opened(place) as store:
            await store.append([user(1)])
            head = store.head
            with pytest.raises(VersionConflict):
                await store.append([user(2), user(3), user(1)])
            assert store.head == head
            assert len(await store.read(Position(0))) == 1

    async def test_a_conflict_leaves_no_trace_but_perhaps_a_hole(self, place: Place) -> None:
        async with opened(place) as store:
            await store.append([user(1)])
            with pytest.raises(VersionConflict):
                await store.append([user(2), user(1)])
            appended = await store.append([user(2)])
            assert list(await store.read(Position(1))) == list(appended)
        assert verify(rows(place)) is None

    async def test_records_that_the_store_has_not_seen_are_a_conflict_until_it_reads_them(
        self, place: Place
    ) -> None:
        async with opened(place) as store:
            await store.append([started("e1"), user(1)])
            unseen, _ = Codec(DEFAULT_TAILNET).encode([user(2)], store.head.digest)
            intruder = place.recorder()
            intruder.insert_events(unseen, expected=store.head.position)
            for _ in range(2):
                with pytest.raises(VersionConflict):
                    await store.append([user(3)])
            assert [r.envelope.stream for r in await store.read(store.head.position)] == ["user/2"]
            await store.append([user(3)])
            assert store.head.epoch == "e1"
        assert verify(rows(place)) is None

    async def test_appends_asked_for_at_once_land_in_that_order(self, place: Place) -> None:
        async with opened(place) as store:
            await asyncio.gather(*(store.append([user(n), user(1000 + n)]) for n in range(1, 21)))
            streams = [r.envelope.stream for r in await store.read(Position(0))]
        assert streams == [f"user/{m}" for n in range(1, 21) for m in (n, 1000 + n)]
        assert verify(rows(place)) is None

    async def test_an_append_may_be_megabytes(self, place: Place) -> None:
        batch = [user(number) for number in range(1, 6_001)]
        async with opened(place) as store:
            appended = await asyncio.wait_for(store.append(batch), 60)
            assert len(appended) == len(batch)
            assert store.head.position == appended[-1].position

    async def test_an_event_that_could_not_be_read_back_is_not_written(self, place: Place) -> None:
        wrong = pending(NodeDeleted(node=NodeId("seven")))  # type: ignore[arg-type]
        async with opened(place) as store:
            with pytest.raises(Fault, match=r"NodeDeleted\.v1"):
                await store.append([user(1), wrong])
            assert list(await store.read(Position(0))) == []
            await store.append([user(1)])

    async def test_a_reader_sees_what_is_appended_later(self, place: Place) -> None:
        async with opened(place) as store, reading(place) as reader:
            first = await store.append([user(1)])
            assert list(await reader.read(Position(0))) == list(first)
            assert list(await reader.read(first[-1].position)) == []
            second = await store.append([user(2), user(3)])
            assert list(await reader.read(first[-1].position)) == list(second)

    async def test_an_unknown_tag_stops_the_reader_and_the_engine(self, place: Place) -> None:
        async with opened(place) as store:
            last = (await store.append([user(1), user(2)]))[-1]
        place.spoil(last.position, "NodeRevoked.v9")
        async with reading(place) as reader:
            assert len(await reader.read(Position(0), 1)) == 1
            with pytest.raises(Fault, match=r"unknown type: NodeRevoked\.v9"):
                await reader.read(Position(0))
        with pytest.raises(Fault, match="unknown type"):
            async with opened(place):
                pass

    async def test_a_changed_record_stops_the_reader(self, place: Place) -> None:
        async with opened(place) as store:
            first = (await store.append([user(1), user(2)]))[0]
        place.spoil(first.position, "AuthKeyExpired.v1")
        async with reading(place) as reader:
            with pytest.raises(Fault):
                await reader.read(Position(0))

    async def test_a_record_of_another_tailnet_stops_the_reader(self, place: Place) -> None:
        async with opened(place) as store:
            await store.append([user(1)])
        async with reading(place, "other") as reader:
            with pytest.raises(Fault, match="another tailnet"):
                await reader.read(Position(0))

    async def test_a_closed_store_does_nothing_more(self, place: Place) -> None:
        async with opened(place) as store:
            await store.append([user(1)])
        await store.close()
        with pytest.raises(Fault, match="closed"):
            await store.append([user(2)])
        with pytest.raises(Fault, match="closed"):
            await store.read(Position(0))
