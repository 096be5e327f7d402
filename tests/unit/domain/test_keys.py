"""Keys: every text form, and what is no key."""

import base64

import pytest

from engine.domain.errors import Invalid, NotFound
from engine.domain.keys import (
    looks_clamped,
    parse_machine_key,
    parse_node_key,
    parse_wireguard_key,
    wireguard_base64,
)
from engine.domain.refs import node_of, peer_of
from engine.domain.values import NodeKey
from tests.kit.scenario import DOCUMENT_KEY, Scene, node_key, octets

HEX = base64.b64decode(DOCUMENT_KEY).hex()
P = 2**255 - 19
LOW = [0, 1, P - 1, P, P + 1, 2 * P - 1, 2 * P, 2 * P + 1, 2**255, 2**255 + 1]
LOW += [
    int.from_bytes(bytes.fromhex(text), "little")
    for text in (
        "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
        "5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
    )
]


@pytest.mark.parametrize("text", [DOCUMENT_KEY, HEX, HEX.upper(), f"nodekey:{HEX}", f"nodekey:{HEX.upper()}"])
def test_every_text_form_of_a_wireguard_key_is_the_same_key(text: str) -> None:
    assert parse_wireguard_key(text) == f"nodekey:{HEX}"
    assert parse_wireguard_key(f" {text}\n") == f"nodekey:{HEX}"


def test_a_key_is_printed_as_wireguard_prints_it() -> None:
    assert wireguard_base64(NodeKey(f"nodekey:{HEX}")) == DOCUMENT_KEY


@pytest.mark.parametrize(
    "text",
    [
        "",
        "abc",
        HEX[:-1],
        HEX + "0",
        f"mkey:{HEX}",
        f"discokey:{HEX}",
        f"nodekey:{DOCUMENT_KEY}",
        DOCUMENT_KEY[:-1],
        DOCUMENT_KEY[:-2] + "9=",
        DOCUMENT_KEY.replace("x", "-"),
        base64.b64encode(bytes(31)).decode(),
    ],
)
def test_what_is_no_wireguard_key_is_refused_and_not_repeated(text: str) -> None:
    with pytest.raises(Invalid) as caught:
        parse_wireguard_key(text)
    assert caught.value.code == "key.syntax"
    assert not text or text not in caught.value.message + caught.value.hint


@pytest.mark.parametrize("text", [f"privkey:{HEX}", f"PRIVKEY:{HEX}", f"PrivateKey = {DOCUMENT_KEY}"])
def test_a_private_key_is_refused_with_a_warning_and_not_repeated(text: str) -> None:
    with pytest.raises(Invalid) as caught:
        parse_wireguard_key(text)
    assert caught.value.code == "key.private"
    said = caught.value.message + caught.value.hint + repr(caught.value)
    assert "never be given" in said
    assert HEX not in said
    assert DOCUMENT_KEY not in said


@pytest.mark.parametrize("value", LOW)
def test_a_point_of_low_order_is_refused_in_every_encoding(value: int) -> None:
    digits = (value % 2**256).to_bytes(32, "little").hex()
    with pytest.raises(Invalid) as caught:
        parse_wireguard_key(digits)
    assert caught.value.code in {"key.zero", "key.low_order"}


def test_the_base_point_is_not_of_low_order() -> None:
    assert parse_wireguard_key("09" + "00" * 31)


def test_zeros_are_no_key() -> None:
    for parse, prefix in ((parse_node_key, "nodekey:"), (parse_machine_key, "mkey:")):
        with pytest.raises(Invalid, match="zeros"):
            parse(prefix + "00" * 32)


def test_a_client_must_give_the_exact_prefix() -> None:
    assert parse_node_key(f"nodekey:{HEX.upper()}") == f"nodekey:{HEX}"
    assert parse_machine_key(f"mkey:{HEX.upper()}") == f"mkey:{HEX}"
    for text in (HEX, f"mkey:{HEX}", f" nodekey:{HEX}", DOCUMENT_KEY):
        with pytest.raises(Invalid):
            parse_node_key(text)
    with pytest.raises(Invalid):
        parse_machine_key(f"nodekey:{HEX}")


def test_a_clamped_key_looks_like_a_private_one() -> None:
    assert looks_clamped(NodeKey("nodekey:f8" + "11" * 30 + "40"))
    assert not looks_clamped(NodeKey("nodekey:f9" + "11" * 30 + "40"))
    assert not looks_clamped(NodeKey("nodekey:f8" + "11" * 30 + "c0"))
    assert not looks_clamped(NodeKey(f"nodekey:{octets('any')}"))


def test_a_node_or_a_peer_is_found_by_its_key_in_every_form() -> None:
    scene = Scene()
    scene.user()
    number = scene.node("laptop")
    scene.peer("oslo")
    peer = next(iter(scene.tailnet.peers.values()))
    for key, find, found in ((node_key("laptop"), node_of, number), (peer.public_key, peer_of, peer.id)):
        digits = key.removeprefix("nodekey:")
        forms = (
            key,
            key.upper().replace("NODEKEY", "nodekey"),
            digits,
            digits.upper(),
            wireguard_base64(key),
        )
        assert {find(scene.tailnet, form).id for form in forms} == {found}
        with pytest.raises(NotFound):
            find(scene.tailnet, wireguard_base64(key)[1:])
