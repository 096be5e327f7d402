"""Packet filters in both forms."""

import msgspec

from engine.contracts.netmap import FilterRule
from frontends.control import rules
from frontends.control.render import peer_node
from tests.unit.control.test_session import node

RULE = FilterRule(source_sets=("all", "s1"), ports=((22, 22), (80, 443)), protocols=(6,))


def test_new_clients_get_sources_by_capability() -> None:
    (rule,) = msgspec.json.decode(rules.by_name((RULE,), node(1, "u1")))["netmap"]
    assert rule["SrcIPs"] == ["cap:netmap.internal/set/all", "cap:netmap.internal/set/s1"]
    assert rule["IPProto"] == [6]


def test_the_destinations_are_the_viewers_own_addresses() -> None:
    (rule,) = msgspec.json.decode(rules.by_name((RULE,), node(1, "u1")))["netmap"]
    assert {entry["IP"] for entry in rule["DstPorts"]} == {"100.64.0.1", "fd7a:115c:a1e0::1"}
    assert len(rule["DstPorts"]) == 4


def test_old_clients_get_addresses_and_never_those_of_an_expired_node() -> None:
    nodes = [
        peer_node(value, None, "example.com", ()) for value in (node(1, "u1"), node(2, "u2", expired=True))
    ]
    value = rules.by_address((RULE,), node(1, "u1"), lambda _: rules.address_list(nodes))
    (rule,) = msgspec.json.decode(value)["netmap"]
    assert rule["SrcIPs"] == ["100.64.0.1/32", "fd7a:115c:a1e0::1/128"]


def test_without_rules_the_filter_is_there_and_empty() -> None:
    assert rules.by_name((), node(1, "u1")) == b'{"netmap":[]}'
