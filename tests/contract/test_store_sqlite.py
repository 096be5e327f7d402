"""The store in a file keeps the contract, and is refused where it would not be durable."""

import contextlib
import sqlite3
from pathlib import Path

import pytest
from eventsourcing.persistence import ApplicationRecorder
from eventsourcing.sqlite import SQLiteApplicationRecorder, SQLiteDatastore

from engine.adapters.store.codec import Codec
from engine.adapters.store.log import Log
from engine.adapters.store.opening import open_reader, open_store
from engine.adapters.store.recorded import RecordedStore
from engine.adapters.store.sqlite import DurablePool, SqliteRecording
from engine.domain.values import DEFAULT_TAILNET, Position
from engine.ports import EventReader, EventStore, Fault
from tests.contract.store_suite import EventStoreContract, opened, reading, user


class SqlitePlace:
    def __init__(self, path: Path) -> None:
        self.path = path

    def store(self) -> EventStore:
        return open_store(f"sqlite://{self.path}", tailnet=DEFAULT_TAILNET)

    def reader(self, tailnet: str = DEFAULT_TAILNET) -> EventReader:
        return open_reader(f"sqlite://{self.path}", tailnet=tailnet)

    def recorder(self) -> ApplicationRecorder:
        return SQLiteApplicationRecorder(SQLiteDatastore(str(self.path), originator_id_type="text"))

    def spoil(self, position: Position, topic: str) -> None:
        connection = sqlite3.connect(self.path)
        connection.execute("UPDATE stored_events SET topic = ? WHERE rowid = ?", (topic, position))
        connection.commit()
        connection.close()


def store_with(pragma: str, path: Path) -> RecordedStore:
    """A store whose connections run one more pragma."""

    class Pool(DurablePool):
        pragmas = (*DurablePool.pragmas, pragma)

    return RecordedStore(Log(SqliteRecording(path, pool=Pool), Codec(DEFAULT_TAILNET)))


class TestSqlite(EventStoreContract):
    @pytest.fixture
    def place(self, tmp_path: Path) -> SqlitePlace:
        return SqlitePlace(tmp_path / "a b%20?#.db")

    async def test_a_second_engine_is_refused_until_the_first_is_gone(self, place: SqlitePlace) -> None:
        async with opened(place) as first:
            second = place.store()
            with pytest.raises(Fault, match=r"another engine has .* open"):
                await second.open()
            await second.close()
            await first.append([user(1)])
        async with opened(place) as third:
            await third.append([user(2)])

    async def test_a_reader_makes_no_file_and_finds_it_later(self, place: SqlitePlace) -> None:
        async with reading(place) as reader:
            with pytest.raises(Fault, match="cannot be read"):
                await reader.read(Position(0))
            assert not place.path.exists()
            async with opened(place) as store:
                await store.append([user(1)])
                assert len(await reader.read(Position(0))) == 1

    async def test_a_reader_reads_on_when_the_engine_is_gone(self, place: SqlitePlace) -> None:
        async with opened(place) as store:
            await store.append([user(1)])
        async with reading(place) as reader:
            assert len(await reader.read(Position(0))) == 1

    async def test_the_files_are_for_the_owner_alone(self, place: SqlitePlace) -> None:
        async with opened(place) as store:
            await store.append([user(1)])
            modes = {file.name[-4:]: file.stat().st_mode & 0o777 for file in place.path.parent.iterdir()}
        assert modes == {"#.db": 0o600, "lock": 0o600, "-wal": 0o600, "-shm": 0o600}

    async def test_a_folder_that_is_missing_is_a_fault(self, tmp_path: Path) -> None:
        store = SqlitePlace(tmp_path / "none" / "events.db").store()
        with pytest.raises(Fault, match="cannot be opened"):
            await store.open()


@pytest.mark.parametrize(
    "pragma", ["PRAGMA synchronous=OFF", "PRAGMA synchronous=NORMAL", "PRAGMA journal_mode=DELETE"]
)
async def test_a_database_that_is_not_durable_is_refused(pragma: str, tmp_path: Path) -> None:
    store = store_with(pragma, tmp_path / "events.db")
    with pytest.raises(Fault, match="not durable"):
        await store.open()


async def test_a_full_disk_acknowledges_nothing_and_heals(tmp_path: Path) -> None:
    pool: list[DurablePool] = []

    class SmallDisk(DurablePool):
        pragmas = (*DurablePool.pragmas, "PRAGMA max_page_count=16")

        def __init__(self, **kwargs: object) -> None:
            super().__init__(**kwargs)  # type: ignore[arg-type]
            pool.append(self)

    recording = SqliteRecording(tmp_path / "events.db", pool=SmallDisk)
    store = RecordedStore(Log(recording, Codec(DEFAULT_TAILNET)))
    await store.open()
    try:
        acknowledged = 0
        with contextlib.suppress(Fault):
            while acknowledged < 1000:
                await store.append([user(acknowledged + 1)])
                acknowledged += 1
        assert 10 < acknowledged < 1000
        with pytest.raises(Fault, match="full"):
            await store.append([user(1001)])
        assert len(await store.read(Position(0))) == acknowledged
        connection = pool[0].get_connection()
        with connection.cursor() as cursor:
            cursor.execute("PRAGMA max_page_count=100000")
        pool[0].put_connection(connection)
        await store.append([user(n) for n in range(2000, 2100)])
        assert len(await store.read(Position(0))) == acknowledged + 100
    finally:
        await store.close()
