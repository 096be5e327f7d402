"""Keys in memory: for tests, simulations and logs in memory."""

import secrets
from collections.abc import Collection, Mapping
from typing import Final

from engine.domain.values import UserId
from engine.keyports import KeyDestroyed, KeyMissing
from engine.ports import Fault

OCTETS: Final = 32
"""Of a key: ChaCha20-Poly1305's (RFC 8439 §2.8)."""


def fresh_key() -> bytes:
    """Return a new key."""
    return secrets.token_bytes(OCTETS)


def found(subject: UserId, held: Mapping[UserId, bytes | None]) -> bytes | None:
    """Return the subject's key; None if it was destroyed.

    Raises:
        KeyMissing: there is none.
    """
    if subject not in held:
        raise KeyMissing(
            f"the key of user {subject} is missing: put the subjects.db (or netmap_subjects) of this log back"
        )
    return held[subject]


def wanting(subjects: Collection[UserId], held: Mapping[UserId, bytes | None]) -> list[UserId]:
    """Return the subjects that have no key yet, in order.

    Raises:
        KeyDestroyed: the key of one was destroyed.
    """
    for subject in subjects:
        if held.get(subject, b"") is None:
            raise KeyDestroyed(
                f"user {subject} was erased here: these keys are of another log, move them away"
            )
    return sorted(set(subjects) - held.keys())


def made_of(subjects: Collection[UserId], held: Mapping[UserId, bytes | None]) -> dict[UserId, bytes]:
    """Return the keys of the subjects, with new ones for those that have none.

    Raises:
        KeyDestroyed: the key of one was destroyed.
    """
    fresh = set(wanting(subjects, held))
    return {
        subject: fresh_key() if subject in fresh else held[subject] or b"" for subject in sorted(subjects)
    }


def joined(
    keys: Mapping[UserId, bytes | None], held: Mapping[UserId, bytes | None]
) -> dict[UserId, bytes | None]:
    """Return what is to be there when the keys have been taken in (`SubjectKeys.fill`).

    Raises:
        Fault: a subject has another key here.
    """
    merged: dict[UserId, bytes | None] = {subject: key for subject, key in held.items() if key is not None}
    for subject, key in keys.items():
        before = held.get(subject, key)
        if key is not None and before is not None and before != key:
            raise Fault(f"user {subject} has another key here: these are another log's, move them away")
        merged[subject] = None if before is None else key
    return merged


class MemorySubjectKeys:
    """`SubjectKeys` in memory."""

    def __init__(self) -> None:
        self._held: dict[UserId, bytes | None] = {}

    def __repr__(self) -> str:
        return f"MemorySubjectKeys({len(self._held)})"

    def get(self, subject: UserId) -> bytes | None:
        """Return the key; see `SubjectKeys.get`."""
        return found(subject, self._held)

    def make(self, subjects: Collection[UserId]) -> Mapping[UserId, bytes]:
        """Make those that are missing; see `SubjectKeys.make`."""
        made = made_of(subjects, self._held)
        self._held |= made
        return made

    def destroy(self, subjects: Collection[UserId]) -> None:
        """Destroy keys; see `SubjectKeys.destroy`."""
        self._held |= dict.fromkeys(subjects)

    def all(self) -> Mapping[UserId, bytes | None]:
        """Return every key; see `SubjectKeys.all`."""
        return dict(self._held)

    def fill(self, keys: Mapping[UserId, bytes | None]) -> None:
        """Take in keys; see `SubjectKeys.fill`."""
        self._held = joined(keys, self._held)

    def close(self) -> None:
        """Do nothing: whoever shares this goes on."""
