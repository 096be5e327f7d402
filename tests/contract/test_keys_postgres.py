"""Keys in PostgreSQL keep the contract; a lost connection costs one call."""

import contextlib
from collections.abc import Iterator

import psycopg
import pytest

from engine.adapters.store.postgres import CONNECTION
from engine.adapters.subjectkeys.postgres import PostgresSubjectKeys
from engine.keyports import SubjectKeys
from engine.ports import Fault
from tests.contract.keys_suite import ANNA, BERT, Place, SubjectKeysContract
from tests.kit import postgres

pytestmark = pytest.mark.real


class PostgresPlace(contextlib.ExitStack):
    def __init__(self, where: str) -> None:
        super().__init__()
        self._where = where

    def keys(self) -> SubjectKeys:
        return self.enter_context(
            contextlib.closing(PostgresSubjectKeys(self._where, CONNECTION, read_only=False))
        )

    def reader(self) -> SubjectKeys:
        return self.enter_context(
            contextlib.closing(PostgresSubjectKeys(self._where, CONNECTION, read_only=True))
        )


class TestPostgres(SubjectKeysContract):
    @pytest.fixture
    def place(self) -> Iterator[Place]:
        with PostgresPlace(postgres.shared().fresh()) as place:
            yield place


@pytest.fixture
def url() -> str:
    return postgres.shared().fresh()


def table_of(url: str) -> bytes:
    """The octets of the table's file."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("CHECKPOINT")
        row = connection.execute(
            "SELECT pg_read_binary_file(pg_relation_filepath('netmap_subjects'))"
        ).fetchone()
    assert row is not None
    return bytes(row[0])


def test_the_table_has_no_octet_of_a_destroyed_key(url: str) -> None:
    keys = PostgresSubjectKeys(url, CONNECTION)
    keys.make([ANNA, BERT])
    anna, bert = keys.get(ANNA), keys.get(BERT)
    assert anna
    assert bert
    assert anna in table_of(url)
    keys.destroy([ANNA])
    assert anna not in table_of(url)
    assert bert in table_of(url)
    keys.close()


def test_a_lost_connection_costs_one_call(url: str) -> None:
    keys = PostgresSubjectKeys(url, CONNECTION)
    keys.make([ANNA])
    key = keys.get(ANNA)
    postgres.shared().execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND datname = current_database()",
        url=url,
    )
    with pytest.raises(Fault):
        keys.get(ANNA)
    assert keys.get(ANNA) == key
    keys.close()


def test_a_reader_makes_nothing(url: str) -> None:
    reader = PostgresSubjectKeys(url, CONNECTION, read_only=True)
    with pytest.raises(Fault, match="reading only"):
        reader.make([ANNA])
    assert reader.all() == {}
    reader.close()
