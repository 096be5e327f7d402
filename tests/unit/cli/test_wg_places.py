"""What a person sees of where a WireGuard-only peer is: host names, what was found, and backends."""

import pytest

from engine.domain.values import FIRST_PEER_ID
from frontends.cli.wg import lookups, state
from tests.unit.cli.stage import Stage

NOW = 1_750_000_000_000
WELL = {"host": "a.example.org", "addresses": ["192.0.2.9", "2001:db8::9"]}
FAILING = WELL | {"failingSince": NOW - 120_000, "failure": "no answer in time"}


@pytest.mark.parametrize(
    ("row", "word"),
    [
        ({}, "enabled"),
        ({"hosts": [WELL], "places": ["192.0.2.9:1"]}, "enabled"),
        ({"hosts": [{"host": "a.example.org"}], "places": []}, "not found"),
        ({"hosts": [FAILING], "places": ["192.0.2.9:1"]}, "lookup fails"),
        ({"hosts": [FAILING], "places": ["192.0.2.9:1"], "drained": True}, "drained"),
        ({"hosts": [FAILING], "places": [], "disabled": True}, "disabled"),
    ],
)
def test_the_list_says_in_a_word_whether_names_are_found(row: dict[str, object], word: str) -> None:
    assert state(row) == word


def test_each_name_is_told_with_what_was_found_and_since_when_it_fails() -> None:
    unknown = {"host": "b.example.org"}
    assert lookups({"hosts": [WELL, FAILING, unknown]}, NOW) == [
        "a.example.org: 192.0.2.9, 2001:db8::9",
        "a.example.org: 192.0.2.9, 2001:db8::9 (lookups fail, since 2 min ago: no answer in time)",
        "b.example.org: not found yet",
    ]


def test_backends_are_listed_and_the_present_one_is_marked() -> None:
    stage = Stage()
    backends = [
        {"name": "main", "present": True, "publicKeyBase64": "A" * 44, "endpoints": ["192.0.2.9:1"]},
        {"name": "spare", "present": False, "publicKeyBase64": "B" * 44, "endpoints": ["a.example.org:1"]},
    ]
    row = {"id": FIRST_PEER_ID, "name": "exit", "backends": backends}
    stage.answers("peer.list", {"position": 42, "peers": [row]})
    _, first, second = stage.run("wg", "backend", "list", "exit").stdout.splitlines()
    assert all(word in first for word in ("main", "yes", "192.0.2.9:1"))
    assert "yes" not in second


@pytest.mark.parametrize(
    "line",
    [
        "wg backend set exit --public-key K --endpoints 192.0.2.1:1",
        "wg backend set exit spare --endpoints 192.0.2.1:1",
        "wg backend remove exit",
        "wg switch exit",
    ],
)
def test_half_a_line_sends_nothing(line: str) -> None:
    stage = Stage()
    assert stage.run(*line.split()).exit_code == 2
    assert stage.requests == []
