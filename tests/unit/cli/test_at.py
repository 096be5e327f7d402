"""Every question about the log takes `--at`, and asks the one moment that it got."""

from typing import Any

import pytest

from tests.unit.cli.stage import Stage

PEER = {"id": 100_000_001, "name": "mullvad-exit"}
READS = [
    ("node.list", "node list"),
    ("node.get", "node get 7"),
    ("node.list", "node list-routes"),
    ("node.get", "node list-routes 7"),
    ("peer.list", "wg list"),
    ("peer.list", "wg get 100000001"),
    ("peer.list", "node get 100000001"),
    ("connection.list", "connection list"),
    ("user.list", "user list"),
    ("authkey.list", "preauthkey list"),
    ("apikey.list", "apikey list"),
    ("provider.list", "provider list"),
    ("settings.get", "settings get"),
    ("settings.get", "dns get"),
    ("netmap.get", "netmap show --node 7"),
    ("policy.get", "policy get"),
    ("wg.doctor", "wg doctor"),
    ("wg.why", "why 7 mullvad-exit"),
]
KEYS = ("nodes", "peers", "connections", "users", "authKeys", "apiKeys", "providers", "findings")


def stage() -> Stage:
    made = Stage()
    empty: dict[str, Any] = {"position": 120, **{key: [] for key in KEYS}}
    for name, _ in READS:
        made.answers(name, empty)
    made.answers("node.get", {"position": 120, "node": {"id": 7, "name": "laptop"}})
    made.answers("peer.list", {"position": 120, "peers": [PEER]})
    return made


@pytest.mark.parametrize(("name", "words"), READS, ids=[words for _, words in READS])
def test_a_read_is_of_the_moment_that_it_is_asked_about(name: str, words: str) -> None:
    for at, meant in (("-2h", "-2h"), ("118", 118)):
        made = stage()
        result = made.run(*words.split(), "--at", at, "-o", "json")
        asked = [body for subject, body, _ in made.requests if subject.endswith(f".q.{name}")]
        assert asked, result.output
        assert asked[0]["at"] == meant


@pytest.mark.parametrize(("name", "words"), READS, ids=[words for _, words in READS])
def test_without_it_a_read_is_of_now(name: str, words: str) -> None:
    made = stage()
    made.run(*words.split(), "-o", "json")
    assert made.requests
    assert not [body for _, body, _ in made.requests if body.get("at") is not None]


def test_what_follows_is_of_the_very_position_of_the_first_answer() -> None:
    made = stage()
    pages = iter(
        [{"position": 118, "nodes": [{"id": 1}], "next": 1}, {"position": 118, "nodes": [{"id": 2}]}]
    )
    made.replies["node.list"] = lambda _body: next(pages)
    result = made.run("node", "list", "--at", "-2h", "-o", "json")
    assert result.exit_code == 0, result.output
    assert [body["at"] for _, body, _ in made.requests] == ["-2h", 118, 118, 118]
