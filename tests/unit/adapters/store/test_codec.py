"""The door of the store: every event goes in and comes out; old shapes come out new; the unknown stops."""

import typing
from collections.abc import Mapping
from typing import Any

import msgspec
import pytest
from eventsourcing.persistence import Notification

from engine.adapters.store.codec import Codec, Upcast
from engine.domain.events import (
    EVENTS,
    DerpMapSet,
    Event,
    ExtraConfig,
    Location,
    NodeDeleted,
    PeerRegistered,
    UserCreated,
    tag_of,
)
from engine.domain.values import (
    DEFAULT_TAILNET,
    CommandId,
    Millis,
    NodeId,
    NodeKey,
    PeerId,
    StableId,
    UserId,
)
from engine.ports import Envelope, Fault, Pending

CODEC = Codec(DEFAULT_TAILNET)
ANNA = UserCreated(user=UserId(1), name="anna")
LOCATION = Location(
    country="Sweden",
    country_code="SE",
    city="Malmö",
    city_code="mma",
    latitude=55.6,
    longitude=13.0,
    priority=1,
)


def pending(event: Event) -> Pending:
    envelope = Envelope(
        stream="x/1", version=3, at=Millis(7), actor="o", command_id=CommandId("c"), cause="d", reason="r"
    )
    return Pending(envelope=envelope, event=event)


def stored(event: Event, prev: str = "") -> Notification:
    [row], _ = CODEC.encode([pending(event)], prev)
    return Notification(row.originator_id, row.originator_version, row.topic, row.state, id=1)


def sample(kind: Any) -> Any:
    """Some value of a field's type, never the default."""
    if isinstance(kind, typing.NewType):
        return sample(kind.__supertype__)
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        return kind(**{f.name: sample(f.type) for f in msgspec.structs.fields(kind)})
    if typing.get_origin(kind) is tuple:
        return (sample(typing.get_args(kind)[0]),) * 2
    if typing.get_args(kind):
        return sample(typing.get_args(kind)[0])
    return {int: 42, str: "ü", bool: True, float: 1.5, msgspec.Raw: msgspec.Raw(b'{"a":[1]}')}[kind]


@pytest.mark.parametrize("kind", EVENTS, ids=lambda kind: kind.__name__)
def test_every_event_comes_back_as_it_was(kind: type[Event]) -> None:
    event = sample(kind)
    rows, records = CODEC.encode([pending(event)], "")
    assert rows[0].topic == tag_of(event)
    assert rows[0].originator_id == "default/x/1"
    assert records[0].event == event
    assert records[0].envelope == pending(event).envelope
    assert CODEC.decode([stored(event)], "")[0].event == event


def test_the_stored_form_is_pinned() -> None:
    event = PeerRegistered(
        peer=PeerId(100000001),
        stable_id=StableId("s"),
        name="se-1",
        user=UserId(1),
        public_key=NodeKey("nodekey:00"),
        allowed_ips=("0.0.0.0/0",),
        endpoints=("192.0.2.1:51820",),
        ipv4="100.96.0.1",
        ipv6="fd7a::1",
        extra=ExtraConfig(suggest_exit_node=True, location=LOCATION),
    )
    row = stored(event, "ab" * 32)
    assert (row.originator_id, row.originator_version, row.topic) == ("default/x/1", 3, "PeerRegistered.v1")
    assert row.state.decode() == (
        '{"at":7,"actor":"o","cmd":"c","cause":"d","reason":"r","schema":1,"prev":"' + "ab" * 32 + '",'
        '"data":{"type":"PeerRegistered.v1","peer":100000001,"stable_id":"s","name":"se-1","user":1,'
        '"public_key":"nodekey:00","allowed_ips":["0.0.0.0/0"],"endpoints":["192.0.2.1:51820"],'
        '"ipv4":"100.96.0.1","ipv6":"fd7a::1","extra":{"suggestExitNode":true,"location":{"country":"Sweden",'
        '"countryCode":"SE","city":"Malmö","cityCode":"mma","latitude":55.6,"longitude":13.0,"priority":1}},'
        '"managed_by":""}}'
    )


def test_a_field_that_was_added_later_has_its_default_in_old_records() -> None:
    old = Notification("default/x/1", 1, "UserCreated.v1", STATE % b'{"user":1,"name":"anna"}', id=1)
    assert CODEC.decode([old], "")[0].event == ANNA


STATE = b'{"at":7,"actor":"","cmd":"c","cause":"","reason":"","schema":1,"prev":"","data":%b}'


