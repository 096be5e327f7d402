"""Packet filters in both forms: whose packets come in, in which order, and what a viewer must not be told."""

from typing import Any

import pytest

from engine.contracts.netmap import (
    ConnectionExtra,
    ExtrasObject,
    NetmapObject,
    RouteObject,
)
from engine.domain.values import NodeId, PeerId
from engine.policy.policy import INTERNET, Reach, Within
from tests.unit.control.objects import (
    MARK,
    Held,
    a_class,
    a_set,
    entry,
    external,
    granted,
    node,
    program,
    reach,
    tailnet,
    to,
)

OLD, NEW = 104, 142
CAP = '{"example.com/cap/a":[{"x":1}]}'
OWN = ["100.64.0.1", "fd7a:115c:a1e0::1"]
SIX = {"100.64.0.2": "fd7a:115c:a1e0::2", "100.64.0.3": "fd7a:115c:a1e0::3"}
RANGES = ["100.115.94.0-100.127.255.255", "100.64.0.0-100.115.91.255", "fd7a:115c:a1e0::/48"]


def held(*entries: NetmapObject, rules: tuple[Reach, ...], **fields: Any) -> Held:
    """Node 1 of class u1, which has the rules; node 2 of u2, 3 of tags; sets `u1`, `u2`, `tagged`, `all`."""
    tagged = "t:tag:a+tag:b"
    names = tuple(value.entry.id for value in entries)  # type: ignore[union-attr]
    return Held(
        tailnet(),
        *entries,
        program(*names),
        a_set("u1", "u1"),
        a_set("u2", "u2"),
        a_set("tagged", tagged),
        a_set("all", "u1", "u2", tagged),
        a_class("u1", sees=("all",), rules=rules, **fields),
        a_class("u2", sees=("all",)),
        a_class(tagged, sees=("all",)),
        node(1, "u1"),
        node(2, "u2"),
        node(3, tagged),
    )


def both(*addresses: str) -> list[str]:
    """Addresses of IPv4 and IPv6 of nodes, given by the former, sorted as texts."""
    return sorted([*addresses, *(SIX[address] for address in addresses)])


def ports_of(rule: dict[str, Any]) -> list[tuple[str, int, int]]:
    return [(where["IP"], where["Ports"]["First"], where["Ports"]["Last"]) for where in rule["DstPorts"]]


# Forms ---------------------------------------------------------------------------------------------------------


def test_new_clients_get_sources_by_capability() -> None:
    (rule,) = held(entry("e", "u2", "tagged", protocol=6), rules=(reach("e"),)).filter(1, NEW)
    assert rule["SrcIPs"] == [f"{MARK}u2", f"{MARK}tagged"]
    assert rule["IPProto"] == [6]


def test_old_clients_get_bare_addresses_sorted_as_texts() -> None:
    (rule,) = held(entry("e", "u2", "tagged"), rules=(reach("e"),)).filter(1, OLD)
    assert rule["SrcIPs"] == ["100.64.0.2", "100.64.0.3", "fd7a:115c:a1e0::2", "fd7a:115c:a1e0::3"]
    assert "IPProto" not in rule


def test_an_expired_node_is_nobodys_source_and_another_of_its_class_is() -> None:
    there = held(entry("e", "u2"), rules=(reach("e"),))
    there.put(node(2, "u2", expired=True), node(4, "u2"))
    assert there.filter(1, OLD)[0]["SrcIPs"] == ["100.64.0.4", "fd7a:115c:a1e0::4"]


@pytest.mark.parametrize("capver", [OLD, NEW])
def test_the_destinations_are_the_nodes_own_addresses_as_texts_and_the_ports_in_order(capver: int) -> None:
    there = held(entry("e", "u2"), rules=(reach("e", to(ports=((80, 443), (22, 22)))),))
    assert ports_of(there.filter(1, capver)[0]) == [
        (address, *ports) for address in OWN for ports in ((80, 443), (22, 22))
    ]


@pytest.mark.parametrize("capver", [OLD, NEW])
def test_other_destinations_stay_as_they_are_and_the_internet_is_ranges(capver: int) -> None:
    there = held(entry("e", "u2"), rules=(reach("e", to("*"), to("10.0.0.0/8"), to(INTERNET)),))
    places = [ip for ip, _, _ in ports_of(there.filter(1, capver)[0])]
    assert places[:4] == ["*", "10.0.0.0/8", "0.0.0.0-9.255.255.255", "11.0.0.0-100.63.255.255"]
    assert places[-1] == "2000::-3fff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"
    assert len(places) == 9


