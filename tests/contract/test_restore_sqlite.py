"""A log in a file comes back from a backup."""

from pathlib import Path

import pytest

from tests.contract.restore_suite import RestoreContract


class Files:
    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._count = 0

    def fresh(self) -> str:
        self._count += 1
        return f"sqlite://{self._folder}/{self._count}.db"


class TestRestoreSqlite(RestoreContract):
    @pytest.fixture
    def place(self, tmp_path: Path) -> Files:
        return Files(tmp_path)
