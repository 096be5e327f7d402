"""`netmap events revert`: what is shown, what is sent, and when nothing is."""

import json
from typing import Any

import pytest

from tests.unit.cli.stage import Stage, accepted

STEP: dict[str, Any] = {"command": "node.rename", "body": {"node": 7, "name": "laptop"}}
FOUND: dict[str, Any] = {
    "position": 50,
    "commandId": "first",
    "name": "node.rename",
    "actor": "alice",
    "at": 1_799_999_940_000,
    "reason": "",
    "events": ["renamed laptop (7) to tablet"],
    "steps": [STEP],
    "lasting": [],
    "obstacles": [],
}
SUPPOSED: dict[str, Any] = {
    "position": 50,
    "outcomes": [{"name": "node.rename", "ok": True, "events": ["renamed tablet (7) to laptop"]}],
    "nodes": 2,
    "unseen": 0,
    "changes": [],
    "next": None,
}


def stage(**more: Any) -> Stage:
    made = Stage()
    made.answers("event.undo", {**FOUND, **more})
    made.answers("netmap.suppose", SUPPOSED)
    made.answers("node.rename", accepted(7, position=51))
    return made


def sent(made: Stage) -> list[tuple[dict[str, Any], dict[str, str]]]:
    return [(body, headers) for subject, body, headers in made.requests if ".cmd." in subject]


def test_it_is_shown_what_follows_and_done_with_the_cause_and_a_reason() -> None:
    made = stage()
    result = made.run("events", "revert", "42", "--yes")
    assert result.exit_code == 0, result.output
    assert "was done: renamed laptop (7) to tablet (alice, 1 min ago)" in result.stderr
    assert "would be node.rename: renamed tablet (7) to laptop" in result.stdout
    [(body, headers)] = sent(made)
    assert body == STEP["body"]
    assert (headers["Netmap-Cause"], headers["Netmap-Reason"]) == ("first", "revert of 42")
    assert headers["Nats-Msg-Id"] == "id-1-1"


@pytest.mark.parametrize("more", [["--dry-run"], [], ["--dry-run", "-o", "json"]])
def test_nothing_is_done_in_a_rehearsal_or_when_nobody_can_say_yes(more: list[str]) -> None:
    made = stage()
    result = made.run("events", "revert", "42", *more)
    assert (result.exit_code, sent(made)) == (0 if "--dry-run" in more else 2, [])
    if "json" in more:
        assert json.loads(result.stdout)["supposed"]["nodes"] == 2


def test_what_was_set_otherwise_since_needs_force() -> None:
    made = stage(obstacles=["name of node 7 has been set otherwise since"])
    result = made.run("events", "revert", "42", "--yes")
    assert (result.exit_code, sent(made)) == (5, [])
    assert "set otherwise since" in result.stderr
    assert made.run("events", "revert", "42", "--yes", "--force").exit_code == 0
    assert len(sent(made)) == 1


def test_what_cannot_be_undone_or_would_be_refused_is_not_begun() -> None:
    made = stage(steps=[], lasting=["a removed node: an id is never used again"])
    result = made.run("events", "revert", "42", "--yes")
    assert (result.exit_code, "an id is never used again" in result.stderr, sent(made)) == (5, True, [])
    made = stage()
    problem = {"code": "name.taken", "status": 409, "message": "another has it"}
    made.answers(
        "netmap.suppose", {**SUPPOSED, "outcomes": [{"name": "node.rename", "ok": False, "problem": problem}]}
    )
    result = made.run("events", "revert", "42", "--yes")
    assert (result.exit_code, "another has it" in result.stdout, sent(made)) == (5, True, [])
