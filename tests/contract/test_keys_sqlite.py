"""Keys in a file keep the contract; a destroyed one is in no file any more."""

import contextlib
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.adapters.subjectkeys.sqlite import SqliteSubjectKeys
from engine.keyports import SubjectKeys
from engine.ports import Fault
from tests.contract.keys_suite import ANNA, BERT, Place, SubjectKeysContract


class SqlitePlace(contextlib.ExitStack):
    def __init__(self, where: Path) -> None:
        super().__init__()
        self._where = where

    def keys(self) -> SubjectKeys:
        return self.enter_context(contextlib.closing(SqliteSubjectKeys(self._where, read_only=False)))

    def reader(self) -> SubjectKeys:
        return self.enter_context(contextlib.closing(SqliteSubjectKeys(self._where, read_only=True)))


class TestSqlite(SubjectKeysContract):
    @pytest.fixture
    def place(self, tmp_path: Path) -> Iterator[Place]:
        with SqlitePlace(tmp_path / "subjects.db") as place:
            yield place


def octets_in(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in sorted(folder.iterdir()))


def test_a_destroyed_key_is_in_no_file_of_the_folder(tmp_path: Path) -> None:
    keys = SqliteSubjectKeys(tmp_path / "subjects.db")
    keys.make([ANNA, BERT])
    anna, bert = keys.get(ANNA), keys.get(BERT)
    assert anna
    assert bert
    assert anna in octets_in(tmp_path)
    keys.destroy([ANNA])
    assert anna not in octets_in(tmp_path)
    assert bert in octets_in(tmp_path)
    keys.close()
    assert anna not in octets_in(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["subjects.db"]


def test_the_file_is_for_its_owner_only(tmp_path: Path) -> None:
    keys = SqliteSubjectKeys(tmp_path / "subjects.db")
    keys.make([ANNA])
    assert stat.S_IMODE((tmp_path / "subjects.db").stat().st_mode) == 0o600
    keys.close()


def test_a_reader_makes_no_file_and_no_key(tmp_path: Path) -> None:
    reader = SqliteSubjectKeys(tmp_path / "subjects.db", read_only=True)
    with pytest.raises(Fault, match="reading only"):
        reader.make([ANNA])
    assert list(tmp_path.iterdir()) == []
    SqliteSubjectKeys(tmp_path / "subjects.db").make([ANNA])
    with pytest.raises(Fault, match="readonly"):
        reader.destroy([ANNA])
    reader.close()


def test_a_file_that_is_none_is_a_fault(tmp_path: Path) -> None:
    (tmp_path / "subjects.db").write_bytes(b"no database " * 100)
    with pytest.raises(Fault, match=r"subjects\.db"):
        SqliteSubjectKeys(tmp_path / "subjects.db").get(ANNA)
