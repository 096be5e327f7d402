"""Blobs in the files of a folder, or in memory.

Rule 1: a file is written aside and renamed: whoever reads it sees all of it. It is not synced: what a crash of the machine
        damages is found by who reads it, and made again.
Rule 2: only files of the shelf's own suffix are its own: others are never read nor removed.
Rule 3: files are for their owner only.
"""

import contextlib
import os
import re
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from engine.ports import Fault

_NAME: Final = re.compile(r"[0-9a-z-]{1,64}", re.ASCII)
_ASIDE: Final = ".aside"


class FileShelf:
    """A `Shelf` over a folder, which is made (mode 0700) when something is put there first; `suffix` as `.moment`."""

    def __init__(self, folder: Path, suffix: str) -> None:
        self._folder = folder
        self._suffix = suffix

    def names(self) -> Mapping[str, int]:
        """Return what is there; see `Shelf.names`. What was left half written is removed."""
        found: dict[str, int] = {}
        try:
            with os.scandir(self._folder) as entries:
                for entry in entries:
                    name = entry.name.removesuffix(self._suffix)
                    if entry.name.endswith(self._suffix + _ASIDE):
                        _remove(Path(entry.path))
                    elif name != entry.name and _NAME.fullmatch(name):
                        with contextlib.suppress(FileNotFoundError):  # another process has just dropped it
                            found[name] = entry.stat(follow_symlinks=False).st_size
        except FileNotFoundError:
            return {}
        except OSError as error:
            raise Fault(f"{self._folder} cannot be read: {error.strerror}") from None
        return found

    def put(self, name: str, data: bytes) -> None:
        """Keep the blob; see `Shelf.put`."""
        path = self._path(name)
        aside = path.with_name(f"{name}-{secrets.token_hex(4)}{self._suffix}{_ASIDE}")
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            with os.fdopen(os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
                file.write(data)
            aside.replace(path)
        except OSError as error:
            _remove(aside)
            raise Fault(f"{path} cannot be written: {error.strerror}") from None

    def get(self, name: str) -> bytes | None:
        """Return the blob; see `Shelf.get`."""
        try:
            return self._path(name).read_bytes()
        except OSError:
            return None

    def drop(self, name: str) -> None:
        """Let go of the blob; see `Shelf.drop`."""
        _remove(self._path(name))

    def _path(self, name: str) -> Path:
        if not _NAME.fullmatch(name):
            raise ValueError(f"{name!r} is not a name of a shelf")
        return self._folder / f"{name}{self._suffix}"


class MemoryShelf:
    """A `Shelf` in memory."""

    def __init__(self) -> None:
        self.held: dict[str, bytes] = {}

    def names(self) -> Mapping[str, int]:
        """Return what is there."""
        return {name: len(data) for name, data in self.held.items()}

    def put(self, name: str, data: bytes) -> None:
        """Keep the blob."""
        if not _NAME.fullmatch(name):
            raise ValueError(f"{name!r} is not a name of a shelf")
        self.held[name] = data

    def get(self, name: str) -> bytes | None:
        """Return the blob."""
        return self.held.get(name)

    def drop(self, name: str) -> None:
        """Let go of the blob."""
        self.held.pop(name, None)


def _remove(path: Path) -> None:
    with contextlib.suppress(OSError):
        path.unlink()
