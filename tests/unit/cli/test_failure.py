"""What people and programs are told when it did not work, and the exit status."""

import json

import pytest

from tests.unit.cli.stage import Stage, refused


@pytest.mark.parametrize(
    ("status", "code"),
    [(400, 2), (403, 3), (404, 4), (409, 5), (422, 5), (503, 6), (504, 7), (500, 1), (418, 1)],
)
def test_a_status_is_an_exit_code(status: int, code: int) -> None:
    stage = Stage()
    stage.answers("user.create", refused(status))
    assert stage.run("user", "create", "alice").exit_code == code


def test_people_are_told_the_rule_the_field_and_the_next_step() -> None:
    stage = Stage()
    stage.answers("user.create", refused(409, "user.name_taken", field="name", hint="netmap user list"))
    result = stage.run("user", "create", "alice")
    assert result.stdout == ""
    assert result.stderr.splitlines() == [
        "error: the value and the rule (in name)",
        "next:  netmap user list",
        "code:  user.name_taken",
        "id:    id-1",
    ]


def test_programs_are_told_the_same_in_json() -> None:
    stage = Stage()
    stage.answers("user.create", refused(409, "user.name_taken", field="name", hint="netmap user list"))
    result = stage.run("user", "create", "alice", "-o", "json")
    assert json.loads(result.stderr)["error"] == {
        "code": "user.name_taken",
        "message": "the value and the rule",
        "field": "name",
        "hint": "netmap user list",
        "commandId": "id-1",
        "exit": 5,
    }


def test_an_answer_that_does_not_come_is_an_unknown_outcome_with_the_id() -> None:
    stage = Stage()
    stage.mute = True
    result = stage.run("user", "create", "alice", "--id", "hire-1")
    assert result.exit_code == 7
    assert "--id hire-1" in result.stderr


def test_a_question_without_an_answer_is_unreachable() -> None:
    stage = Stage()
    stage.mute = True
    assert stage.run("user", "list").exit_code == 6


def test_nobody_listening_is_unreachable_and_says_how_to_start() -> None:
    stage = Stage()
    stage.silent = True
    result = stage.run("user", "create", "alice")
    assert result.exit_code == 6
    assert "netmap serve" in result.stderr
    assert stage.run("user", "list").exit_code == 6


def test_nothing_from_a_reply_is_obeyed_by_the_terminal() -> None:
    stage = Stage()
    stage.answers("user.create", refused(409, "a.b\x1b[2J", hint="\x1b]0;x\x07"))
    result = stage.run("user", "create", "alice")
    assert "\x1b" not in result.stderr
    assert "\x07" not in result.stderr


def test_a_reply_that_is_no_object_is_a_failure() -> None:
    stage = Stage()
    stage.answers("user.create", [1])
    assert stage.run("user", "create", "alice").exit_code == 1


def test_a_word_that_does_not_exist_is_answered_with_one_that_is_near() -> None:
    result = Stage().run("user", "lst")
    assert result.exit_code == 2
    assert "'list'" in result.stderr