@pytest.mark.parametrize(
    ("topic", "data"),
    [
        ("UserVanished.v1", b'{"user":1,"name":"anna"}'),
        ("UserCreated.v2", b'{"user":1,"name":"anna"}'),
        ("", b'{"user":1,"name":"anna"}'),
        ("UserCreated.v1", b'{"type":"NodeDeleted.v1","user":1,"name":"anna"}'),
        ("UserCreated.v1", b'{"user":1}'),
        ("UserCreated.v1", b'{"user":"1","name":"anna"}'),
        ("UserCreated.v1", b"null"),
        ("UserCreated.v1", b"{"),
    ],
)
def test_what_is_no_known_record_stops_the_reader(topic: str, data: bytes) -> None:
    with pytest.raises(Fault, match="the record at 9"):
        CODEC.decode([Notification("default/x/1", 1, topic, STATE % data, id=9)], "")


def test_a_newer_layout_stops_the_reader() -> None:
    state = (STATE % b'{"user":1,"name":"anna"}').replace(b'"schema":1', b'"schema":2')
    with pytest.raises(Fault, match="the record at 9"):
        CODEC.decode([Notification("default/x/1", 1, "UserCreated.v1", state, id=9)], "")


@pytest.mark.parametrize("prev", ["00", "zz"])
def test_a_record_that_does_not_follow_stops_the_reader(prev: str) -> None:
    with pytest.raises(Fault, match="does not follow"):
        CODEC.decode([stored(ANNA, "")], prev)


def test_a_join_that_is_no_digest_stops_even_a_reader_that_does_not_know_what_was_before() -> None:
    state = (STATE % b'{"user":1,"name":"anna"}').replace(b'"prev":""', b'"prev":"zz"')
    with pytest.raises(Fault, match="the log is broken"):
        CODEC.decode([Notification("default/x/1", 1, "UserCreated.v1", state, id=9)], None)


@pytest.mark.parametrize(
    "event",
    [
        NodeDeleted(node=NodeId("7")),  # type: ignore[arg-type]
        NodeDeleted(node=None),  # type: ignore[arg-type]
        DerpMapSet(derp_map=msgspec.Raw(b"")),
        DerpMapSet(derp_map=msgspec.Raw(b"{")),
        UserCreated(user=UserId(1), name="\ud800"),
    ],
)
def test_an_event_that_could_not_be_read_back_is_refused(event: Event) -> None:
    with pytest.raises(Fault, match=tag_of(event)):
        CODEC.encode([pending(ANNA), pending(event)], "")


def split_name(old: Mapping[str, Any]) -> Mapping[str, Any]:
    first, _, last = old["full_name"].partition(" ")
    return {"user": old["user"], "first": first, "last": last}


def join_name(old: Mapping[str, Any]) -> Mapping[str, Any]:
    return {"user": old["user"], "name": f"{old['last']}, {old['first']}"}


UPCASTS = {
    "UserMade.v1": Upcast("UserMade.v2", split_name),
    "UserMade.v2": Upcast("UserCreated.v1", join_name),
}


@pytest.mark.parametrize(
    ("topic", "data"),
    [
        ("UserMade.v1", b'{"type":"UserMade.v1","user":1,"full_name":"anna ek"}'),
        ("UserMade.v2", b'{"user":1,"first":"anna","last":"ek"}'),
    ],
)
def test_an_old_event_comes_out_as_one_of_today_under_its_old_digest(topic: str, data: bytes) -> None:
    row = Notification("default/x/1", 1, topic, STATE % data, id=1)
    after = Notification("default/x/2", 1, "UserCreated.v1", STATE % b'{"user":2,"name":"b"}', id=2)
    record = Codec(DEFAULT_TAILNET, UPCASTS).decode([row], "")[0]
    assert record.event == UserCreated(user=UserId(1), name="ek, anna")
    assert record.envelope.at == 7
    with pytest.raises(Fault, match="does not follow"):
        Codec(DEFAULT_TAILNET, UPCASTS).decode([row, after], "")


def test_an_old_event_that_lacks_what_its_upcast_needs_stops_the_reader() -> None:
    row = Notification("default/x/1", 1, "UserMade.v2", STATE % b'{"user":1,"first":"anna"}', id=9)
    with pytest.raises(Fault, match="the record at 9"):
        Codec(DEFAULT_TAILNET, UPCASTS).decode([row], "")


@pytest.mark.parametrize(
    "upcasts",
    [
        {"A.v1": Upcast("A.v2", dict)},
        {"A.v1": Upcast("A.v1", dict)},
        {"A.v1": Upcast("A.v2", dict), "A.v2": Upcast("A.v1", dict)},
    ],
)
def test_upcasts_that_lead_nowhere_are_refused_at_the_start(upcasts: Mapping[str, Upcast]) -> None:
    with pytest.raises(ValueError, match="which is no event"):
        Codec(DEFAULT_TAILNET, upcasts)
