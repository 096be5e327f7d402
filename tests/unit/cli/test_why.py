"""`netmap why` and `netmap wg doctor`: what people are told, and how the commands end."""

import json
from typing import Any

import pytest

from tests.unit.cli.stage import NOW, Stage

BLOCKS: dict[str, Any] = {
    "code": "peer.disabled",
    "verdict": "blocks",
    "text": "100000001(relay) is disabled",
    "fix": "netmap wg enable relay",
    "node": None,
    "peer": 100_000_001,
    "rule": None,
    "causes": [
        {
            "position": 12,
            "type": "PeerDisabled.v1",
            "at": NOW - 180_000,
            "actor": "alice",
            "reason": "spring \x1b[31mcleaning",
            "commandId": "c1",
            "cause": "",
        }
    ],
}
RULE = {"place": "acls[1]", "line": 3, "text": '{"action":"accept"}'}
OK = {
    **BLOCKS,
    "code": "policy.permits",
    "verdict": "ok",
    "text": "line 3 permits",
    "rule": RULE,
    "causes": [],
}
REPLY = {
    "position": 20,
    "node": {"id": 1, "name": "laptop", "capver": 131},
    "peer": {"id": 100_000_001, "name": "relay", "kind": "wireguard"},
    "seen": True,
    "usable": False,
    "findings": [BLOCKS, OK],
}


@pytest.fixture
def stage() -> Stage:
    at = Stage()
    at.answers("wg.why", REPLY)
    at.answers(
        "wg.doctor", {"position": 20, "blocks": 1, "warn": 0, "note": 0, "findings": [BLOCKS], "next": None}
    )
    return at


def test_people_are_told_what_is_so_who_did_it_and_what_mends_it(stage: Stage) -> None:
    result = stage.run("why", "laptop", "relay")
    assert result.exit_code == 1
    assert result.stdout.splitlines() == [
        "node 1(laptop) sees 100000001(relay), and cannot use it",
        "blocks  100000001(relay) is disabled",
        "        position 12, 3 min ago: PeerDisabled by alice: spring �[31mcleaning",
        "        → netmap wg enable relay",
        "ok      line 3 permits",
        '        acls[1], line 3: {"action":"accept"}',
    ]
    assert stage.last[1] == {"node": "laptop", "peer": "relay"}


def test_only_what_is_wrong_is_told_if_that_is_asked_for(stage: Stage) -> None:
    assert "line 3" not in stage.run("why", "laptop", "relay", "--wrong").stdout


@pytest.mark.parametrize(
    ("seen", "usable", "said", "status"),
    [
        (True, True, "node 1(laptop) sees 100000001(relay)", 0),
        (False, False, "node 1(laptop) does not see 100000001(relay)", 1),
    ],
)
def test_the_exit_status_says_whether_it_can_be_used(
    stage: Stage, *, seen: bool, usable: bool, said: str, status: int
) -> None:
    stage.answers("wg.why", {**REPLY, "seen": seen, "usable": usable, "findings": []})
    result = stage.run("why", "1", "100000001", "--at", "-2h")
    assert (result.exit_code, result.stdout.strip()) == (status, said)
    assert stage.last[1] == {"node": 1, "peer": 100_000_001, "at": "-2h"}


def test_programs_get_the_whole_answer_with_times_as_text(stage: Stage) -> None:
    result = stage.run("why", "laptop", "relay", "-o", "json")
    document = json.loads(result.stdout)
    assert result.exit_code == 1
    assert document["findings"][0]["causes"][0]["at"].endswith("Z")
    assert document["findings"][1]["rule"] == RULE


def test_the_doctor_ends_with_one_if_anything_is_wrong_and_notes_are_not(stage: Stage) -> None:
    result = stage.run("wg", "doctor")
    assert (result.exit_code, "→ netmap wg enable relay" in result.stdout) == (1, True)
    assert "1 that block, 0 warnings, 0 notes" in result.stderr
    stage.answers(
        "wg.doctor", {"position": 20, "blocks": 0, "warn": 0, "note": 3, "findings": [], "next": None}
    )
    result = stage.run("wg", "doctor", "-o", "json")
    assert (result.exit_code, json.loads(result.stdout)["note"]) == (0, 3)


def test_all_pages_of_the_doctor_are_told(stage: Stage) -> None:
    def page(body: dict[str, Any]) -> dict[str, Any]:
        following = None if body.get("after") else 1
        return {"position": 20, "blocks": 2, "warn": 0, "note": 0, "findings": [BLOCKS], "next": following}

    stage.replies["wg.doctor"] = page
    assert stage.run("wg", "doctor").stdout.count("is disabled") == 2
