"""The schemas, the AsyncAPI document and the origins of events say what is so."""

import json
import re
from typing import Any

import msgspec
import pytest

from engine.contracts import cloudevents, subjects
from engine.contracts.queries import Query
from engine.contracts.requests import Accepted, ErrorReply
from engine.domain.commands import COMMANDS
from engine.domain.events import EVENTS, CommandHandled
from engine.domain.values import DEFAULT_TAILNET
from engine.schemas.asyncapi import document
from engine.schemas.examples import example_of
from engine.schemas.kinds import commands, components_of, events, query_schema, schema_of
from engine.schemas.origins import CONSEQUENCE, NEXT_VERSION, SINCE, emitters, since
from tests.golden.logs import FOLDER as LOGS

REFERENCE = re.compile(r'"\$ref": ?"([^"]*)"')
DOCUMENT: dict[str, Any] = document("0.1.0")


def found(root: Any, pointer: str) -> Any:
    for token in pointer.removeprefix("#/").split("/"):
        root = root[token]
    return root


def test_every_reference_leads_somewhere() -> None:
    for reference in set(REFERENCE.findall(json.dumps(DOCUMENT))):
        assert found(DOCUMENT, reference) is not None
    for kind in (*events().values(), *commands().values()):
        schema = schema_of(kind)
        for reference in REFERENCE.findall(json.dumps(schema)):
            assert found(schema, reference)


def test_a_reference_to_nothing_would_be_found() -> None:
    with pytest.raises(KeyError):
        found(DOCUMENT, "#/components/schemas/Nobody")


def test_no_two_types_share_a_name_in_the_document() -> None:
    kinds = (*events().values(), *commands().values(), Query, Accepted, ErrorReply)
    schemas: dict[str, Any] = {}
    for kind in kinds:
        for name, schema in components_of(kind).items():
            assert schemas.setdefault(name, schema) == schema, name


def test_every_event_but_receipts_has_its_channel_and_an_example_that_is_one() -> None:
    for tag, kind in events().items():
        channel = DOCUMENT["channels"].get(f"event.{tag}")
        assert (channel is None) == (kind is CommandHandled), tag
        if channel is not None:
            [example] = DOCUMENT["components"]["messages"][f"event.{tag}"]["examples"]
            msgspec.json.decode(msgspec.json.encode(example["payload"]), type=kind)
            needed = set(cloudevents.HEADERS) - set(cloudevents.OPTIONAL)
            assert needed <= set(example["headers"]) <= set(cloudevents.HEADERS)


def test_the_channels_are_the_subjects() -> None:
    channels = DOCUMENT["channels"]
    peer = channels["event.PeerRegistered.v1"]["address"]
    assert peer == "netmap.v1.{tailnet}.ev.peer.{id}.PeerRegistered"
    filled = peer.format(tailnet="default", id=100000001)
    assert filled == subjects.event(DEFAULT_TAILNET, "peer/100000001", "PeerRegistered.v1")
    assert channels["event.PoolsSet.v1"]["address"] == "netmap.v1.{tailnet}.ev.tailnet.PoolsSet"
    assert channels["command.peer.register"]["address"] == "netmap.v1.{tailnet}.cmd.peer.register"
    assert channels["query.netmap.get"]["address"] == "netmap.v1.{tailnet}.q.netmap.get"
    assert sum(name.startswith("command.") for name in channels) == len(COMMANDS)


def test_a_schema_has_the_words_of_the_source_and_describes_what_may_be_anything() -> None:
    fields = schema_of(events()["DeviceFailed.v1"])["properties"]
    assert fields["next_try"]["description"] == "0: not before somebody does something about it."
    assert schema_of(events()["DerpMapSet.v1"])["properties"]["derp_map"] == {"description": "any JSON"}
    extra = schema_of(commands()["peer.register"])["properties"]["extraConfig"]
    assert extra["additionalProperties"] == {"description": "any JSON"}
    assert "from" in query_schema()["properties"]


def test_an_example_is_one_that_could_be_stored() -> None:
    for kind in EVENTS:
        event = example_of(kind)
        assert msgspec.json.decode(msgspec.json.encode(event), type=kind) == event


def test_events_come_from_what_decides_them() -> None:
    who = emitters()
    assert who["PeerRegistered.v1"] == ("peer.register",)
    assert who["ConnectionStale.v1"] == (CONSEQUENCE,)
    assert who["PolicySet.v1"] == ("policy.set", "policy.revert")
    assert "peer.remove" in who["ConnectionRemoved.v1"]
    assert "peer.register" not in who["ConnectionRemoved.v1"]


def test_every_command_has_an_event() -> None:
    made = {name for names in emitters().values() for name in names}
    elsewhere = {"login.approve", "login.reject"}  # `Registration` decides them
    assert set(commands()) - made == elsewhere


def test_versions_are_those_of_the_golden_logs() -> None:
    first: dict[str, str] = {}
    for path in sorted(LOGS.glob("*.jsonl")):
        for line in path.read_bytes().splitlines():
            first.setdefault(msgspec.json.decode(line)["topic"], path.stem)
    assert {tag: since(tag) for tag in first} == first
    assert {f"{name}.v1" for name in SINCE} <= set(first)
    assert since("Nobody.v1") == since("PeerRegistered.v2") == NEXT_VERSION
