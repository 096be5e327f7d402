"""Map responses on their stream."""

import io

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from frontends.wire.errors import RemoteProtocolError
from frontends.wire.mapframe import KEEP_ALIVE, KEEP_ALIVE_JSON, Decoder, Encoder, join

CAP = 1024 * 1024
ENCODER = Encoder()


def texts(wire: bytes, cap: int = CAP) -> list[bytes]:
    decoder = Decoder(cap)
    found = list(decoder.receive(wire))
    decoder.finish()
    return found


def map_frame(payload: bytes) -> bytes:
    return len(payload).to_bytes(4, "little") + payload


@given(st.lists(st.binary(max_size=300), max_size=5), st.integers(1, 50))
def test_any_chunking_gives_the_same_texts(sent: list[bytes], step: int) -> None:
    wire = b"".join(map(ENCODER.encode, sent))
    decoder = Decoder(CAP)
    chunks = (wire[i : i + step] for i in range(0, len(wire), step))
    assert [text for chunk in chunks for text in decoder.receive(chunk)] == sent
    decoder.finish()


def test_the_length_is_little_endian() -> None:
    wire = ENCODER.encode(b"x" * 300_000)
    assert int.from_bytes(wire[:4], "little") == len(wire) - 4


def test_shared_zstd_frames_are_one_text() -> None:
    head, middle, tail = b'{"Peers":[', b"1," * 100_000, b"2]}"
    wire = join(*map(ENCODER.compress, (head, middle, tail)))
    assert texts(wire) == [head + middle + tail]


def test_frames_with_checksums_and_skippable_frames_are_read() -> None:
    checked = zstandard.ZstdCompressor(write_checksum=True).compress(b"checked ")
    skippable = bytes.fromhex("502a4d18") + (3).to_bytes(4, "little") + b"abc"
    assert texts(join(checked, skippable, ENCODER.compress(b"text"))) == [b"checked text"]


def undeclared(text: bytes) -> bytes:
    out = io.BytesIO()
    with zstandard.ZstdCompressor().stream_writer(out, closefd=False) as sink:
        sink.write(text)
    return out.getvalue()


def test_a_frame_that_declares_no_size_is_decoded_under_the_cap() -> None:
    assert texts(map_frame(undeclared(b"x" * 1000))) == [b"x" * 1000]
    with pytest.raises(RemoteProtocolError):
        texts(map_frame(undeclared(b"x" * 2000)), cap=1500)


def test_a_bomb_is_refused_before_it_is_decoded() -> None:
    bomb = zstandard.ZstdCompressor().compress(bytes(64 * CAP))
    assert len(bomb) < 10_000
    with pytest.raises(RemoteProtocolError, match="too long"):
        texts(map_frame(bomb))


def test_many_small_frames_are_capped_together() -> None:
    with pytest.raises(RemoteProtocolError, match="too long"):
        texts(join(*[ENCODER.compress(bytes(CAP // 4))] * 5))
    assert len(texts(join(*[ENCODER.compress(bytes(CAP // 4))] * 4))[0]) == CAP


def test_a_declared_size_that_lies_is_refused() -> None:
    honest = ENCODER.compress(b"abc" * 20)
    lying = honest.replace(bytes([60]), bytes([61]), 1)
    assert lying != honest
    with pytest.raises(RemoteProtocolError):
        texts(map_frame(lying))


@pytest.mark.parametrize(
    "payload", [b"{}", b"\x28\xb5\x2f\xfd", b"\x00" * 20, ENCODER.compress(b"text")[:-1]]
)
def test_what_is_not_whole_zstd_is_refused(payload: bytes) -> None:
    with pytest.raises(RemoteProtocolError):
        texts(map_frame(payload))


@given(st.binary(max_size=60))
def test_random_bytes_raise_nothing_but_a_remote_error(junk: bytes) -> None:
    for payload in (junk, b"\x28\xb5\x2f\xfd" + junk):
        try:
            list(Decoder(CAP).receive(map_frame(payload)))
        except RemoteProtocolError:
            continue


def test_a_length_beyond_the_limit_is_refused_at_once() -> None:
    with pytest.raises(RemoteProtocolError):
        texts(b"\xff\xff\xff\xff")


def test_an_end_inside_a_frame_is_told() -> None:
    with pytest.raises(RemoteProtocolError):
        texts(ENCODER.encode(b"text")[:-1])


def test_the_keep_alive_is_not_the_text_that_clients_remember() -> None:
    assert texts(KEEP_ALIVE) == [KEEP_ALIVE_JSON]
    assert texts(KEEP_ALIVE)[0] != b'{"KeepAlive":true}'
    assert KEEP_ALIVE_JSON.replace(b" ", b"") == b'{"KeepAlive":true}'
