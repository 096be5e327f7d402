"""The random tailnets and policies: every kind of selector, shape and step comes, and all of it makes sense."""

import json
from itertools import permutations
from typing import Any, Final

import pytest
from hypothesis import find, given, seed, settings
from hypothesis import strategies as st

from tests.kit.naive_policy import Node, Policy, Reading, User, World, evaluate
from tests.kit.naive_select import split_destination
from tests.kit.naive_world import contains
from tests.kit.policy_rules import kind_of
from tests.kit.policy_worlds import mutations, scenes

START: Final[tuple[World, Policy]] = (
    World(
        users=(User(1, "ann@example.com", ("owner",)), User(2, "bob@example.org")),
        nodes=(
            Node(1, "n1", 1, (), "100.64.0.1", "fd7a:115c:a1e0::1"),
            Node(2, "n2", 1, ("tag:a",), "100.64.0.2", "fd7a:115c:a1e0::2", ("10.0.0.0/8",), ("10.0.0.0/8",)),
            Node(3, "n3", 2, (), "100.64.0.3", "fd7a:115c:a1e0::3"),
        ),
        domains=("example.com",),
    ),
    {"grants": [{"src": ["*"], "dst": ["*"], "ip": ["*"]}]},
)
KINDS: Final = {
    *(
        "*",
        "ipv4",
        "ipv6",
        "node range",
        "route range",
        "nowhere",
        "user",
        "user:*@",
        "tag:",
        "group:",
        "group:empty",
    ),
    *("host-node", "host-route", "host-nowhere", "autogroup:member", "autogroup:tagged", "autogroup:self"),
    *("autogroup:internet", "autogroup:danger-all", "autogroup:admin", "autogroup:owner"),
}
SHAPES: Final = {
    *(
        "no policy",
        "open",
        "via",
        "app",
        "ip",
        "proto",
        "srcPosture",
        "defaultSrcPosture",
        "empty src",
    ),
    *(
        "drive",
        "relay",
        "localpart",
        "acceptEnv",
        "checkPeriod",
        "exitNode",
        "routes",
        "disable-ipv4",
        "ipv6 route",
    ),
    *(
        "shared route",
        "nested route",
        "exit node",
        "offline",
        "two devices",
        "two tags",
        "unapproved",
        "steered",
    ),
}


def selectors_of(policy: dict[str, Any]) -> set[str]:
    rules = [rule for section in ("grants", "acls", "ssh", "nodeAttrs") for rule in policy.get(section, ())]
    found = {s for rule in rules for s in (*rule.get("src", ()), *rule.get("target", ()))}
    for rule in rules:
        acl = rule in policy.get("acls", ())
        found |= {split_destination(text)[0] if acl else text for text in rule.get("dst", ())}
    return found


def steered(reading: Reading, viewer: Node, router: Node) -> bool:
    """Whether a viewer finds a route at another router than its primary."""
    world = reading.world
    return any(reading.routed(viewer, router, r) and world.primary(r) != router for r in router.routes)


def shapes_of(world: World, policy: Policy) -> set[str]:
    """What of the named shapes occurs; found in the text of the policy where that is plain enough."""
    text, reading = json.dumps(policy), Reading(world, policy)
    found = {
        shape for shape in SHAPES if f'"{shape}"' in text or f"/{shape}" in text or f"{shape}:*@" in text
    }
    rules = [] if policy is None else [rule for s in ("grants", "acls") for rule in policy.get(s, ())]
    routes = [route for each in world.nodes for route in each.routes]
    owners = [each.owner for each in world.nodes if each.owner is not None]
    pairs = [(a, b) for a in set(routes) for b in set(routes) if a != b]
    seen = {
        "no policy": policy is None,
        "open": policy is not None and not {"grants", "acls"} & set(policy),
        "empty src": any(rule["src"] == [] for rule in rules),
        "shared route": len(routes) > len(set(routes)),
        "nested route": any(contains(a, b) for a, b in pairs),
        "ipv6 route": any(":" in route for route in routes),
        "exit node": any(each.exits for each in world.nodes),
        "offline": not all(each.online for each in world.nodes),
        "two devices": len(owners) > len(set(owners)),
        "two tags": any(len(each.tags) > 1 for each in world.nodes),
        "steered": any(steered(reading, *pair) for pair in permutations(world.nodes, 2)),
        "unapproved": any(each.approved != each.advertised for each in world.nodes),
    }
    return found | {shape for shape, there in seen.items() if there}


def test_the_strategies_make_every_kind_of_selector_and_every_shape() -> None:
    kinds: set[str] = set()
    shapes: set[str] = set()

    for number in range(1, 11):  # what is rare is not in every hundred

        @seed(number)
        @settings(max_examples=100, database=None, deadline=None)
        @given(scenes())
        def look(scene: tuple[World, Policy]) -> None:
            kinds.update(kind_of(selector) for selector in selectors_of(scene[1] or {}))
            shapes.update(shapes_of(*scene))

        look()
        if kinds >= KINDS and shapes >= SHAPES:
            break
    assert (KINDS - kinds, kinds - KINDS) == (set(), set())
    assert SHAPES - shapes == set()


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_a_scene_and_every_step_from_it_make_sense(data: st.DataObject) -> None:
    """Sight is mutual, every filter is of tailnet or route addresses, and a step changes something."""
    scene = data.draw(scenes(free=True))
    for _ in range(3):
        tailnet, policy = scene
        views = evaluate(tailnet, policy)
        for number, view in views.items():
            assert all(number in views[peer].peers for peer in view.peers)
            assert all(rule["SrcIPs"] == sorted(set(rule["SrcIPs"])) for rule in view.packet_filter)
            assert set(view.primary_routes) <= set(tailnet.node(number).approved)
        for route in {route for each in tailnet.nodes for route in each.routes}:
            assert sum(route in view.primary_routes for view in views.values()) == 1
        steps = mutations(tailnet, policy, free=True)
        scene = data.draw(steps)
        assert len({each.ipv4 for each in scene[0].nodes}) == len(scene[0].nodes)
        assert len({each.id for each in scene[0].nodes}) == len(scene[0].nodes)


@pytest.mark.parametrize("kind", ["join", "leave", "tags", "approved", "online", "posture", "policy"])
def test_every_kind_of_step_is_taken(kind: str) -> None:
    def is_it(step: tuple[World, Policy]) -> bool:
        if kind in ("join", "leave"):
            return len(step[0].nodes) == (4 if kind == "join" else 2)
        if kind == "policy":
            return step[0] == START[0] and step[1] != START[1]
        pairs = zip(START[0].nodes, step[0].nodes, strict=False)
        return any(getattr(old, kind) != getattr(new, kind) for old, new in pairs if old.id == new.id)

    quiet = settings(database=None, deadline=None, derandomize=True, max_examples=2000)
    assert is_it(find(mutations(*START), is_it, settings=quiet))
