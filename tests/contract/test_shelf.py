"""Shelves in memory and in a folder."""

import stat
from pathlib import Path

import pytest

from engine.adapters.shelf import FileShelf, MemoryShelf
from engine.ports import Fault
from tests.contract.shelf_suite import ShelfSuite


class TestMemoryShelf(ShelfSuite):
    @pytest.fixture
    def shelf(self) -> MemoryShelf:
        return MemoryShelf()


class TestFileShelf(ShelfSuite):
    @pytest.fixture
    def shelf(self, tmp_path: Path) -> FileShelf:
        return FileShelf(tmp_path / "kept", ".moment")

    def test_another_shelf_over_the_folder_finds_the_same(self, shelf: FileShelf, tmp_path: Path) -> None:
        shelf.put("a", b"one")
        assert FileShelf(tmp_path / "kept", ".moment").get("a") == b"one"

    def test_files_are_for_their_owner_only(self, shelf: FileShelf, tmp_path: Path) -> None:
        shelf.put("a", b"one")
        folder = tmp_path / "kept"
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        assert [stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()] == [0o600]

    def test_files_of_others_are_left_alone(self, shelf: FileShelf, tmp_path: Path) -> None:
        shelf.put("a", b"one")
        for name in ("notes.txt", "B.moment", "a.moment.old"):
            (tmp_path / "kept" / name).write_bytes(b"theirs")
        assert set(shelf.names()) == {"a"}
        assert len(list((tmp_path / "kept").iterdir())) == 4

    def test_what_was_left_half_written_is_removed(self, shelf: FileShelf, tmp_path: Path) -> None:
        shelf.put("a", b"one")
        (tmp_path / "kept" / "b-00aa11bb.moment.aside").write_bytes(b"hal")
        assert set(shelf.names()) == {"a"}
        assert [path.name for path in (tmp_path / "kept").iterdir()] == ["a.moment"]

    def test_a_folder_that_cannot_be_made_is_a_fault(self, tmp_path: Path) -> None:
        (tmp_path / "file").write_bytes(b"")
        shelf = FileShelf(tmp_path / "file" / "kept", ".moment")
        with pytest.raises(Fault, match="cannot be"):
            shelf.names()
        with pytest.raises(Fault, match="cannot be"):
            shelf.put("a", b"one")
        assert shelf.get("a") is None
