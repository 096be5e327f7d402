"""The store in PostgreSQL keeps the contract; one engine at a time, and nobody reads past what comes later."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest
from eventsourcing.persistence import ApplicationRecorder
from eventsourcing.postgres import PostgresApplicationRecorder, PostgresDatastore
from psycopg.conninfo import conninfo_to_dict

from engine.adapters.store.codec import Codec
from engine.adapters.store.log import Log
from engine.adapters.store.opening import open_reader, open_store
from engine.adapters.store.postgres import FencedRecorder, PostgresRecording
from engine.adapters.store.recorded import RecordedStore
from engine.domain.values import DEFAULT_TAILNET, Position
from engine.ports import EventReader, EventStore, Fault, VersionConflict, WrongFence
from tests.contract.store_suite import EventStoreContract, opened, reading, user
from tests.kit import postgres
from tests.kit.procs import wait_until

pytestmark = pytest.mark.real

LOCK_HOLDER = "SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND granted"
WAITERS = "SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock'"


class PostgresPlace:
    def __init__(self) -> None:
        self.url = postgres.shared().fresh()
        self._datastores: list[PostgresDatastore] = []

    def store(self) -> EventStore:
        return open_store(self.url, tailnet=DEFAULT_TAILNET)

    def reader(self, tailnet: str = DEFAULT_TAILNET) -> EventReader:
        return open_reader(self.url, tailnet=tailnet)

    def recorder(self) -> ApplicationRecorder:
        parameters = conninfo_to_dict(self.url)
        datastore = PostgresDatastore(
            str(parameters["dbname"]), str(parameters["host"]), "", "postgres", "", originator_id_type="text"
        )
        self._datastores.append(datastore)
        return PostgresApplicationRecorder(datastore)

    def spoil(self, position: Position, topic: str) -> None:
        self.execute("UPDATE stored_events SET topic = %s WHERE notification_id = %s", topic, position)

    def execute(self, sql: str, *arguments: object) -> list[tuple[Any, ...]]:
        return postgres.shared().execute(sql, *arguments, url=self.url)

    def cut_lock(self) -> None:
        """End the session that holds the engine's lock, as a lost connection would."""
        [(pid,)] = self.execute(LOCK_HOLDER)
        self.execute("SELECT pg_terminate_backend(%s)", pid)
        wait_until(lambda: not self.execute(LOCK_HOLDER), "the lock is free")

    def close(self) -> None:
        for datastore in self._datastores:
            datastore.close()


@pytest.fixture
def place() -> Iterator[PostgresPlace]:
    place = PostgresPlace()
    yield place
    place.close()


class TestPostgres(EventStoreContract):
    async def test_a_conflict_leaves_a_hole(self, place: PostgresPlace) -> None:
        async with opened(place) as store:
            await store.append([user(1)])
            with pytest.raises(VersionConflict):
                await store.append([user(2), user(1)])
            appended = await store.append([user(2)])
        assert appended[0].position > 2

    async def test_a_reader_makes_no_table_and_finds_it_later(self, place: PostgresPlace) -> None:
        async with reading(place) as reader:
            with pytest.raises(Fault, match="cannot be read"):
                await reader.read(Position(0))
            assert place.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'") == []
            async with opened(place) as store:
                await store.append([user(1)])
                assert len(await reader.read(Position(0))) == 1

    async def test_a_second_engine_waits_until_the_first_is_gone(self, place: PostgresPlace) -> None:
        second = place.store()
        async with opened(place) as first:
            await first.append([user(1)])
            opening = asyncio.ensure_future(second.open())
            done, _ = await asyncio.wait([opening], timeout=0.3)
            assert not done
            await first.append([user(2)])
        await asyncio.wait_for(opening, 5)
        assert second.head.position == 2
        await second.append([user(3)])
        await second.close()

    async def test_a_waiting_engine_can_be_cancelled(self, place: PostgresPlace) -> None:
        second = place.store()
        async with opened(place) as first:
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(second.open(), 0.3)
            await first.append([user(1)])
            sessions = place.execute("SELECT pid FROM pg_locks WHERE locktype = 'advisory'")
        assert len(sessions) == 1

    async def test_engines_that_start_at_once_become_active_one_by_one(self, place: PostgresPlace) -> None:
        async def be_engine(number: int) -> None:
            async with opened(place) as store:
                await store.append([user(number)])

        await asyncio.wait_for(asyncio.gather(*(be_engine(n) for n in range(1, 5))), 20)
        async with reading(place) as reader:
            streams = {r.envelope.stream for r in await reader.read(Position(0))}
        assert streams == {"user/1", "user/2", "user/3", "user/4"}

    async def test_a_deposed_engine_gets_wrong_fence_and_appends_nothing(self, place: PostgresPlace) -> None:
        async with opened(place) as first:
            await first.append([user(1)])
            place.cut_lock()
            await first.append([user(2)])  # the lock elects, it does not protect
            async with opened(place) as second:
                for _ in range(2):
                    with pytest.raises(WrongFence):
                        await first.append([user(3)])
                await second.append([user(4)])
                with pytest.raises(WrongFence):
                    await first.append([user(5)])
                streams = [r.envelope.stream for r in await second.read(Position(0))]
        assert streams == ["user/1", "user/2", "user/4"]

    async def test_a_lost_connection_is_a_fault_and_the_next_append_goes_through(
        self, place: PostgresPlace
    ) -> None:
        async with opened(place) as store:
            await store.append([user(1)])
            place.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE datname = current_database() AND pid <> pg_backend_pid() "
                "AND pid NOT IN (SELECT pid FROM pg_locks WHERE locktype = 'advisory')"
            )
            with pytest.raises(Fault, match="nobody knows"):
                await store.append([user(2)])
            await store.append([user(2)])
            assert len(await store.read(Position(0))) == 2

    async def test_a_server_that_cannot_be_reached_is_a_fault(self) -> None:
        url = "postgresql://postgres@/none?host=/nonexistent"
        store = open_store(url, tailnet=DEFAULT_TAILNET)
        with pytest.raises(Fault, match="cannot be opened"):
            await store.open()


