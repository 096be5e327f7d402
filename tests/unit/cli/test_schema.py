"""`netmap schema`, which asks no server."""

import json

import pytest
import yaml

from frontends.cli.failure import Exit
from tests.unit.cli.stage import Stage


def test_one_schema_is_written_whole() -> None:
    stage = Stage()
    result = stage.run("schema", "events", "PeerExpired", "-o", "json")
    assert result.exit_code == 0
    assert json.loads(result.stdout)["properties"]["at"] == {"type": "integer"}
    assert stage.run("schema", "events", "PeerExpired.v1").stdout == result.stdout
    assert not stage.places


def test_lists_name_all_and_who_makes_them() -> None:
    listed = Stage().run("schema", "events").stdout
    assert "PeerRegistered.v1" in listed
    assert "peer.register" in listed
    assert "peer.register" in Stage().run("schema", "commands").stdout
    assert "netmap.get" in Stage().run("schema", "queries").stdout.splitlines()


@pytest.mark.parametrize("kind", ["events", "commands", "queries"])
def test_all_schemas_in_one_document(kind: str) -> None:
    found = yaml.safe_load(Stage().run("schema", kind, "-o", "yaml").stdout)
    assert all(schema["type"] == "object" for schema in found.values())


def test_one_document_of_all() -> None:
    assert json.loads(Stage().run("schema", "asyncapi").stdout)["asyncapi"] == "3.0.0"


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        (("events", "PeerRegistred"), "PeerRegistered.v1"),
        (("commands", "peer.registr"), "peer.register"),
        (("queries", "x"), "netmap schema queries"),
    ],
)
def test_what_is_not_there_is_said_with_what_is_near(words: tuple[str, str], hint: str) -> None:
    result = Stage().run("schema", *words)
    assert result.exit_code == Exit.NOT_FOUND
    assert hint in result.stderr
