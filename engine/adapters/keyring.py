"""Secrets in files: the keys of the control protocol and of checkpoints, and a pepper for what is derived.

Rule 1: a file holds 32 octets as 64 hex digits and a line end; its mode is 0600, else it is refused.
Rule 2: a missing file is made: written aside, synced, then linked to its name, so that it is whole or not there, and of
        two processes that make it at once both end with the same one.
Rule 3: no secret in a `repr`, an error or a log.
"""

import hmac
import os
import secrets
import stat
from pathlib import Path
from typing import Final

from engine.ports import Fault

NOISE: Final = "noise.key"
PEPPER: Final = "pepper.key"
CHECKPOINT: Final = "checkpoint.key"
OCTETS: Final = 32

_OTHERS: Final = stat.S_IRWXG | stat.S_IRWXO
_LINE: Final = 2 * OCTETS + 1


class FileKeyRing:
    """A `KeyRing` over a folder, which is made (mode 0700) if it is missing.

    Raises:
        Fault: a file is readable by others, does not hold a key, or cannot be read or made.
    """

    def __init__(self, directory: Path | str) -> None:
        self._folder = folder = Path(directory)
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._noise = _load(folder / NOISE)
            self._pepper = _load(folder / PEPPER)
        except OSError as error:
            raise Fault(f"the keys in {folder} cannot be read: {error.strerror}") from None

    def __repr__(self) -> str:
        return "FileKeyRing(…)"

    def noise_private(self) -> bytes:
        """Return the 32 octets of the control protocol's machine key."""
        return self._noise

    def checkpoint_private(self) -> bytes:
        """Return the 32 octets of the Ed25519 key that signs checkpoints of the log; made when first asked for.

        Raises:
            Fault: as for the others.
        """
        try:
            return _load(self._folder / CHECKPOINT)
        except OSError as error:
            raise Fault(f"the keys in {self._folder} cannot be read: {error.strerror}") from None

    def derive(self, purpose: str, subject: str) -> str:
        """Return 32 hex digits that only this ring can know, the same for the same arguments."""
        return derive(self._pepper, purpose, subject)


def derive(pepper: bytes, purpose: str, subject: str) -> str:
    """Return half of HMAC-SHA256(pepper, u32 length ‖ purpose ‖ subject), as 32 hex digits."""
    name = purpose.encode()
    text = len(name).to_bytes(4) + name + subject.encode()
    return hmac.digest(pepper, text, "sha256").hex()[:32]


def _load(path: Path) -> bytes:
    if not path.exists():
        _make(path)
    with path.open("rb") as file:
        if stat.S_IMODE(os.fstat(file.fileno()).st_mode) & _OTHERS:
            raise Fault(f"{path} is open to others: make its mode 0600")
        text = file.read(_LINE + 1)
    try:
        key = bytes.fromhex(text.decode("ascii"))
    except ValueError:
        key = b""
    if len(key) != OCTETS:
        raise Fault(f"{path} does not hold a key")
    return key


def _make(path: Path) -> None:
    """Write a fresh key to the path, unless somebody else has meanwhile (rule 2)."""
    aside = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    descriptor = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(secrets.token_bytes(OCTETS).hex().encode() + b"\n")
            file.flush()
            os.fsync(file.fileno())
        try:
            path.hardlink_to(aside)
        except FileExistsError:
            return
    finally:
        aside.unlink()
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
