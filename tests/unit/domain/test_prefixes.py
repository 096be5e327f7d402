"""What allowed IPs may be: their row of the table of refusals (scenario N14)."""

import pytest

from engine.domain.errors import Invalid
from engine.domain.prefixes import parse_allowed_ips
from engine.domain.state import Tailnet
from tests.kit.scenario import Scene


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("", "allowedips.syntax"),
        ("home", "allowedips.syntax"),
        ("10.0.0.0/33", "allowedips.syntax"),
        ("10.0.0.0/-1", "allowedips.syntax"),
        ("10.0.0.0/", "allowedips.syntax"),
        ("10.0.0.0/255.0.0.0", "allowedips.syntax"),
        ("fe80::1%eth0/64", "allowedips.syntax"),
        ("224.0.0.0/4", "allowedips.range"),
        ("ff02::/16", "allowedips.range"),
        ("127.0.0.0/8", "allowedips.range"),
        ("::1/128", "allowedips.range"),
        ("::ffff:10.0.0.0/104", "allowedips.range"),
        ("100.64.0.0/10", "allowedips.tailnet"),
        ("100.64.0.7/32", "allowedips.tailnet"),
        ("100.0.0.0/8", "allowedips.tailnet"),
        ("0.0.0.0/1", "allowedips.tailnet"),
        ("fd7a:115c:a1e0::/48", "allowedips.tailnet"),
        ("fd00::/8", "allowedips.tailnet"),
        ("fd7a:115c:a1e0:5::/64", "allowedips.tailnet"),
    ],
)
def test_what_cannot_be_routed_to_a_peer_is_refused(text: str, code: str) -> None:
    with pytest.raises(Invalid) as caught:
        parse_allowed_ips(Tailnet(), [text])
    assert caught.value.code == code
    assert caught.value.field == "allowedIps"


def test_at_least_one_prefix_is_needed() -> None:
    with pytest.raises(Invalid) as caught:
        parse_allowed_ips(Tailnet(), [])
    assert caught.value.code == "allowedips.none"


@pytest.mark.parametrize(
    ("texts", "kept", "codes"),
    [
        (["0.0.0.0/0", "::/0"], ["0.0.0.0/0", "::/0"], []),
        (["10.64.0.1/24"], ["10.64.0.0/24"], ["allowedips.host_bits"]),
        (["10.0.0.1"], ["10.0.0.1/32"], []),
        (["2001:DB8::/32"], ["2001:db8::/32"], []),
        (["10.0.0.0/8", "10.0.0.0/8"], ["10.0.0.0/8"], ["allowedips.duplicate"]),
        (["0.0.0.0/0"], ["0.0.0.0/0"], ["allowedips.one_default"]),
        (["::/0", "10.0.0.0/8"], ["::/0", "10.0.0.0/8"], ["allowedips.one_default"]),
        (["::/1"], ["::/1"], []),
    ],
)
def test_prefixes_are_kept_canonical(texts: list[str], kept: list[str], codes: list[str]) -> None:
    found, warnings = parse_allowed_ips(Tailnet(), texts)
    assert list(found) == kept
    assert [said.partition(":")[0] for said in warnings] == codes


def test_a_prefix_that_another_peer_has_is_a_warning() -> None:
    scene = Scene()
    scene.user()
    scene.peer("site", allowed_ips=("192.0.2.0/24",))
    _, warnings = parse_allowed_ips(scene.tailnet, ["192.0.2.0/24"])
    assert warnings == [
        "allowedips.shared: 192.0.2.0/24 is also routed by 100000001(site): no node can be connected to both"
    ]
    _, defaults = parse_allowed_ips(scene.tailnet, ["0.0.0.0/0", "::/0"])
    assert defaults == []
