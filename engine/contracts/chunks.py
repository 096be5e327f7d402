"""A snapshot as chunks that fit into messages, and back; both sides of `q.snapshot.get` read this.

Rule 1: the JSON is canonical (objects sorted by key), so equal snapshots have equal bytes and equal ids.
Rule 2: `id` is SHA-256 in hex of the compressed JSON: it covers every octet of every chunk.
Rule 3: nothing that a chunk or a zstd frame declares of its size is believed: octets are counted as they come out.
Rule 4: `assemble` gives a whole snapshot or raises `BadSnapshot`; there is no half.
"""

import hashlib
from collections.abc import Sequence
from typing import Final

import msgspec
import zstandard

from engine.contracts.netmap import Snapshot, SnapshotChunk
from engine.contracts.packed import BadFrameError, TooLargeError, unpacked

CHUNK_OCTETS: Final = 256 * 1024
"""Octets of `data` in a chunk: base64 in JSON makes 342 KiB, well below NATS' default max_payload of 1 MiB."""
MAX_SNAPSHOT_OCTETS: Final = 256 * 1024 * 1024
"""Octets of JSON at most: 300,000 nodes at 0.8 KiB each (reference: reliability §3.3)."""
MAX_CHUNKS: Final = 1_024
"""As many chunks as the largest JSON would fill if it did not compress at all."""
_LEVEL: Final = 1
"""zstd's fastest ordinary level: 8:1 on netmap JSON (reference: reliability §3.3)."""

_ENCODER: Final = msgspec.json.Encoder()
_DECODER: Final = msgspec.json.Decoder(Snapshot)


class BadSnapshot(Exception):  # noqa: N818 (the replica's cue to fetch again)
    """The chunks are not one whole snapshot: altered, mixed, incomplete or too large."""


def encode(snapshot: Snapshot) -> bytes:
    """Return the snapshot's canonical JSON."""
    ordered = tuple(sorted(snapshot.objects, key=lambda change: change.key))
    return _ENCODER.encode(msgspec.structs.replace(snapshot, objects=ordered))


def split(snapshot: Snapshot) -> tuple[SnapshotChunk, ...]:
    """Return the snapshot as chunks of at most `CHUNK_OCTETS`; there is at least one."""
    packed = zstandard.ZstdCompressor(level=_LEVEL, write_content_size=False).compress(encode(snapshot))
    identity = hashlib.sha256(packed).hexdigest()
    parts = [packed[start : start + CHUNK_OCTETS] for start in range(0, len(packed), CHUNK_OCTETS)]
    return tuple(
        SnapshotChunk(
            id=identity,
            epoch=snapshot.epoch,
            position=snapshot.position,
            index=index,
            count=len(parts),
            data=data,
        )
        for index, data in enumerate(parts)
    )


def assemble(chunks: Sequence[SnapshotChunk], *, limit: int = MAX_SNAPSHOT_OCTETS) -> Snapshot:
    """Return the snapshot that the chunks are, given in any order.

    Raises:
        BadSnapshot: a chunk is missing, repeated, altered or of another snapshot; or there are more than
            `limit` octets of JSON.
    """
    ordered = _complete(chunks)
    packed = b"".join(chunk.data for chunk in ordered)
    if hashlib.sha256(packed).hexdigest() != ordered[0].id:
        raise BadSnapshot("the chunks do not have the digest that they are named by")
    try:
        snapshot = _DECODER.decode(unpacked(packed, limit))
    except TooLargeError as error:
        raise BadSnapshot(f"the snapshot is larger than {limit} octets") from error
    except BadFrameError as error:
        raise BadSnapshot("the snapshot is not a zstd frame") from error
    except msgspec.MsgspecError as error:
        raise BadSnapshot("the snapshot's JSON is not a snapshot") from error
    if (snapshot.epoch, snapshot.position) != (ordered[0].epoch, ordered[0].position):
        raise BadSnapshot("the snapshot is not at the version that its chunks name")
    return snapshot


def _complete(chunks: Sequence[SnapshotChunk]) -> list[SnapshotChunk]:
    if not 0 < len(chunks) <= MAX_CHUNKS:
        raise BadSnapshot("no chunks, or too many")
    ordered = sorted(chunks, key=lambda chunk: chunk.index)
    first = ordered[0]
    for index, chunk in enumerate(ordered):
        if (chunk.id, chunk.epoch, chunk.position) != (first.id, first.epoch, first.position):
            raise BadSnapshot("chunks of different snapshots")
        if chunk.index != index or chunk.count != len(ordered):
            raise BadSnapshot("a chunk is missing or repeated")
        if len(chunk.data) > CHUNK_OCTETS:
            raise BadSnapshot("a chunk is larger than a chunk may be")
    return ordered
