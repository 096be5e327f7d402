"""Opening and sealing the personal fields of records: the codec's, over a port of keys.

A sealed record's state says `"sealed":{"by":[7],"text":"<base64>"}`: base64 of 12 random octets, then ChaCha20-Poly1305's text and tag
(RFC 8439) over the JSON of the fields. With one subject the key is the subject's; with several it is SHA-256 of "netmap subjects v1"
and all their keys in order of their ids, so that none of them can be spared.

Rule 1: what is sealed is bound to its record: stream, version and tag are authenticated. A field of another record is refused.
Rule 2: the data beside it hold the tombstone: who has no key reads that, and so does every program that does not know of keys.
Rule 3: whoever has read that a subject is erased opens nothing of it any more, whatever it remembers and whatever the port says:
        the key is destroyed a moment after that record.
Rule 4: a key that is missing is not one that was destroyed: `KeyMissing` stops the reader.
"""

import base64
import binascii
import hashlib
import secrets
from collections.abc import Collection
from typing import Annotated, Final

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

from engine.domain.values import UserId
from engine.keyports import KeyDestroyed, SubjectKeys

NONCE: Final = 12
"""Octets: random ones may repeat after 2^48 records of one subject, which nobody will live to see."""
AHEAD: Final = 512
"""Keys that are made with the one that is wanted, for the users who may come next: so most new users cost no transaction of their own."""
CIPHERS: Final = 4_096
"""Ciphers that are remembered: one is some kilobytes, a key 32 octets."""
_SEVERAL: Final = b"netmap subjects v1"


class Sealed(msgspec.Struct, frozen=True):
    """The personal fields of a record, and under whose keys they are."""

    by: Annotated[tuple[UserId, ...], msgspec.Meta(min_length=1)]
    text: str


class Vault:
    """The keys of one log, as its codec uses them; two threads may.

    Args:
        keys: where they are.
    """

    def __init__(self, keys: SubjectKeys) -> None:
        self._keys = keys
        self._held: dict[UserId, bytes] = {}
        self._ciphers: dict[UserId, ChaCha20Poly1305] = {}
        self._is_loaded = False
        self._gone: set[UserId] = set()

    def prepare(self, subjects: Collection[UserId]) -> None:
        """Make the keys that are missing, durably: before anything that is sealed under them is stored.

        Raises:
            Fault: they cannot be made.
        """
        unknown = {subject for subject in subjects if subject not in self._held}
        if not unknown:
            return
        last = max(unknown)
        try:
            made = self._keys.make(unknown | {UserId(last + number) for number in range(1, AHEAD + 1)})
        except KeyDestroyed:
            made = self._keys.make(unknown)
        self._held |= made

    def sealed(self, subjects: tuple[UserId, ...], fields: bytes, record: bytes) -> Sealed | None:
        """Return the fields sealed, bound to the record; None when a key is destroyed: then only the tombstone may be stored.

        Raises:
            Fault: a key is missing or cannot be read.
        """
        cipher = self._cipher(subjects)
        if cipher is None:
            return None
        nonce = secrets.token_bytes(NONCE)
        text = base64.b64encode(nonce + cipher.encrypt(nonce, fields, record)).decode("ascii")
        return Sealed(subjects, text)

    def opened(self, sealed: Sealed, record: bytes) -> bytes | None:
        """Return what was sealed for the record; None if a subject is erased.

        Raises:
            Fault: a key is missing or cannot be read.
            ValueError: it is another record's, was changed, or the key is another one.
        """
        cipher = self._cipher(sealed.by)
        if cipher is None:
            return None
        try:
            octets = base64.b64decode(sealed.text, validate=True)
            return cipher.decrypt(octets[:NONCE], octets[NONCE:], record)
        except (InvalidTag, binascii.Error, ValueError):
            people = ", ".join(map(str, sealed.by))
            raise ValueError(f"its personal fields do not open with the key of user {people}") from None

    def forget(self, subject: UserId) -> None:
        """Open nothing of the subject any more (rule 3)."""
        self._gone.add(subject)
        self._held.pop(subject, None)
        self._ciphers.pop(subject, None)

    def destroy(self, subjects: Collection[UserId]) -> None:
        """Destroy keys, durably.

        Raises:
            Fault: unknown whether they are destroyed.
        """
        for subject in subjects:
            self.forget(subject)
        self._keys.destroy(subjects)

    def close(self) -> None:
        """Let go of the keys."""
        self._keys.close()

    def _cipher(self, subjects: tuple[UserId, ...]) -> ChaCha20Poly1305 | None:
        """Return the cipher of subjects; None if one of them is erased."""
        if len(subjects) == 1 and (cipher := self._ciphers.get(subjects[0])) is not None:
            return cipher
        keys: list[bytes] = []
        for subject in subjects:
            key = self._key(subject)
            if key is None:
                return None
            keys.append(key)
        if len(keys) == 1:
            return self._remembered(subjects[0], ChaCha20Poly1305(keys[0]))
        return ChaCha20Poly1305(hashlib.sha256(b"".join((_SEVERAL, *keys))).digest())

    def _remembered(self, subject: UserId, cipher: ChaCha20Poly1305) -> ChaCha20Poly1305 | None:
        if len(self._ciphers) >= CIPHERS:
            self._ciphers.clear()
        self._ciphers[subject] = cipher
        if subject in self._gone:  # the other thread has read so meanwhile
            self._ciphers.pop(subject, None)
            return None
        return cipher

    def _key(self, subject: UserId) -> bytes | None:
        if subject in self._gone:
            return None
        if not self._is_loaded:
            self._load()
            return self._key(subject)
        key = self._held.get(subject)
        if key is None:
            key = self._keys.get(subject)
            if key is None:
                self._gone.add(subject)
            else:
                self._held[subject] = key
        return key

    def _load(self) -> None:
        """Read all keys at once: a log that is read from its beginning asks for most of them."""
        for subject, key in self._keys.all().items():
            if key is None:
                self._gone.add(subject)
            elif subject not in self._gone:
                self._held[subject] = key
        self._is_loaded = True
