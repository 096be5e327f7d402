"""The registration's types."""

import pytest

from frontends.wire.codec import decode, encode
from frontends.wire.errors import RemoteProtocolError
from frontends.wire.tailcfg.register import (
    Login,
    RegisterAuth,
    RegisterRequest,
    RegisterResponse,
    ServerKeys,
    User,
)

KEY = "nodekey:" + "ab" * 32
ZERO = "nodekey:" + "0" * 64
AS_SENT = (
    b'{"Version":142,"NodeKey":"%s","OldNodeKey":"%s","NLKey":"nlpub:%s","Auth":{"AuthKey":"secret-key"},'
    b'"Expiry":"0001-01-01T00:00:00Z","Followup":"","Hostinfo":{"OS":"linux","Hostname":"a"},"NodeKeySignature":null,'
    b'"Timestamp":null}' % (KEY.encode(), ZERO.encode(), b"cd" * 32)
)


def test_a_real_client_s_request_is_read() -> None:
    request = decode(AS_SENT, RegisterRequest)
    assert request.node_key == KEY
    assert request.auth_key == "secret-key"
    assert not request.rotates
    assert request.hostinfo is not None
    assert request.hostinfo.hostname == "a"
    assert not request.ephemeral


def test_a_key_that_takes_the_place_of_another_is_told() -> None:
    request = RegisterRequest(version=142, node_key=KEY, old_node_key=KEY)
    assert request.rotates
    assert request.auth_key == ""


@pytest.mark.parametrize(
    ("was", "becomes"),
    [
        (b'"Version":142', b'"Version":"142"'),
        (b'"Version":142', b'"Version":-1'),
        (b'"Version":142,', b""),
        (b"nodekey:ab", b"nodekey:xx"),
        (b"nodekey:ab", b""),
        (b"nodekey:ab", b"mkey:ab"),
        (b'{"AuthKey":"secret-key"}', b'"secret-key"'),
        (b'"Followup":""', b'"Followup":0'),
    ],
)
def test_a_request_of_wrong_types_is_refused(was: bytes, becomes: bytes) -> None:
    assert was in AS_SENT
    with pytest.raises(RemoteProtocolError):
        decode(AS_SENT.replace(was, becomes, 1), RegisterRequest)


def test_an_auth_key_does_not_print_itself() -> None:
    request = decode(AS_SENT, RegisterRequest)
    assert "secret-key" not in repr(request)
    assert repr(RegisterAuth(auth_key="secret-key")) == "RegisterAuth(…)"


def test_the_answers_are_what_clients_read() -> None:
    login = Login(id=1, login_name="u@example.com", display_name="U", provider="x")
    success = RegisterResponse(machine_authorized=True, user=User(id=1, display_name="U"), login=login)
    assert encode(success) == (
        b'{"User":{"ID":1,"DisplayName":"U"},'
        b'"Login":{"ID":1,"Provider":"x","LoginName":"u@example.com","DisplayName":"U"},"MachineAuthorized":true}'
    )
    assert encode(RegisterResponse(node_key_expired=True)) == b'{"NodeKeyExpired":true}'
    assert encode(RegisterResponse(auth_url="https://h/register/x")) == b'{"AuthURL":"https://h/register/x"}'
    assert encode(RegisterResponse(error="client too old")) == b'{"Error":"client too old"}'


def test_the_server_s_keys_are_named_as_clients_read_them() -> None:
    assert encode(ServerKeys(public_key="mkey:" + "ab" * 32)) == (
        b'{"publicKey":"mkey:' + b"ab" * 32 + b'","legacyPublicKey":"mkey:' + b"0" * 64 + b'"}'
    )
