"""`netmap policy`: texts in and out, what people are told, and that nothing that they wrote is lost."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from tests.unit.cli.policy_stage import FAULT, HELD, TEXT, party, run, saying, sent, tailnet
from tests.unit.cli.stage import Stage, refused


@pytest.fixture
def stage() -> Stage:
    return tailnet()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    found = tmp_path / "policy.hujson"
    found.write_text(TEXT)
    return found


# get


def test_the_text_comes_out_as_it_was_written(stage: Stage, tmp_path: Path) -> None:
    assert run(stage, "get").stdout == TEXT
    target = tmp_path / "out"
    result = run(stage, "get", "-f", str(target))
    assert (result.stdout, target.read_text()) == ("", TEXT)
    document = json.loads(run(stage, "get", "-o", "json").stdout)
    assert document["policy"]["text"] == TEXT
    assert document["policy"]["at"].endswith("Z")


def test_an_earlier_text_is_asked_for_by_position_or_time(stage: Stage) -> None:
    run(stage, "get", "--at", "12")
    run(stage, "get", "--at", "-2h")
    assert [body["at"] for body in sent(stage, "policy.get")] == [12, "-2h"]


def test_that_there_is_no_policy_is_no_text(stage: Stage) -> None:
    stage.answers("policy.get", {"position": 9, "policy": None})
    result = run(stage, "get")
    assert (result.exit_code, result.stdout) == (0, "")
    assert "everybody may reach everybody" in result.stderr


def test_a_file_that_cannot_be_written_is_a_failure(stage: Stage, tmp_path: Path) -> None:
    assert run(stage, "get", "-f", str(tmp_path / "no" / "where")).exit_code == 1


# set


def test_a_file_is_set_as_it_is_and_what_it_changes_is_told(stage: Stage, file: Path) -> None:
    result = run(stage, "set", str(file))
    assert result.exit_code == 0, result.output
    assert sent(stage, "policy.set") == [{"text": TEXT, "expected": None, "force": False}]
    assert "3 gain, 1 loses access; `netmap policy preview` shows who" in result.stderr
    assert "b2b2b2" in result.stdout


def test_what_comes_from_stdin_is_set_too_and_quietly(stage: Stage) -> None:
    result = run(stage, "set", "-", "--quiet", "--expected", "cc", "--force", said=TEXT)
    assert sent(stage, "policy.set") == [{"text": TEXT, "expected": "cc", "force": True}]
    assert "gain" not in result.stderr
    assert not sent(stage, "policy.preview")


def test_the_policy_is_only_ended_by_saying_so(stage: Stage, tmp_path: Path) -> None:
    (tmp_path / "empty").write_text("")
    result = run(stage, "set", str(tmp_path / "empty"))
    assert (result.exit_code, "--none" in result.stderr) == (2, True)
    assert run(stage, "set", "-", said="").exit_code == 2
    assert run(stage, "set").exit_code == 2
    assert run(stage, "set", str(tmp_path / "empty"), "--none").exit_code == 2
    assert not sent(stage, "policy.set")
    assert run(stage, "set", "--none").exit_code == 0
    assert sent(stage, "policy.set")[0]["text"] == ""


def test_a_refused_text_is_told_with_its_line_and_a_caret(stage: Stage, file: Path) -> None:
    problem = refused(422, "policy.unknown-tag", field="text", hint="define it")
    stage.answers("policy.set", saying(problem, "line 3, column 11: there is no tag"))
    stage.answers("policy.preview", {"position": 9, "ok": False, "faults": [FAULT]})
    result = run(stage, "set", str(file))
    assert result.exit_code == 5
    assert result.stderr.splitlines()[:4] == [
        f"{file}:3:11",
        '      "acls": [],',
        "              ^",
        "error: line 3, column 11: there is no tag (in text)",
    ]
    document = json.loads(run(stage, "set", str(file), "--quiet", "-o", "json").stderr)
    assert document["error"]["code"] == "policy.unknown-tag"


def test_without_a_projection_a_policy_is_set_all_the_same(stage: Stage, file: Path) -> None:
    stage.answers("policy.preview", refused(503, "query.behind"))
    result = run(stage, "set", str(file))
    assert (result.exit_code, len(sent(stage, "policy.set"))) == (0, 1)
    assert "what it changes is not known" in result.stderr


@pytest.mark.parametrize(
    ("gain", "lose", "line"),
    [
        (0, 0, "nobody gains or loses access"),
        (1, 0, "1 gains, 0 lose access"),
        (2, 1, "2 gain, 1 loses access"),
    ],
)
def test_what_changes_is_said_in_a_line(stage: Stage, file: Path, gain: int, lose: int, line: str) -> None:
    stage.answers("policy.preview", {"ok": True, "gain": gain, "lose": lose})
    assert line in run(stage, "set", str(file)).stderr


def test_what_cannot_be_a_policy_is_not_sent(stage: Stage, tmp_path: Path) -> None:
    (tmp_path / "latin").write_bytes(b'{"acls": [] /* \xe9 */}')
    (tmp_path / "long").write_bytes(b" " * (512 * 1024 + 1))
    assert run(stage, "set", str(tmp_path / "latin")).exit_code == 2
    assert run(stage, "set", str(tmp_path / "long")).exit_code == 2
    assert run(stage, "set", str(tmp_path / "nowhere")).exit_code == 1
    assert not stage.requests


# check, test, preview


def test_a_good_text_is_ok(stage: Stage, file: Path) -> None:
    reply = {
        "ok": True,
        "faults": [],
        "failures": [],
        "warnings": ["derpMap has no effect"],
        "rules": 1,
        "tests": 2,
    }
    stage.answers("policy.check", reply)
    result = run(stage, "check", str(file))
    assert (result.exit_code, result.stdout) == (0, "ok: 1 rule, 2 tests\n")
    assert "derpMap has no effect" in result.stderr
    assert sent(stage, "policy.check") == [{"policy": TEXT}]


def test_faults_and_failing_tests_are_told_with_their_places(stage: Stage, file: Path) -> None:
    stage.answers("policy.check", {"ok": False, "faults": [FAULT], "failures": []})
    result = run(stage, "check", str(file))
    assert (result.exit_code, result.stdout.splitlines()) == (
        5,
        [
            f"{file}:3:11",
            '      "acls": [],',
            "              ^",
            'error: there is no tag "tag:wbe"',
            "next:  define it in tagOwners",
            "code:  policy.unknown-tag",
        ],
    )
    failing = {"section": "tests", "index": 0, "line": 8, "text": "tests[0]: no rule lets it"}
    stage.answers("policy.check", {"ok": False, "faults": [], "failures": [failing]})
    result = run(stage, "check", "-", said=TEXT)
    assert (result.exit_code, result.stdout) == (5, "-:8: tests[0]: no rule lets it\n")
    result = run(stage, "check", "-", "-o", "json", said=TEXT)
    assert (result.exit_code, json.loads(result.stdout)["ok"]) == (5, False)


def test_every_test_is_listed(stage: Stage, file: Path) -> None:
    rows = [
        {
            "ok": True,
            "section": "tests",
            "index": 0,
            "line": 4,
            "text": "alice; accept tag:web:80",
            "failures": [],
        },
        {
            "ok": False,
            "section": "tests",
            "index": 1,
            "line": 5,
            "text": "bob; deny x:1",
            "failures": ["tests[1]: why"],
        },
    ]
    stage.answers(
        "policy.test", {"ok": False, "faults": [], "passed": 1, "failed": 1, "tests": rows, "next": None}
    )
    result = run(stage, "test", str(file))
    assert result.exit_code == 5
    lines = [line.split() for line in result.stdout.splitlines()]
    assert lines[1][:3] == ["holds", "4", "tests[0]"]
    assert lines[2][:3] == ["FAILS", "5", "tests[1]"]
    assert result.stdout.endswith("tests[1]: why\n")
    assert sent(stage, "policy.test") == [{"policy": TEXT}]


def test_without_a_file_the_policy_in_force_is_tested(stage: Stage) -> None:
    stage.answers("policy.test", {"ok": True, "faults": [], "tests": [], "next": None})
    result = run(stage, "test")
    assert (result.exit_code, sent(stage, "policy.test")) == (0, [{}])
    assert "no tests" in result.stderr


def test_a_preview_is_tables(stage: Stage, file: Path) -> None:
    rows = [
        {
            "kind": "traffic",
            "subject": party("user", "alice@example.com"),
            "target": party("tags", "tag:web", "one", "two", more=3),
            "gains": ["80,443"],
            "loses": [],
        },
        {
            "kind": "traffic",
            "subject": party("everybody", ""),
            "target": party("internet", ""),
            "gains": [],
            "loses": ["*"],
        },
        {
            "kind": "route",
            "subject": party("user", "bob@example.com", "phone"),
            "target": party("route", "10.1.0.0/16", "gate"),
            "gains": ["route"],
            "loses": [],
        },
    ]
    reply = {"ok": True, "faults": [], "gain": 1, "lose": 4, "rows": rows, "more": 7}
    stage.answers("policy.preview", reply)
    result = run(stage, "preview", str(file), "--limit", "3")
    assert result.exit_code == 0
    cells = [re.split(r" {2,}", line) for line in result.stdout.splitlines()]
    assert cells == [
        ["Access"],
        ["WHO", "WHERE", "GAINS", "LOSES"],
        ["alice@example.com", "tag:web (one, two, and 3 more)", "80,443", "-"],
        ["everybody", "the internet", "-", "*"],
        [""],
        ["Subnet routes that are shown"],
        ["WHO", "WHERE", "GAINS", "LOSES"],
        ["bob@example.com (phone)", "10.1.0.0/16 by gate", "route", "-"],
    ]
    assert "1 gains, 4 lose access" in result.stderr
    assert "and 7 more rows" in result.stderr
    assert sent(stage, "policy.preview") == [{"policy": TEXT, "limit": 3}]
    assert json.loads(run(stage, "preview", str(file), "-o", "json").stdout) == reply


def test_a_preview_of_what_is_no_policy_tells_the_fault(stage: Stage, file: Path) -> None:
    stage.answers("policy.preview", {"ok": False, "faults": [FAULT], "rows": []})
    result = run(stage, "preview", str(file))
    assert (result.exit_code, "policy.unknown-tag" in result.stdout) == (5, True)


# log, diff, revert


def test_versions_are_listed_the_latest_first(stage: Stage) -> None:
    older = {**HELD, "position": 3, "digest": "", "reason": ""}
    stage.answers("policy.log", {"position": 9, "versions": [older, HELD], "next": None})
    lines = run(stage, "log").stdout.splitlines()
    assert lines[1].split()[:2] == ["7", "1"]
    assert "a1a1a1a1a1a1" in lines[1]
    assert lines[1].endswith("less is more")
    assert "none" in lines[2]


@pytest.mark.parametrize(
    ("words", "body"),
    [
        ((), {}),
        (("3",), {"from": "3"}),
        (("3", "a1a1a1a1"), {"from": "3", "to": "a1a1a1a1"}),
        (("--file", "-"), {"policy": TEXT}),
    ],
)
def test_a_comparison_is_of_these(stage: Stage, words: tuple[str, ...], body: dict[str, Any]) -> None:
    stage.answers("policy.diff", {"position": 9, "diff": "--- a\n+++ b\n-x\n+y\n", "cut": False})
    result = run(stage, "diff", *words, said=TEXT)
    assert (result.exit_code, result.stdout) == (0, "--- a\n+++ b\n-x\n+y\n")
    assert sent(stage, "policy.diff") == [body]


def test_going_back_is_by_position_or_digest(stage: Stage) -> None:
    result = run(stage, "revert", "7", "--reason", "that was wrong")
    assert result.exit_code == 0, result.output
    assert sent(stage, "policy.get") == [{"id": "7"}]
    assert sent(stage, "policy.revert") == [{"digest": HELD["digest"]}]
    assert "3 gain" in result.stderr
    stage.answers("policy.get", {"position": 9, "policy": {**HELD, "digest": "", "text": ""}})
    run(stage, "revert", "3", "--quiet")
    assert sent(stage, "policy.set")[0]["text"] == ""
