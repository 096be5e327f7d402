"""A log in a database comes back from a backup, also from a file's, and the other way round."""

import asyncio
import json
from pathlib import Path

import pytest

from engine.adapters.store.opening import open_rows, open_store
from engine.domain.values import DEFAULT_TAILNET
from tests.contract.restore_suite import RestoreContract, kept, log_of, restored, stored
from tests.contract.store_suite import user
from tests.kit import postgres
from tests.unit.cli.stage import Stage

pytestmark = pytest.mark.real


class TestRestorePostgres(RestoreContract):
    @pytest.fixture
    def place(self) -> postgres.Postgres:
        return postgres.shared()

    async def test_a_log_moves_from_one_database_to_the_other_and_back(
        self, place: postgres.Postgres, tmp_path: Path
    ) -> None:
        first, second = place.fresh(), f"sqlite://{tmp_path}/events.db"
        restored(kept(tmp_path / "a", log_of()), first)
        with open_rows(first) as rows:
            restored(kept(tmp_path / "b", [row for page in rows.pages() for row in page]), second)
        assert stored(second)[:-1] == stored(first)

    async def test_the_command_line_keeps_a_database_while_an_engine_appends_to_it(
        self, place: postgres.Postgres, tmp_path: Path
    ) -> None:
        first, second = place.fresh(), place.fresh()
        store = open_store(first, tailnet=DEFAULT_TAILNET)
        await store.open()
        for begin in range(1, 3_000, 200):  # as an engine appends: never thousands of rows at once
            await store.append([user(number) for number in range(begin, min(begin + 200, 3_000))])
        ended = asyncio.Event()

        async def append() -> None:
            number = 3_000
            while not ended.is_set():
                await store.append([user(number)])
                number += 1

        appending = asyncio.create_task(append())
        kept_in = str(tmp_path / "a.zip")
        words = ("backup", kept_in, "--store", first, "--dir", str(tmp_path), "--offline", "-o", "json")
        done = await asyncio.to_thread(Stage().run, *words)
        ended.set()
        await appending
        await store.close()
        assert done.exit_code == 0, done.output
        again = Stage().run("restore", kept_in, "--store", second, "--dir", str(tmp_path / "new"))
        assert again.exit_code == 0, again.output
        count = len(stored(second)) - 1
        assert count == json.loads(done.stdout)["records"] >= 2_999
        assert stored(second)[:-1] == stored(first)[:count]
        assert postgres.shared().execute(
            "SELECT last_value FROM stored_events_notification_id_seq", url=second
        ) == [(count + 1,)]
