"""The naive evaluator against every recorded vector, and what the vectors do not show against the text."""

import copy
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final

import pytest

from tests.kit.naive_policy import (
    Node,
    NodeView,
    User,
    World,
    allowed,
    approved_routes,
    evaluate,
    run_tests,
    sees,
)
from tests.kit.naive_select import holds
from tests.kit.naive_world import Fact
from tests.kit.policy_vectors import vectors

Vector = dict[str, Any]

# Per family: accepted files, device views compared, refused files.
FAMILIES: Final = {
    "acl": (121, 967, 13),
    "grant": (141, 2046, 24),
    "nodeattrs": (32, 253, 3),
    "policytest": (7, 55, 23),
    "routes": (66, 792, 0),
    "ssh": (57, 855, 21),
    "sshtest": (15, 225, 8),
}


def family(name: str) -> list[Vector]:
    return [vector for vector in vectors().values() if vector["family"] == name]


def world_of(vector: Vector) -> World:
    users = {user["name"]: user["id"] for user in vector["users"]}
    return World(
        users=tuple(User(user["id"], user["email"], tuple(user["roles"])) for user in vector["users"]),
        nodes=tuple(
            Node(
                id=node["id"],
                name=node["name"],
                user=users.get(node["user"]),
                tags=tuple(node["tags"]),
                ipv4=node["ipv4"],
                ipv6=node["ipv6"],
                advertised=tuple(node["advertised_routes"]),
                approved=tuple(node["approved_routes"]),
            )
            for node in vector["nodes"]
        ),
        domains=tuple(vector["tailnet"]["domains"]),
        auto_updates=vector["tailnet"]["settings"].get("devices_auto_updates_on", False),
    )


def in_the_form_of_the_vectors(world: World, view: NodeView) -> Vector:
    names = {node.id: node.name for node in world.nodes}
    return {
        "packet_filter": view.packet_filter,
        "peers": {names[peer]: sorted(extra) for peer, extra in view.peers.items()},
        "peer_caps": {names[peer]: caps for peer, caps in view.peer_caps.items()},
        "primary_routes": sorted(view.primary_routes),
        "addresses": sorted(view.addresses),
        "ssh_rules": view.ssh_rules,
        "caps": view.caps,
    }


def completed(world: World, name: str, expected: Vector) -> Vector:
    """An expected view with what it leaves out when it is empty, lists that are sets sorted."""
    own = next(node for node in world.nodes if node.name == name)
    full: Vector = {"peer_caps": {}, "ssh_rules": [], "addresses": own.own_prefixes} | copy.deepcopy(expected)
    full["addresses"] = sorted(full["addresses"])
    if "peers" in full:  # else the note `peers-dropped`
        full["peers"] = {peer: sorted(extra) for peer, extra in full["peers"].items()}
        full["primary_routes"] = sorted(full.get("primary_routes", []))
    return full


def differences(vector: Vector) -> tuple[int, list[str]]:
    """How many views were compared, and where they differ from what the vector expects."""
    world, found, count = world_of(vector), [], 0
    views = evaluate(world, vector["policy"])
    for node in world.nodes:
        approved = sorted(approved_routes(world, vector["policy"], node))
        if approved != sorted(node.approved) and "peers-dropped" not in vector.get("notes", ()):
            found.append(f"{vector['id']} {node.name} approved")
        expected = vector["expect"].get("nodes", {}).get(node.name)
        if expected is None:  # note `some-nodes-not-recorded`
            continue
        count += 1
        got = in_the_form_of_the_vectors(world, views[node.id])
        wanted = completed(world, node.name, expected)
        found += [f"{vector['id']} {node.name} {key}" for key in wanted if got[key] != wanted[key]]
    return count, found


