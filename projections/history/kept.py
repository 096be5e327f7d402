"""A moment of a log, packed: from where a replay or a projection may start instead of at the beginning; pure.

Rule 1: it holds what the log says up to a position, and nothing else: whoever loses it reads the log.
Rule 2: `unpack` gives a whole moment or raises `BadKept`; it believes nothing that is not under the SHA-256, and counts octets as
        they come out.
Rule 3: another `SCHEMA` is refused: the fold of other code may make something else of the same log. Its shape is found by itself;
        raise `MEANING` when the same records come to mean something else in the same shape.
Rule 4: the digest of the last record names all records before it: who has a log compares it there before use.
Rule 5: former keys of nodes are not held (`engine/domain/kept.py`), nor which commands were recorded where.
"""

import hashlib
from typing import Final

import msgspec
import zstandard

from engine.contracts.digest import differ
from engine.contracts.packed import BadFrameError, TooLargeError, unpacked
from engine.domain.kept import ProvidedTables, Tables, tables_of, tailnet_of
from engine.domain.state import Tailnet
from engine.domain.values import Epoch, Millis, Position
from projections.history.causes import Causes, CauseTables
from projections.inventory.versions import Version, Versions
from projections.netmap.rebuild import place, positions_of, rebuild
from projections.netmap.state import NetmapState

MEANING: Final = 2
"""See rule 3."""
MAX_OCTETS: Final = 1024 * 1024 * 1024
"""Octets of a moment when they are unpacked: four times the bound of a snapshot's JSON (`contracts/chunks.py`)."""
_LEVEL: Final = 1
"""zstd's fastest ordinary level, as for snapshots."""
_SUM: Final = 32
"""Octets of SHA-256."""


class BadKept(Exception):  # noqa: N818 (the cue to read the log instead)
    """It is not one whole moment that this code wrote: damaged, cut off, too large, or of another fold."""


class Body(msgspec.Struct, frozen=True, kw_only=True):
    """What is packed: the last record's position, time and digest, and what the records up to it made."""

    schema: str
    position: Position
    at: Millis
    digest: str
    epoch: Epoch
    tables: Tables
    positions: dict[str, Position]
    objects: str
    """The state digest of the netmap objects."""
    causes: CauseTables
    versions: tuple[Version, ...]


class Kept(msgspec.Struct, frozen=True, kw_only=True):
    """A moment that came back: the last record, the tailnet after it, what made it so, and the versions of the policy."""

    position: Position
    at: Millis
    digest: str
    epoch: Epoch
    tailnet: Tailnet
    causes: Causes
    versions: Versions
    positions: dict[str, Position]
    """Where each netmap object was changed last."""
    objects: str
    """The state digest of the netmap objects."""

    def state(self) -> NetmapState:
        """Return the netmap state that the fold held there; it has the tailnet for its own.

        Raises:
            BadKept: the objects that the tailnet gives are not those that the fold held.
        """
        try:
            state = rebuild(self.tailnet, self.epoch, self.position)
            place(state, self.positions)
        except (ValueError, LookupError) as error:
            raise BadKept(f"it does not fit together: {error}") from error
        found = state.state_digest()
        if differ(found, self.objects):
            raise BadKept(f"its objects have the state digest {found}, not {self.objects}")
        state.at, state.digest = self.at, self.digest
        return state


class _Schema(msgspec.Struct, frozen=True):
    schema: str


class _Head(msgspec.Struct, frozen=True):
    schema: str
    position: Position
    at: Millis
    digest: str


SCHEMA: Final = f"{MEANING}-{hashlib.sha256(repr(msgspec.inspect.type_info(Body)).encode()).hexdigest()[:16]}"
"""The number of rule 3: what the same records mean, and the shape in which it is held."""

_ENCODER: Final = msgspec.msgpack.Encoder()
_DECODER: Final = msgspec.msgpack.Decoder(Body)
_SCHEMA: Final = msgspec.msgpack.Decoder(_Schema)
_HEAD: Final = msgspec.msgpack.Decoder(_Head)


class Unpacked(msgspec.Struct, frozen=True):
    """Which moment was packed: its last record; `kept` costs more, and is for the one that the log knows (rule 4)."""

    position: Position
    at: Millis
    digest: str
    encoded: bytes

    def kept(self) -> Kept:
        """Return the moment.

        Raises:
            BadKept: it cannot be understood.
        """
        try:
            body = _DECODER.decode(self.encoded)
            tailnet = tailnet_of(body.tables)
        except (msgspec.MsgspecError, ValueError) as error:
            raise BadKept(f"it cannot be understood: {error}") from error
        return Kept(
            position=body.position,
            at=body.at,
            digest=body.digest,
            epoch=body.epoch,
            tailnet=tailnet,
            causes=Causes.of_tables(body.causes),
            versions=Versions(body.versions),
            positions=body.positions,
            objects=body.objects,
        )


def encode(state: NetmapState, causes: Causes, versions: Versions) -> bytes:
    """Return a moment as octets for `pack`; the state has an epoch, and stays as it is for so long."""
    return _ENCODER.encode(
        Body(
            schema=SCHEMA,
            position=state.position,
            at=state.at,
            digest=state.digest,
            epoch=state.epoch,
            tables=tables_of(state.tailnet),
            positions=positions_of(state),
            objects=state.state_digest(),
            causes=causes.tables(),
            versions=tuple(versions.all),
        )
    )


def difference(one: bytes, other: bytes) -> str:
    """Return which part of two moments, as `encode` writes them, is not the same: `tables.nodes`; empty when all are.

    Raises:
        BadKept: one of them cannot be understood.
    """
    if one == other:
        return ""
    try:
        return _part(_DECODER.decode(one), _DECODER.decode(other))
    except msgspec.MsgspecError as error:
        raise BadKept(f"it cannot be understood: {error}") from error


def _part(one: msgspec.Struct, other: msgspec.Struct) -> str:
    for name in one.__struct_fields__:
        left, right = getattr(one, name), getattr(other, name)
        if left == right:
            continue
        if isinstance(left, Tables | ProvidedTables):
            return f"{name}.{_part(left, right)}"
        if isinstance(left, dict):
            first = min(
                (key for key in left.keys() | right.keys() if left.get(key) != right.get(key)), key=str
            )
            return f"{name}[{first}]"
        return name
    return ""


def pack(encoded: bytes) -> bytes:
    """Return what `unpack` reads: 32 octets of SHA-256, and the zstd frame under it; may take its time."""
    packed = zstandard.ZstdCompressor(level=_LEVEL, write_content_size=False).compress(encoded)
    return hashlib.sha256(packed).digest() + packed


def unpack(data: bytes, *, limit: int = MAX_OCTETS) -> Unpacked:
    """Return what was packed: which moment it is, and the rest for whoever finds that record in the log.

    Raises:
        BadKept: it is not whole, not of this code's fold, or has more than `limit` octets.
    """
    packed = memoryview(data)[_SUM:]
    if hashlib.sha256(packed).digest() != data[:_SUM]:
        raise BadKept("its checksum is another one")
    try:
        encoded = unpacked(packed, limit)
        if _SCHEMA.decode(encoded).schema != SCHEMA:
            raise BadKept("it is of another version of this program")
        head = _HEAD.decode(encoded)
    except TooLargeError as error:
        raise BadKept(f"it has more than {limit} octets") from error
    except BadFrameError as error:
        raise BadKept("it is not a zstd frame") from error
    except msgspec.MsgspecError as error:
        raise BadKept(f"it cannot be understood: {error}") from error
    return Unpacked(head.position, head.at, head.digest, encoded)
