"""A log in a database comes back from a backup, also from a file's, and the other way round."""

from pathlib import Path

import pytest

from engine.adapters.store.opening import open_rows
from tests.contract.restore_suite import RestoreContract, kept, log_of, restored, stored
from tests.kit import postgres

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
