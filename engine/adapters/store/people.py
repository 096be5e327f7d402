"""The keys to what a log says of people, in a backup and on their way into a restored log.

In a backup they are the entry `subjects.json`: an object of user ids, each with 64 hex digits, or null once it was destroyed.

Rule 1: a log whose sealed records have no key is not restored, unless somebody says that it shall be nameless: nobody is to lose all names
        by surprise.
Rule 2: who was erased does not come back: not who is forgotten by name, nor whose key was destroyed where the log is restored to.
Rule 3: only the keys of whom the restored records speak are taken in: later users' ids may be given anew.
"""

from collections.abc import Mapping
from typing import Final, NamedTuple

import msgspec

from engine.adapters.subjectkeys.memory import OCTETS
from engine.domain.values import UserId
from engine.keyports import SubjectKeys
from engine.ports import Fault

Subjects = Mapping[UserId, bytes | None]
MAX_NAMED: Final = 10
_decode: Final = msgspec.json.Decoder(dict[int, str | None]).decode


class People(NamedTuple):
    """What is known of the keys of a log that is restored, and what is wanted.

    `known` are the keys of the backup, None if there are none in it; they go into `keys`. Of `forget` and, with `nameless`, of all
    that are missing, the names are gone.
    """

    keys: SubjectKeys
    known: Subjects | None
    forget: frozenset[UserId] = frozenset()
    nameless: bool = False

    def take_in(self, subjects: frozenset[UserId]) -> None:
        """Take in the keys of the subjects of whom the records speak.

        Raises:
            Fault: a key is missing (rule 1), or cannot be taken in; then none was.
        """
        known = self.known or {}
        missing = sorted(subjects - known.keys() - self.forget)
        if missing and not self.nameless:
            more = f" and {len(missing) - MAX_NAMED} more" if len(missing) > MAX_NAMED else ""
            people = ", ".join(map(str, missing[:MAX_NAMED])) + more
            raise Fault(
                f"the backup has no keys to the names of users {people}: take one that has, or say --nameless"
            )
        self.keys.fill({user: None if user in self.forget else known.get(user) for user in sorted(subjects)})


def written(subjects: Subjects) -> bytes:
    """Return the entry of a backup."""
    return msgspec.json.encode({user: key.hex() if key else None for user, key in sorted(subjects.items())})


def read(octets: bytes) -> Subjects:
    """Return what the entry says.

    Raises:
        ValueError: it is none.
    """
    found = {
        UserId(user): None if key is None else bytes.fromhex(key) for user, key in _decode(octets).items()
    }
    for user, key in found.items():
        if key is not None and len(key) != OCTETS:
            raise ValueError(f"the key of user {user} has {len(key)} octets")
    return found
