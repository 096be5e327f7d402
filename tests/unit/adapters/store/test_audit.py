"""A look at a whole stored log, and proofs of single records: every tampering with a copy is found (invariant L7).

Checkpoints were kept elsewhere: against who writes the whole log anew, with right hashes, nothing else helps.
"""

import asyncio
import random
import sqlite3
from pathlib import Path

import msgspec
import pytest

from engine.adapters.store import audit
from engine.adapters.store.chain import digest
from engine.adapters.store.codec import Codec
from engine.adapters.store.opening import open_rows
from engine.contracts.checkpoint import BadNoteError
from engine.domain.values import DEFAULT_TAILNET, Position
from engine.ports import Fault
from tests.kit.stored_log import KEYS, LENGTH, SIGNER, STEPS, Stored, pending, written


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Stored:
    return asyncio.run(written(tmp_path_factory.mktemp("log") / "events.db"))


def rehash(connection: sqlite3.Connection, position: int) -> None:
    """Write a record anew, and every later one so that the chain holds: what somebody does who knows the format."""
    codec = Codec(DEFAULT_TAILNET)
    rows = connection.execute(
        "SELECT rowid, originator_id, originator_version, topic, state FROM stored_events ORDER BY rowid"
    ).fetchall()
    prev = ""
    for at, stream, version, topic, state in rows:
        written = state
        if at >= position:
            [row], _ = codec.encode([pending(at, "mallory" if at == position else "anna")], prev)
            written = row.state
            connection.execute("UPDATE stored_events SET state = ? WHERE rowid = ?", (written, at))
        prev = digest(prev, stream, version, topic, written)


def test_a_whole_log_holds_against_all_that_was_known(whole: Stored) -> None:
    verdict = whole.verify()
    assert verdict.broken is None
    assert (verdict.records, verdict.root) == (LENGTH, whole.known[-1].root)
    assert (verdict.position, verdict.digest) == (whole.known[-1].position, whole.known[-1].digest)


def test_every_changed_octet_of_a_hundred_records_is_found(whole: Stored, tmp_path: Path) -> None:
    copy = whole.copy(tmp_path / "copy.db")
    source = random.Random(20)
    for position in source.sample(range(1, LENGTH + 1), 100):
        with sqlite3.connect(copy.path) as connection:
            [state] = connection.execute(
                "SELECT state FROM stored_events WHERE rowid = ?", (position,)
            ).fetchone()
            octets = bytearray(state)
            octets[source.randrange(len(octets))] ^= 1 << source.randrange(8)
            connection.execute(
                "UPDATE stored_events SET state = ? WHERE rowid = ?", (bytes(octets), position)
            )
        connection.close()
        broken = copy.verify().broken
        assert broken is not None, position
        assert position in {broken.after, broken.at}, (position, broken)
        with sqlite3.connect(copy.path) as connection:
            connection.execute("UPDATE stored_events SET state = ? WHERE rowid = ?", (state, position))
        connection.close()
    assert copy.verify().broken is None


TAMPERINGS = {
    "one removed": "DELETE FROM stored_events WHERE rowid = 120",
    "the first removed": "DELETE FROM stored_events WHERE rowid = 1",
    "the end cut off": "DELETE FROM stored_events WHERE rowid > 290",
    "everything gone": "DELETE FROM stored_events",
    "two swapped": """
        UPDATE stored_events SET rowid = 9999 WHERE rowid = 150;
        UPDATE stored_events SET rowid = 150 WHERE rowid = 151;
        UPDATE stored_events SET rowid = 151 WHERE rowid = 9999
    """,
    "one doubled": """
        UPDATE stored_events SET rowid = rowid + 1000 WHERE rowid > 150;
        INSERT INTO stored_events (rowid, originator_id, originator_version, topic, state)
        SELECT 151, originator_id, 2, topic, state FROM stored_events WHERE rowid = 150
    """,
    "another stream": "UPDATE stored_events SET originator_id = 'default/user/x' WHERE rowid = 77",
    "another type": "UPDATE stored_events SET topic = 'UserCreated.v9' WHERE rowid = 77",
}


@pytest.mark.parametrize("name", TAMPERINGS)
def test_a_tampering_is_found(whole: Stored, tmp_path: Path, name: str) -> None:
    copy = whole.copy(tmp_path / "copy.db")
    copy.change(lambda connection: connection.executescript(TAMPERINGS[name]))
    assert copy.verify().broken is not None


@pytest.mark.parametrize("position", [1, 50, 90, 91, 250, LENGTH])
def test_a_log_that_was_written_anew_with_right_hashes_is_found_between_two_checkpoints(
    whole: Stored, tmp_path: Path, position: int
) -> None:
    copy = whole.copy(tmp_path / "copy.db")
    copy.change(lambda connection: rehash(connection, position))
    assert copy.verify(known=[]).broken is None, "the forgery is a good one"
    broken = copy.verify().broken
    assert broken is not None
    assert broken.at == next(step for step in STEPS if step >= position)


def test_a_checkpoint_of_another_tree_with_the_same_head_is_found(whole: Stored) -> None:
    wrong = msgspec.structs.replace(whole.known[1], root=bytes(32))
    broken = whole.verify([whole.known[0], wrong]).broken
    assert broken is not None
    assert (broken.after, broken.at) == (STEPS[0], STEPS[1])


@pytest.mark.parametrize("position", [1, 2, 128, 199, 200])
def test_a_record_is_proven_without_the_log(whole: Stored, position: int) -> None:
    with open_rows(whole.url) as rows:
        proof = audit.prove(rows, Position(position), SIGNER.note(whole.known[1]))
    assert proof is not None
    sent = msgspec.json.decode(msgspec.json.encode(proof), type=audit.Proof)
    checkpoint, signed = audit.checked(sent, KEYS)
    assert signed
    assert checkpoint == whole.known[1]
    forged = sent.state.replace("anna", "eve")
    for wrong in (
        msgspec.structs.replace(sent, state=forged),
        msgspec.structs.replace(sent, index=sent.index ^ 1),
        msgspec.structs.replace(sent, stream="default/user/x"),
        msgspec.structs.replace(sent, path=sent.path[1:]),
        msgspec.structs.replace(sent, path=("?", *sent.path)),
        msgspec.structs.replace(sent, checkpoint=SIGNER.note(whole.known[0])),
        msgspec.structs.replace(sent, state="{}"),
    ):
        with pytest.raises(BadNoteError):
            audit.checked(wrong, KEYS)


def test_a_record_after_the_checkpoint_is_not_in_it(whole: Stored) -> None:
    with open_rows(whole.url) as rows:
        assert audit.prove(rows, Position(STEPS[0] + 1), SIGNER.note(whole.known[0])) is None


def test_a_changed_log_gives_no_proof(whole: Stored, tmp_path: Path) -> None:
    copy = whole.copy(tmp_path / "copy.db")
    copy.change(lambda connection: rehash(connection, 40))
    with open_rows(copy.url) as rows, pytest.raises(BadNoteError):
        audit.prove(rows, Position(40), SIGNER.note(whole.known[0]))


def test_a_store_that_is_not_there_is_a_fault(tmp_path: Path) -> None:
    with open_rows(f"sqlite://{tmp_path}/no.db") as rows, pytest.raises(Fault):
        audit.verify(rows, [])
    assert not (tmp_path / "no.db").exists()
