"""What a backup and a restore promise of every store that outlives a process."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Protocol

import msgspec
import pytest
from eventsourcing.persistence import Notification

from engine.adapters.store import audit, restore
from engine.adapters.store.archive import Backup, BrokenError, Until
from engine.adapters.store.backup import Extras, Source, write
from engine.adapters.store.chain import Walk
from engine.adapters.store.codec import Codec
from engine.adapters.store.opening import open_reader, open_rows, open_store, open_target
from engine.contracts.checkpoint import Checkpoint, Signer, read
from engine.domain.events import CommandHandled, Event, LogStarted, UserCreated, stream_of
from engine.domain.values import DEFAULT_TAILNET, CommandId, Epoch, Millis, Position, UserId
from engine.ports import Envelope, Fault, Pending

SIGNER = Signer("netmap-engine/default/old", bytes([5]) * 32)
HOLES = (1, 2, 3, 7, 8, 20, 21, 1_000_000, 1_000_001)
"""Positions of the log: its beginning, and four commands of two records each."""
BEGINNING = restore.Beginning(
    epoch=Epoch("new"), command_id=CommandId("r"), actor="operator", at=Millis(9_000), reason="the disk burnt"
)


class EmptyPlace(Protocol):
    """Where there can be databases."""

    def fresh(self) -> str:
        """The URL of a store without records."""
        ...


def log_of(positions: Sequence[int] = HOLES) -> list[Notification]:
    """The rows of a log that begins, and then makes users by commands whose receipts follow."""
    events: list[tuple[Event, str]] = [(LogStarted(epoch=Epoch("old")), "c0")]
    for number in range(1, (len(positions) - 1) // 2 + 1):
        receipt = CommandHandled(name="user.create", digest="d", result=msgspec.Raw(b"{}"))
        made = UserCreated(user=UserId(number), name=f"anna-{number}-ü")
        events += [(made, f"c{number}"), (receipt, f"c{number}")]
    batch = []
    for index, (event, command) in enumerate(events):
        envelope = Envelope(
            stream=stream_of(event, CommandId(command)),
            version=1,
            at=Millis(1_000 * ((index + 1) // 2)),
            actor="operator",
            command_id=CommandId(command),
            reason="because — ünïcode",
        )
        batch.append(Pending(envelope=envelope, event=event))
    rows, _ = Codec(DEFAULT_TAILNET).encode(batch, "")
    return [
        Notification(row.originator_id, row.originator_version, row.topic, row.state, id=position)
        for row, position in zip(rows, positions, strict=True)
    ]


def note_at(rows: Sequence[Notification], count: int) -> str:
    """A signed checkpoint of the first rows."""
    walk = Walk()
    for row in rows[:count]:
        assert walk.take(row) is None
    return SIGNER.note(
        Checkpoint(
            origin=SIGNER.verifier.name,
            size=count,
            root=walk.tree.root(),
            position=walk.position,
            digest=walk.digest,
        )
    )


def stored(url: str) -> list[Notification]:
    """All rows of a store."""
    with open_rows(url) as rows:
        return [row for page in rows.pages() for row in page]


def kept(path: Path, rows: Sequence[Notification], until: Until | None = None, *notes: str) -> Path:
    """A backup of the rows."""
    write(path, Source(DEFAULT_TAILNET, rows, until or Until(), Extras(notes)), Millis(5_000))
    return path


def restored(path: Path, url: str, until: Until | None = None) -> restore.Restored:
    """Check a backup, and make it a log again."""
    with Backup(path) as backup:
        backup.check(Codec(DEFAULT_TAILNET))
        return restore.restore(backup, open_target(url), BEGINNING, until=until or Until())


class RestoreContract:
    """The promises; a class of a store gives `place`."""

    async def test_a_log_comes_back_with_its_positions_and_a_new_beginning(
        self, place: EmptyPlace, tmp_path: Path
    ) -> None:
        first, second, rows = place.fresh(), place.fresh(), log_of()
        restored(kept(tmp_path / "a", rows), first)
        whole = stored(first)
        assert whole[:-1] == rows
        assert (whole[-1].id, whole[-1].originator_version) == (1_000_002, 2)
        restored(kept(tmp_path / "b", whole), second)
        again = stored(second)
        assert again[:-1] == whole
        assert (again[-1].id, again[-1].originator_version) == (1_000_003, 3)

    async def test_an_engine_goes_on_after_it_under_the_new_epoch(
        self, place: EmptyPlace, tmp_path: Path
    ) -> None:
        url = place.fresh()
        done = restored(kept(tmp_path / "a", log_of()), url)
        assert (done.records, done.kept, done.position) == (10, 1_000_001, 1_000_002)
        store = open_store(url, tailnet=DEFAULT_TAILNET)
        await store.open()
        assert (store.head.epoch, store.head.position) == ("new", 1_000_002)
        envelope = Envelope(
            stream="user/9", version=1, at=Millis(9_500), actor="a", command_id=CommandId("c9")
        )
        [record] = await store.append(
            [Pending(envelope=envelope, event=UserCreated(user=UserId(9), name="eva"))]
        )
        assert record.position > 1_000_002
        await store.close()
        reader = open_reader(url, tailnet=DEFAULT_TAILNET)
        records = await reader.read(Position(0))
        await reader.close()
        begun = records[-2]
        assert begun.event == LogStarted(epoch=Epoch("new"))
        told = begun.envelope
        assert (told.actor, told.cause, told.reason, told.at) == (
            "operator",
            "restore",
            "the disk burnt",
            9_000,
        )

    async def test_old_checkpoints_hold_over_a_restore(self, place: EmptyPlace, tmp_path: Path) -> None:
        url, rows = place.fresh(), log_of()
        notes = (note_at(rows, 3), note_at(rows, 9))
        restored(kept(tmp_path / "a", rows, None, *notes), url)
        known = [read(note, (SIGNER.verifier,))[0] for note in notes]
        with open_rows(url) as open_:
            verdict = audit.verify(open_, known)
        assert (verdict.broken, verdict.records) == (None, 10)

    async def test_a_store_with_records_is_refused_and_left_as_it_is(
        self, place: EmptyPlace, tmp_path: Path
    ) -> None:
        url = place.fresh()
        path = kept(tmp_path / "a", log_of())
        restored(path, url)
        before = stored(url)
        asked: list[Position] = []
        with Backup(path) as backup, pytest.raises(Fault, match="records already"):
            restore.restore(backup, open_target(url), BEGINNING, ready=asked.append)
        assert stored(url) == before
        assert asked == []

    async def test_a_store_with_an_engine_is_refused(self, place: EmptyPlace, tmp_path: Path) -> None:
        url = place.fresh()
        store = open_store(url, tailnet=DEFAULT_TAILNET)
        await store.open()
        with pytest.raises(Fault, match="engine"):
            restored(kept(tmp_path / "a", log_of()), url)
        await store.close()

    async def test_what_breaks_on_its_way_in_leaves_the_store_empty(
        self, place: EmptyPlace, tmp_path: Path
    ) -> None:
        url = place.fresh()
        path = kept(tmp_path / "a", log_of())

        class Changing(Backup):
            def rows(self) -> Iterator[Notification]:
                for row in super().rows():
                    if row.id != 8:
                        yield row

        with Changing(path) as backup, pytest.raises(BrokenError, match="at position 20"):
            restore.restore(backup, open_target(url), BEGINNING)
        assert stored(url) == []
        restored(path, url)

    @pytest.mark.parametrize(
        ("until", "last"),
        [
            (Until(position=Position(8)), 8),
            (Until(position=Position(7)), 3),
            (Until(position=Position(1_000_000)), 21),
            (Until(at=Millis(1_000)), 3),
            (Until(at=Millis(2_999)), 8),
            (Until(position=Position(2_000_000)), 1_000_001),
        ],
    )
    async def test_a_moment_is_the_same_before_and_after(
        self, place: EmptyPlace, tmp_path: Path, until: Until, last: int
    ) -> None:
        rows = [row for row in log_of() if row.id <= last]
        early, late = place.fresh(), place.fresh()
        assert restored(kept(tmp_path / "a", log_of(), until), early).kept == last
        assert restored(kept(tmp_path / "b", log_of()), late, until).kept == last
        assert stored(early)[:-1] == stored(late)[:-1] == rows

    async def test_a_moment_before_everything_is_refused(self, place: EmptyPlace, tmp_path: Path) -> None:
        url = place.fresh()
        with pytest.raises(Fault, match="no record at or before"):
            restored(kept(tmp_path / "a", log_of()), url, Until(position=Position(0)))
        assert stored(url) == []