@pytest.mark.parametrize(
    ("option", "told"),
    [
        ("synchronous_commit=off", "synchronous_commit is off"),
        ("synchronous_commit=local", "synchronous_commit is local"),
        ("default_transaction_isolation=serializable", "default_transaction_isolation is serializable"),
    ],
)
async def test_a_session_that_is_not_set_up_as_it_must_be_is_refused(
    place: PostgresPlace, option: str, told: str
) -> None:
    store = open_store(f"{place.url}&options=-c%20{option.replace('=', '%3D')}", tailnet=DEFAULT_TAILNET)
    with pytest.raises(Fault, match=told):
        await store.open()
    assert place.execute(LOCK_HOLDER) == []


async def test_a_server_without_fsync_is_refused(place: PostgresPlace) -> None:
    place.execute("ALTER SYSTEM SET fsync = off")
    place.execute("SELECT pg_reload_conf()")
    try:
        wait_until(lambda: place.execute("SHOW fsync") == [("off",)], "fsync is off")
        with pytest.raises(Fault, match="fsync is off"):
            await place.store().open()
    finally:
        place.execute("ALTER SYSTEM RESET fsync")
        place.execute("SELECT pg_reload_conf()")
    wait_until(lambda: place.execute("SHOW fsync") == [("on",)], "fsync is on")


@pytest.mark.parametrize("value", ["y", "true", "1", "perhaps"])
async def test_database_functions_are_refused(
    place: PostgresPlace, monkeypatch: pytest.MonkeyPatch, value: str
) -> None:
    monkeypatch.setenv("POSTGRES_ENABLE_DB_FUNCTIONS", value)
    with pytest.raises(Fault, match="POSTGRES_ENABLE_DB_FUNCTIONS"):
        await place.store().open()


async def test_the_function_that_inserts_without_a_lock_is_not_made(place: PostgresPlace) -> None:
    async with opened(place):
        assert place.execute("SELECT proname FROM pg_proc WHERE proname LIKE 'es_insert%%'") == []


class Unfenced(FencedRecorder):
    """The control: reads the fence without locking it."""

    read_fence = "SELECT fence FROM netmap_fence"


@contextmanager
def append_in_flight(place: PostgresPlace) -> Iterator[psycopg.Connection[Any]]:
    """An engine's append, behind the fence, that has its positions and has not committed yet."""
    with psycopg.connect(place.url) as connection:
        connection.execute("SELECT fence FROM netmap_fence FOR UPDATE")
        connection.execute("INSERT INTO stored_events VALUES ('default/user/9', 1, 'UserCreated.v1', '{}')")
        yield connection


async def test_an_append_waits_for_one_in_flight_so_that_no_earlier_position_appears_later(
    place: PostgresPlace,
) -> None:
    async with opened(place) as store:
        await store.append([user(1)])
        with append_in_flight(place) as other:
            appending = asyncio.ensure_future(store.append([user(2)]))
            await asyncio.to_thread(wait_until, lambda: place.execute(WAITERS), "the append waits")
            other.commit()
        with pytest.raises(VersionConflict):
            await appending
    assert place.execute("SELECT max(notification_id) FROM stored_events") == [(2,)]


async def test_without_the_fence_an_earlier_position_would_appear_later(place: PostgresPlace) -> None:
    store = RecordedStore(Log(PostgresRecording(place.url, recorder=Unfenced), Codec(DEFAULT_TAILNET)))
    await store.open()
    await store.append([user(1)])
    with append_in_flight(place) as other:
        await store.append([user(2)])
        seen = place.execute("SELECT notification_id FROM stored_events ORDER BY 1")
        other.commit()
    await store.close()
    late = set(place.execute("SELECT notification_id FROM stored_events")) - set(seen)
    assert min(late) < max(seen)


async def test_an_append_does_not_wait_for_analyze_or_vacuum(place: PostgresPlace) -> None:
    async with opened(place) as store:
        await store.append([user(1)])
        with psycopg.connect(place.url) as maintenance:
            maintenance.execute("LOCK TABLE stored_events IN SHARE UPDATE EXCLUSIVE MODE")
            await asyncio.wait_for(store.append([user(2)]), 5)


async def test_a_tailing_reader_misses_nothing_of_what_two_engines_append_in_turn(
    place: PostgresPlace,
) -> None:
    seen: list[int] = []
    stop = threading.Event()

    async def tail() -> None:
        async with reading(place) as reader:
            position = Position(0)
            while not stop.is_set() or await reader.read(position, 1):
                for record in await reader.read(position, 7):
                    position = record.position
                    seen.append(position)

    async def engines() -> None:
        number = 0
        for _ in range(3):
            async with opened(place) as store:
                for size in range(1, 40):
                    await store.append([user(number := number + 1) for _ in range(size % 5 + 1)])
        stop.set()

    async with opened(place):
        pass
    await asyncio.wait_for(asyncio.gather(tail(), engines()), 30)
    assert seen == [row[0] for row in place.execute("SELECT notification_id FROM stored_events ORDER BY 1")]
