"""Which router carries a prefix now, and what each viewer is told of it."""

from typing import Any

import msgspec

from engine.contracts.netmap import NetmapObject, RouteObject, SteeredRouters
from engine.domain.values import NodeId
from frontends.control.steering import Steering
from tests.unit.control.objects import Held, a_class, a_set, key, node, tailnet

TEN, LAN = "10.0.0.0/8", "192.168.7.0/24"
VIEWERS = {"told": 11, "steered": 12, "other": 13}
"""Nodes of users 1, 2 and 3, of classes in the sets `told`, `steered` and `other`."""
ALL = ("told", "steered", "other", "routers")


def route(*routers: int, prefix: str = TEN, steered: tuple[SteeredRouters, ...] = ()) -> RouteObject:
    numbers = tuple(map(NodeId, routers))
    return RouteObject(prefix=prefix, routers=numbers, sets=("told",), steered=steered)


def towards(*routers: int, sets: tuple[str, ...] = ("steered",)) -> SteeredRouters:
    return SteeredRouters(sets, tuple(map(NodeId, routers)))


def held(*values: NetmapObject) -> Held:
    """Three viewers that see each other and the routers 21, 22 and 23."""
    return Held(
        tailnet(),
        a_set("told", "u1"),
        a_set("steered", "u2"),
        a_set("other", "u3"),
        a_set("routers", "u4"),
        *(a_class(f"u{number}", sees=ALL) for number in (1, 2, 3, 4)),
        *(node(number, f"u{number - 10}") for number in VIEWERS.values()),
        *(node(number, "u4") for number in (21, 22, 23)),
        *values,
    )


def primaries(there: Held, number: int) -> list[str]:
    """The prefixes of which a node is told that it is the primary."""
    standing = there.view.standing(NodeId(number), 142)
    assert standing is not None
    found: list[str] = msgspec.json.decode(standing.me).get("PrimaryRoutes", [])
    return found


def test_the_primary_is_the_first_to_have_joined_of_those_online() -> None:
    there = held(route(21, 22, 23))
    there.online(22, 23)
    assert there.routes(VIEWERS["told"]) == {22: (TEN,)}


def test_without_anybody_online_it_is_the_first() -> None:
    there = held(route(21, 22))
    assert there.routes(VIEWERS["told"]) == {21: (TEN,)}
    assert (primaries(there, 21), primaries(there, 22)) == ([TEN], [])


def test_a_primary_that_goes_fails_over_and_comes_back_when_it_is_there_again() -> None:
    there = held(route(21, 22))
    there.online(21, 22)
    assert (there.routes(VIEWERS["told"]), primaries(there, 21)) == ({21: (TEN,)}, [TEN])
    there.online(21, online=False)
    assert there.routes(VIEWERS["told"]) == {22: (TEN,)}
    assert (primaries(there, 21), primaries(there, 22)) == ([], [TEN])
    there.online(21)
    assert (there.routes(VIEWERS["told"]), primaries(there, 22)) == ({21: (TEN,)}, [])


def test_a_frontend_that_lapses_takes_its_routers_with_it() -> None:
    there = held(route(21, 22))
    there.online(21)
    there.view.update(there.replica.lapse("f1", 1))  # type: ignore[arg-type]
    assert there.routes(VIEWERS["told"]) == {21: (TEN,)}  # nobody is there: the first
    there.view.update(there.replica.revive("f1"))
    there.online(22)
    there.online(21, online=False)
    assert there.routes(VIEWERS["told"]) == {22: (TEN,)}


def test_who_is_in_no_set_of_the_prefix_is_told_nothing() -> None:
    there = held(route(21, steered=(towards(21),)))
    assert there.routes(VIEWERS["other"]) == {}
    assert there.routes(21) == {}


