"""Approved prefixes: who routes them, who is told, and what one more of them changes."""

from engine.contracts.netmap import RouteObject, SteeredRouters
from engine.domain.events import (
    NodeDeleted,
    NodeExpired,
    NodeExpirySet,
    NodeRoutesAdvertised,
    NodeRoutesApproved,
    NodeTagged,
)
from engine.domain.values import Millis, NodeId
from tests.kit.policy_stage import Stage
from tests.unit.projections.netmap.stages import Policy, acl, keys, registered, routed, ruled, stage, touched

TEN, LAN, EXITS = "10.0.0.0/8", "192.168.7.0/24", ("0.0.0.0/0", "::/0")
TO_LAN = {"acls": [acl("ann@", f"{LAN}:*")]}
VIA: Policy = {
    "grants": [
        {"src": ["bob@"], "dst": [LAN], "ip": ["*"], "via": ["tag:b"]},
        {"src": ["ann@"], "dst": [LAN], "ip": ["*"], "via": ["tag:a", "tag:b"]},
        {"src": ["tag:b"], "dst": [TEN], "ip": ["*"], "via": ["tag:b"]},
    ]
}


def route(there: Stage, prefix: str = LAN) -> RouteObject:
    found = there.state.route(prefix)
    assert found is not None
    return found


def sees(there: Stage, number: int, prefix: str = LAN) -> bool:
    """Whether a node is told of a prefix on its primary router."""
    node = there.state.node(NodeId(number))
    assert node is not None
    mine = {name for name, classes in there.state.sets.items() if node.class_id in classes}
    return bool(mine & set(route(there, prefix).sets))


def test_an_approval_touches_its_prefixs_object_the_router_and_its_class() -> None:
    there = stage(TO_LAN)
    offered, approved = routed(3, LAN)
    assert touched(there.tell(offered)) == {"node": 1}
    changes = there.tell(approved)
    assert keys(changes, "route") == {LAN}
    assert keys(changes, "node") == {"3"}
    after = there.state.node(NodeId(3))
    assert after is not None
    assert keys(changes, "class") == {"t:tag:a", after.class_id}
    assert keys(changes, "set") == {
        there.state.policy.sets.routers(LAN),
        there.state.policy.sets.of(f"range {LAN}"),
    }


def test_another_router_of_the_same_sort_touches_itself_and_the_prefix() -> None:
    there = stage(TO_LAN, *routed(3, LAN), registered(5, 1, "tag:a"), registered(6, 1, "tag:a"))
    offered, approved = routed(5, LAN)
    there.tell(offered)
    assert touched(there.tell(approved)) == {"node": 1, "route": 1}
    assert route(there).routers == (3, 5)


def test_routers_stand_in_the_order_in_which_they_joined() -> None:
    there = stage(TO_LAN, *routed(4, LAN), *routed(2, LAN), *routed(3, LAN))
    assert route(there).routers == (2, 3, 4)


def test_what_is_offered_and_not_approved_or_approved_and_not_offered_is_no_route() -> None:
    number = NodeId(3)
    there = stage(
        TO_LAN,
        NodeRoutesAdvertised(node=number, routes=(TEN, LAN)),
        NodeRoutesApproved(node=number, routes=(LAN, "10.9.0.0/16")),
    )
    assert {key for key in there.state.objects if key.startswith("route/")} == {f"route/{LAN}"}


def test_exit_routes_are_the_nodes_own_and_no_objects() -> None:
    there = stage(TO_LAN)
    changes = there.tell(*routed(3, *EXITS))
    assert keys(changes, "route") == set()
    node = there.state.node(NodeId(3))
    assert node is not None
    assert (node.exit_routes, node.routes) == (EXITS, ())


def test_who_may_use_a_prefix_and_who_routes_it_is_told_of_it_and_nobody_else() -> None:
    there = stage(TO_LAN, *routed(3, LAN))
    assert [sees(there, number) for number in (1, 2, 3, 4)] == [True, False, True, False]


def test_who_may_be_reached_from_a_prefix_is_told_of_it() -> None:
    there = stage({"acls": [acl("192.168.0.0/16", "bob@:*")]}, *routed(3, LAN), *routed(4, TEN))
    assert [sees(there, number) for number in (1, 2)] == [False, True]
    assert not sees(there, 2, TEN)


def test_a_router_that_expires_is_none_until_it_is_back() -> None:
    there = stage(TO_LAN, *routed(3, LAN), *routed(4, LAN))
    there.tell(NodeExpired(node=NodeId(3), at=Millis(1), why="operator"))
    assert route(there).routers == (4,)
    there.tell(NodeExpirySet(node=NodeId(3), expiry=Millis(0)))
    assert route(there).routers == (3, 4)


def test_the_last_router_takes_the_prefix_with_it() -> None:
    there = stage(TO_LAN, *routed(3, LAN))
    changes = there.tell(NodeExpired(node=NodeId(3), at=Millis(1), why="operator"))
    assert [change.value for change in changes if change.key == f"route/{LAN}"] == [None]
    there = stage(TO_LAN, *routed(3, LAN), *routed(4, LAN))
    there.tell(NodeDeleted(node=NodeId(3)))
    changes = there.tell(NodeDeleted(node=NodeId(4)))
    assert [change.value for change in changes if change.key == f"route/{LAN}"] == [None]
    assert there.state.routers == {}


def test_a_router_that_goes_is_taken_off_its_prefixes_and_no_others_change() -> None:
    there = stage(TO_LAN, *routed(3, LAN, TEN), *routed(4, LAN, TEN), *routed(2, "172.16.0.0/12"))
    changes = there.tell(NodeDeleted(node=NodeId(3)))
    assert keys(changes, "route") == {LAN, TEN}
    assert (route(there).routers, route(there, TEN).routers) == ((4,), (4,))


def test_grants_with_via_steer_in_the_policys_order_to_routers_with_their_tags() -> None:
    there = stage(VIA, *routed(3, LAN), *routed(4, LAN), *routed(2, LAN))
    sets = there.state.policy.sets
    assert route(there).steered == (
        SteeredRouters((sets.of("user bob@"),), (NodeId(4),)),
        SteeredRouters((sets.of("user ann@"),), (NodeId(3), NodeId(4))),
    )
    assert not sees(there, 1)
    assert sees(there, 2)  # it routes the prefix itself


def test_ways_without_a_router_are_no_ways() -> None:
    there = stage(VIA, *routed(3, LAN), *routed(2, TEN))
    assert [way.routers for way in route(there).steered] == [(NodeId(3),)]
    assert route(there, TEN).steered == ()


def test_a_router_with_another_tag_is_another_way() -> None:
    there = stage(VIA, *routed(3, LAN))
    changes = there.tell(NodeTagged(node=NodeId(3), tags=("tag:b",)))
    assert keys(changes, "route") == {LAN}
    assert [way.routers for way in route(there).steered] == [(NodeId(3),), (NodeId(3),)]


def test_a_policy_that_speaks_of_a_prefix_otherwise_changes_it_and_no_other() -> None:
    there = stage(TO_LAN, *routed(3, LAN, TEN))
    changes = there.tell(ruled({"acls": [acl("bob@", f"{LAN}:*")]}))
    assert keys(changes, "route") == {LAN}
    assert [sees(there, number) for number in (1, 2)] == [False, True]
