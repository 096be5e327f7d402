"""A backup that was changed is refused at its first bad record; one that holds tells what it is."""

import random
import zipfile
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from eventsourcing.persistence import Notification

from engine.adapters.store.archive import (
    MANIFEST,
    NOTES,
    RECORDS,
    Backup,
    BadBackupError,
    BrokenError,
    Until,
    whole_commands,
)
from engine.adapters.store.backup import Extras, Source, write
from engine.adapters.store.codec import Codec
from engine.domain.values import DEFAULT_TAILNET, Millis, Position, TailnetName
from engine.ports import Fault
from tests.contract.restore_suite import HOLES, kept, log_of, note_at


@pytest.fixture
def path(tmp_path: Path) -> Path:
    rows = log_of()
    return kept(tmp_path / "a.zip", rows, None, note_at(rows, 3), note_at(rows, 9))


def checked(path: Path) -> None:
    with Backup(path) as backup:
        backup.check(Codec(DEFAULT_TAILNET))


def changed(path: Path, name: str, change: Callable[[bytes], bytes]) -> Path:
    """The archive with one entry changed, as somebody does who knows the format: sums and all."""
    new = path.with_name("changed.zip")
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(new, "w") as made:
        for entry in old.namelist():
            octets = old.read(entry)
            made.writestr(entry, change(octets) if entry == name else octets)
    return new


def without(number: int) -> Callable[[bytes], bytes]:
    def change(octets: bytes) -> bytes:
        lines = octets.splitlines(keepends=True)
        return b"".join(lines[:number] + lines[number + 1 :])

    return change


def test_it_tells_what_is_in_it(path: Path) -> None:
    checked(path)
    with Backup(path) as backup:
        manifest = backup.manifest
        assert list(backup.rows()) == log_of()
        assert backup.notes() == (note_at(log_of(), 3), note_at(log_of(), 9))
    assert (manifest.epoch, manifest.records, manifest.position, manifest.at) == ("old", 9, HOLES[-1], 4_000)
    assert manifest.checkpoint == note_at(log_of(), 9)
    assert path.stat().st_mode & 0o777 == 0o600
    assert [file.name for file in path.parent.iterdir()] == ["a.zip"]


def test_keys_are_in_it_when_they_were_given(tmp_path: Path) -> None:
    source = Source(DEFAULT_TAILNET, log_of(), extras=Extras(keys={"noise.key": b"secret"}))
    manifest = write(tmp_path / "a", source, Millis(1))
    assert manifest.keys == ("noise.key",)
    with Backup(tmp_path / "a") as backup:
        assert backup.keys() == {"noise.key": b"secret"}
    assert b"secret" not in msgspec.json.encode(manifest)


def test_a_file_that_is_there_is_not_written_over(path: Path) -> None:
    before = path.read_bytes()
    with pytest.raises(Fault, match="there already"):
        kept(path, log_of())
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    ("change", "at"),
    [
        (lambda octets: octets.replace(b"anna-2", b"anna-X"), 8),
        (lambda octets: octets.replace("ünïcode".encode(), b"unicode", 1), 2),
        (without(4), 20),
        (without(0), 2),
        (lambda octets: octets.replace(b'"position":8,', b'"position":7,'), 7),
        (lambda octets: octets.replace(b'"position":1000001,', b'"position":20,'), 20),
        (without(8), 1_000_001),
    ],
)
def test_a_changed_backup_is_refused_at_its_first_bad_record(
    path: Path, change: Callable[[bytes], bytes], at: int
) -> None:
    with pytest.raises(BrokenError) as broken:
        checked(changed(path, RECORDS, change))
    assert broken.value.broken.at == at


def test_moved_positions_are_found_by_checkpoint_or_manifest(path: Path) -> None:
    moved = changed(
        path, RECORDS, lambda octets: octets.replace(b'"position":1000001,', b'"position":1000002,')
    )
    with pytest.raises(BrokenError, match="1000001"):
        checked(moved)
    bare = changed(moved.rename(path), NOTES, lambda _: b"")
    with pytest.raises(BadBackupError, match="manifest says position"):
        checked(bare)


