"""The hash chain shows any change, insertion, removal, swap and truncation, and where (invariant L7)."""

import dataclasses
import hashlib
import random
from collections.abc import Callable, Sequence

import msgspec
import pytest
from eventsourcing.persistence import Notification

from engine.adapters.store.chain import Break, digest, verify
from engine.adapters.store.codec import Codec
from engine.domain.events import UserCreated
from engine.domain.values import DEFAULT_TAILNET, CommandId, Epoch, Millis, Position, UserId
from engine.ports import Envelope, Head, Pending

LENGTH = 40
MIDDLE = 20
CODEC = Codec(DEFAULT_TAILNET)


def event(number: int) -> Pending:
    envelope = Envelope(
        stream=f"user/{number}", version=1, at=Millis(number), actor="a", command_id=CommandId(f"c{number}")
    )
    return Pending(envelope=envelope, event=UserCreated(user=UserId(number), name="anna"))


def log(first: int = 1, prev: str = "", length: int = LENGTH, name: int = 0) -> list[Notification]:
    """Rows at positions 10, 20, …: holes are nothing special."""
    stored, _ = CODEC.encode([event(name + n) for n in range(first, first + length)], prev)
    return [
        Notification(row.originator_id, row.originator_version, row.topic, row.state, id=10 * (first + n))
        for n, row in enumerate(stored)
    ]


def head_of(rows: Sequence[Notification], index: int = -1) -> Head:
    record = CODEC.decode([rows[index]], None)[0]
    return Head(epoch=Epoch(""), position=record.position, digest=record.digest, at=Millis(0))


def changed(rows: list[Notification], index: int, **fields: object) -> list[Notification]:
    return [*rows[:index], dataclasses.replace(rows[index], **fields), *rows[index + 1 :]]  # type: ignore[arg-type]


def test_a_digest_is_as_the_module_says() -> None:
    key = b"\0\0\0\x0edefault/user/1" + b"\0\0\0\0\0\0\0\7" + b"\0\0\0\x0eUserCreated.v1"
    first = hashlib.sha256(b"\0" + bytes(32) + key + b"{}").hexdigest()
    later = hashlib.sha256(b"\0" + b"\xab" * 32 + key + b"{}").hexdigest()
    assert digest("", "default/user/1", 7, "UserCreated.v1", b"{}") == first
    assert digest("ab" * 32, "default/user/1", 7, "UserCreated.v1", b"{}") == later


def test_the_fields_of_a_digest_cannot_flow_into_one_another() -> None:
    made = {
        digest("", "ab", 1, "c", b"d"),
        digest("", "a", 1, "bc", b"d"),
        digest("", "ab", 1, "cd", b""),
        digest("", "ab", 2, "c", b"d"),
        digest("11" * 32, "ab", 1, "c", b"d"),
    }
    assert len(made) == 5


def test_a_whole_log_holds_with_and_without_a_known_head() -> None:
    rows = log()
    assert verify(rows) is None
    assert verify([]) is None
    for index in (0, MIDDLE, -1):
        assert verify(rows, head_of(rows, index)) is None


def test_a_log_that_grew_after_the_known_head_holds() -> None:
    rows = log()
    assert verify([*rows, *log(LENGTH + 1, head_of(rows).digest, 5)], head_of(rows)) is None


def test_any_changed_octet_of_a_state_is_found_at_its_record() -> None:
    rows = log()
    at = rows[MIDDLE].id
    state = rows[MIDDLE].state
    for place in range(len(state)):
        octets = bytearray(state)
        octets[place] ^= 1 << random.Random(place).randrange(8)
        found = verify(changed(rows, MIDDLE, state=bytes(octets)))
        assert found is not None, place
        assert at in {found.after, found.at}, place


@pytest.mark.parametrize(
    "fields", [{"originator_id": "default/user/x"}, {"originator_version": 2}, {"topic": "UserCreated.v2"}]
)
@pytest.mark.parametrize("index", [0, MIDDLE, LENGTH - 1])
def test_a_changed_key_is_found_at_its_record(index: int, fields: dict[str, object]) -> None:
    rows = log()
    found = verify(changed(rows, index, **fields), head_of(rows))
    assert found is not None
    assert rows[index].id in {found.after, found.at}


TAMPERINGS: dict[str, tuple[Callable[[list[Notification]], list[Notification]], Break]] = {
    "one removed": (
        lambda rows: rows[:MIDDLE] + rows[MIDDLE + 1 :],
        Break(Position(200), Position(220), "does not follow the record before it"),
    ),
    "the first removed": (
        lambda rows: rows[1:],
        Break(Position(0), Position(20), "does not follow the record before it"),
    ),
    "one inserted": (
        lambda rows: [*rows[:MIDDLE], dataclasses.replace(rows[5], id=205), *rows[MIDDLE:]],
        Break(Position(200), Position(205), "does not follow the record before it"),
    ),
    "one repeated": (
        lambda rows: [*rows[:MIDDLE], rows[MIDDLE - 1], *rows[MIDDLE:]],
        Break(Position(200), Position(200), "out of order"),
    ),
    "two swapped": (
        lambda rows: [
            *rows[:MIDDLE],
            dataclasses.replace(rows[MIDDLE + 1], id=rows[MIDDLE].id),
            dataclasses.replace(rows[MIDDLE], id=rows[MIDDLE + 1].id),
            *rows[MIDDLE + 2 :],
        ],
        Break(Position(200), Position(210), "does not follow the record before it"),
    ),
    "one that is none": (
        lambda rows: changed(rows, MIDDLE, state=b"junk"),
        Break(Position(200), Position(210), "not a record"),
    ),
    "a join that is not hex": (
        lambda rows: changed(rows, MIDDLE, state=b'{"prev":"xyz"}'),
        Break(Position(200), Position(210), "not a record"),
    ),
    "the end cut off": (
        lambda rows: rows[:-3],
        Break(Position(370), Position(400), "the record that was known here is gone"),
    ),
    "everything gone": (
        lambda rows: rows[:0],
        Break(Position(0), Position(400), "the record that was known here is gone"),
    ),
    "the end written anew": (
        lambda rows: rows[:MIDDLE] + log(MIDDLE + 1, head_of(rows, MIDDLE - 1).digest, MIDDLE, name=5),
        Break(Position(390), Position(400), "not the record that was known here"),
    ),
}


@pytest.mark.parametrize("name", TAMPERINGS)
def test_tampering_is_found_at_its_place(name: str) -> None:
    tamper, expected = TAMPERINGS[name]
    rows = log()
    assert verify(tamper(rows), head_of(rows)) == expected


@pytest.mark.parametrize("name", ["the end cut off", "everything gone", "the end written anew"])
def test_only_a_known_head_shows_that_the_end_is_another(name: str) -> None:
    tamper, _ = TAMPERINGS[name]
    assert verify(tamper(log())) is None


def test_a_record_tells_the_record_before_it() -> None:
    rows = log()
    state = msgspec.json.decode(rows[MIDDLE].state)
    assert state["prev"] == head_of(rows, MIDDLE - 1).digest