@pytest.mark.parametrize("name", FAMILIES)
def test_every_accepted_vector_is_reproduced_in_order(name: str) -> None:
    accepted = [vector for vector in family(name) if vector["expect"]["accept"]]
    refused = [vector for vector in family(name) if not vector["expect"]["accept"]]
    results = [differences(vector) for vector in accepted]
    assert [difference for _, found in results for difference in found] == []
    assert (len(accepted), sum(count for count, _ in results), len(refused)) == FAMILIES[name]


@pytest.mark.parametrize("name", ["policytest", "sshtest"])
def test_the_tests_of_a_policy_pass_where_the_service_took_it(name: str) -> None:
    decided = {vector["id"]: run_tests(world_of(vector), vector["policy"]) for vector in family(name)}
    assert decided == {vector["id"]: vector["expect"]["accept"] for vector in family(name)}
    assert len(decided) == FAMILIES[name][0] + FAMILIES[name][2]
    assert set(decided.values()) == {True, False}


def swapped(items: list[Any]) -> None:
    assert items[0] != items[1]
    items[0], items[1] = items[1], items[0]


def widened(expect: Vector) -> None:
    expect["kakuna"]["packet_filter"][0]["DstPorts"][0]["Ports"]["Last"] += 1


PERTURBED: Final[list[tuple[str, Callable[[Vector], object]]]] = [
    ("grant-p02-5-correct", widened),
    ("grant-p02-5-correct", lambda expect: swapped(expect["kakuna"]["packet_filter"][0]["DstPorts"])),
    ("grant-p02-5-correct", lambda expect: expect["kakuna"]["packet_filter"].clear()),
    ("grant-p02-5-correct", lambda expect: expect["weedle"]["peers"].pop("kakuna")),
    ("grant-p02-5-correct", lambda expect: expect["pidgey"]["peers"].update(kakuna=[])),
    ("grant-p02-5-correct", lambda expect: expect["squirtle"].update(primary_routes=["10.33.0.0/16"])),
    ("via-grant-v51", lambda expect: swapped(expect["router-6via"]["packet_filter"])),
    ("via-grant-v51", lambda expect: expect["router-6via"]["packet_filter"][0].pop("IPProto")),
    ("via-grant-v51", lambda expect: expect["client-a"]["peers"]["router-6via"].clear()),
    (
        "routes-b18-autogroup-internet-wildcard-src-with-exit-autoapprover",
        lambda expect: expect["caterpie"].pop("peer_caps"),
    ),
    ("ssh-d11", lambda expect: swapped(expect["beedrill"]["ssh_rules"])),
    ("ssh-d11", lambda expect: expect["bulbasaur"]["ssh_rules"].pop()),
    ("ssh-b6", lambda expect: expect["beedrill"]["ssh_rules"][0]["principals"].pop(2)),
    ("nodeattrs-attr-c15-disable-ipv4", lambda expect: next(iter(expect.values()))["caps"].popitem()),
]


@pytest.mark.parametrize(("name", "perturb"), PERTURBED)
def test_a_perturbed_expectation_is_noticed(name: str, perturb: Callable[[Vector], object]) -> None:
    vector = copy.deepcopy(vectors()[name])
    assert differences(vector)[1] == []
    perturb(vector["expect"]["nodes"])
    assert differences(vector)[1]


def test_a_route_that_no_approver_covers_is_noticed() -> None:
    vector = copy.deepcopy(vectors()["grant-p02-5-correct"])
    vector["nodes"][6]["approved_routes"] = ["10.44.0.0/16"]
    assert "grant-p02-5-correct spearow approved" in differences(vector)[1]


def test_turned_round_a_passing_test_fails() -> None:
    vector = vectors()["policytest-port-shape-single"]
    policy = copy.deepcopy(vector["policy"])
    assert run_tests(world_of(vector), policy)
    policy["tests"][0]["deny"] = policy["tests"][0].pop("accept")
    assert not run_tests(world_of(vector), policy)


ALICE, BOB = User(1, "alice@example.com", ("owner",)), User(2, "bob@example.org")


