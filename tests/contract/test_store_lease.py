"""An engine on PostgreSQL that is silent loses its place, one that lives keeps it, and nobody appends under an old fence (L6)."""

import asyncio
import signal
import subprocess
import sys
from pathlib import Path
from typing import Final

import psycopg
import pytest

from engine.adapters.store.codec import Codec
from engine.adapters.store.lease import LOCK
from engine.adapters.store.log import Log
from engine.adapters.store.opening import open_store
from engine.adapters.store.postgres import FencedRecorder, PostgresRecording
from engine.adapters.store.recorded import RecordedStore
from engine.domain.values import DEFAULT_TAILNET
from engine.ports import Fault, WrongFence
from tests.contract.store_suite import opened, user
from tests.contract.test_store_postgres import PostgresPlace, append_in_flight, place
from tests.kit.fences import note_fences, under_old_fences
from tests.kit.procs import wait_until

__all__ = ["place"]
pytestmark = pytest.mark.real
ROOT: Final = Path(__file__).parents[2]
SILENT: Final = 3.0
PATIENCE: Final = 40.0


class Unfenced(FencedRecorder):
    """The control: whatever the fence is, it takes it for its own."""

    read_fence = "SELECT fence FROM netmap_fence FOR UPDATE"

    def _insert_events(self, curs, stored_events, **kwargs):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN003, ANN202
        row = curs.execute(self.read_fence).fetchone()
        self.fence = row["fence"]
        return super()._insert_events(curs, stored_events, **kwargs)


def store_of(
    place: PostgresPlace, *, silent: float = SILENT, recorder: type[FencedRecorder] = FencedRecorder
) -> RecordedStore:
    recording = PostgresRecording(place.url, recorder=recorder, silent=silent)
    return RecordedStore(Log(recording, Codec(DEFAULT_TAILNET)))


async def test_a_stopped_engine_is_deposed_and_ends_when_it_goes_on(place: PostgresPlace) -> None:
    argv = [sys.executable, "-m", "tests.kit.store_writer", place.url, "1"]
    with subprocess.Popen(argv, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as writer:
        assert writer.stdout is not None
        assert writer.stderr is not None
        await asyncio.to_thread(writer.stdout.readline)
        writer.send_signal(signal.SIGSTOP)
        second = store_of(place)
        try:
            await asyncio.wait_for(second.open(), PATIENCE)
            appended = await second.append([user(1_000_000)])
            writer.send_signal(signal.SIGCONT)
            assert await asyncio.to_thread(writer.wait, PATIENCE) != 0
            assert b"engine.ports." in writer.stderr.read(), "it ended for another reason"
            assert list(await second.read(appended[-1].position)) == []
        finally:
            writer.kill()
            await second.close()


async def test_an_engine_that_lives_keeps_its_place_without_appending(place: PostgresPlace) -> None:
    second = store_of(place)
    async with opened(place) as first:
        opening = asyncio.ensure_future(second.open())
        held = asyncio.ensure_future(first.held())
        ended, _ = await asyncio.wait([opening, held], timeout=SILENT + 2)
        assert not ended
        held.cancel()
    await asyncio.wait_for(opening, PATIENCE)
    await second.close()


async def test_a_session_that_has_the_lock_and_says_nothing_loses_it(place: PostgresPlace) -> None:
    second = store_of(place)
    with psycopg.connect(place.url, autocommit=True) as silent:
        silent.execute("SELECT pg_advisory_lock(%s)", (LOCK,))
        await asyncio.wait_for(second.open(), PATIENCE)
        with pytest.raises(psycopg.OperationalError):
            silent.execute("SELECT 1")
    await second.close()


async def test_a_lost_lock_is_noticed(place: PostgresPlace) -> None:
    async with opened(place) as store:
        held = asyncio.ensure_future(store.held())
        place.cut_lock()
        with pytest.raises(WrongFence, match="lock"):
            await asyncio.wait_for(held, PATIENCE)


async def test_an_append_that_is_left_in_the_middle_does_not_keep_the_next_engine_out(
    place: PostgresPlace,
) -> None:
    async with opened(place) as store:
        await store.append([user(1)])
    with append_in_flight(place) as left:
        async with opened(place) as store:
            await store.append([user(2)])
        with pytest.raises(psycopg.OperationalError):
            left.commit()
    assert place.execute("SELECT count(*) FROM stored_events") == [(2,)]


async def test_a_standby_outlives_the_server_s_restart(place: PostgresPlace) -> None:
    second = store_of(place)
    async with opened(place) as first:
        await first.append([user(1)])
        opening = asyncio.ensure_future(second.open())
        waiting = "SELECT pid FROM pg_stat_activity WHERE query LIKE '%%pg_terminate_backend(held%%' AND pid <> pg_backend_pid()"
        await asyncio.to_thread(wait_until, lambda: place.execute(waiting), "it stands by")
        for (pid,) in place.execute(waiting):
            place.execute("SELECT pg_terminate_backend(%s)", pid)
        ended, _ = await asyncio.wait([opening], timeout=1.5)
        assert not ended
    await asyncio.wait_for(opening, PATIENCE)
    await second.close()


@pytest.mark.parametrize("recorder", [FencedRecorder, Unfenced])
async def test_nobody_commits_under_an_old_fence(
    place: PostgresPlace, recorder: type[FencedRecorder]
) -> None:
    is_kept_out = recorder is FencedRecorder
    first = store_of(place, recorder=recorder)
    await first.open()
    await first.append([user(1)])
    note_fences(place.url)
    await first.append([user(2)])
    place.cut_lock()
    async with opened(place) as second:
        await second.append([user(3)])
        await first.read(first.head.position)
        if is_kept_out:
            with pytest.raises(WrongFence):
                await first.append([user(4)])
        else:
            await first.append([user(4)])
    await first.close()
    assert bool(under_old_fences(place.url)) != is_kept_out


async def test_a_second_engine_on_the_same_file_is_refused(tmp_path: Path) -> None:
    first, second = (open_store(f"sqlite://{tmp_path}/events.db", tailnet=DEFAULT_TAILNET) for _ in range(2))
    await first.open()
    with pytest.raises(Fault, match="another engine has"):
        await second.open()
    await first.append([user(1)])
    await first.close()
