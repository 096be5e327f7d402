"""`netmap events verify|prove|check-proof`: what is said of a log that holds, and of one that does not."""

import asyncio
import json
from pathlib import Path

import pytest

from tests.kit.stored_log import LENGTH, SIGNER, STEPS, Stored, written
from tests.unit.cli.stage import Stage

KEY = str(SIGNER.verifier)


@pytest.fixture
def whole(tmp_path: Path) -> Stored:
    stored = asyncio.run(written(tmp_path / "events.db"))
    (tmp_path / "kept").write_text("\n".join(map(SIGNER.note, stored.known)))
    return stored


def words(stored: Stored, *more: str) -> list[str]:
    folder = stored.path.parent
    return ["--dir", str(folder), *more]


def test_a_log_that_holds(whole: Stored, tmp_path: Path) -> None:
    given = ("--checkpoints", str(tmp_path / "kept"), "--key", KEY, "--offline", "-o", "json")
    done = Stage().run("events", "verify", *words(whole, *given))
    assert done.exit_code == 0, done.output
    said = json.loads(done.stdout)
    assert (said["holds"], said["records"], said["checkpoints"], said["signed"]) == (
        True,
        LENGTH,
        len(STEPS),
        len(STEPS),
    )


def test_the_engine_is_asked_what_it_knows(whole: Stored) -> None:
    stage = Stage()
    stage.answers("log.checkpoint", {"note": SIGNER.note(whole.known[-1]), "key": KEY})
    done = stage.run("events", "verify", *words(whole, "--key", KEY))
    assert done.exit_code == 0, done.output
    whole.change(lambda connection: connection.execute(f"DELETE FROM stored_events WHERE rowid = {LENGTH}"))
    done = stage.run("events", "verify", *words(whole, "--key", KEY))
    assert done.exit_code == 1
    assert f"at position {LENGTH}, the record that was known here is gone" in done.stderr


def test_a_log_that_was_changed_ends_with_1_and_says_where(whole: Stored, tmp_path: Path) -> None:
    whole.change(lambda connection: connection.execute("DELETE FROM stored_events WHERE rowid = 120"))
    given = ("--checkpoints", str(tmp_path / "kept"), "--offline", "-o", "json")
    done = Stage().run("events", "verify", *words(whole, *given))
    assert done.exit_code == 1
    assert json.loads(done.stdout)["broken"] == {
        "after": 119,
        "position": 121,
        "why": "does not follow the record before it",
    }


def test_a_forged_checkpoint_is_told_from_a_broken_log(whole: Stored, tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    kept.write_text(kept.read_text().replace(f"\n{STEPS[0]}\n", f"\n{STEPS[0] + 1}\n"))
    given = ("--checkpoints", str(kept), "--key", KEY, "--offline")
    done = Stage().run("events", "verify", *words(whole, *given))
    assert done.exit_code == 1
    assert "checkpoint.bad" in done.stderr


def test_without_anything_known_it_says_what_cannot_be_seen(whole: Stored) -> None:
    done = Stage().run("events", "verify", *words(whole, "--offline"))
    assert done.exit_code == 0
    assert "its end was cut off would not be seen" in done.stderr


def test_a_proof_is_checked_without_a_server(whole: Stored, tmp_path: Path) -> None:
    done = Stage().run("events", "prove", "7", *words(whole, "--checkpoint", str(tmp_path / "kept")))
    assert done.exit_code == 0, done.output
    (tmp_path / "proof").write_text(done.stdout)
    silent = Stage()
    silent.silent = True
    checked = silent.run("events", "check-proof", str(tmp_path / "proof"), "--key", KEY, "-o", "json")
    assert checked.exit_code == 0, checked.output
    said = json.loads(checked.stdout)
    assert (said["position"], said["of"], said["signed"]) == (7, "default/user/7", True)
    (tmp_path / "proof").write_text(done.stdout.replace("anna", "eve!"))
    assert silent.run("events", "check-proof", str(tmp_path / "proof"), "--key", KEY).exit_code == 1


def test_a_record_that_is_not_there_is_not_found(whole: Stored, tmp_path: Path) -> None:
    done = Stage().run("events", "prove", "9999", *words(whole, "--checkpoint", str(tmp_path / "kept")))
    assert done.exit_code == 4


@pytest.mark.parametrize(
    "given", [("--key", "x"), ("--checkpoints", "/no/such/file"), ("--checkpoints", "/dev/null")]
)
def test_what_cannot_be_read_is_named(whole: Stored, given: tuple[str, ...]) -> None:
    done = Stage().run("events", "verify", *words(whole, *given, "--offline"))
    assert done.exit_code == 2
    assert "error" in done.stderr
