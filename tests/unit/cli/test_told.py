"""Where people see that a far side must be told again."""

from typing import Any

from tests.unit.cli.stage import NOW, Stage

FIX = "netmap wg export --peer exit --node laptop --record"
STALE: dict[str, Any] = {
    "node": 1,
    "nodeName": "laptop",
    "since": NOW - 180_000,
    "because": "ConnectionStale.v1",
    "knownKeyBase64": "q6urq6urq6urq6urq6urq6urq6urq6urq6urq6urq6s=",
    "fix": FIX,
}
PAIR: dict[str, Any] = {
    "node": 1,
    "nodeName": "laptop",
    "peer": 9,
    "peerName": "exit",
    "ipv4MasqAddr": "10.0.0.2",
}


def test_the_list_of_connections_says_when_the_far_side_was_told() -> None:
    stage = Stage()
    rows = [PAIR, {**PAIR, "exported": {"at": NOW - 60_000}}, {**PAIR, "stale": STALE}]
    stage.answers("connection.list", {"position": 1, "connections": rows})
    lines = stage.run("connection", "list").stdout.splitlines()
    assert "TOLD" in lines[0]
    assert "1 min ago" not in lines[1]
    assert "1 min ago" in lines[2]
    assert "stale" in lines[3]


def test_a_peer_names_the_nodes_of_which_its_side_knows_something_else_and_the_way_out() -> None:
    stage = Stage()
    stage.answers("peer.list", {"position": 1, "peers": [{"id": 9, "name": "exit", "stale": [STALE]}]})
    result = stage.run("wg", "get", "exit")
    assert "1(laptop)" in result.stdout
    assert FIX in result.stderr
    assert "its key changed 3 min ago (ConnectionStale.v1)" in result.stderr


def test_a_node_names_its_connections_and_the_way_out() -> None:
    stage = Stage()
    stage.answers(
        "node.get", {"node": {"id": 1, "name": "laptop", "connections": [{**PAIR, "stale": STALE}]}}
    )
    result = stage.run("node", "get", "laptop")
    assert "9(exit) as 10.0.0.2; told: stale 3 min ago" in result.stdout
    assert FIX in result.stderr


def test_who_knows_what_holds_is_no_warning() -> None:
    stage = Stage()
    stage.answers("node.get", {"node": {"id": 1, "name": "laptop", "connections": [PAIR]}})
    stage.answers("peer.list", {"position": 1, "peers": [{"id": 9, "name": "exit", "stale": []}]})
    assert "warning" not in stage.run("node", "get", "laptop").stderr
    assert "warning" not in stage.run("wg", "get", "exit").stderr
