"""What a run of the soak writes down as JSON lines, and the checker reads: one line for each thing that happened.

Rule 1: times are Unix milliseconds of one machine's clock; a process writes its own files, in order.
Rule 2: a frame's line has what changed in the client's hands. Nothing is left out and nothing judged: judging is the
        checker's, from these lines alone.
"""

import hashlib
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from types import UnionType
from typing import Final, TypeVar

import msgspec

T = TypeVar("T")
OCTETS: Final = 8
"""Of an entry's digest: what a client holds is the sum of them, modulo 2^64."""
MODULUS: Final = 1 << (8 * OCTETS)


class Entry(msgspec.Struct, frozen=True, array_like=True):
    """One thing in a client's hands: itself, a peer, or a WireGuard-only peer, by id."""

    id: int
    """Of a node or WireGuard-only peer; less than 0 is the packet filter's word on that node."""
    fields: tuple[str, ...]
    """`self` or `peer`, node key, name, tags, IPv4 address; `wireguard`, key, expired, both masquerade addresses; `sender`."""


@lru_cache(maxsize=1 << 16)
def digest(entry: Entry) -> int:
    """A number for an entry; different entries have different ones, as far as anybody lives to see."""
    return int.from_bytes(hashlib.blake2b(msgspec.json.encode(entry), digest_size=OCTETS).digest())


def sender(node: int) -> Entry:
    """The entry of whom the packet filter lets that node send to: both sides of a cut are seen at one version (S2)."""
    return Entry(-node, ("sender",))


class Opened(msgspec.Struct, frozen=True, tag="opened"):
    """A client asks for a map session, at that moment."""

    client: int
    at: int


class Framed(msgspec.Struct, frozen=True, tag="framed", omit_defaults=True):
    """A frame that was no keep-alive, and what it changed."""

    client: int
    at: int
    is_first: bool = False
    put: tuple[Entry, ...] = ()
    gone: tuple[int, ...] = ()
    astray: tuple[int, ...] = ()
    """Ids that it says something about, although the client does not hold them after it."""
    strangers: tuple[int, ...] = ()
    """Ids that it takes away, although the client did not hold them."""
    watchwords: tuple[str, ...] = ()
    """The watchwords in its octets."""
    complaints: tuple[str, ...] = ()
    """What a real client could not work with."""


class Closed(msgspec.Struct, frozen=True, tag="closed", omit_defaults=True):
    """A map session has ended."""

    client: int
    at: int
    why: str = ""
    rejected: str = ""
    """What a real client would have rejected."""


class Ended(msgspec.Struct, frozen=True, tag="last", omit_defaults=True):
    """How a client stood when the run was over."""

    client: int
    at: int
    is_connected: bool
    offline: tuple[int, ...] = ()
    """The peers that it is told are offline."""


class Late(msgspec.Struct, frozen=True, tag="late"):
    """A process of clients was so many milliseconds late for something: what it saw meanwhile, it saw late."""

    at: int
    millis: int


Seen = Opened | Framed | Closed | Ended | Late


class Sent(msgspec.Struct, frozen=True, tag="sent"):
    """A command is sent for the first time."""

    id: str
    at: int
    name: str


class Answered(msgspec.Struct, frozen=True, tag="answered", omit_defaults=True):
    """A command has an answer: where it is in the log, or why not."""

    id: str
    at: int
    digest: str
    """Of the answer's octets."""
    position: int = 0
    refused: str = ""
    """The code of a refusal."""


class Looked(msgspec.Struct, frozen=True, tag="looked", omit_defaults=True):
    """What a projection says of a command at the end; position 0: it was never done."""

    id: str
    position: int = 0


class Joined(msgspec.Struct, frozen=True, tag="joined", omit_defaults=True):
    """A node asks to join, and is told that it has."""

    key: str
    at: int
    is_in: bool = False


Done = Sent | Answered | Looked | Joined


ENDED_BY_ITSELF: Final = "ended by itself"
"""No fault of the nemesis': a process that gave up, and was started again."""


class Fault(msgspec.Struct, frozen=True, omit_defaults=True):
    """A fault: from when until when, and of what."""

    kind: str
    target: str
    at: int
    until: int = 0


class Told(msgspec.Struct, frozen=True):
    """What an operator is told of a node's netmap at the end."""

    node: int
    peers: tuple[tuple[int, str, str], ...]
    wireguard: tuple[tuple[int, str, str], ...]


class Run(msgspec.Struct, frozen=True, omit_defaults=True):
    """A run: how it was made, and when it was healed."""

    seed: int
    options: dict[str, object]
    clients: dict[int, str]
    """The node key of each client."""
    healed_at: int
    """When the last fault was over."""
    ended_at: int = 0


class Writer:
    """Appends lines to a file."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = path.open("ab")
        self._encoder = msgspec.json.Encoder()

    def write(self, line: msgspec.Struct) -> None:
        self._file.write(self._encoder.encode(line) + b"\n")

    def flush(self) -> None:
        self._file.flush()

    def close(self) -> None:
        self._file.close()


def read(path: Path, kind: type[T] | UnionType) -> Iterator[T]:
    """The lines of a file; a last line that was cut off by the end of its writer is left out."""
    decoder: msgspec.json.Decoder[T] = msgspec.json.Decoder(kind)
    with path.open("rb") as lines:
        for line in lines:
            if line.endswith(b"\n"):
                yield decoder.decode(line)
