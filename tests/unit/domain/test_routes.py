"""What nodes offer to route, and what of it they may."""

import json

import pytest

from engine.domain.commands import AdvertiseNode, ApproveRoutes, SetPolicy, TagNode
from engine.domain.decision import Decision
from engine.domain.events import NodeRoutesAdvertised, NodeRoutesApproved
from engine.domain.routes import MAX_ROUTES, QUIET_MILLIS, offered
from engine.domain.values import NodeId
from tests.kit.scenario import Scene, machine_key, node_key, registration

ONE = NodeId(1)
EXIT = ("0.0.0.0/0", "::/0")
POLICY = json.dumps(
    {
        "tagOwners": {"tag:router": ["anna@"]},
        "acls": [],
        "autoApprovers": {
            "routes": {"10.0.0.0/8": ["anna@"], "192.168.0.0/16": ["tag:router"], "::/0": ["anna@"]},
            "exitNode": ["tag:router"],
        },
    }
)


@pytest.fixture
def scene() -> Scene:
    scene = Scene()
    scene.user("anna")
    scene.node("router", "anna")
    return scene


def offer(*routes: str, name: str = "router") -> AdvertiseNode:
    return AdvertiseNode(machine_key=machine_key(name), node_key=node_key(name), routes=routes)


def approve(*routes: str) -> ApproveRoutes:
    return ApproveRoutes(node=1, routes=routes)


def effective(scene: Scene) -> tuple[tuple[str, ...], bool]:
    node = scene.tailnet.nodes[ONE]
    return node.routes, node.is_exit


# What clients offer -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("texts", "kept"),
    [
        (["10.0.0.1/8", "10.0.0.0/8"], ["10.0.0.0/8"]),
        (["192.168.0.0/16", "10.0.0.0/8", "fd12::/16"], ["10.0.0.0/8", "192.168.0.0/16", "fd12::/16"]),
        (["::/0", "0.0.0.0/0"], ["0.0.0.0/0", "::/0"]),
        (["10.0.0.0", "x", "10.0.0.0/33", "10.0.0.0/255.0.0.0", "fe80::%1/64", "", "/8"], []),
        (["100.64.0.0/10", "100.100.0.0/16", "100.0.0.0/8", "fd7a:115c:a1e0::/48", "fd7a:115c::/32"], []),
        (
            ["fd7a:115c:a1e0:b1a:0:7:a01:0/112", "fd7a:115c:a1e0:b1b::/64"],
            ["fd7a:115c:a1e0:b1a:0:7:a01:0/112"],
        ),
        (["127.0.0.0/8", "224.0.0.0/8", "::1/128", "ff02::/16", "::ffff:10.0.0.0/104"], []),
    ],
)
def test_what_a_client_offers_is_made_to_fit(texts: list[str], kept: list[str]) -> None:
    assert list(offered(texts)) == kept


def test_a_client_offers_not_any_number_of_routes() -> None:
    texts = [f"10.{number // 256}.{number % 256}.0/24" for number in range(MAX_ROUTES + 5)]
    assert len(offered(texts)) == MAX_ROUTES
    assert set(offered(texts)) == set(texts[:MAX_ROUTES])


def test_an_offer_is_noted_when_it_differs(scene: Scene) -> None:
    assert scene.happens(offer()) == []
    decision = scene.when(offer("192.168.1.7/24", "10.0.0.0/8"))
    assert decision.events == (NodeRoutesAdvertised(node=ONE, routes=("10.0.0.0/8", "192.168.1.0/24")),)
    scene.later(QUIET_MILLIS)
    assert scene.happens(offer("10.0.0.0/8", "192.168.1.0/24")) == []
    assert scene.happens(offer()) == ["NodeRoutesAdvertised"]
    assert scene.tailnet.nodes[ONE].advertised == ()


def test_a_client_that_flaps_is_heard_once_a_second(scene: Scene) -> None:
    assert scene.when(offer("10.0.0.0/8")).result["later"] is False
    scene.later(QUIET_MILLIS - 1)
    decision = scene.when(offer())
    assert (decision.events, decision.result["later"]) == ((), True)
    assert scene.when(offer("10.0.0.0/8")).result["later"] is False, "it offers what is known"
    assert scene.happens(registration("router", routes=())) == []
    scene.later(1)
    assert scene.happens(offer()) == ["NodeRoutesAdvertised"]


def test_who_registers_may_offer_and_who_says_nothing_takes_nothing_back(scene: Scene) -> None:
    decision = scene.when(registration("other", user="anna", routes=("10.0.0.0/8",)))
    assert [type(event).__name__ for event in decision.events] == ["NodeRegistered", "NodeRoutesAdvertised"]
    scene.later(QUIET_MILLIS)
    assert scene.happens(registration("other")) == []
    assert scene.happens(registration("other", routes=("10.0.0.0/8", "fd12::/16"))) == [
        "NodeRoutesAdvertised"
    ]
    fresh = registration("other", node_key=node_key("fresh"), user="anna", routes=())
    scene.later(QUIET_MILLIS)
    assert scene.happens(fresh) == ["NodeReregistered", "NodeRoutesAdvertised"]


