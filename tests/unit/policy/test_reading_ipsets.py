"""IP sets: exact, whatever is added and removed, and never in themselves."""

import ipaddress
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.policy.faults import PolicyFault
from engine.policy.ranges import INTERNET
from engine.policy.text.reading import read


def ranges(
    sets: dict[str, list[str]], name: str = "ipset:a", hosts: dict[str, str] | None = None
) -> list[str]:
    """Return the texts of a set's ranges, as a rule's sources have them."""
    rule = {"src": [name], "dst": ["*"], "ip": ["*"]}
    (found,) = read(json.dumps({"hosts": hosts or {}, "ipsets": sets, "grants": [rule]})).grants or ()
    return [selector.value for selector in found.sources]


def kind_of(sets: Any) -> str:
    with pytest.raises(PolicyFault) as caught:
        read(json.dumps({"hosts": {"web": "100.64.0.7"}, "ipsets": sets}))
    return caught.value.kind


def test_entries_add_and_remove_in_order() -> None:
    entries = [
        "10.0.0.0/24",
        "remove 10.0.0.0/25",
        "add 10.0.0.7",
        "remove 10.0.0.250-10.0.0.255",
        "remove 192.0.2.1",
    ]
    assert ranges({"ipset:a": entries}) == ["10.0.0.7", "10.0.0.128-10.0.0.249"]
    assert ranges({"ipset:a": ["remove 10.0.0.0/8"]}) == []
    assert ranges({"ipset:a": ["10.0.0.1", "remove 0.0.0.0/0", "10.0.0.2"]}) == ["10.0.0.2"]


def test_neighbours_become_one_and_the_versions_stay_apart() -> None:
    entries = ["255.255.255.255", "::", "10.0.1.0/24", "10.0.0.0/24", "::1"]
    assert ranges({"ipset:a": entries}) == ["10.0.0.0/23", "255.255.255.255", "::/127"]


def test_hosts_and_other_sets_are_taken_in_whatever_order_they_are_defined() -> None:
    sets = {
        "ipset:a": ["host:web", "add net", "ipset:b", "remove ipset:c"],
        "ipset:c": ["10.2.0.0/16"],
        "ipset:b": ["10.2.0.0/15", "ipset:c"],
    }
    assert ranges(sets, hosts={"web": "100.64.0.7", "net": "fd7a::/48"}) == [
        "10.3.0.0/16",
        "100.64.0.7",
        "fd7a::/48",
    ]


def test_the_internet_can_be_in_a_set() -> None:
    found = ranges({"ipset:a": ["autogroup:internet"]})
    assert found[:-1] == list(INTERNET[:-1])
    assert found[-1] == "2000::/3"


@pytest.mark.parametrize(
    ("sets", "kind"),
    [
        ({"a": []}, "ipset-name"),
        ({"ipset:": []}, "ipset-name"),
        ({"ipset:\u0430": []}, "ipset-name"),
        ({"ipset:a": ["ipset:b"]}, "unknown-ipset"),
        ({"ipset:a": ["x"]}, "bad-address"),
        ({"ipset:a": ["add"]}, "bad-address"),
        ({"ipset:a": ["remove "]}, "bad-address"),
        ({"ipset:a": ["plus 10.0.0.1"]}, "bad-address"),
        ({"ipset:a": [""]}, "bad-address"),
        ({"ipset:a": ["tag:x"]}, "misplaced-selector"),
        ({"ipset:a": ["group:x"]}, "misplaced-selector"),
        ({"ipset:a": ["alice@example.com"]}, "misplaced-selector"),
        ({"ipset:a": ["add autogroup:member"]}, "misplaced-selector"),
        ({"ipset:a": ["*"]}, "misplaced-selector"),
        ({"ipset:a": ["ipset:a"]}, "ipset-cycle"),
        ({"ipset:a": ["ipset:b"], "ipset:b": ["10.0.0.1", "remove ipset:a"]}, "ipset-cycle"),
    ],
)
def test_a_set_that_can_be_none_is_refused(sets: dict[str, list[str]], kind: str) -> None:
    assert kind_of(sets) == kind


@pytest.mark.parametrize("is_reversed", [False, True])
def test_sets_in_sets_are_limited_in_whatever_order_they_are_defined(is_reversed: bool) -> None:  # noqa: FBT001
    chain = {f"ipset:{number}": [f"ipset:{number + 1}"] for number in range(31)} | {"ipset:31": ["10.0.0.1"]}
    ordered = dict(reversed(chain.items())) if is_reversed else chain
    assert ranges(ordered, "ipset:0") == ["10.0.0.1"]
    longer = ordered | {"ipset:31": ["ipset:32"], "ipset:32": []}
    assert kind_of(dict(reversed(longer.items())) if is_reversed else longer) == "too-deep"


def test_a_chain_of_ten_thousand_sets_is_refused_and_overflows_nothing() -> None:
    assert kind_of({f"ipset:{number}": [f"ipset:{number + 1}"] for number in range(9_999)}) == "too-deep"


BASE = int(ipaddress.IPv4Address("10.0.0.0"))
spans = st.tuples(st.integers(0, 40), st.integers(0, 12)).map(lambda pair: (pair[0], pair[0] + pair[1]))


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(st.booleans(), spans), max_size=12))
def test_a_set_has_exactly_what_was_added_and_not_removed_since(
    steps: list[tuple[bool, tuple[int, int]]],
) -> None:
    wanted: set[int] = set()
    entries = []
    for is_removed, (first, last) in steps:
        some = set(range(first, last + 1))
        wanted = wanted - some if is_removed else wanted | some
        low, high = ipaddress.IPv4Address(BASE + first), ipaddress.IPv4Address(BASE + last)
        entries.append(f"{'remove ' if is_removed else ''}{low}-{high}")
    rule = {"src": ["ipset:a"], "dst": ["*"], "ip": ["*"]}
    (found,) = read(json.dumps({"ipsets": {"ipset:a": entries}, "grants": [rule]})).grants or ()
    got = [number - BASE for selector in found.sources for number in range(selector.first, selector.last + 1)]
    assert got == sorted(wanted)
    assert all(
        one.last + 1 < other.first for one, other in zip(found.sources, found.sources[1:], strict=False)
    )
