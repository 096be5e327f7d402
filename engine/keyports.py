"""The port of the keys that open what a log says of people; a part of `ports.py`, whose rules hold here."""

from collections.abc import Collection, Mapping
from typing import Protocol

from engine.domain.values import UserId
from engine.ports import Fault


class KeyMissing(Fault):
    """A sealed record's key is not where keys are kept, and was not destroyed there: nobody guesses that it was."""


class KeyDestroyed(Fault):
    """A key is wanted for a subject that was erased: the keys are of another log than the one that is written."""


class SubjectKeys(Protocol):
    """The keys that open what a log says of people: outside the log, one to a subject. Calls block: not for the event loop."""

    def get(self, subject: UserId) -> bytes | None:
        """Return the 32 octets; None once they were destroyed.

        Raises:
            KeyMissing: there never was one here.
            Fault: the keys cannot be read.
        """
        ...

    def make(self, subjects: Collection[UserId]) -> Mapping[UserId, bytes]:
        """Make those that are missing, durably, in one transaction; return the keys of all that are asked for.

        Raises:
            KeyDestroyed: one of them was destroyed; none was made.
            Fault: unknown whether they were made; to ask again is safe.
        """
        ...

    def destroy(self, subjects: Collection[UserId]) -> None:
        """Destroy keys, durably; a subject that never had one cannot get one any more.

        Raises:
            Fault: unknown whether they are destroyed; to ask again is safe.
        """
        ...

    def all(self) -> Mapping[UserId, bytes | None]:
        """Return every key, None for each that was destroyed.

        Raises:
            Fault: the keys cannot be read.
        """
        ...

    def fill(self, keys: Mapping[UserId, bytes | None]) -> None:
        """Take in the keys of a log that is restored; what was destroyed on either side stays so.

        A subject that was destroyed here and is not among them can have a key again: its id may be given anew.

        Raises:
            Fault: a subject has another key here, of another log; or they cannot be written. None was taken in.
        """
        ...

    def close(self) -> None:
        """Let go of the keys; more than once is fine."""
        ...
