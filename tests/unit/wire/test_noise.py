"""Noise IK against the vector of a server that real clients accepted (control-protocol §3.4)."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from frontends.wire.errors import LocalProtocolError, RemoteProtocolError
from frontends.wire.noise import (
    CipherState,
    Initiator,
    PrivateKey,
    Responder,
    Session,
    initiation_version,
)

SERVER = PrivateKey(bytes(range(0x20)))
MACHINE = PrivateKey(bytes(range(0x20, 0x40)))
CLIENT_EPHEMERAL = PrivateKey(bytes(range(0x40, 0x60)))
SERVER_EPHEMERAL = PrivateKey(bytes(range(0x60, 0x80)))
INITIATION = bytes.fromhex(
    "008e01006079a631eede1bf9c98f12032cdeadd0e7a079398fc786b88cc846ec89af85a51a5a5d3ec50c63b0e0156101cf138f46d0"
    "5427ed87f592c2009bab26f178d726e3543fa46ed03f0e1f961bc8955eddef05c2fdeb0340bb12dc81a308bdf5f6b7d5"
)
RESPONSE = bytes.fromhex(
    "020030675dd574ed7789310b3d2e7681f3790b466c773b1521fecf36577958371ea52fb8d8a47c6aa7366024cfa7d5d580e1de"
)
HASH = bytes.fromhex("00fbd05e2aa5d669bebfc163158d0e49ad52fd7faf70ee7ee8fffd31744bdeb7")
TO_SERVER = bytes.fromhex("8b2f6bbba15ce6d607c316355f2d3c93f62dcbe39b04eb873b5b2e2812dc71b6")


def initiator() -> Initiator:
    return Initiator(MACHINE, CLIENT_EPHEMERAL, SERVER.public, version=142)


def both() -> tuple[Session, Session]:
    client = initiator()
    response, server_session = Responder(SERVER, SERVER_EPHEMERAL).respond(client.initiation)
    return client.finish(response), server_session


def test_public_keys_are_those_of_the_vector() -> None:
    assert SERVER.public.hex() == "8f40c5adb68f25624ae5b214ea767a6ec94d829d3d7b5e1ad1ba6f3e2138285f"
    assert MACHINE.public.hex() == "358072d6365880d1aeea329adf9121383851ed21a28e3b75e965d0d2cd166254"


def test_the_initiation_is_that_of_the_vector() -> None:
    assert initiator().initiation == INITIATION


def test_the_response_and_the_session_are_those_of_the_vector() -> None:
    response, session = Responder(SERVER, SERVER_EPHEMERAL).respond(INITIATION)
    assert response == RESPONSE
    assert session.handshake_hash == HASH
    assert session.remote_static == MACHINE.public
    assert session.version == 142


def test_transport_counters_are_big_endian_as_in_the_vector() -> None:
    _, session = Responder(SERVER, SERVER_EPHEMERAL).respond(INITIATION)
    assert session.send.seal(b"hello").hex() == "4c9a443517233988ec8832549456cd83ba42fcf8de"
    assert session.send.seal(b"hello").hex() == "d9f138fa4f8814bf915e632b58cf04bf6ae4ab5f53"
    assert session.receive.open(CipherState(TO_SERVER).seal(b"from the client")) == b"from the client"


def test_both_sides_agree() -> None:
    client, server = both()
    assert client.handshake_hash == server.handshake_hash == HASH
    assert client.remote_static == SERVER.public
    for text in (b"", b"one", b"two"):
        assert server.receive.open(client.send.seal(text)) == text
        assert client.receive.open(server.send.seal(text)) == text


@settings(max_examples=60)
@given(st.integers(0, 8 * len(INITIATION) - 1))
def test_one_flipped_bit_anywhere_is_refused(bit: int) -> None:
    bad = bytearray(INITIATION)
    bad[bit // 8] ^= 1 << bit % 8
    # The top bit of an X25519 point is ignored by the curve, but not by the transcript hash.
    with pytest.raises(RemoteProtocolError):
        Responder(SERVER, SERVER_EPHEMERAL).respond(bytes(bad))


@settings(max_examples=40)
@given(st.integers(0, 8 * len(RESPONSE) - 1))
def test_one_flipped_bit_of_the_response_is_refused(bit: int) -> None:
    bad = bytearray(RESPONSE)
    bad[bit // 8] ^= 1 << bit % 8
    with pytest.raises(RemoteProtocolError):
        initiator().finish(bytes(bad))


@pytest.mark.parametrize("length", [0, 1, 100, 102, 4096])
def test_an_initiation_of_another_length_is_refused(length: int) -> None:
    with pytest.raises(RemoteProtocolError, match="101 bytes"):
        initiation_version((INITIATION + bytes(4096))[:length])
    with pytest.raises(RemoteProtocolError, match="51 bytes"):
        initiator().finish((RESPONSE + bytes(4096))[:length])


@pytest.mark.parametrize(
    "point",
    [
        bytes(32),
        b"\x01" + bytes(31),
        bytes.fromhex("e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800"),
        bytes.fromhex("5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157"),
    ],
)
def test_low_order_points_are_refused(point: bytes) -> None:
    with pytest.raises(RemoteProtocolError, match="low-order"):
        Responder(SERVER, SERVER_EPHEMERAL).respond(INITIATION[:5] + point + INITIATION[37:])
    with pytest.raises(RemoteProtocolError, match="low-order"):
        initiator().finish(RESPONSE[:3] + point + RESPONSE[35:])


def test_a_handshake_refuses_a_second_use() -> None:
    responder = Responder(SERVER, SERVER_EPHEMERAL)
    responder.respond(INITIATION)
    with pytest.raises(LocalProtocolError):
        responder.respond(INITIATION)
    client = initiator()
    client.finish(RESPONSE)
    with pytest.raises(LocalProtocolError):
        client.finish(RESPONSE)


def test_a_failed_handshake_refuses_a_second_use_too() -> None:
    responder = Responder(SERVER, SERVER_EPHEMERAL)
    with pytest.raises(RemoteProtocolError):
        responder.respond(bytes(101))
    with pytest.raises(LocalProtocolError):
        responder.respond(INITIATION)


def test_a_server_with_another_key_cannot_read_the_initiation() -> None:
    with pytest.raises(RemoteProtocolError):
        Responder(MACHINE, SERVER_EPHEMERAL).respond(INITIATION)


def test_a_replayed_or_reordered_record_ends_the_cipher() -> None:
    client, server = both()
    first, second = client.send.seal(b"1"), client.send.seal(b"2")
    assert server.receive.open(first) == b"1"
    with pytest.raises(RemoteProtocolError):
        server.receive.open(first)
    with pytest.raises(LocalProtocolError):
        server.receive.open(second)


def test_the_last_counter_is_never_used() -> None:
    cipher = CipherState(bytes(32))
    cipher._counter = 2**64 - 2
    cipher.seal(b"the last one")
    with pytest.raises(LocalProtocolError):
        cipher.seal(b"one too many")


def test_secrets_do_not_print_themselves() -> None:
    client, _ = both()
    shown = f"{SERVER!r} {client!r} {client.send!r}"
    assert bytes(range(0x20)).hex() not in shown
    assert TO_SERVER.hex() not in shown
    assert repr(SERVER) == "<PrivateKey>"
