"""A PostgreSQL that stands still in the middle of an append: a fault in time, and the next append goes through."""

import asyncio
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import pytest

from engine.adapters.store.codec import Codec
from engine.adapters.store.cutting import CuttableDatastore
from engine.adapters.store.log import Log
from engine.adapters.store.postgres import PostgresRecording
from engine.adapters.store.recorded import RecordedStore
from engine.domain.values import DEFAULT_TAILNET, Position
from engine.ports import Fault
from tests.contract.store_suite import user
from tests.kit import postgres
from tests.kit.procs import wait_until
from tests.kit.stalling import Relay, relayed

pytestmark = pytest.mark.real
LIMIT: Final = 1.0
PATIENCE: Final = 30.0
LARGE: Final = [user(number) for number in range(1_000, 5_000)]
"""More than a megabyte."""


@asynccontextmanager
async def behind_a_relay() -> AsyncIterator[tuple[RecordedStore, Relay, str]]:
    """An open store, the relay between it and the server, and the database's URL past the relay."""
    url = postgres.shared().fresh()
    with tempfile.TemporaryDirectory(prefix="relay-") as folder:
        async with relayed(postgres.shared().folder, Path(folder)) as relay:
            through = url.replace(str(postgres.shared().folder), folder)
            store = RecordedStore(Log(PostgresRecording(through), Codec(DEFAULT_TAILNET)), limit=LIMIT)
            try:
                await store.open()
                await store.append([user(1)])
                yield store, relay, url
            finally:
                await store.close()


def in_append(url: str) -> list[tuple[object, ...]]:
    held = "SELECT pid FROM pg_locks WHERE relation = to_regclass('netmap_fence') AND granted"
    return postgres.shared().execute(held, url=url)


async def test_an_append_that_stands_still_is_a_fault_and_the_next_goes_through() -> None:
    async with behind_a_relay() as (store, relay, url):
        relay.stall(after=200_000)
        with pytest.raises(Fault, match="nobody knows"):
            await asyncio.wait_for(store.append(LARGE), PATIENCE)
        assert in_append(url), "its session ended by itself: nothing is shown"
        await asyncio.wait_for(store.append([user(2)]), PATIENCE)
        streams = [record.envelope.stream for record in await store.read(Position(0))]
    assert streams == ["user/1", "user/2"]


async def test_a_session_that_nobody_ends_keeps_the_next_append_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(CuttableDatastore, "end_cut", lambda _self, _statement: None)
    async with behind_a_relay() as (store, relay, _):
        relay.stall(after=200_000)
        for batch in (LARGE, [user(2)]):
            with pytest.raises(Fault, match="nobody knows"):
                await asyncio.wait_for(store.append(batch), PATIENCE)


async def test_an_append_whose_answer_never_comes_is_found_by_reading_on() -> None:
    async with behind_a_relay() as (store, relay, url):
        relay.mute(after=b"COMMIT")
        with pytest.raises(Fault, match="nobody knows"):
            await asyncio.wait_for(store.append([user(2)]), PATIENCE)
        await asyncio.to_thread(wait_until, lambda: not in_append(url), "it is committed, or not")
        [found] = await store.read(store.head.position)
        assert found.envelope.stream == "user/2"
        await asyncio.wait_for(store.append([user(3)]), PATIENCE)


async def test_a_network_that_stands_still_for_a_while_is_over_when_it_is_over() -> None:
    async with behind_a_relay() as (store, relay, _):
        relay.stall(after=0)  # the idle connections too
        with pytest.raises(Fault, match="nobody knows"):
            await asyncio.wait_for(store.append([user(2)]), PATIENCE)
        await asyncio.wait_for(store.append([user(3)]), PATIENCE)