def node(number: int, user: int | None = None, tags: tuple[str, ...] = (), **more: Any) -> Node:
    return Node(number, f"n{number}", user, tags, f"100.64.0.{number}", f"fd7a:115c:a1e0::{number:x}", **more)


def world(*nodes: Node) -> World:
    return World((ALICE, BOB), nodes, ("example.com",))


def router(number: int, *routes: str, **more: Any) -> Node:
    return node(number, None, ("tag:r",), advertised=routes, approved=routes, **more)


OPEN: Final = {"grants": [{"src": ["*"], "dst": ["*"], "ip": ["*"]}]}


def test_without_a_policy_everything_is_open_and_with_an_empty_list_nothing_is() -> None:
    tailnet = world(node(1, 1), router(2, "10.0.0.0/8"))
    assert evaluate(tailnet, None) == evaluate(tailnet, {}) == evaluate(tailnet, OPEN)
    assert sees(tailnet, None, 1, 2)
    assert not sees(tailnet, {"acls": []}, 1, 2)
    assert allowed(tailnet, None, "100.64.0.1", "10.1.2.3", 22, 6)
    assert not allowed(tailnet, {"acls": []}, "100.64.0.1", "10.1.2.3", 22, 6)


def test_the_primary_is_the_oldest_router_that_is_online_and_the_oldest_if_none_is() -> None:
    def primary(online: str) -> tuple[list[str], list[str]]:
        routers = [router(number + 2, "10.0.0.0/8", online=up == "+") for number, up in enumerate(online)]
        views = evaluate(world(node(1, 1), *routers), OPEN)
        shown = [f"n{peer}" for peer, extra in views[1].peers.items() if extra]
        return shown, [f"n{number}" for number, view in views.items() if view.primary_routes]

    assert primary("+++") == (["n2"], ["n2"])
    assert primary("-++") == (["n3"], ["n3"])
    assert primary("--+") == (["n4"], ["n4"])
    assert primary("---") == (["n2"], ["n2"])


def test_via_fails_over_among_the_tagged_routers_only() -> None:
    grant = {"src": ["alice@example.com"], "dst": ["10.0.0.0/8"], "ip": ["*"], "via": ["tag:v"]}
    others = [node(n, None, ("tag:v",), approved=("10.0.0.0/8",), online=n != 3) for n in (3, 4)]
    tailnet = world(node(1, 1), router(2, "10.0.0.0/8"), *others)
    assert evaluate(tailnet, {"grants": [grant]})[1].peers == {3: [], 4: ["10.0.0.0/8"]}
    plain = {**grant, "via": []}
    assert evaluate(tailnet, {"grants": [grant, plain]})[1].peers == {2: ["10.0.0.0/8"], 3: [], 4: []}


def test_self_is_every_device_of_the_same_user_and_no_other() -> None:
    policy = {"acls": [{"action": "accept", "src": ["autogroup:member"], "dst": ["autogroup:self:22"]}]}
    tailnet = world(node(1, 1), node(2, 1), node(3, 2), node(4, 1, ("tag:x",)))
    views = evaluate(tailnet, policy)
    assert [sorted(view.peers) for view in views.values()] == [[2], [1], [], []]
    (rule,) = views[1].packet_filter
    assert rule["SrcIPs"] == ["100.64.0.1", "100.64.0.2", "fd7a:115c:a1e0::1", "fd7a:115c:a1e0::2"]
    assert [dest["IP"] for dest in rule["DstPorts"]] == ["100.64.0.1", "fd7a:115c:a1e0::1"]
    assert allowed(tailnet, policy, "100.64.0.2", "100.64.0.1", 22, 6)
    assert not allowed(tailnet, policy, "100.64.0.2", "100.64.0.1", 23, 6)
    assert not allowed(tailnet, policy, "100.64.0.3", "100.64.0.1", 22, 6)


