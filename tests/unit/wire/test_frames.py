"""Noise transport records."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from frontends.wire.errors import RemoteProtocolError
from frontends.wire.frames import (
    MAX_PLAINTEXT,
    MAX_RECORD,
    RecordReader,
    RecordWriter,
    refusal,
    split_response,
)
from frontends.wire.noise import CipherState

KEY = bytes(range(32))


def writer() -> RecordWriter:
    return RecordWriter(CipherState(KEY))


def reader() -> RecordReader:
    return RecordReader(CipherState(KEY))


def test_a_record_carries_4077_bytes() -> None:
    assert MAX_PLAINTEXT == 4077
    assert len(writer().seal(bytes(4077))) == MAX_RECORD
    assert len(writer().seal(bytes(4078))) == MAX_RECORD + 3 + 1 + 16


def test_the_records_are_those_of_the_vector() -> None:
    key = bytes.fromhex("e8f7da7193cd2dd7834427bc5de410cc7fa42ea2bddb06906a91b23daf60a99b")
    sealer = RecordWriter(CipherState(key))
    assert sealer.seal(b"hello").hex() == "0400154c9a443517233988ec8832549456cd83ba42fcf8de"
    assert sealer.seal(b"hello").hex() == "040015d9f138fa4f8814bf915e632b58cf04bf6ae4ab5f53"


@given(
    st.lists(st.integers(0, 3 * MAX_PLAINTEXT), max_size=5),
    st.integers(1, 2 * MAX_RECORD),
)
def test_any_chunking_gives_the_same_plaintext(sizes: list[int], step: int) -> None:
    sent = [bytes([i + 1]) * size for i, size in enumerate(sizes)]
    sealer, opener = writer(), reader()
    wire = b"".join(sealer.seal(part) for part in sent)
    assert b"".join(opener.receive(wire[i : i + step]) for i in range(0, len(wire), step)) == b"".join(sent)


def test_nothing_seals_to_nothing_and_an_empty_record_is_skipped() -> None:
    assert writer().seal(b"") == b""
    empty = b"\x04\x00\x10" + CipherState(KEY).seal(b"")
    assert reader().receive(empty) == b""


@pytest.mark.parametrize(
    "head",
    [b"\x04\xff\xff", b"\x04\x0f\xfe", b"\x04\x00\x0f", b"\x04\x00\x00", b"\x03\x00\x10", b"\x00\x00\x20"],
)
def test_a_bad_head_is_refused_before_its_bytes_come(head: bytes) -> None:
    with pytest.raises(RemoteProtocolError, match=r"^not a Noise record$"):
        reader().receive(head)


def test_the_longest_head_is_waited_for() -> None:
    assert reader().receive(b"\x04\x0f\xfd") == b""


def test_a_forged_record_is_refused() -> None:
    wire = bytearray(writer().seal(b"hello"))
    wire[-1] ^= 1
    with pytest.raises(RemoteProtocolError, match="authenticate"):
        reader().receive(bytes(wire))


def test_the_response_is_cut_off_when_it_is_whole() -> None:
    response = b"\x02\x00\x30" + bytes(48)
    for size in range(51):
        assert split_response(response[:size]) is None
    assert split_response(response + b"rest") == (response, b"rest")


@pytest.mark.parametrize("answer", [refusal("no"), b"\x02\x00\x31" + bytes(49), b"HTTP/1.1"])
def test_a_refusal_or_nonsense_in_place_of_the_response_is_told(answer: bytes) -> None:
    with pytest.raises(RemoteProtocolError):
        split_response(answer)


def test_a_refusal_is_a_typed_text() -> None:
    assert refusal("too old") == b"\x03\x00\x07too old"
