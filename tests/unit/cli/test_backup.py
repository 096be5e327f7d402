"""`netmap backup` and `netmap restore`: what they write, refuse and say."""

import asyncio
import json
import zipfile
from pathlib import Path

import pytest

from engine.adapters.keyring import FileKeyRing
from engine.adapters.store.archive import Backup
from tests.contract.restore_suite import stored
from tests.kit.stored_log import LENGTH, SIGNER, STEPS, Stored, written
from tests.unit.cli.stage import NOW, Stage


@pytest.fixture
def whole(tmp_path: Path) -> Stored:
    (tmp_path / "old").mkdir()
    log = asyncio.run(written(tmp_path / "old" / "events.db"))
    (tmp_path / "old" / "checkpoints").write_text("\n".join(map(SIGNER.note, log.known)))
    FileKeyRing(tmp_path / "old" / "keys").checkpoint_private()
    return log


def kept(whole: Stored, target: Path, *more: str) -> dict[str, object]:
    done = Stage().run(
        "backup", str(target), "--dir", str(whole.path.parent), "--offline", "-o", "json", *more
    )
    assert done.exit_code == 0, done.output
    said: dict[str, object] = json.loads(done.stdout)
    return said


def test_a_log_is_kept_under_a_name_with_the_time_and_comes_back(whole: Stored, tmp_path: Path) -> None:
    said = kept(whole, tmp_path)
    assert Path(str(said["file"])).name == "netmap-default-20270115T080000Z.zip"
    assert (said["records"], said["position"], said["checkpoint"], said["keys"]) == (LENGTH, LENGTH, True, [])
    words = ("--dir", str(tmp_path / "new"), "--reason", "drill", "--id", "r-1")
    done = Stage().run("restore", str(said["file"]), *words, "-o", "json")
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["position"] == LENGTH + 1
    assert "the keys were not in the backup" in done.stderr
    rows = stored(f"sqlite://{tmp_path}/new/events.db")
    assert rows[:-1] == stored(whole.url)
    begun = json.loads(rows[-1].state)
    assert (begun["actor"], begun["reason"], begun["cmd"], begun["at"]) == ("operator", "drill", "r-1", NOW)
    assert (tmp_path / "new").stat().st_mode & 0o777 == 0o700
    verified = Stage().run("events", "verify", "--dir", str(tmp_path / "new"), "--offline", "-o", "json")
    assert json.loads(verified.stdout)["checkpoints"] == len(STEPS)


def test_keys_are_kept_only_when_asked_for_and_come_back_private(whole: Stored, tmp_path: Path) -> None:
    kept(whole, tmp_path / "a.zip")
    with zipfile.ZipFile(tmp_path / "a.zip") as archive:
        assert not [name for name in archive.namelist() if name.startswith("keys")]
    done = Stage().run(
        "backup", str(tmp_path / "b.zip"), "--dir", str(whole.path.parent), "--offline", "--with-keys"
    )
    assert "holds private keys" in done.stderr
    assert (tmp_path / "b.zip").stat().st_mode & 0o777 == 0o600
    again = Stage().run("restore", str(tmp_path / "b.zip"), "--dir", str(tmp_path / "new"))
    assert again.exit_code == 0, again.output
    for key in (whole.path.parent / "keys").iterdir():
        new = tmp_path / "new" / "keys" / key.name
        assert new.read_bytes() == key.read_bytes()
        assert new.stat().st_mode & 0o777 == 0o600
        assert key.read_text().strip() not in done.output + again.output


def test_other_keys_are_not_written_over(whole: Stored, tmp_path: Path) -> None:
    kept(whole, tmp_path / "a.zip", "--with-keys")
    ring = FileKeyRing(tmp_path / "new" / "keys").noise_private()
    done = Stage().run("restore", str(tmp_path / "a.zip"), "--dir", str(tmp_path / "new"))
    assert (done.exit_code, "restore.other_key" in done.stderr) == (5, True)
    assert FileKeyRing(tmp_path / "new" / "keys").noise_private() == ring
    assert not (tmp_path / "new" / "events.db").exists()


def test_a_second_restore_is_refused_and_touches_nothing(whole: Stored, tmp_path: Path) -> None:
    kept(whole, tmp_path / "a.zip", "--with-keys")
    words = ("restore", str(tmp_path / "a.zip"), "--dir", str(tmp_path / "new"))
    assert Stage().run(*words).exit_code == 0
    before = stored(f"sqlite://{tmp_path}/new/events.db")
    again = Stage().run(*words)
    assert (again.exit_code, "records already" in again.stderr) == (5, True)
    assert stored(f"sqlite://{tmp_path}/new/events.db") == before
    assert not (tmp_path / "new" / "checkpoints.1").exists()


