"""Personal fields are sealed at the door of the store, bound to their record, and a tombstone without the key."""

import base64
from collections.abc import Callable

import msgspec
import pytest
from eventsourcing.persistence import Notification
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.adapters.store.chain import digest
from engine.adapters.store.codec import Codec
from engine.adapters.store.vault import Vault
from engine.adapters.subjectkeys.memory import MemorySubjectKeys
from engine.domain.events import (
    CommandHandled,
    Event,
    NodeRegistered,
    NodeRenamed,
    UserCreated,
    UserDeleted,
    UserErased,
    tag_of,
)
from engine.domain.personal import PERSONAL, tombstone
from engine.domain.values import (
    DEFAULT_TAILNET,
    CommandId,
    MachineKey,
    Millis,
    NodeId,
    NodeKey,
    StableId,
    UserId,
)
from engine.keyports import KeyDestroyed, KeyMissing
from engine.ports import Envelope, Fault, Pending

ANNA, BERT = UserId(7), UserId(8)
CANARY = "canary-Ünë"
CREATED = UserCreated(user=ANNA, name=CANARY, display_name=f"{CANARY} Q.", email=f"{CANARY}@example.com")
NODE = NodeRegistered(
    node=NodeId(3),
    stable_id=StableId("s"),
    machine_key=MachineKey("mkey:00"),
    node_key=NodeKey("nodekey:00"),
    user=ANNA,
    name=CANARY,
    hostname=f"{CANARY}-laptop",
    ipv4="100.64.0.1",
    ipv6="fd7a::1",
)
RENAMED = NodeRenamed(node=NodeId(3), name=CANARY)
RECEIPT = CommandHandled(name="user.create", digest=CANARY, result=msgspec.Raw(msgspec.json.encode([CANARY])))
SPEAKING = (CREATED, NODE, RENAMED, RECEIPT)


class Door:
    """A codec over keys, and others that come later to the same keys."""

    def __init__(self) -> None:
        self.keys = MemorySubjectKeys()
        self.codec = self.other()

    def other(self) -> Codec:
        return Codec(DEFAULT_TAILNET, vault=Vault(self.keys))

    def stored(self, event: Event, *subjects: UserId, version: int = 3) -> Notification:
        return self.all_stored((event, subjects), version=version)[0]

    def all_stored(self, *events: tuple[Event, tuple[UserId, ...]], version: int = 3) -> list[Notification]:
        pending = [
            Pending(
                envelope=Envelope(
                    stream="user/7", version=number, at=Millis(7), actor="o", command_id=CommandId("c")
                ),
                event=event,
                subjects=subjects,
            )
            for number, (event, subjects) in enumerate(events, version)
        ]
        rows, _ = self.codec.encode(pending, "")
        return [
            Notification(row.originator_id, row.originator_version, row.topic, row.state, id=number)
            for number, row in enumerate(rows, 1)
        ]


def read(codec: Codec, row: Notification) -> Event:
    return codec.decode([row], "")[0].event


@pytest.mark.parametrize("event", SPEAKING, ids=tag_of)
def test_what_is_stored_does_not_say_it_and_reads_as_it_was(event: Event) -> None:
    door = Door()
    row = door.stored(event, ANNA)
    assert CANARY.encode() not in row.state
    assert base64.b64encode(CANARY.encode())[:12] not in row.state
    assert read(door.codec, row) == event
    assert read(door.other(), row) == event
    assert door.codec.decode([row], "")[0].sealed


@pytest.mark.parametrize("event", SPEAKING, ids=tag_of)
def test_without_a_subject_or_a_vault_it_is_stored_as_ever(event: Event) -> None:
    door = Door()
    row = door.stored(event)
    assert b'"schema":1' in row.state
    assert b"sealed" not in row.state
    assert not door.codec.decode([row], "")[0].sealed
    assert read(Codec(DEFAULT_TAILNET), row) == event
    assert door.keys.all() == {}


@pytest.mark.parametrize("event", SPEAKING, ids=tag_of)
def test_without_the_key_it_is_a_tombstone_and_the_chain_is_the_same(event: Event) -> None:
    door = Door()
    row = door.stored(event, ANNA)
    [before] = door.other().decode([row], "")
    door.keys.destroy([ANNA])
    [after] = door.other().decode([row], "")
    assert after.event == tombstone(event) != event
    assert after.digest == before.digest == digest("", "default/user/7", 3, tag_of(event), row.state)
    assert read(Codec(DEFAULT_TAILNET), row) == tombstone(event)


def test_a_key_that_is_missing_is_not_one_that_was_destroyed() -> None:
    row = Door().stored(CREATED, ANNA)
    with pytest.raises(KeyMissing, match="user 7"):
        read(Door().codec, row)


def test_another_key_of_the_same_subject_stops_the_reader() -> None:
    row, door = Door().stored(CREATED, ANNA), Door()
    door.keys.make([ANNA])
    with pytest.raises(Fault, match="the record at 1 cannot be opened"):
        read(door.codec, row)


