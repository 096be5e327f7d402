"""`netmap policy edit`: what is saved is set, and what is not set is never lost."""

import stat
import sys
import tempfile
from pathlib import Path
from typing import Final

import pytest
from click.testing import Result

from tests.unit.cli.policy_stage import HELD, REFUSED, TEXT, run, saying, sent, tailnet
from tests.unit.cli.stage import Stage, accepted, refused


@pytest.fixture
def stage() -> Stage:
    return tailnet()


def editor(tmp_path: Path, *bodies: str) -> str:
    """An editor that shows what it opens as `seen0`, `seen1`, …, and saves these, one in each turn."""
    (tmp_path / "turn").write_text("0")
    script = tmp_path / "editor.py"
    script.write_text(
        "import pathlib, sys\n"
        f"bodies = {bodies!r}\n"
        f"turn = pathlib.Path({str(tmp_path / 'turn')!r})\n"
        "now = int(turn.read_text()); turn.write_text(str(now + 1))\n"
        "path = pathlib.Path(sys.argv[1])\n"
        f"pathlib.Path({str(tmp_path / 'seen')!r} + str(now)).write_bytes(path.read_bytes())\n"
        "path.write_text(bodies[now]) if bodies else None\n"
    )
    return f"{sys.executable} {script}"


def edit(
    stage: Stage,
    tmp_path: Path,
    *bodies: str,
    words: tuple[str, ...] = (),
    said: str = "",
    editor_is: str = "",
) -> Result:
    (tmp_path / "drafts").mkdir(exist_ok=True)
    before, tempfile.tempdir = tempfile.tempdir, str(tmp_path / "drafts")
    try:
        return run(stage, "edit", *words, said=said, VISUAL=editor_is or editor(tmp_path, *bodies))
    finally:
        tempfile.tempdir = before


def drafts(tmp_path: Path) -> list[Path]:
    return sorted((tmp_path / "drafts").iterdir())


OTHER: Final = TEXT.replace("everybody", "nobody")
THIRD: Final = TEXT.replace("everybody", "somebody")


def test_what_is_saved_is_set_over_what_was_opened(stage: Stage, tmp_path: Path) -> None:
    result = edit(stage, tmp_path, OTHER, words=("--reason", "tidy"))
    assert result.exit_code == 0, result.output
    assert (tmp_path / "seen0").read_text() == TEXT
    assert sent(stage, "policy.set") == [{"text": OTHER, "expected": HELD["digest"], "force": False}]
    assert "3 gain, 1 loses" in result.stderr
    assert drafts(tmp_path) == []


def test_nothing_is_set_when_nothing_or_everything_was_deleted(stage: Stage, tmp_path: Path) -> None:
    for bodies in ((), ("",)):
        result = edit(stage, tmp_path, *bodies)
        assert (result.exit_code, "nothing was changed" in result.stderr) == (0, True)
    assert not sent(stage, "policy.set")
    assert drafts(tmp_path) == []


def test_where_there_is_no_policy_one_begins(stage: Stage, tmp_path: Path) -> None:
    stage.answers("policy.get", {"position": 9, "policy": None})
    edit(stage, tmp_path, OTHER)
    assert (tmp_path / "seen0").read_text().startswith("// There is no policy")
    assert sent(stage, "policy.set")[0]["expected"] == ""


def test_a_refused_text_may_be_edited_again(stage: Stage, tmp_path: Path) -> None:
    problem = saying(REFUSED, "line 2, column 3: there is no tag")
    stage.replies["policy.set"] = lambda body: problem if body["text"] == OTHER else accepted()
    result = edit(stage, tmp_path, OTHER, THIRD, said="y\n")
    assert result.exit_code == 0, result.output
    assert (tmp_path / "seen1").read_text() == OTHER, "the second time it is what was written the first time"
    assert [body["text"] for body in sent(stage, "policy.set")] == [OTHER, THIRD]
    ids = [headers["Nats-Msg-Id"] for subject, _, headers in stage.requests if subject.endswith("policy.set")]
    assert ids == ["id-1", "id-1-1"]
    assert "      // nobody\n      ^" in result.stderr
    assert drafts(tmp_path) == []


@pytest.mark.parametrize("said", ["n\n", ""])
def test_who_gives_up_keeps_the_text(stage: Stage, tmp_path: Path, said: str) -> None:
    stage.answers("policy.set", saying(REFUSED, "line 2, column 3: there is no tag"))
    result = edit(stage, tmp_path, OTHER, said=said)
    assert result.exit_code == 5
    (draft,) = drafts(tmp_path)
    assert draft.read_text() == OTHER
    assert f"your text is kept in {draft}" in result.stderr
    assert result.stderr.count("there is no tag") == 1
    assert stat.S_IMODE(draft.stat().st_mode) == 0o600


def test_who_was_overtaken_keeps_the_text(stage: Stage, tmp_path: Path) -> None:
    stage.answers("policy.set", refused(409, "policy.changed"))
    result = edit(stage, tmp_path, OTHER, said="y\n")
    (draft,) = drafts(tmp_path)
    assert (result.exit_code, draft.read_text()) == (5, OTHER)
    assert f"netmap policy diff --file {draft}" in result.stderr
    assert len(sent(stage, "policy.set")) == 1


def test_an_unknown_outcome_keeps_the_text(stage: Stage, tmp_path: Path) -> None:
    stage.answers("policy.set", refused(504, "command.unknown"))
    result = edit(stage, tmp_path, OTHER)
    assert result.exit_code == 7
    assert [draft.read_text() for draft in drafts(tmp_path)] == [OTHER]


def test_an_editor_that_fails_keeps_the_text(stage: Stage, tmp_path: Path) -> None:
    result = edit(
        stage, tmp_path, "one", words=("--quiet",)
    )  # an only turn; the text is no policy, but it is set
    assert result.exit_code == 0
    (tmp_path / "drafts").mkdir(exist_ok=True)
    import tempfile

    before, tempfile.tempdir = tempfile.tempdir, str(tmp_path / "drafts")
    try:
        failed = run(stage, "edit", VISUAL="false")
    finally:
        tempfile.tempdir = before
    assert failed.exit_code == 1
    assert [draft.read_text() for draft in drafts(tmp_path)] == [TEXT]