def test_a_steered_viewer_is_told_of_the_first_of_its_routers_that_is_there() -> None:
    there = held(route(21, 22, 23, steered=(towards(22, 23),)))
    there.online(21, 22, 23)
    assert there.routes(VIEWERS["steered"]) == {22: (TEN,)}
    assert there.routes(VIEWERS["told"]) == {21: (TEN,)}
    there.online(22, online=False)
    assert there.routes(VIEWERS["steered"]) == {23: (TEN,)}
    assert there.routes(VIEWERS["told"]) == {21: (TEN,)}
    there.online(21, 23, online=False)
    assert there.routes(VIEWERS["steered"]) == {22: (TEN,)}
    assert primaries(there, 22) == []  # it is nobody's primary: it was steered to


def test_who_is_told_outright_is_not_steered() -> None:
    there = held(route(21, 22, steered=(towards(22, sets=("told", "steered")),)))
    assert there.routes(VIEWERS["told"]) == {21: (TEN,)}
    assert there.routes(VIEWERS["steered"]) == {22: (TEN,)}


def test_of_several_ways_the_first_that_fits_counts() -> None:
    ways = (towards(23, sets=("other",)), towards(22), towards(21))
    assert held(route(21, 22, 23, steered=ways)).routes(VIEWERS["steered"]) == {22: (TEN,)}


def test_routes_of_one_router_are_sorted_as_texts() -> None:
    there = held(
        route(21, prefix=LAN), route(21, prefix="fd00::/64"), route(21), route(22, prefix="10.1.0.0/16")
    )
    assert there.routes(VIEWERS["told"]) == {21: (TEN, LAN, "fd00::/64"), 22: ("10.1.0.0/16",)}
    assert primaries(there, 21) == [TEN, LAN, "fd00::/64"]


def test_a_prefix_that_goes_is_told_to_nobody_and_leaves_its_router_nothing() -> None:
    there = held(route(21), route(21, prefix=LAN))
    there.put(gone=(f"route/{TEN}",))
    assert there.routes(VIEWERS["told"]) == {21: (LAN,)}
    assert primaries(there, 21) == [LAN]
    there.put(gone=(f"route/{LAN}",))
    assert there.routes(VIEWERS["told"]) == {}


def test_a_router_that_is_none_any_more_is_told_so() -> None:
    there = held(route(21, 22))
    assert primaries(there, 21) == [TEN]
    there.put(route(22))
    assert (primaries(there, 21), primaries(there, 22)) == ([], [TEN])


def test_a_viewer_whose_class_enters_a_set_is_told() -> None:
    there = held(route(21))
    there.put(a_set("told", "u1", "u3"))
    assert there.routes(VIEWERS["other"]) == {21: (TEN,)}
    there.put(a_set("told", "u1"))
    assert there.routes(VIEWERS["other"]) == {}


def test_equal_routes_are_one_object_for_viewers_of_all_sorts() -> None:
    there = held(route(21, 22, steered=(towards(21),)))
    scopes = [scope(there, name) for name in ("told", "steered", "other")]
    assert scopes[0] is scopes[1]
    assert scopes[2] is not scopes[0]
    there.online(22)
    assert scope(there, "told") is not scope(there, "steered")
    there.online(21)
    assert scope(there, "told") is scope(there, "steered")


def scope(there: Held, viewer: str) -> Any:
    standing = there.view.standing(NodeId(VIEWERS[viewer]), 142)
    assert standing is not None
    return standing.scope


def test_nothing_is_routed_otherwise_if_a_node_comes_that_routes_nothing() -> None:
    there = held(route(21))
    before = scope(there, "told")
    steering = Steering(there.replica)
    steering.update(there.replica.keys())
    assert steering.update(there.say(VIEWERS["told"])) is None
    assert steering.update(frozenset({key(21)})) is None  # told of, and as it was
    assert steering.update(there.say(21)) == set()  # there, and primary as before
    there.view.update(frozenset())
    assert scope(there, "told") is before


def test_a_router_that_comes_while_one_of_its_prefixes_changes_is_looked_at_for_all_of_them() -> None:
    there = held(route(21, 22), route(22, prefix=LAN))
    steering = Steering(there.replica)
    steering.update(there.replica.keys())
    assert steering.primaries(NodeId(21)) == (TEN,)
    touched = there.say(22) | there.put(route(22, 23, prefix=LAN))
    assert steering.update(touched) == {21, 22}
    assert steering.primaries(NodeId(22)) == (TEN, LAN)