def other_stream(row: Notification) -> Notification:
    return Notification("default/user/9", row.originator_version, row.topic, row.state, id=1)


def other_version(row: Notification) -> Notification:
    return Notification(row.originator_id, 4, row.topic, row.state, id=1)


def other_text(row: Notification) -> Notification:
    state = msgspec.json.decode(row.state)
    octets = bytearray(base64.b64decode(state["sealed"]["text"]))
    octets[-1] ^= 1
    state["sealed"]["text"] = base64.b64encode(octets).decode()
    return Notification(
        row.originator_id, row.originator_version, row.topic, msgspec.json.encode(state), id=1
    )


@pytest.mark.parametrize("change", [other_stream, other_version, other_text])
def test_fields_of_another_record_are_refused(change: Callable[[Notification], Notification]) -> None:
    door = Door()
    with pytest.raises(Fault, match="cannot be opened"):
        read(door.codec, change(door.stored(CREATED, ANNA)))


def test_an_answer_about_two_opens_with_both_keys_only() -> None:
    door = Door()
    row = door.stored(RECEIPT, ANNA, BERT)
    assert read(door.other(), row) == RECEIPT
    door.keys.destroy([BERT])
    assert read(door.other(), row) == tombstone(RECEIPT)
    assert door.keys.get(ANNA) is not None


def test_who_has_read_the_erasure_opens_nothing_more_even_before_the_key_is_destroyed() -> None:
    door = Door()
    first, erased = door.all_stored((CREATED, (ANNA,)), (UserErased(user=ANNA), ()))
    reader = door.other()
    assert read(reader, first) == CREATED
    reader.decode([erased], None)
    assert read(reader, first) == tombstone(CREATED)
    assert read(door.other(), first) == CREATED, "a negative control: the key is there"


def test_an_erasure_that_is_only_encoded_erases_nothing() -> None:
    door = Door()
    row = door.stored(CREATED, ANNA)
    door.stored(UserErased(user=ANNA))
    assert read(door.codec, row) == CREATED


def test_a_subject_that_was_erased_gets_no_key_any_more() -> None:
    door = Door()
    door.codec.destroy([ANNA])
    with pytest.raises(KeyDestroyed):
        door.stored(CREATED, ANNA)


def test_the_answer_to_the_erasure_itself_can_be_stored() -> None:
    door = Door()
    door.stored(CREATED, ANNA)
    rows = door.all_stored((UserDeleted(user=ANNA), ()), (UserErased(user=ANNA), ()), (RECEIPT, (ANNA,)))
    assert [record.sealed for record in door.other().decode(rows, "")] == [False, False, True]


def test_an_older_row_opens_for_ever() -> None:
    """The stored form is pinned: octets that a program wrote before must open."""
    keys = MemorySubjectKeys()
    keys.fill({ANNA: bytes(range(32))})
    state = (
        b'{"at":7,"actor":"o","cmd":"c","cause":"","reason":"","schema":2,"prev":"","data":{"type":"NodeRenamed.v1",'
        b'"node":3,"name":"erased_3"},"sealed":{"by":[7],"text":"AAAAAAAAAAAAAAAAY5osUMCDhOsxAj0PzjE3BYWmqbOCgVgeO/B37qMWDY8y"}}'
    )
    row = Notification("default/node/3", 2, "NodeRenamed.v1", state, id=1)
    assert read(Codec(DEFAULT_TAILNET, vault=Vault(keys)), row) == NodeRenamed(node=NodeId(3), name="canary")


def test_a_field_that_became_personal_later_keeps_what_stands_beside() -> None:
    door = Door()
    door.keys.make([ANNA])
    vault = Vault(door.keys)
    sealed = vault.sealed((ANNA,), b'{"name":"canary"}', b"default/user/7\n3\nUserCreated.v1")
    state = msgspec.json.decode(door.stored(CREATED, ANNA).state) | {"sealed": msgspec.to_builtins(sealed)}
    row = Notification("default/user/7", 3, "UserCreated.v1", msgspec.json.encode(state), id=1)
    assert read(door.codec, row) == msgspec.structs.replace(tombstone(CREATED), name="canary")


@given(st.text(max_size=40), st.text(max_size=40), st.text(max_size=40))
@settings(max_examples=100, deadline=None, database=None, derandomize=True)
def test_any_text_comes_back(name: str, display_name: str, email: str) -> None:
    event = UserCreated(user=ANNA, name=name, display_name=display_name, email=email)
    door = Door()
    assert read(door.codec, door.stored(event, ANNA)) == event


def test_every_personal_field_is_gone_from_a_tombstone() -> None:
    for event in SPEAKING:
        assert CANARY.encode() not in msgspec.json.encode(tombstone(event))
    assert {type(event) for event in SPEAKING} == set(PERSONAL)


def test_no_repr_has_a_key() -> None:
    keys = MemorySubjectKeys()
    keys.fill({ANNA: b"k" * 32})
    assert "kkk" not in repr(keys) + repr(Vault(keys))
