"""Checkpoints in a file: kept after a crash in the middle of a write, too."""

from pathlib import Path

import pytest

from engine.adapters.checkpoints import FileCheckpoints
from engine.contracts.checkpoint import Checkpoint, Signer, notes_in
from engine.domain.values import Position
from engine.ports import Fault

SIGNER = Signer("a", bytes(32))


def note(size: int) -> str:
    checkpoint = Checkpoint(origin="a", size=size, root=bytes(32), position=Position(size), digest="ab" * 32)
    return SIGNER.note(checkpoint)


def test_notes_are_kept_in_order_over_restarts(tmp_path: Path) -> None:
    path = tmp_path / "checkpoints"
    first = FileCheckpoints(path)
    first.add(note(1))
    first.add(note(2))
    FileCheckpoints(path).add(note(3))
    assert list(notes_in(path.read_text())) == [note(1), note(2), note(3)]


def test_a_note_that_was_cut_off_spoils_no_other(tmp_path: Path) -> None:
    path = tmp_path / "checkpoints"
    FileCheckpoints(path).add(note(1))
    whole = path.read_text()
    for cut in range(len(note(2))):
        path.write_text(whole + note(2)[:cut])
        FileCheckpoints(path).add(note(3))
        found = list(notes_in(path.read_text()))
        assert (found[0], found[-1]) == (note(1), note(3)), cut


def test_a_file_that_cannot_be_written_is_a_fault(tmp_path: Path) -> None:
    with pytest.raises(Fault):
        FileCheckpoints(tmp_path / "no" / "folder").add(note(1))
