"""Many connections from the command line: which, in which chunks, and what is told."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from frontends.cli.connectmany import CHUNK, chunks
from tests.unit.cli.stage import Stage, accepted, refused

NODES = [{"id": 1, "tags": ["tag:vpn"]}, {"id": 2, "tags": []}, {"id": 3, "tags": ["tag:vpn"]}]
PEERS = [{"id": 100_000_001, "extraConfig": {"tags": ["tag:relays"]}}, {"id": 100_000_002, "extraConfig": {}}]


def stage() -> Stage:
    made = Stage()
    made.answers("node.list", {"position": 1, "nodes": NODES})
    made.answers("peer.list", {"position": 1, "peers": PEERS})
    made.replies["connection.add-many"] = lambda body: accepted(
        result={"added": len(body["nodes"]) * len(body["peers"]), "present": 0}
    )
    return made


def commands(made: Stage) -> list[tuple[list[Any], list[Any]]]:
    return [
        (body["nodes"], body["peers"])
        for subject, body, _ in made.requests
        if subject.endswith("connection.add-many")
    ]


@pytest.mark.parametrize(
    ("line", "nodes", "peers"),
    [
        ("--node 1,tv --peer oslo", [1, "tv"], ["oslo"]),
        ("--node 1 --node-id 2 --peer oslo,bergen", [1, 2], ["oslo", "bergen"]),
        ("--all --peer oslo", [1, 2, 3], ["oslo"]),
        ("--tag tag:vpn --peer oslo", [1, 3], ["oslo"]),
        ("--node 3 --tag tag:vpn --peer oslo", [3, 1], ["oslo"]),
        ("--node 1 --peer-tag tag:relays", [1], [100_000_001]),
    ],
)
def test_nodes_and_peers_are_named_one_by_one_or_by_what_they_are(
    line: str, nodes: list[Any], peers: list[Any]
) -> None:
    made = stage()
    result = made.run("connection", "add", *line.split(), "-o", "json", "--reason", "why")
    assert result.exit_code == 0, result.output
    assert commands(made) == [(nodes, peers)]
    assert made.requests[-1][2]["Netmap-Reason"] == "why"
    assert json.loads(result.stdout)["added"] == len(nodes) * len(peers)


def test_one_pair_is_the_command_that_it_was() -> None:
    made = stage()
    made.run("connection", "add", "--node", "1", "--peer", "oslo", "--ipv4-masq-addr", "10.0.0.2")
    subject, body = made.last
    assert subject.endswith("connection.add")
    assert (body["node"], body["peer"], body["ipv4MasqAddr"]) == (1, "oslo", "10.0.0.2")


@pytest.mark.parametrize(
    "line", ["--peer oslo", "--all", "--tag tag:none --peer oslo", "--all --peer-tag tag:no"]
)
def test_nobody_is_a_mistake(line: str) -> None:
    made = stage()
    assert made.run("connection", "add", *line.split()).exit_code == 2
    assert not commands(made)


def test_a_refusal_ends_it_and_says_what_was_done() -> None:
    made = stage()
    answers = iter([accepted(result={"added": 7, "present": 0}), refused(409, "masq.pool_exhausted")])
    made.replies["connection.add-many"] = lambda _body: next(answers)
    peers = ",".join(f"p{number}" for number in range(CHUNK))
    result = made.run("connection", "add", "--node", "1,2", "--peer", peers, "--id", "x")
    assert result.exit_code == 5
    assert "7 connections were added before" in result.stderr
    ids = [headers["Nats-Msg-Id"] for subject, _, headers in made.requests if ".cmd." in subject]
    assert ids == ["x-1", "x-2"]


@given(st.integers(1, 2_500), st.integers(1, 2_500))
def test_chunks_are_all_pairs_once(nodes: int, peers: int) -> None:
    seen = 0
    for some, others in chunks(range(nodes), range(peers)):
        assert 0 < len(some) * len(others) <= CHUNK
        seen += len(some) * len(others)
    assert seen == nodes * peers