# What they may ------------------------------------------------------------------------------------------------------


def test_only_what_is_offered_and_approved_is_routed(scene: Scene) -> None:
    scene.when(offer("10.0.0.0/8", "192.168.0.0/16"))
    assert effective(scene) == ((), False)
    decision = scene.when(approve("192.168.0.0/16", "172.16.0.0/12", "172.16.0.0/12"))
    assert decision.events == (NodeRoutesApproved(node=ONE, routes=("172.16.0.0/12", "192.168.0.0/16")),)
    assert decision.result == {
        "id": 1,
        "name": "router",
        "approved": ["172.16.0.0/12", "192.168.0.0/16"],
        "serving": ["192.168.0.0/16"],
    }
    assert decision.warnings == ("route.not_offered: the node does not offer 172.16.0.0/12 now",)
    assert effective(scene) == (("192.168.0.0/16",), False)
    assert scene.happens(approve("192.168.0.0/16", "172.16.0.0/12")) == []
    assert scene.happens(approve()) == ["NodeRoutesApproved"]
    assert effective(scene) == ((), False)


@pytest.mark.parametrize("half", EXIT)
def test_who_approves_one_default_route_approves_both(scene: Scene, half: str) -> None:
    scene.when(offer(*EXIT))
    scene.when(approve(half))
    assert scene.tailnet.nodes[ONE].approved == EXIT
    assert effective(scene) == ((), True)


@pytest.mark.parametrize(
    ("route", "code", "hint"),
    [
        ("10.0.0.1/8", "route.syntax", "10.0.0.0/8 is what it means"),
        ("10.0.0.0", "route.syntax", ""),
        ("FD00:0::/8", "route.syntax", "fd00::/8 is what it means"),
        ("10.0.0.0/255.0.0.0", "route.syntax", ""),
        ("anna", "route.syntax", ""),
        ("100.64.0.0/10", "route.tailnet_range", ""),
        ("100.99.0.0/16", "route.tailnet_range", ""),
        ("64.0.0.0/2", "route.tailnet_range", ""),
        ("fd7a:115c:a1e0::/64", "route.tailnet_range", ""),
        ("fd7a:115c:a1e0:b1a::/63", "route.tailnet_range", ""),
        ("224.0.0.0/4", "route.range", ""),
    ],
)
def test_what_can_be_nobodys_route_is_refused(scene: Scene, route: str, code: str, hint: str) -> None:
    refusal = scene.refused(approve("10.0.0.0/8", route))
    assert (refusal.code, refusal.field, refusal.hint) == (code, "routes", hint)


def test_the_ipv4_of_a_site_may_be_routed_by_its_stand_in(scene: Scene) -> None:
    assert scene.happens(approve("fd7a:115c:a1e0:b1a:0:7:a01:0/112")) == ["NodeRoutesApproved"]


# What the policy approves -------------------------------------------------------------------------------------------


def events(decision: Decision) -> list[str]:
    return [type(event).__name__ for event in decision.events]


def test_what_the_policy_approves_is_approved_when_it_is_offered(scene: Scene) -> None:
    scene.when(SetPolicy(text=POLICY))
    decision = scene.when(offer("10.1.0.0/16", "192.168.1.0/24", *EXIT))
    assert decision.events[1:] == (NodeRoutesApproved(node=ONE, routes=("10.1.0.0/16",)),)
    scene.later(QUIET_MILLIS)
    scene.when(approve())
    assert events(scene.when(offer("10.1.0.0/16"))) == ["NodeRoutesAdvertised"], "an operator took it away"
    scene.later(QUIET_MILLIS)
    assert events(scene.when(offer("10.1.0.0/16", "10.2.0.0/16"))) == [
        "NodeRoutesAdvertised",
        "NodeRoutesApproved",
    ]
    assert scene.tailnet.nodes[ONE].approved == ("10.2.0.0/16",)


def test_a_node_that_is_tagged_is_approved_for_its_tags(scene: Scene) -> None:
    scene.when(SetPolicy(text=POLICY))
    scene.when(offer("10.1.0.0/16", "192.168.1.0/24", *EXIT))
    decision = scene.when(TagNode(node=1, tags=("tag:router",)))
    assert decision.events[1:] == (
        NodeRoutesApproved(node=ONE, routes=("0.0.0.0/0", "10.1.0.0/16", "192.168.1.0/24", "::/0")),
    )
    assert effective(scene) == (("10.1.0.0/16", "192.168.1.0/24"), True)


def test_who_registers_tagged_is_approved_for_its_tags_at_once(scene: Scene) -> None:
    scene.when(SetPolicy(text=POLICY))
    key = scene.auth_key("anna", tags=["tag:router"])
    decision = scene.when(registration("exit", auth_key=key, routes=EXIT))
    assert events(decision) == [
        "NodeRegistered",
        "AuthKeyUsed",
        "NodeRoutesAdvertised",
        "NodeRoutesApproved",
    ]
    assert scene.tailnet.nodes[NodeId(2)].is_exit
    asking = registration("asks", user="anna", routes=EXIT, request_tags=("tag:router",))
    assert events(scene.when(asking))[-1] == "NodeRoutesApproved"
