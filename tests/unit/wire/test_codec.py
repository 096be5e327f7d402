"""JSON bodies."""

import msgspec
import pytest

from frontends.wire.codec import decode, encode, fragment
from frontends.wire.errors import RemoteProtocolError


class Body(msgspec.Struct, frozen=True, omit_defaults=True):
    number: int
    text: str = ""
    raw: msgspec.Raw | None = None


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"{}",
        b"null",
        b'{"number":"1"}',
        b'{"number":1.5}',
        b'{"number":NaN}',
        b'{"number":1,"text":"\xff"}',
        b'{"number":1,"text":"\\ud800"}',
        b'{"number":1}{}',
        b'{"number":1,"other":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        b'{"number":1,"raw":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    ],
)
def test_a_wrong_body_is_the_client_s_fault_and_is_not_repeated(body: bytes) -> None:
    with pytest.raises(RemoteProtocolError) as caught:
        decode(body, Body)
    assert str(caught.value) == "the body is not the JSON that it should be"


def test_unknown_fields_are_ignored_and_null_is_absent() -> None:
    assert decode(b'{"number":1,"later":[1],"raw":null}', Body) == Body(1)


def test_a_fragment_is_put_into_the_whole_as_it_is() -> None:
    assert encode(Body(1, raw=fragment({"a": []}))) == b'{"number":1,"raw":{"a":[]}}'
    assert decode(fragment(Body(2)), Body) == Body(2)
