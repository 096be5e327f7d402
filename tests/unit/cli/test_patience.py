"""A command is sent again under its id while that may help, and no longer."""

from typing import Any

from engine.contracts.requests import ErrorReply, Problem
from tests.unit.cli.stage import Stage, accepted, refused


def busy(*, after: float = 0.0) -> ErrorReply:
    problem = Problem(
        code="engine.overloaded", status=503, message="too many", retryable=True, retry_after=after
    )
    return ErrorReply(error=problem)


def in_turn(stage: Stage, *answers: object) -> None:
    left = list(answers)

    def reply(_body: dict[str, Any]) -> object:
        return left.pop(0) if len(left) > 1 else left[0]

    stage.replies["user.create"] = reply


def test_an_engine_that_asks_to_be_asked_again_is_and_the_id_is_the_same() -> None:
    stage = Stage()
    in_turn(stage, busy(), busy(), accepted())
    result = stage.run("user", "create", "alice")
    assert result.exit_code == 0, result.output
    assert [headers["Nats-Msg-Id"] for _, _, headers in stage.requests] == ["id-1"] * 3
    assert result.stderr.count("sending the command again") == 1


def test_a_pause_is_as_long_as_the_engine_asks_for_and_grows() -> None:
    stage = Stage()
    in_turn(stage, busy(after=2.5), busy(), busy(), accepted())
    assert stage.run("user", "create", "alice").exit_code == 0
    assert stage.pauses == [2.5, 0.2, 0.5]


def test_patience_ends_with_the_engine_s_word() -> None:
    stage = Stage()
    in_turn(stage, busy(after=1.0))
    result = stage.run("user", "create", "alice", "--timeout", "1")
    assert result.exit_code == 6
    assert "engine.overloaded" in result.stderr
    assert sum(stage.pauses) <= 5.0


def test_a_pause_that_no_engine_would_ask_for_is_not_kept() -> None:
    stage = Stage()
    in_turn(stage, busy(after=1e9), accepted())
    assert stage.run("user", "create", "alice").exit_code == 0
    assert stage.pauses == [0.1]


def test_a_no_is_not_asked_for_twice() -> None:
    stage = Stage()
    in_turn(stage, refused(503), accepted())
    assert stage.run("user", "create", "alice").exit_code == 6
    assert len(stage.requests) == 1


def test_who_hears_nobody_waits_for_a_takeover_only() -> None:
    stage = Stage()
    stage.silent = True
    assert stage.run("user", "create", "alice").exit_code == 6
    assert 5.0 < sum(stage.pauses) <= 10.0
