"""Secrets in files: the keys of the control protocol and of checkpoints, and a pepper for what is derived.

Rule 1: a file holds 32 octets as 64 hex digits and a line end; its mode is 0600, else it is refused.
Rule 2: a missing file is made: written aside, synced, then linked to its name, so that it is whole or not there, and of
        two processes that make it at once both end with the same one.
Rule 3: no secret in a `repr`, an error or a log.
Rule 4: what is sealed is `sealed:v1:` and base64url of 12 random octets and ChaCha20-Poly1305's text and tag (RFC 8439). Its key is
        HMAC-SHA256(pepper, "netmap seal v1"): no file of its own, since engines that share a pepper must share it. The
        purpose is authenticated with the text.
"""

import base64
import binascii
import hmac
import os
import secrets
import stat
from pathlib import Path
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

from engine.ports import Fault, Unsealable

NOISE: Final = "noise.key"
PEPPER: Final = "pepper.key"
CHECKPOINT: Final = "checkpoint.key"
OCTETS: Final = 32
SEALED: Final = "sealed:v1:"
NONCE: Final = 12
"""Octets: random ones may repeat by 2^48 texts under one key, which nobody will seal."""

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

    def seal(self, purpose: str, text: str) -> str:
        """Return the text as nobody without this ring can read or change it (rule 4)."""
        return seal(self._pepper, purpose, text, secrets.token_bytes(NONCE))

    def unseal(self, purpose: str, sealed: str) -> str:
        """Return the text that was sealed for this purpose.

        Raises:
            Unsealable: it is not this ring's, or was changed, or sealed for something else.
        """
        return unseal(self._pepper, purpose, sealed)


def derive(pepper: bytes, purpose: str, subject: str) -> str:
    """Return half of HMAC-SHA256(pepper, u32 length ‖ purpose ‖ subject), as 32 hex digits."""
    name = purpose.encode()
    text = len(name).to_bytes(4) + name + subject.encode()
    return hmac.digest(pepper, text, "sha256").hex()[:32]


def seal(pepper: bytes, purpose: str, text: str, nonce: bytes) -> str:
    """Return the text sealed (rule 4); the 12 octets of the nonce must never come twice."""
    closed = _cipher(pepper).encrypt(nonce, text.encode(), purpose.encode())
    return SEALED + base64.urlsafe_b64encode(nonce + closed).decode("ascii")


def unseal(pepper: bytes, purpose: str, sealed: str) -> str:
    """Return what was sealed.

    Raises:
        Unsealable: see `KeyRing.unseal`.
    """
    try:
        octets = base64.b64decode(sealed.removeprefix(SEALED), altchars=b"-_", validate=True)
        opened = _cipher(pepper).decrypt(octets[:NONCE], octets[NONCE:], purpose.encode())
    except (InvalidTag, ValueError, binascii.Error):
        raise Unsealable("a sealed text is not of this key ring") from None
    return opened.decode()


def _cipher(pepper: bytes) -> ChaCha20Poly1305:
    return ChaCha20Poly1305(hmac.digest(pepper, b"netmap seal v1", "sha256"))


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
