"""Keys as text."""

import pytest

from frontends.wire.errors import LocalProtocolError, RemoteProtocolError
from frontends.wire.keytext import ZERO_TEXT, Kind, is_zero, parse, parse_present, show

RAW = bytes(range(32))


@pytest.mark.parametrize("kind", list(Kind))
def test_what_is_shown_parses_to_the_same_bytes(kind: Kind) -> None:
    assert parse(kind, show(kind, RAW)) == RAW
    assert parse(kind, kind.value + RAW.hex().upper()) == RAW


@pytest.mark.parametrize(
    "text",
    [
        "",
        RAW.hex(),
        "nodekey:",
        "mkey:" + RAW.hex(),
        "nodekey:" + RAW.hex()[:-1],
        "nodekey:" + RAW.hex() + "0",
        "nodekey:" + RAW.hex() + "\n",
        " nodekey:" + RAW.hex(),
        "Nodekey:" + RAW.hex(),
        "nodekey:" + RAW.hex()[:-2] + " 0",
        "nodekey:" + RAW.hex()[:-2] + "_0",
        "nodekey:" + RAW.hex()[:-2] + "\u0660\u0661",
    ],
)
def test_anything_else_is_the_client_s_fault_and_is_not_repeated(text: str) -> None:
    with pytest.raises(RemoteProtocolError) as caught:
        parse(Kind.NODE, text)
    assert str(caught.value) == "not a key of the form nodekey:<64 hex digits>"


def test_the_zero_key_is_read_but_is_nobody() -> None:
    zero = ZERO_TEXT[Kind.NODE]
    assert parse(Kind.NODE, zero) == bytes(32)
    assert is_zero(zero)
    assert not is_zero(show(Kind.NODE, RAW))
    assert not is_zero("mkey:" + "0" * 63 + "1")
    with pytest.raises(RemoteProtocolError):
        parse_present(Kind.NODE, zero)
    assert parse_present(Kind.NODE, show(Kind.NODE, RAW)) == RAW


def test_showing_a_key_of_another_length_is_our_fault() -> None:
    with pytest.raises(LocalProtocolError):
        show(Kind.NODE, b"short")