def test_a_posture_leaves_addresses_of_devices_that_fulfil_it() -> None:
    fit, unfit = {"node:os": "macos", "node:tsVersion": "1.62.0"}, {"node:os": "linux"}
    rule = {"src": ["*"], "dst": ["*"], "ip": ["*"]}
    policy: dict[str, Any] = {
        "postures": {
            "posture:mac": ["node:os == 'macos'", "node:tsVersion >= '1.60'"],
            "posture:never": ["x:y IS SET"],
        },
        "grants": [rule | {"srcPosture": ["posture:never", "posture:mac"]}],
    }
    tailnet = world(node(1, 1, posture=fit), node(2, 1, posture=unfit), router(3, "10.0.0.0/8"))
    (only,) = evaluate(tailnet, policy)[2].packet_filter
    assert only["SrcIPs"] == ["100.64.0.1", "fd7a:115c:a1e0::1"]
    default = {"postures": policy["postures"], "defaultSrcPosture": ["posture:mac"], "grants": [rule]}
    assert evaluate(tailnet, default) == evaluate(tailnet, policy)
    assert evaluate(tailnet, default | {"defaultSrcPosture": ["posture:never"]})[2].packet_filter == []


@pytest.mark.parametrize(
    ("condition", "answer"),
    [
        ("node:os == 'macos'", True),
        ("node:os != 'macos'", False),
        ("node:os IN ['linux', 'macos']", True),
        ("node:os NOT IN ['linux', 'macos']", False),
        ("node:os NOT IN ['linux']", True),
        ("node:v >= '1.9'", True),
        ("node:v < '1.62.1'", True),
        ("node:v == '1.62'", True),
        ("custom:tier > 2", True),
        ("custom:tier <= 2", False),
        ("custom:tier == '3'", False),
        ("custom:ok == true", True),
        ("custom:ok == 1", False),
        ("custom:ok IS SET", True),
        ("custom:ok NOT SET", False),
        ("custom:no NOT SET", True),
        ("custom:no IS SET", False),
        ("custom:no != 'x'", False),
        ("custom:no NOT IN ['x']", False),
        ("custom:no < 3", False),
    ],
)
def test_a_condition_on_an_attribute(condition: str, answer: bool) -> None:  # noqa: FBT001
    facts: dict[str, Fact] = {"node:os": "macos", "node:v": "1.62", "custom:tier": 3, "custom:ok": True}
    assert holds(facts, condition) is answer


def test_approvers_may_be_users_and_the_exit_route_needs_its_own() -> None:
    routes = ("10.1.0.0/16", "0.0.0.0/0", "fd00:1::/64")
    policy: dict[str, Any] = {
        "autoApprovers": {"routes": {"10.0.0.0/8": ["alice@example.com"], "0.0.0.0/0": ["tag:r"]}}
    }
    tailnet = world(node(1, 1, advertised=routes), node(2, 2, advertised=routes), router(3, *routes))
    found = [approved_routes(tailnet, policy, each) for each in tailnet.nodes]
    assert found == [["10.1.0.0/16"], [], ["10.1.0.0/16"]]
    policy["autoApprovers"]["exitNode"] = ["group:g"]
    assert approved_routes(
        tailnet, policy | {"groups": {"group:g": ["bob@example.org"]}}, tailnet.nodes[1]
    ) == ["0.0.0.0/0"]
    assert approved_routes(tailnet, None, tailnet.nodes[2]) == []


def test_a_router_sees_the_other_router_of_its_route_only_while_that_is_the_primary() -> None:
    policy = {"grants": [{"src": ["tag:r"], "dst": ["tag:r"], "ip": ["22"]}]}
    tailnet = world(router(1, "10.0.0.0/8"), router(2, "10.0.0.0/8"))
    assert [view.peers for view in evaluate(tailnet, policy).values()] == [{2: []}, {1: ["10.0.0.0/8"]}]
    failed = replace(tailnet, nodes=(router(1, "10.0.0.0/8", online=False), tailnet.nodes[1]))
    assert [view.peers for view in evaluate(failed, policy).values()] == [{2: ["10.0.0.0/8"]}, {1: []}]
