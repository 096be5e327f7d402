"""What is said before somebody is cut off, or connected, of what only soft state knows."""

from typing import Any

import pytest

from tests.unit.cli.stage import Stage, accepted

REMOVE = ("wg", "remove", "exit", "--cascade", "--force")
DISCONNECT = ("node", "remove-wg-connection", "--node-id", "laptop", "--wg-peer-id", "exit")
CONNECT = (
    "node",
    "add-wg-connection",
    "--node-id",
    "laptop",
    "--wg-peer-id",
    "exit",
    "--ipv4-masq-addr",
    "10.0.0.2",
)


def stage(*users: str, online: bool | None = None) -> Stage:
    made = Stage()
    made.answers("peer.list", {"position": 1, "peers": [{"id": 9, "name": "exit", "usedBy": list(users)}]})
    made.answers("node.get", {"node": {"id": 1, "name": "laptop", "online": online}})
    for name in ("peer.remove", "connection.remove", "connection.add"):
        made.answers(name, accepted())
    return made


def sent(made: Stage) -> list[dict[str, Any]]:
    return [body for subject, body, _ in made.requests if ".cmd." in subject]


@pytest.mark.parametrize("words", [REMOVE, DISCONNECT])
def test_whoever_uses_the_exit_now_is_named_and_it_is_done(words: tuple[str, ...]) -> None:
    made = stage("1(laptop)")
    result = made.run(*words)
    assert result.exit_code == 0
    assert "peer.used: 1(laptop) use exit as exit now; netmap wg disable exit fails closed" in result.stderr
    assert len(sent(made)) == 1


@pytest.mark.parametrize("words", [REMOVE, DISCONNECT])
def test_strictly_it_is_not_done(words: tuple[str, ...]) -> None:
    made = stage("1(laptop)")
    result = made.run(*words, "--strict")
    assert result.exit_code == 5
    assert "peer.used" in result.stderr
    assert sent(made) == []


def test_who_is_not_cut_off_is_not_named() -> None:
    assert "peer.used" not in stage("2(phone)").run(*DISCONNECT).stderr
    assert "peer.used" not in stage().run(*REMOVE).stderr
    assert "peer.used" in stage("1(laptop)").run(*DISCONNECT[:3], "1", *DISCONNECT[4:]).stderr


def test_a_node_that_is_offline_is_a_warning_and_one_of_which_nothing_is_known_is_none() -> None:
    assert "connection.offline" in stage(online=False).run(*CONNECT).stderr
    assert "connection.offline" not in stage(online=True).run(*CONNECT).stderr
    assert "connection.offline" not in stage().run(*CONNECT).stderr
    strict = stage(online=False)
    assert (strict.run(*CONNECT, "--strict").exit_code, sent(strict)) == (5, [])


def test_a_question_without_an_answer_stops_nothing() -> None:
    made = stage()
    made.answers("peer.list", {"error": {"code": "peer.not_found", "status": 404, "message": "none"}})
    made.answers("node.get", {"error": {"code": "node.not_found", "status": 404, "message": "none"}})
    assert [made.run(*words).exit_code for words in (REMOVE, CONNECT)] == [0, 0]
    assert len(sent(made)) == 2
