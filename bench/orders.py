"""What a fleet and its crews say to each other over pipes: one order, one answer, each MessagePack with its length before it.

Rule 1: times are of the monotonic clock, which all processes of a machine share.
"""

import asyncio
from typing import Final

import msgspec

LENGTH: Final = 4
_MAX: Final = 1 << 30


class Seat(msgspec.Struct, frozen=True, kw_only=True):
    """One client: who it is, and which of the ports it tries first."""

    number: int
    """Its node."""
    private: bytes
    node_key: str
    disco: str
    first: int


class Board(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Connect these clients and open a map session for each.

    A client that loses its session comes back, as a real one does, if it `returns`; its frames are kept until they are
    judged if it `keeps` them.
    """

    seats: list[Seat]
    ports: list[int]
    server: bytes
    at_once: int
    patience: float
    returns: bool = False
    keeps: bool = False


class Forget(msgspec.Struct, frozen=True, tag=True):
    """Forget what came so far."""


class Says(msgspec.Struct, frozen=True, tag=True):
    """A frame has these octets in it."""

    octets: bytes


class Removes(msgspec.Struct, frozen=True, tag=True):
    """Frames have taken all of these peers away, or a new session's map is without them."""

    peers: frozenset[int]


class Ends(msgspec.Struct, frozen=True, tag=True):
    """The session is over."""


Sign = Says | Removes | Ends


class Look(msgspec.Struct, frozen=True, tag=True):
    """Look when the sign came to each client since `Forget`; to all, or only to these nodes."""

    sign: Sign
    only: frozenset[int] | None = None


class Stand(msgspec.Struct, frozen=True, tag=True):
    """Say how things stand."""


class Judge(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Hold every frame that was kept against the log; `circles` are users who may see each other at some time."""

    store: str
    circles: list[list[int]]
    every: int = 1
    """Of so many clients one is judged."""


class Leave(msgspec.Struct, frozen=True, tag=True):
    """Hang up, all of you."""


Order = Board | Forget | Look | Stand | Judge | Leave


class Boarded(msgspec.Struct, frozen=True, tag=True):
    """When each client had its first map, and what went wrong with the others."""

    whole: list[float]
    failed: list[str]


class Seen(msgspec.Struct, frozen=True, tag=True):
    """When the sign came; the nodes that it did not come to."""

    at: dict[int, float]
    missing: list[int]


class Standing(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """How things stand: sessions that are open, octets since `Forget`, when somebody came back last, processor time."""

    open: int
    octets: int
    lost: int
    """Sessions that ended since `Forget`."""
    back: list[float]
    """When those that came back since `Forget` had their maps."""
    cpu: float
    resident: int


class Verdict(msgspec.Struct, frozen=True, tag=True):
    """What is wrong with what clients were shown, the first of it; how much was looked at."""

    complaints: list[str]
    clients: int
    frames: int


class Done(msgspec.Struct, frozen=True, tag=True):
    """It is done."""


Answer = Boarded | Seen | Standing | Verdict | Done
ORDERS: Final[msgspec.msgpack.Decoder[Order]] = msgspec.msgpack.Decoder(Order)
ANSWERS: Final[msgspec.msgpack.Decoder[Answer]] = msgspec.msgpack.Decoder(Answer)


async def receive(reader: asyncio.StreamReader) -> bytes | None:
    """Return the next message; None if the other side is gone."""
    try:
        length = int.from_bytes(await reader.readexactly(LENGTH), "big")
        return await reader.readexactly(min(length, _MAX))
    except asyncio.IncompleteReadError:
        return None


def packed(message: Order | Answer) -> bytes:
    """Return a message as it is sent."""
    data = msgspec.msgpack.encode(message)
    return len(data).to_bytes(LENGTH, "big") + data
