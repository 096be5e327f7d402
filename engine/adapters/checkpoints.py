"""Checkpoints in a file: signed notes, one after the other, each followed by an empty line.

Rule 1: the file only grows, and is synced before `add` returns.
Rule 2: a note that was cut off by a crash is ended by an empty line before the next one; readers pass over it.
"""

import os
from pathlib import Path

from engine.ports import Fault


class FileCheckpoints:
    """A `CheckpointFile` at a path, whose folder must exist."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._is_new = True

    def add(self, note: str) -> None:
        """Append the note; see `CheckpointFile.add`."""
        try:
            descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
            with os.fdopen(descriptor, "ab") as file:
                before = "\n\n" if self._is_new and file.tell() else ""
                file.write(f"{before}{note}\n".encode())
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise Fault(f"the checkpoints in {self._path} cannot be written: {error.strerror}") from None
        self._is_new = False


class MemoryCheckpoints:
    """A `CheckpointFile` in memory."""

    def __init__(self) -> None:
        self.notes: list[str] = []

    def add(self, note: str) -> None:
        """Keep the note."""
        self.notes.append(note)
