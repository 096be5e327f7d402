"""What a person sees of a WireGuard-only peer's life, and what is not understood."""

import pytest

from tests.unit.cli.stage import Stage, refused


def test_the_list_says_that_a_peer_is_drained() -> None:
    stage = Stage()
    rows = [
        {"id": 100_000_001, "name": "a", "drained": True},
        {"id": 100_000_002, "name": "b", "drained": True, "disabled": True},
        {"id": 100_000_003, "name": "c"},
    ]
    stage.answers("peer.list", {"position": 42, "peers": rows})
    lines = stage.run("wg", "list").stdout.splitlines()
    assert [
        word for line in lines for word in line.split() if word in ("drained", "disabled", "enabled")
    ] == [
        "drained",
        "disabled",
        "enabled",
    ]


def test_the_list_of_connections_says_what_each_has_and_why() -> None:
    stage = Stage()
    rows = [
        {
            "node": 1,
            "peer": 100_000_001,
            "allowedIps": ["10.9.0.0/24"],
            "jailed": False,
            "selector": "tag:web",
        },
        {"node": 2, "peer": 100_000_001, "allowedIps": ["0.0.0.0/0"], "jailed": True, "selector": ""},
    ]
    stage.answers("connection.list", {"position": 42, "connections": rows})
    _, first, second = stage.run("connection", "list").stdout.splitlines()
    assert all(word in first for word in ("10.9.0.0/24", "call", "tag:web"))
    assert all(word in second for word in ("0.0.0.0/0", "answer"))


@pytest.mark.parametrize(
    "line",
    [
        "wg set-masq-pool exit",
        "wg set-masq-pool exit --none --ipv4 10.0.0.0/24",
        "wg rename exit",
        "wg move exit",
        "wg set-tags",
        "wg drain",
        "connection add-selector --selector tag:web",
        "wg update exit --extra-config nonsense",
    ],
)
def test_half_a_line_sends_nothing(line: str) -> None:
    stage = Stage()
    assert stage.run(*line.split()).exit_code == 2
    assert stage.requests == []


def test_a_refused_removal_says_what_to_do() -> None:
    stage = Stage()
    stage.answers("peer.remove", refused(409, "peer.connected"))
    result = stage.run("wg", "remove", "exit", "--force")
    assert result.exit_code != 0
    assert "peer.connected" in result.stderr