def test_checkpoints_of_another_history_are_moved_aside(whole: Stored, tmp_path: Path) -> None:
    kept(whole, tmp_path / "a.zip")
    (tmp_path / "new").mkdir()
    (tmp_path / "new" / "checkpoints").write_text("of another\n")
    done = Stage().run("restore", str(tmp_path / "a.zip"), "--dir", str(tmp_path / "new"))
    assert done.exit_code == 0, done.output
    assert (tmp_path / "new" / "checkpoints.1").read_text() == "of another\n"
    assert SIGNER.verifier.name in (tmp_path / "new" / "checkpoints").read_text()


@pytest.mark.parametrize(
    ("at", "position"),
    [("120", 120), ("-20w", 300), ("1970-01-01T00:00:00.150Z", 150), ("1970-01-01T01:00:00.15+01:00", 150)],
)
def test_a_moment_is_a_position_an_age_or_a_time(
    whole: Stored, tmp_path: Path, at: str, position: int
) -> None:
    assert kept(whole, tmp_path / "a.zip", "--at", at)["position"] == position
    kept(whole, tmp_path / "b.zip")
    done = Stage().run(
        "restore", str(tmp_path / "b.zip"), "--dir", str(tmp_path / "new"), "--at", at, "-o", "json"
    )
    assert json.loads(done.stdout)["position"] == position + 1
    verified = Stage().run("events", "verify", "--dir", str(tmp_path / "new"), "--offline")
    assert verified.exit_code == 0, verified.output


@pytest.mark.parametrize("at", ["yesterday", "2026-11-23T12:00:00", "-", "2h"])
def test_what_is_no_moment_is_named(whole: Stored, tmp_path: Path, at: str) -> None:
    done = Stage().run("backup", str(tmp_path / "a.zip"), "--dir", str(whole.path.parent), f"--at={at}")
    assert (done.exit_code, repr(at) in done.stderr) == (2, True)


def test_a_broken_log_and_a_broken_backup_end_with_1(whole: Stored, tmp_path: Path) -> None:
    kept(whole, tmp_path / "a.zip")
    whole.change(lambda connection: connection.execute("DELETE FROM stored_events WHERE rowid = 120"))
    done = Stage().run("backup", str(tmp_path / "b.zip"), "--dir", str(whole.path.parent), "--offline")
    assert (done.exit_code, "log.broken" in done.stderr) == (1, True)
    assert not (tmp_path / "b.zip").exists()
    octets = bytearray((tmp_path / "a.zip").read_bytes())
    octets[2_000] ^= 1
    (tmp_path / "a.zip").write_bytes(octets)
    done = Stage().run("restore", str(tmp_path / "a.zip"), "--dir", str(tmp_path / "new"))
    assert (done.exit_code, "backup.b" in done.stderr) == (1, True)
    assert not (tmp_path / "new").exists()


def test_a_log_whose_end_was_cut_off_is_not_kept(whole: Stored, tmp_path: Path) -> None:
    whole.change(lambda connection: connection.execute("DELETE FROM stored_events WHERE rowid > 250"))
    done = Stage().run("backup", str(tmp_path / "b.zip"), "--dir", str(whole.path.parent), "--offline")
    assert (done.exit_code, f"at position {LENGTH}" in done.stderr) == (1, True)
    assert kept(whole, tmp_path / "c.zip", "--at", "250")["position"] == 250


def test_the_engine_is_asked_for_a_checkpoint(whole: Stored, tmp_path: Path) -> None:
    (whole.path.parent / "checkpoints").unlink()
    stage = Stage()
    note = SIGNER.note(whole.known[-1])
    stage.answers("log.checkpoint", {"note": note, "key": str(SIGNER.verifier)})
    done = stage.run("backup", str(tmp_path / "a.zip"), "--dir", str(whole.path.parent))
    assert done.exit_code == 0, done.output
    with Backup(tmp_path / "a.zip") as backup:
        assert backup.manifest.checkpoint == note


def test_another_tailnet_is_refused(whole: Stored, tmp_path: Path) -> None:
    kept(whole, tmp_path / "a.zip")
    done = Stage().run(
        "restore", str(tmp_path / "a.zip"), "--dir", str(tmp_path / "new"), "--tailnet", "other"
    )
    assert done.exit_code == 2
    assert "default" in done.stderr


def test_strict_refuses_to_restore_without_keys(whole: Stored, tmp_path: Path) -> None:
    kept(whole, tmp_path / "a.zip")
    done = Stage().run("restore", str(tmp_path / "a.zip"), "--dir", str(tmp_path / "new"), "--strict")
    assert (done.exit_code, "strict" in done.stderr) == (5, True)
    assert not (tmp_path / "new").exists()


def test_a_directory_with_any_name_and_a_file_that_is_not_there(whole: Stored, tmp_path: Path) -> None:
    kept(whole, tmp_path / "a.zip")
    done = Stage().run("restore", str(tmp_path / "a.zip"), "--dir", str(tmp_path / "new b"))
    assert done.exit_code == 0, done.output
    assert f"netmap serve --dir '{tmp_path}/new b'" in done.stderr
    gone = Stage().run("restore", str(tmp_path / "none.zip"), "--dir", str(tmp_path / "new"))
    assert (gone.exit_code, "none.zip" in gone.stderr) == (2, True)
