"""Ranges cut to what somebody owns."""

import pytest

from frontends.control.confine import Owned

ADDRESSES = ("fd7a:115c:a1e0::2", "100.64.0.10", "100.64.0.2")
ROUTES = ("10.0.0.0/8", "fd00:1::/64", "192.168.7.0/24")
OWNED = Owned(ADDRESSES, ROUTES)


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("100.64.0.2", {"100.64.0.2"}),
        ("100.64.0.3", set()),
        ("100.64.0.0/29", {"100.64.0.2"}),
        ("100.64.0.2-100.64.0.10", {"100.64.0.2", "100.64.0.10"}),
        ("100.64.0.3-100.64.0.9", set()),
        ("fd7a:115c:a1e0::/48", {"fd7a:115c:a1e0::2"}),
        ("::/0", {"fd7a:115c:a1e0::2", "fd00:1::/64"}),
        ("0.0.0.0/0", {"100.64.0.2", "100.64.0.10", "10.0.0.0/8", "192.168.7.0/24"}),
        ("203.0.113.0/24", set()),
    ],
)
def test_of_a_range_the_addresses_and_routes_in_it_are_left(text: str, left: set[str]) -> None:
    assert set(OWNED.cut([text])) == left


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("10.0.0.0/8", {"10.0.0.0/8"}),
        ("10.1.0.0/16", {"10.1.0.0/16"}),
        ("8.0.0.0/5", {"10.0.0.0/8"}),
        ("10.1.2.3", {"10.1.2.3/32"}),
        ("10.255.255.254-11.0.0.5", {"10.255.255.254/31"}),
        ("9.0.0.0-10.0.0.2", {"10.0.0.0/31", "10.0.0.2/32"}),
        ("11.0.0.0/8", set()),
        ("fd00:1:0:0:8000::/65", {"fd00:1:0:0:8000::/65"}),
        ("fd00:1::-fd00:2::", {"fd00:1::/64"}),
    ],
)
def test_of_a_range_and_a_route_what_both_have_is_left(text: str, left: set[str]) -> None:
    assert set(OWNED.cut([text])) == left


def test_of_everything_all_addresses_and_routes_are_left_as_they_are() -> None:
    assert set(OWNED.cut(["*"])) == {*ADDRESSES, *ROUTES}


def test_nothing_is_left_twice() -> None:
    found = OWNED.cut(["10.0.0.0/8", "10.1.0.0/16", "0.0.0.0/0", "100.64.0.2", "*", "10.1.0.0/16"])
    assert len(found) == len(set(found))
    assert set(found) == {*ADDRESSES, *ROUTES, "10.1.0.0/16"}


def test_who_owns_nothing_is_left_nothing() -> None:
    assert Owned((), ()).cut(["*", "0.0.0.0/0", "::/0", "100.64.0.2"]) == ()


def test_addresses_alone_have_no_routes() -> None:
    assert Owned.of_addresses(ADDRESSES).cut(["10.0.0.0/8", "*"]) == tuple(sorted(ADDRESSES))


def test_addresses_between_two_are_sorted_as_texts() -> None:
    low, high = int.from_bytes((100, 64, 0, 0)), int.from_bytes((100, 64, 0, 255))
    assert list(OWNED.between(4, low, high)) == ["100.64.0.10", "100.64.0.2"]
    assert list(OWNED.between(4, low, low + 2)) == ["100.64.0.2"]
    assert list(OWNED.between(6, low, high)) == []
