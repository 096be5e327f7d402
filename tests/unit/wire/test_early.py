"""The early payload."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from frontends.wire.early import MAGIC, MAX_PAYLOAD, EarlyReader, build
from frontends.wire.errors import LocalProtocolError, RemoteProtocolError

CHALLENGE = bytes(range(1, 33))
SETTINGS = bytes.fromhex("000000040000000000")


def test_the_payload_is_magic_length_and_json() -> None:
    payload = b'{"nodeKeyChallenge":"chalpub:' + CHALLENGE.hex().encode() + b'"}'
    assert build(CHALLENGE) == b"\xff\xff\xffTS" + len(payload).to_bytes(4) + payload


@given(st.integers(1, 200), st.booleans())
def test_any_chunking_finds_the_challenge_and_leaves_http2(step: int, with_payload: bool) -> None:  # noqa: FBT001
    wire = (build(CHALLENGE) if with_payload else b"") + SETTINGS + b"more"
    reader = EarlyReader()
    rest = b"".join(reader.receive(wire[i : i + step]) for i in range(0, len(wire), step))
    assert rest == SETTINGS + b"more"
    assert reader.challenge == (CHALLENGE if with_payload else None)
    assert reader.done


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"{",
        b"{}",
        b"[]",
        b'"\xff"',
        b'{"nodeKeyChallenge":"\xff"}',
        b'{"nodeKeyChallenge":1}',
        b'{"nodeKeyChallenge":"chalpub:00"}',
        b'{"nodeKeyChallenge":"chalpub:' + b"0" * 64 + b'"}',
    ],
)
def test_a_payload_that_is_not_ours_is_refused(payload: bytes) -> None:
    with pytest.raises(RemoteProtocolError):
        EarlyReader().receive(MAGIC + len(payload).to_bytes(4) + payload)


def test_a_long_payload_is_refused_before_it_comes() -> None:
    assert EarlyReader().receive(MAGIC + MAX_PAYLOAD.to_bytes(4)) == b""
    with pytest.raises(RemoteProtocolError):
        EarlyReader().receive(MAGIC + (MAX_PAYLOAD + 1).to_bytes(4))


def test_a_challenge_of_another_length_is_our_fault() -> None:
    with pytest.raises(LocalProtocolError):
        build(b"short")
