"""`netmap whatif`, `netmap netmap watch` and the difference of a whole tailnet: what is asked, and what people are told."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.unit.cli.stage import Stage

CHANGE: dict[str, Any] = {
    "what": "changed",
    "kind": "node",
    "id": 2,
    "name": "phone",
    "before": {"name": "phone"},
    "after": {"name": "tablet"},
}
YES = {"name": "node.rename", "ok": True, "events": ["renamed node 2 to tablet"], "warnings": ["some: doubt"]}
NO = {
    "name": "peer.remove",
    "ok": False,
    "problem": {
        "code": "peer.not_found",
        "status": 404,
        "message": "there is no peer 'x'",
        "hint": "netmap wg list",
    },
}


def stage(*outcomes: dict[str, Any]) -> Stage:
    made = Stage()
    made.answers(
        "netmap.suppose",
        {
            "position": 9,
            "outcomes": list(outcomes or (YES,)),
            "nodes": 1,
            "unseen": 3,
            "changes": [{"node": 1, "nodeName": "laptop", "change": CHANGE}],
            "next": None,
        },
    )
    return made


def asked(made: Stage) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = made.last[1]["commands"]
    return found


def test_what_would_follow_is_told_and_the_nodes_that_were_not_looked_at(tmp_path: Path) -> None:
    (tmp_path / "c.yaml").write_text("- command: node.rename\n  body: {node: 2, name: tablet}\n")
    made = stage()
    result = made.run("whatif", "--commands", str(tmp_path / "c.yaml"), "--at", "-2h", "--node", "1")
    assert result.exit_code == 0, result.output
    assert "would be node.rename: renamed node 2 to tablet" in result.stdout
    assert "1(laptop)" in result.stdout
    assert "name phone → tablet" in result.stdout
    assert "1 netmap would differ; 3 more nodes were not looked at" in result.stderr
    assert "some: doubt" in result.stderr
    assert asked(made) == [{"command": "node.rename", "body": {"node": 2, "name": "tablet"}}]
    assert (made.last[1]["at"], made.last[1]["node"]) == ("-2h", 1)


def test_a_refusal_is_told_with_what_helps_and_ends_with_5(tmp_path: Path) -> None:
    (tmp_path / "c.jsonl").write_text(
        '{"command": "PeerRemoved", "body": {"peer": "x"}}\n\n{"command": "user.list"}\n'
    )
    made = stage(NO, YES)
    result = made.run("whatif", "--commands", str(tmp_path / "c.jsonl"))
    assert result.exit_code == 5
    assert "refused  peer.remove: there is no peer 'x' (peer.not_found)" in result.stdout
    assert "netmap wg list" in result.stdout
    assert [entry["command"] for entry in asked(made)] == ["peer.remove", "user.list"]
    assert made.run("whatif", "--commands", str(tmp_path / "c.jsonl"), "-o", "json").exit_code == 5


def test_a_policy_goes_before_commands_and_is_taken_although_its_tests_fail(tmp_path: Path) -> None:
    (tmp_path / "p.hujson").write_text("{}")
    (tmp_path / "c.json").write_text('[{"command": "policy.revert", "body": {"digest": "aabbccdd"}}]')
    made = stage()
    made.run("whatif", "--policy", str(tmp_path / "p.hujson"), "--commands", str(tmp_path / "c.json"))
    assert [entry["command"] for entry in asked(made)] == ["policy.set", "policy.revert"]
    assert asked(made)[0]["body"] == {"text": "{}", "force": True}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[]", "no list of commands"),
        ("{command: [", "neither JSON nor YAML"),
        ('[{"body": {}}]', "entry 1: 'command' is missing"),
        ('[{"command": "x.y", "reason": "z"}]', "there is no field 'reason'"),
        ("x" * 500_000, "more than"),
    ],
)
def test_a_file_that_is_no_list_of_commands_is_refused_here(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "c").write_text(text)
    made = stage()
    result = made.run("whatif", "--commands", str(tmp_path / "c"))
    assert (result.exit_code, made.requests) == (2, [])
    assert said in result.stderr


def test_nothing_asked_is_a_mistake(tmp_path: Path) -> None:
    made = stage()
    assert made.run("whatif").exit_code == 2
    assert made.run("whatif", "--commands", str(tmp_path / "none")).exit_code == 1
    assert made.requests == []


def test_a_difference_without_a_node_is_of_the_whole_tailnet() -> None:
    made = Stage()
    ends = {"from": {"position": 5, "at": 1}, "to": {"position": 9, "at": 2}}
    made.answers("tailnet.diff", {"position": 9, **ends, "changes": [CHANGE], "next": None})
    result = made.run("netmap", "diff", "--from", "5")
    assert result.exit_code == 0, result.output
    assert "the tailnet: from 5 to 9" in result.stderr
    assert "name phone → tablet" in result.stdout
    patched = json.loads(made.run("netmap", "diff", "--from", "5", "--patch").stdout)
    assert patched == [{"op": "replace", "path": "/node/2/name", "value": "tablet"}]


def test_watching_goes_on_where_it_was_and_asks_by_id() -> None:
    made = Stage()
    pages = iter([(9, [CHANGE]), (12, [])])

    def answer(_body: dict[str, Any]) -> dict[str, Any]:
        position, changes = next(pages)
        return {"position": position, "node": 1, "changes": changes, "next": None}

    made.replies["netmap.diff"] = answer
    made.answers("head.get", {"epoch": "e", "position": 7})
    result = made.run("netmap", "watch", "--node", "laptop", "--until-idle")
    assert result.exit_code == 0, result.output
    assert result.stdout == "       9  ~ node 2 phone  name phone → tablet\n"
    bodies = [body for subject, body, _ in made.requests if subject.endswith("netmap.diff")]
    assert [(body["node"], body["from"]) for body in bodies] == [("laptop", 7), (1, 9)]
