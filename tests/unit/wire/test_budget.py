"""Limits on what one connection may ask of us."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from frontends.wire.budget import GLITCH_BURST, MAX_HEADERS, FrameCensus, GlitchBucket, resets_in
from frontends.wire.errors import RemoteProtocolError

DATA, HEADERS, RESET, SETTINGS, PING, WINDOW_UPDATE, CONTINUATION, UNKNOWN = 0, 1, 3, 4, 6, 8, 9, 77
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"


def frame(kind: int, size: int = 0) -> bytes:
    return size.to_bytes(3) + bytes([kind, 0]) + (1).to_bytes(4) + bytes(size)


def test_the_bucket_holds_a_burst_and_refills_with_time() -> None:
    bucket = GlitchBucket(now=100.0)
    bucket.spend(GLITCH_BURST, 100.0)
    bucket.spend(10, 101.0)
    with pytest.raises(RemoteProtocolError):
        bucket.spend(1, 101.0)


def test_the_bucket_never_holds_more_than_a_burst() -> None:
    bucket = GlitchBucket(now=0.0)
    with pytest.raises(RemoteProtocolError):
        bucket.spend(GLITCH_BURST + 1, 1e9)


def test_frames_that_move_nothing_are_counted() -> None:
    wire = b"".join(
        [
            PREFACE,
            frame(SETTINGS, 12),
            frame(HEADERS, 40),
            frame(DATA, 100),
            frame(RESET, 4),
            frame(PING, 8),
            frame(CONTINUATION),
            frame(UNKNOWN, 3),
            frame(WINDOW_UPDATE, 4),
        ]
    )
    assert FrameCensus(preface=True).glitches(wire) == 5


@given(st.lists(st.tuples(st.integers(0, 12), st.integers(0, 60)), max_size=30), st.integers(1, 20))
def test_any_chunking_counts_the_same(frames: list[tuple[int, int]], step: int) -> None:
    wire = PREFACE + b"".join(frame(kind, size) for kind, size in frames)
    whole, pieces = FrameCensus(preface=True), FrameCensus(preface=True)
    chunks = (wire[i : i + step] for i in range(0, len(wire), step))
    assert sum(map(pieces.glitches, chunks)) == whole.glitches(wire)


def test_window_updates_are_free_while_our_data_calls_for_them() -> None:
    census = FrameCensus(preface=False)
    assert census.glitches(frame(WINDOW_UPDATE, 4) * 64) == 0
    assert census.glitches(frame(WINDOW_UPDATE, 4) * 3) == 3
    census.sent(1024 * 1024)
    assert census.glitches(frame(WINDOW_UPDATE, 4) * 512) == 0


def test_a_header_block_is_bounded_over_its_continuations() -> None:
    census = FrameCensus(preface=False)
    census.glitches(frame(HEADERS, MAX_HEADERS - 8))
    census.glitches(frame(CONTINUATION, 8))
    census.glitches(frame(HEADERS, 10))
    with pytest.raises(RemoteProtocolError) as caught:
        census.glitches(frame(CONTINUATION, MAX_HEADERS)[:9])
    assert caught.value.status == 431


def test_our_own_resets_are_found_among_replies() -> None:
    assert resets_in(frame(SETTINGS) + frame(RESET, 4) + frame(PING, 8) + frame(RESET, 4)) == 2
    assert resets_in(b"") == 0
