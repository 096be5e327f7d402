"""Chunks of a snapshot: whole or refused."""

import hashlib
import random

import msgspec
import pytest
import zstandard

from engine.contracts.chunks import CHUNK_OCTETS, BadSnapshot, assemble, split
from engine.contracts.netmap import Change, Snapshot, SnapshotChunk, UserObject
from engine.domain.values import Epoch, Position, UserId


def snapshot(users: int = 3) -> Snapshot:
    noise = random.Random(7)
    return Snapshot(
        epoch=Epoch("e1"),
        position=Position(9),
        objects=tuple(
            Change(
                key=f"user/{number}",
                at=Position(number),
                value=UserObject(id=UserId(number), name=f"{noise.getrandbits(2048):x}"),
            )
            for number in range(1, users + 1)
        ),
    )


def canonical(whole: Snapshot) -> Snapshot:
    return msgspec.structs.replace(whole, objects=tuple(sorted(whole.objects, key=lambda c: c.key)))


def test_a_small_snapshot_is_one_chunk_and_comes_back() -> None:
    chunks = split(snapshot())
    assert len(chunks) == 1
    assert assemble(chunks) == canonical(snapshot())


def test_a_large_snapshot_is_many_chunks_and_comes_back_in_any_order() -> None:
    whole = snapshot(3_000)
    chunks = split(whole)
    assert len(chunks) > 2
    assert max(len(chunk.data) for chunk in chunks) == CHUNK_OCTETS
    assert assemble(tuple(reversed(chunks))) == canonical(whole)


def test_equal_snapshots_have_equal_ids_whatever_the_order_of_their_objects() -> None:
    whole = snapshot()
    other = msgspec.structs.replace(whole, objects=tuple(reversed(whole.objects)))
    assert split(whole)[0].id == split(other)[0].id


def test_a_chunk_that_is_missing_repeated_or_foreign_is_refused() -> None:
    chunks = split(snapshot(3_000))
    foreign = split(snapshot(2_000))[0]
    for bad in ((), chunks[:-1], (*chunks, chunks[0]), (foreign, *chunks[1:]), chunks * 400):
        with pytest.raises(BadSnapshot):
            assemble(bad)


def test_one_altered_octet_is_refused() -> None:
    (chunk,) = split(snapshot())
    for place in range(0, len(chunk.data), 17):
        altered = bytearray(chunk.data)
        altered[place] ^= 1
        with pytest.raises(BadSnapshot):
            assemble((msgspec.structs.replace(chunk, data=bytes(altered)),))


def test_another_version_than_the_chunks_name_is_refused() -> None:
    (chunk,) = split(snapshot())
    with pytest.raises(BadSnapshot):
        assemble((msgspec.structs.replace(chunk, position=Position(10)),))


def packed(data: bytes) -> SnapshotChunk:
    return SnapshotChunk(
        id=hashlib.sha256(data).hexdigest(),
        epoch=Epoch("e"),
        position=Position(1),
        index=0,
        count=1,
        data=data,
    )


def test_a_bomb_is_refused_before_it_is_unpacked_whole() -> None:
    bomb = zstandard.ZstdCompressor(level=1).compress(b" " * 50_000_000)
    assert len(bomb) < 10_000
    with pytest.raises(BadSnapshot, match="larger"):
        assemble((packed(bomb),), limit=1_000_000)


def test_what_is_no_zstd_or_no_snapshot_is_refused() -> None:
    whole = zstandard.ZstdCompressor().compress(b'{"epoch":1}')
    for data in (b"", b"junk", whole, whole[:-3]):
        with pytest.raises(BadSnapshot):
            assemble((packed(data),))
