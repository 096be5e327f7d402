"""Checkpoints: what the log was at some moment, signed, in a text that may be kept anywhere.

The text is a checkpoint of the transparency-log world (https://c2sp.org/tlog-checkpoint) in a signed note
(https://c2sp.org/signed-note), so that tools and witnesses for those can read it:

    netmap-engine/<tailnet>/<epoch>
    <number of records>
    <root of the Merkle tree, base64>
    head <position> <digest of the last record, hex>

    — <name> <base64 of 4 octets that name the key, and the Ed25519 signature>

Rule 1: what is signed is the text up to and with the line end before the empty line.
Rule 2: a signature by an unknown key is passed over; one by a known key that is wrong spoils the note.
"""

import base64
import binascii
import hashlib
import re
from collections.abc import Iterable, Iterator
from typing import Final, Self

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from engine.domain.values import Epoch, Position, TailnetName

ORIGIN: Final = "netmap-engine"
MAX_TEXT: Final = 16_384
"""Octets of one note that is read."""
_ED25519: Final = b"\x01"
"""The signature type (signed-note, "Signature types")."""
_ID: Final = 4
_ROOT: Final = 32
_TEXT: Final = re.compile(
    r"(?P<origin>[^\s+]{1,256})\n(?P<size>0|[1-9]\d{0,17})\n(?P<root>[A-Za-z0-9+/]{43}=)\n"
    r"head (?P<position>0|[1-9]\d{0,17}) (?P<digest>[0-9a-f]{64}|-)\n"
)
_SIGNATURE: Final = re.compile(
    r"\N{EM DASH} (?P<name>[^\s+]{1,256}) (?P<signature>[A-Za-z0-9+/]{4,1024}={0,2})\n"
)
_NOTE: Final = re.compile(r"(?:[^\n]+\n){4}\n(?:\N{EM DASH} [^\n]+\n)+")


class BadNoteError(ValueError):
    """A text is no checkpoint, or its signature is not that of the key."""


class Checkpoint(msgspec.Struct, frozen=True, kw_only=True):
    """What the log was: so many records, with this root; the last one and its digest (hex, empty without records)."""

    origin: str
    size: int
    root: bytes
    position: Position
    digest: str

    @property
    def text(self) -> str:
        """What is signed."""
        root = base64.b64encode(self.root).decode()
        return f"{self.origin}\n{self.size}\n{root}\nhead {self.position} {self.digest or '-'}\n"


class CheckpointReply(msgspec.Struct, frozen=True, kw_only=True):
    """The answer of `q.log.checkpoint`, which the engine gives: a signed note, and the key as `Verifier` prints it."""

    note: str
    key: str


class Verifier(msgspec.Struct, frozen=True):
    """A public key and its name: what a reader of checkpoints must have from somewhere that it trusts."""

    name: str
    public: bytes

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return the verifier of a text `<name>+<8 hex digits>+<base64>`.

        Raises:
            BadNoteError: it is none.
        """
        name, _, rest = text.strip().partition("+")
        digits, _, octets = rest.partition("+")
        key = _base64(octets)
        found = cls(name, key[1:])
        if not name or key[:1] != _ED25519 or len(found.public) != _ROOT or digits != found.id.hex():
            raise BadNoteError(
                "not a checkpoint key: wanted NAME+8 HEX DIGITS+BASE64, as `netmap events key` prints it"
            )
        return found

    @property
    def id(self) -> bytes:
        """The four octets that name the key in a signature."""
        return hashlib.sha256(self.name.encode() + b"\n" + _ED25519 + self.public).digest()[:_ID]

    def __str__(self) -> str:
        return f"{self.name}+{self.id.hex()}+{base64.b64encode(_ED25519 + self.public).decode()}"


class Signer:
    """A private key (32 octets, Ed25519) and its name."""

    def __init__(self, name: str, private: bytes) -> None:
        self._key = Ed25519PrivateKey.from_private_bytes(private)
        self.verifier: Final = Verifier(name, self._key.public_key().public_bytes_raw())

    def __repr__(self) -> str:
        return f"Signer({self.verifier.name!r}, …)"

    def note(self, checkpoint: Checkpoint) -> str:
        """Return the signed note."""
        text = checkpoint.text
        signature = base64.b64encode(self.verifier.id + self._key.sign(text.encode())).decode()
        return f"{text}\n\N{EM DASH} {self.verifier.name} {signature}\n"


def origin_of(tailnet: TailnetName, epoch: Epoch) -> str:
    """Return the name of a log; it is also the name of the key that signs it."""
    return f"{ORIGIN}/{tailnet}/{epoch}"


def notes_in(text: str) -> Iterator[str]:
    """Yield the notes of a file to which notes are appended, each followed by an empty line or none."""
    return (found[0] for found in _NOTE.finditer(text))


def read(note: str, verifiers: Iterable[Verifier]) -> tuple[Checkpoint, bool]:
    """Return a note's checkpoint, and whether one of the verifiers' keys has signed it.

    Raises:
        BadNoteError: it is none, or a signature is wrong (rule 2).
    """
    text, between, signatures = note.partition("\n\n")
    text += "\n"
    found = _TEXT.fullmatch(text)
    if len(note.encode()) > MAX_TEXT or not between or found is None:
        raise BadNoteError("not a checkpoint")
    checkpoint = Checkpoint(
        origin=found["origin"],
        size=int(found["size"]),
        root=_base64(found["root"]),
        position=Position(int(found["position"])),
        digest="" if found["digest"] == "-" else found["digest"],
    )
    known = {(verifier.name, verifier.id): verifier for verifier in verifiers}
    signed = False
    for line in signatures.splitlines(keepends=True):
        match = _SIGNATURE.fullmatch(line)
        if match is None:
            raise BadNoteError("a signature line of the checkpoint cannot be read")
        octets = _base64(match["signature"])
        verifier = known.get((match["name"], octets[:_ID]))
        if verifier is not None:
            _check(verifier, text, octets[_ID:])
            signed = True
    return checkpoint, signed


def _check(verifier: Verifier, text: str, signature: bytes) -> None:
    try:
        Ed25519PublicKey.from_public_bytes(verifier.public).verify(signature, text.encode())
    except (InvalidSignature, ValueError):
        raise BadNoteError(f"the signature of {verifier.name} is wrong") from None


def _base64(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise BadNoteError("not base64") from None