@pytest.mark.parametrize("capver", [OLD, NEW])
def test_without_rules_the_filter_is_there_and_empty(capver: int) -> None:
    standing = held(entry("e", "u2"), rules=()).view.standing(NodeId(1), capver)
    assert standing is not None
    assert standing.filters == b'{"netmap":[]}'


# Sources -------------------------------------------------------------------------------------------------------


def test_the_whole_tailnet_is_ranges_and_routes_for_old_clients_and_a_set_and_routes_for_new_ones() -> None:
    there = held(entry("e", "u2", whole="all"), rules=(reach("e"),))
    there.put(*(RouteObject(prefix=prefix, routers=(NodeId(2),)) for prefix in ("fd00::/64", "10.33.0.0/16")))
    assert there.filter(1, OLD)[0]["SrcIPs"] == sorted(
        ["10.33.0.0/16", *RANGES, *both("100.64.0.2"), "fd00::/64"]
    )
    assert there.filter(1, NEW)[0]["SrcIPs"] == [f"{MARK}u2", f"{MARK}all", "10.33.0.0/16", "fd00::/64"]
    there.put(gone=("route/fd00::/64",))
    assert "fd00::/64" not in there.filter(1, OLD)[0]["SrcIPs"] + there.filter(1, NEW)[0]["SrcIPs"]


@pytest.mark.parametrize("capver", [OLD, NEW])
def test_anyone_is_a_star(capver: int) -> None:
    assert held(entry("e", is_anyone=True), rules=(reach("e"),)).filter(1, capver)[0]["SrcIPs"] == ["*"]


@pytest.mark.parametrize("capver", [OLD, NEW])
def test_of_a_set_within_a_range_only_the_addresses_in_it_count_and_they_follow_the_nodes(
    capver: int,
) -> None:
    few = Within("all", 4, int.from_bytes((100, 64, 0, 2)), int.from_bytes((100, 64, 0, 4)))
    there = held(entry("e", within=(few,)), rules=(reach("e"),))
    assert there.filter(1, capver)[0]["SrcIPs"] == ["100.64.0.2", "100.64.0.3"]
    there.put(node(4, "u2"), node(5, "u2"), gone=("node/3",))
    assert there.filter(1, capver)[0]["SrcIPs"] == ["100.64.0.2", "100.64.0.4"]


def test_own_devices_are_those_of_the_set_of_ones_own_and_no_others() -> None:
    there = held(entry("e", "all", is_conditional=True), rules=(reach("e", own="u2"),))
    assert there.filter(1, OLD)[0]["SrcIPs"] == both("100.64.0.2")
    assert there.filter(1, NEW)[0]["SrcIPs"] == [f"{MARK}u2"]


# Order ---------------------------------------------------------------------------------------------------------


def test_entries_of_equal_sources_are_one_rule_where_the_first_of_them_stands() -> None:
    entries = (entry("a", "u2"), entry("b", "tagged"), entry("c", "u2"), entry("d", "u2", protocol=6))
    first, second, third = held(
        *entries, rules=tuple(reach(name, to(ports=((n, n),))) for n, name in enumerate("abcd", 1))
    ).filter(1, OLD)
    assert [rule["SrcIPs"] for rule in (first, second, third)] == [
        both("100.64.0.2"),
        both("100.64.0.3"),
        both("100.64.0.2"),
    ]
    assert ports_of(first) == [(address, n, n) for n in (1, 3) for address in OWN]
    assert third["IPProto"] == [6]


def test_sources_are_equal_if_they_are_the_same_nodes_now_whatever_their_sets_are_called() -> None:
    there = held(entry("a", "u2"), entry("b", "s"), rules=(reach("a"), reach("b")))
    there.put(a_set("s", "u2"))
    assert len(there.filter(1, OLD)) == 1
    there.put(a_set("s", "u2", "u1"))
    assert len(there.filter(1, OLD)) == 2


