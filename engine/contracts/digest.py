"""What a tailnet's netmap objects are, in 32 octets: the state digest; both ends of the chain keep one (docs/adr/0018).

Rule 1: it is the sum modulo 2^256 of SHA-256(key, NUL, the value's JSON) over all objects. So it is the same in whatever order they
        came, and a change costs two hashes, of what was and of what is, however many objects there are.
Rule 2: where an object was changed last is not in it: a state made at once (`netmap replay`) has the digest of one that was followed.
Rule 3: two digests are compared only if they are of one form: programs that know other fields of an object, or make something
        else of the same records, say nothing about each other. Raise `MEANING` in the second case.
Rule 4: a touched key is hashed when somebody asks, not before: a replay that nobody asks on its way hashes each object once.
Rule 5: it finds accidents: a lost or doubled change, a fold that is not the same on two hosts, a flipped bit. It is no proof against
        somebody who chooses the objects; the log's chain is (L7).
"""

import functools
import hashlib
from collections.abc import Callable
from typing import Final

import msgspec

from engine.contracts.netmap import NetmapObject

MEANING: Final = 1
"""See rule 3."""
SCRUBBED: Final = 500
"""Objects that are hashed again in a second, by whoever holds them: 2 ms; a tailnet of 10,000 nodes takes 20 s."""
UNKNOWN: Final = ""
"""The digest of a state of which nobody has said any."""
_MODULUS: Final = 1 << 256
_ENCODER: Final = msgspec.json.Encoder()

Get = Callable[[str], NetmapObject | None]
"""What is held under a key; None when nothing is."""


@functools.cache
def form() -> str:
    """Return the name of the shape of objects that this program knows, in 8 hex digits (rule 3)."""
    shape = f"{MEANING} {msgspec.inspect.type_info(NetmapObject)!r}"
    return hashlib.sha256(shape.encode()).hexdigest()[:8]


def differ(one: str, other: str) -> bool:
    """Return whether the digests are of one form and of different states; what is not comparable does not differ."""
    head = one.partition("-")[0]
    return bool(head) and head == other.partition("-")[0] and one != other


def hash_of(key: str, value: NetmapObject) -> int:
    """Return what one object adds to the sum."""
    octets = key.encode() + b"\0" + _ENCODER.encode(value)
    return int.from_bytes(hashlib.sha256(octets).digest(), "big")


class StateDigest:
    """The digest of objects that somebody else holds, who says which keys he has touched."""

    def __init__(self) -> None:
        self._hashes: dict[str, int] = {}
        self._total = 0
        self._touched: set[str] = set()
        self._round: list[str] = []
        """Keys that are still to be looked at before all have been."""

    def touch(self, key: str) -> None:
        """Take note that there is something else under the key, or nothing any more."""
        self._touched.add(key)

    def text(self, get: Get) -> str:
        """Return the digest, `<form>-<64 hex digits>`, at the cost of what was touched since the last call."""
        for key in self._touched:
            value = get(key)
            before = self._hashes.pop(key, 0)
            if value is None:
                self._total -= before
                continue
            self._hashes[key] = now = hash_of(key, value)
            self._total += now - before
        self._touched.clear()
        self._total %= _MODULUS
        return f"{form()}-{self._total:064x}"

    def scrub(self, get: Get, count: int = SCRUBBED) -> list[str]:
        """Hash the next few objects again; return the keys under which is not what was put there."""
        if not self._round:
            self._round = list(self._hashes)
        due, self._round = self._round[-count:], self._round[:-count]
        return [key for key in due if key not in self._touched and self._is_other(key, get(key))]

    def _is_other(self, key: str, value: NetmapObject | None) -> bool:
        held = self._hashes.get(key)
        if held is None:
            return False  # taken away meanwhile, by one who said so
        return value is None or hash_of(key, value) != held
