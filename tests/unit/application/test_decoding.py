"""Bodies and headers: what is refused, and how it is said."""

import pytest

from engine.application.decoding import command_id_of, deadline_of, decode, reason_of, strict_of
from engine.contracts.requests import (
    COMMAND_ID,
    DEADLINE,
    MAX_BODY,
    MAX_COMMAND_ID,
    MAX_REASON,
    REASON,
    STRICT,
)
from engine.domain.commands import AddConnection, CreateUser, RegisterPeer, SetDerpMap
from engine.domain.errors import Invalid
from engine.ports import Message


def refused(body: bytes, kind: type = CreateUser) -> Invalid:
    with pytest.raises(Invalid) as caught:
        decode(body, kind)
    return caught.value


def test_a_body_is_the_command_in_camel_case() -> None:
    body = b'{"node":1,"peer":"mullvad","ipv4MasqAddr":"10.64.0.100"}'
    assert decode(body, AddConnection) == AddConnection(node=1, peer="mullvad", ipv4_masq_addr="10.64.0.100")


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"null x", b'{"name":NaN}', b"\xff", b'{"name":"\xff"}', b"[" * 100_000],
)
def test_what_is_not_json_is_said_so(body: bytes) -> None:
    assert refused(body).code in ("body.not_json", "body.wrong_type")


def test_nan_inside_free_json_is_not_json() -> None:
    assert refused(b'{"derpMap":{"a":NaN}}', SetDerpMap).code == "body.not_json"


def test_an_unknown_field_is_named_with_its_nearest() -> None:
    error = refused(b'{"name":"ann","displayname":"x"}')
    assert (error.code, error.field) == ("body.unknown_field", "displayname")
    assert error.hint == "perhaps 'displayName'?"
    assert refused(b'{"name":"ann","zzz":1}').hint == "known fields: name, displayName, email, role"


def test_an_unknown_field_that_could_not_be_a_name_is_not_repeated() -> None:
    error = refused(b'{"name":"ann","' + b"\\n" * 30 + b'":1}')
    assert error.field == ""
    assert "\\n" not in error.message
    assert "\n" not in error.message


def test_a_missing_field_is_named() -> None:
    error = refused(b"{}")
    assert (error.code, error.field) == ("body.missing_field", "name")


def test_a_wrong_type_is_named_with_its_path() -> None:
    error = refused(b'{"name":"x","user":1,"publicKey":"k","allowedIps":[7],"endpoints":[]}', RegisterPeer)
    assert (error.code, error.field) == ("body.wrong_type", "allowedIps[0]")
    assert "Expected str, got int" in error.message


@pytest.mark.parametrize("body", [b'{"name":"a","name":"b"}', b'{"derpMap":{"a":{"x":1,"x":2}}}'])
def test_a_name_twice_is_refused(body: bytes) -> None:
    kind = CreateUser if b"derp" not in body else SetDerpMap
    assert refused(body, kind).code == "body.duplicate_field"


def test_a_body_has_a_size() -> None:
    assert refused(b'{"name":"' + b"x" * MAX_BODY + b'"}').code == "body.too_large"


@pytest.mark.parametrize("text", ["", "a b", "a.b", "a*", "a>", "ä", "a\n", "x" * (MAX_COMMAND_ID + 1)])
def test_a_command_id_is_one_token(text: str) -> None:
    with pytest.raises(Invalid) as caught:
        command_id_of(Message("s", b"", {COMMAND_ID: text}))
    assert caught.value.code == "command.id_malformed"


@pytest.mark.parametrize("text", ["reg-1", "01J0:x", "x" * MAX_COMMAND_ID])
def test_a_command_id_is_the_senders_choice(text: str) -> None:
    assert command_id_of(Message("s", b"", {COMMAND_ID: text})) == text


def test_headers_may_be_absent() -> None:
    message = Message("s", b"")
    assert (command_id_of(message), reason_of(message), deadline_of(message)) == (None, "", 0)


def test_a_reason_has_a_length() -> None:
    with pytest.raises(Invalid):
        reason_of(Message("s", b"", {REASON: "x" * (MAX_REASON + 1)}))


@pytest.mark.parametrize("text", ["soon", "-1", "1.5", "9" * 16])
def test_a_deadline_is_milliseconds(text: str) -> None:
    with pytest.raises(Invalid):
        deadline_of(Message("s", b"", {DEADLINE: text}))


@pytest.mark.parametrize(
    ("text", "strict"), [("1", True), ("true", True), ("True", True), ("0", False), ("false", False)]
)
def test_strictness_is_a_truth_value(text: str, *, strict: bool) -> None:
    assert strict_of(Message("s", b"", {STRICT: text})) is strict
    assert strict_of(Message("s", b"")) is False


def test_strictness_that_is_no_truth_value_is_refused() -> None:
    with pytest.raises(Invalid) as caught:
        strict_of(Message("s", b"", {STRICT: "yes please"}))
    assert (caught.value.code, caught.value.field) == ("command.strict_malformed", STRICT)