def test_an_entry_keeps_its_place_on_a_node_that_it_is_not_for() -> None:
    entries = (entry("a", "u2"), entry("b", "tagged"), entry("c", "u2"))
    there = held(*entries, rules=(reach("b"), reach("c")))
    assert [rule["SrcIPs"] for rule in there.filter(1, OLD)] == [both("100.64.0.2"), both("100.64.0.3")]


@pytest.mark.parametrize("fields", [{"is_conditional": True}, {"via": ("tag:x",)}])
def test_an_entry_that_takes_no_part_on_a_node_keeps_no_place_there(fields: dict[str, Any]) -> None:
    entries = (entry("a", "u2", **fields), entry("b", "tagged"), entry("c", "u2"))
    there = held(*entries, rules=(reach("b"), reach("c")))
    assert [rule["SrcIPs"] for rule in there.filter(1, OLD)] == [both("100.64.0.3"), both("100.64.0.2")]


def test_an_entry_with_via_keeps_its_place_on_every_node_with_one_of_its_tags() -> None:
    entries = (entry("a", "u2", via=("tag:b",)), entry("b", "tagged"), entry("c", "u2"))
    there = held(*entries, rules=())
    there.put(a_class("t:tag:a+tag:b", rules=(reach("b"), reach("c"))))
    assert [rule["SrcIPs"] for rule in there.filter(3, OLD)] == [both("100.64.0.2"), both("100.64.0.3")]


def test_sources_that_are_nobody_now_make_no_rule_and_one_again_when_somebody_comes() -> None:
    there = held(entry("e", "nowhere"), rules=(reach("e"),))
    assert there.filter(1, OLD) == []
    there.put(a_set("nowhere", "u2"))
    assert there.filter(1, OLD)[0]["SrcIPs"] == both("100.64.0.2")


# Grants --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("capver", [OLD, NEW])
def test_a_grant_is_for_the_nodes_own_addresses_with_its_value_untouched(capver: int) -> None:
    (rule,) = held(entry("g", "u2", grant=CAP, is_conditional=True), rules=(granted("g"),)).filter(1, capver)
    assert set(rule) == {"SrcIPs", "CapGrant"}
    assert rule["CapGrant"] == [
        {
            "Dsts": ["100.64.0.1/32", "fd7a:115c:a1e0::1/128"],
            "CapMap": {"example.com/cap/a": [{"x": 1}]},
        }
    ]


@pytest.mark.parametrize("capver", [OLD, NEW])
def test_grants_never_merge_with_anything(capver: int) -> None:
    entries = (entry("a", "u2"), *(entry(name, "u2", grant=CAP, is_conditional=True) for name in "gh"))
    found = held(*entries, rules=(reach("a"), granted("g"), granted("h"))).filter(1, capver)
    assert ["CapGrant" in rule for rule in found] == [False, True, True]


def test_a_grant_to_nobody_stands_all_the_same() -> None:
    (rule,) = held(entry("g", "nowhere", grant=CAP, is_conditional=True), rules=(granted("g"),)).filter(
        1, OLD
    )
    assert rule["SrcIPs"] == []


# Beside a WireGuard-only peer ----------------------------------------------------------------------------------


def beside_a_relay(*entries: NetmapObject, rules: tuple[Reach, ...], sees: tuple[str, ...] = ("u2",)) -> Held:
    """Node 1 is connected to a relay with default routes, and sees nodes of `sees` only."""
    there = held(*entries, rules=rules)
    there.put(
        external(100_000_001),
        ExtrasObject(node=NodeId(1), connections=(ConnectionExtra(peer=PeerId(100_000_001)),)),
        a_class("u1", sees=sees, rules=rules),
    )
    return there


@pytest.mark.parametrize("capver", [OLD, NEW])
@pytest.mark.parametrize(
    ("fields", "left"),
    [
        ({"literals": ("100.64.0.0/10",)}, ["100.64.0.2"]),
        ({"literals": ("100.64.0.9", "203.0.113.0/24")}, []),
        ({"literals": ("fd7a:115c:a1e0::/120", "100.64.0.2-100.64.0.3")}, both("100.64.0.2")),
        ({"is_anyone": True}, both("100.64.0.2")),
    ],
)
def test_beside_a_relay_ranges_are_cut_to_the_nodes_that_are_seen(
    capver: int, fields: dict[str, Any], left: list[str]
) -> None:
    there = beside_a_relay(entry("e", **fields), rules=(reach("e"),))
    assert sorted({text for rule in there.filter(1, capver) for text in rule["SrcIPs"]}) == left
    there.put(gone=("extras/1",))
    assert there.filter(1, capver)[0]["SrcIPs"] != left