def test_a_changed_last_record_is_found_without_a_successor(path: Path) -> None:
    def change(octets: bytes) -> bytes:
        before, _, after = octets.rpartition(b"operator")
        return before + b"mallory_" + after

    bad = changed(path, RECORDS, change)
    with pytest.raises(BrokenError, match="not the record that was known here"):
        checked(bad)
    with pytest.raises(BadBackupError, match="manifest says digest"):
        checked(changed(bad.rename(path), NOTES, lambda _: b""))


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        (b'"records": 9', b'"records": 8', "manifest says records"),
        (b'"epoch": "old"', b'"epoch": "new"', "manifest says epoch"),
        (b"backup/1", b"backup/2", "version knows"),
    ],
)
def test_a_manifest_that_says_something_else_is_refused(
    path: Path, old: bytes, new: bytes, told: str
) -> None:
    with pytest.raises(BadBackupError, match=told):
        checked(changed(path, MANIFEST, lambda octets: octets.replace(old, new)))


def test_a_flipped_octet_is_refused_or_changes_nothing(path: Path) -> None:
    whole, source = path.read_bytes(), random.Random(7)
    refused = 0
    for index in source.sample(range(len(whole)), 300):
        octets = bytearray(whole)
        octets[index] ^= 1 << source.randrange(8)
        path.write_bytes(octets)
        try:
            checked(path)
            with Backup(path) as backup:
                assert list(backup.rows()) == log_of()
        except (BadBackupError, BrokenError):
            refused += 1
    assert refused > 150


@pytest.mark.parametrize("octets", [b"", b"PK", b"x" * 1000])
def test_what_is_no_backup_is_refused(tmp_path: Path, octets: bytes) -> None:
    (tmp_path / "a").write_bytes(octets)
    with pytest.raises(BadBackupError, match="no backup"):
        Backup(tmp_path / "a")
    with pytest.raises(BadBackupError, match="no backup"):
        Backup(tmp_path / "none")


def test_another_zip_and_a_huge_manifest_are_refused(path: Path) -> None:
    with zipfile.ZipFile(path.with_name("b"), "w") as made:
        made.writestr("x", "y")
    with pytest.raises(BadBackupError, match=r"no manifest\.json"):
        Backup(path.with_name("b"))
    with pytest.raises(BadBackupError, match="larger than"):
        Backup(changed(path, MANIFEST, lambda octets: octets + b" " * 100_000))


@pytest.mark.parametrize("position", [b"0", b"-1", b"4611686018427387905", b"9" * 40, b'"x"'])
def test_a_position_that_no_database_has_is_refused(path: Path, position: bytes) -> None:
    bad = changed(
        path, RECORDS, lambda octets: octets.replace(b'"position":1000001', b'"position":' + position)
    )
    with pytest.raises(BadBackupError, match="cannot be read after the record at 1000000"):
        checked(bad)


def test_a_record_that_this_version_does_not_know_is_named(tmp_path: Path) -> None:
    [first, *_] = log_of()
    strange = Notification(first.originator_id, 1, "Unheard.v9", first.state, id=1)
    path = kept(tmp_path / "a", [strange])  # it is kept all the same
    with pytest.raises(Fault, match=r"Unheard\.v9"):
        checked(path)


def test_another_tailnet_is_named(path: Path) -> None:
    with Backup(path) as backup, pytest.raises(Fault, match="another tailnet"):
        backup.check(Codec(TailnetName("other")))


def test_a_log_that_does_not_hold_is_not_kept(tmp_path: Path) -> None:
    rows = log_of()
    for given, notes in ((rows[:4] + rows[5:], ()), (rows[:-1], (note_at(rows, 9),))):
        with pytest.raises(BrokenError):
            kept(tmp_path / "a", given, None, *notes)
    assert list(tmp_path.iterdir()) == []


def test_nothing_and_another_tailnet_are_not_kept(tmp_path: Path) -> None:
    with pytest.raises(Fault, match="no record to keep"):
        kept(tmp_path / "a", log_of(), Until(position=Position(0)))
    with pytest.raises(Fault, match="record at 1 is not of the tailnet other"):
        write(tmp_path / "a", Source("other", log_of()), Millis(1))
    assert list(tmp_path.iterdir()) == []


def test_a_copy_of_a_moment_leaves_later_checkpoints_out(tmp_path: Path) -> None:
    rows = log_of()
    notes = (note_at(rows, 3), note_at(rows, 9))
    path = kept(tmp_path / "a", rows, Until(position=Position(20)), *notes)
    with Backup(path) as backup:
        assert backup.notes() == notes[:1]
        assert backup.manifest.checkpoint == notes[0]
        assert backup.manifest.position == 8


@pytest.mark.parametrize("last", range(1, 10))
def test_a_command_is_never_cut(last: int) -> None:
    rows = log_of()
    position = Position(rows[last - 1].id)
    found = list(whole_commands(rows, Until(position=position)))
    assert found == rows[: last if last % 2 else last - 1]
