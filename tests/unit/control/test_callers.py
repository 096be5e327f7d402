"""Ranges cut to what nodes own and to what WireGuard-only peers have that may call."""

import pytest

from frontends.control.confine import Owned

OWNED = Owned(
    ("100.64.0.2",), ("10.0.0.0/8", "192.168.7.0/24"), ("10.9.0.0/16", "100.96.0.1/32", "fd00:9::/64")
)


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("10.9.0.0/16", {"10.9.0.0/16"}),
        ("10.9.1.0/24", {"10.9.1.0/24"}),
        ("10.9.1.1", {"10.9.1.1/32"}),
        ("100.64.0.0/10", {"100.64.0.2", "100.96.0.1/32"}),
        ("fd00::/16", {"fd00:9::/64"}),
        ("192.168.0.0/16", {"192.168.7.0/24"}),
        ("203.0.113.0/24", set()),
    ],
)
def test_a_named_range_lets_callers_in_as_far_as_both_go(text: str, left: set[str]) -> None:
    assert set(OWNED.named([text])) == left


def test_of_a_route_nothing_is_left_that_a_caller_has_too() -> None:
    assert "10.9.0.0/16" not in OWNED.cut(["*"])
    assert set(OWNED.cut(["10.8.0.0/15", "10.9.1.0/24", "*"])) == {
        "100.64.0.2",
        "192.168.7.0/24",
        "10.0.0.0/13",
        "10.8.0.0/16",
        "10.10.0.0/15",
        "10.12.0.0/14",
        "10.16.0.0/12",
        "10.32.0.0/11",
        "10.64.0.0/10",
        "10.128.0.0/9",
    }


def test_without_callers_a_named_range_is_a_range_like_any_other() -> None:
    plain = Owned(("100.64.0.2",), ("10.0.0.0/8",))
    for text in ("100.64.0.0/10", "10.9.0.0/16", "11.0.0.0/8"):
        assert plain.named([text]) == plain.cut([text])


def test_two_callers_take_both_their_parts_of_a_route() -> None:
    owned = Owned((), ("10.0.0.0/30",), ("10.0.0.0/32", "10.0.0.3/32"))
    assert set(owned.cut(["*"])) == {"10.0.0.1/32", "10.0.0.2/32"}
    assert Owned((), ("10.0.0.0/30",), ("10.0.0.0/24",)).cut(["*"]) == ()