def test_beside_a_relay_the_whole_tailnet_is_a_set_or_who_is_seen_of_it() -> None:
    there = beside_a_relay(entry("e", whole="all"), rules=(reach("e"),))
    there.put(RouteObject(prefix="10.0.0.0/8", routers=(NodeId(3),), sets=("u1",)))
    assert there.filter(1, NEW)[0]["SrcIPs"] == [f"{MARK}all"]
    assert there.filter(1, OLD)[0]["SrcIPs"] == both("100.64.0.2")
    there.put(a_class("u1", sees=("u2", "tagged"), rules=(reach("e"),)))
    assert there.filter(1, NEW)[0]["SrcIPs"] == [f"{MARK}all", "10.0.0.0/8"]
    assert there.filter(1, OLD)[0]["SrcIPs"] == ["10.0.0.0/8", *both("100.64.0.2", "100.64.0.3")]


def test_beside_a_relay_a_route_counts_only_where_it_leads_to_somebody_in_this_view() -> None:
    there = beside_a_relay(entry("e", literals=("10.1.0.0/16",)), rules=(reach("e"),))
    there.put(RouteObject(prefix="10.0.0.0/8", routers=(NodeId(2),), sets=("tagged",)))
    assert there.filter(1, NEW)[0]["SrcIPs"] == []
    there.put(RouteObject(prefix="10.0.0.0/8", routers=(NodeId(2),), sets=("u1",)))
    for capver in (OLD, NEW):
        assert there.filter(1, capver)[0]["SrcIPs"] == ["10.1.0.0/16"]


@pytest.mark.parametrize("rule", [reach("e"), reach("e", own="u2")])
def test_beside_a_relay_an_address_that_nobody_shows_is_no_source(rule: Reach) -> None:
    there = beside_a_relay(entry("e", "u2", is_conditional=bool(rule.own)), rules=(rule,))
    there.put(a_class("u2", capabilities=("disable-ipv4",)))
    assert there.filter(1, OLD)[0]["SrcIPs"] == ["fd7a:115c:a1e0::2"]
    there.put(gone=("extras/1",))
    assert there.filter(1, OLD)[0]["SrcIPs"] == both("100.64.0.2")


def test_beside_a_relay_that_its_client_does_not_get_nothing_is_cut() -> None:
    there = beside_a_relay(entry("e", literals=("100.64.0.0/10",)), rules=(reach("e"),))
    there.put(gone=("peer/100000001",))
    assert there.filter(1, NEW)[0]["SrcIPs"] == ["100.64.0.0/10"]


def test_beside_a_relay_who_comes_and_who_goes_is_taken_note_of() -> None:
    there = beside_a_relay(entry("e", literals=("100.64.0.0/10",)), rules=(reach("e"),))
    there.put(node(4, "u2"))
    assert there.filter(1, NEW)[0]["SrcIPs"] == ["100.64.0.2", "100.64.0.4"]
    there.put(node(4, "u2", expired=True))
    assert there.filter(1, NEW)[0]["SrcIPs"] == ["100.64.0.2"]
    there.put(gone=("node/2",))
    assert there.filter(1, NEW)[0]["SrcIPs"] == []


def test_beside_a_relay_devices_within_a_range_are_those_that_are_seen() -> None:
    few = Within("all", 4, 0, (1 << 32) - 1)
    there = beside_a_relay(entry("e", within=(few,)), rules=(reach("e"),))
    assert there.filter(1, OLD)[0]["SrcIPs"] == ["100.64.0.2"]
    assert there.filter(1, NEW)[0]["SrcIPs"] == ["100.64.0.2"]


@pytest.mark.parametrize("capver", [OLD, NEW])
def test_beside_a_relay_a_nodes_own_addresses_and_routes_come_from_nobody_else(capver: int) -> None:
    there = beside_a_relay(entry("e", literals=("0.0.0.0/0",)), rules=(reach("e"),), sees=("u1", "u2"))
    there.put(RouteObject(prefix="10.0.0.0/8", routers=(NodeId(1),), sets=("u1",)))
    assert there.filter(1, capver)[0]["SrcIPs"] == ["100.64.0.2"]
