"""Which tags there are, and who gets them."""

import json

import pytest

from engine.domain.commands import (
    AdvertiseNode,
    CreateAuthKey,
    ExpireNode,
    SetNodeExpiry,
    SetPolicy,
    SetUserRole,
    TagNode,
)
from engine.domain.events import NodeExpirySet, NodeTagged
from engine.domain.tags import MAX_TAGS, granted
from engine.domain.values import NEVER, Millis, NodeId, UserId
from tests.kit.scenario import HOUR, Scene, machine_key, node_key, registration

ONE = NodeId(1)
OWNERS = {
    "tag:web": ["anna@"],
    "tag:db": ["group:dba"],
    "tag:ci": ["autogroup:admin"],
    "tag:any": ["autogroup:member"],
    "tag:child": ["tag:web"],
    "tag:nobody": [],
}
POLICY = json.dumps({"groups": {"group:dba": ["bert@"]}, "tagOwners": OWNERS, "acls": []})


@pytest.fixture
def scene() -> Scene:
    scene = Scene()
    scene.user("anna")
    scene.user("bert")
    return scene


@pytest.fixture
def ruled(scene: Scene) -> Scene:
    scene.when(SetPolicy(text=POLICY))
    return scene


def tags(scene: Scene, number: int = 1) -> tuple[str, ...]:
    return scene.tailnet.nodes[NodeId(number)].tags


# An operator's word -------------------------------------------------------------------------------------------------


def test_a_node_is_tagged_once_and_has_no_expiry_then(scene: Scene) -> None:
    scene.node("laptop", "anna", expiry=scene.now + HOUR)
    decision = scene.when(TagNode(node="laptop", tags=("tag:web", "tag:db", "tag:web")))
    assert decision.events == (
        NodeTagged(node=ONE, tags=("tag:db", "tag:web")),
        NodeExpirySet(node=ONE, expiry=NEVER),
    )
    assert decision.result == {"id": 1, "name": "laptop", "tags": ["tag:db", "tag:web"]}
    assert decision.warnings == ("tag.duplicate: tag:web is given more than once",)
    assert scene.happens(TagNode(node=1, tags=("tag:web", "tag:db"))) == []
    assert scene.happens(TagNode(node=1, tags=("tag:web",))) == ["NodeTagged"]
    assert scene.tailnet.nodes[ONE].user == 1, "who registered it is remembered"


def test_a_tag_brings_no_expired_node_back(scene: Scene) -> None:
    scene.node("laptop", "anna", expiry=scene.now + HOUR)
    scene.when(ExpireNode(node=1))
    assert scene.happens(TagNode(node=1, tags=("tag:web",))) == ["NodeTagged"]
    assert scene.tailnet.nodes[ONE].expired


def test_no_tags_is_no_answer(scene: Scene) -> None:
    scene.node("laptop", "anna")
    refusal = scene.refused(TagNode(node=1, tags=()))
    assert (refusal.code, refusal.field) == ("tag.none", "tags")
    assert "logs in anew" in refusal.hint


def test_without_owners_in_the_policy_any_tag_is_one(scene: Scene) -> None:
    scene.node("laptop", "anna")
    assert scene.refused(TagNode(node=1, tags=("web",))).code == "tag.syntax"
    assert scene.happens(TagNode(node=1, tags=("tag:whatever",))) == ["NodeTagged"]
    scene.when(SetPolicy(text='{"acls": []}'))
    assert scene.happens(TagNode(node=1, tags=("tag:more",))) == ["NodeTagged"]


def test_a_policy_with_owners_names_every_tag_there_is(ruled: Scene) -> None:
    ruled.node("laptop", "anna")
    refusal = ruled.refused(TagNode(node=1, tags=("tag:web", "tag:chidl")))
    assert (refusal.code, refusal.field, refusal.hint) == (
        "tag.unknown",
        "tags",
        "did you mean tag:child?",
    )
    assert "tag:chidl" in refusal.message
    assert ruled.refused(CreateAuthKey(user=1, tags=("tag:zzz",))).code == "tag.unknown"
    assert ruled.happens(CreateAuthKey(user=1, tags=("tag:nobody",))) == ["AuthKeyCreated"]
    assert ruled.happens(TagNode(node=1, tags=("tag:nobody",))) == ["NodeTagged"]


def test_a_node_has_not_any_number_of_tags(scene: Scene) -> None:
    scene.node("laptop", "anna")
    many = tuple(f"tag:t{number}" for number in range(MAX_TAGS + 1))
    assert scene.refused(TagNode(node=1, tags=many)).code == "tag.many"
    assert scene.happens(TagNode(node=1, tags=many[1:])) == ["NodeTagged"]
    assert granted(scene.tailnet, ("tag:one-more",), user=UserId(1), tags=many[1:]) is None


# What a client asks for ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("user", "asked", "may"),
    [
        ("anna", ["tag:web"], True),
        ("anna", ["tag:any", "tag:web"], True),
        ("anna", ["tag:db"], False),
        ("anna", ["tag:web", "tag:db"], False),
        ("anna", ["tag:child"], False),
        ("anna", ["tag:nobody"], False),
        ("anna", ["tag:unknown"], False),
        ("anna", ["web"], False),
        ("bert", ["tag:db"], True),
        ("bert", ["tag:ci"], False),
    ],
)
def test_an_approved_login_gets_the_tags_that_its_user_owns(
    ruled: Scene, user: str, asked: list[str], *, may: bool
) -> None:
    key = ruled.auth_key(user)
    by_approval = registration("laptop", user=user, request_tags=tuple(asked), expiry=ruled.now + HOUR)
    by_key = registration("server", auth_key=key, request_tags=tuple(asked))
    if not may:
        for command in (by_approval, by_key):
            refusal = ruled.refused(command)
            assert (refusal.code, refusal.status) == ("tag.not_owner", 403)
            assert not any(tag in refusal.message for tag in asked)
        return
    ruled.when(by_approval)
    ruled.when(by_key)
    assert tags(ruled) == tags(ruled, 2) == tuple(asked)
    assert ruled.tailnet.nodes[ONE].expiry == NEVER


def test_a_role_owns_what_it_is_given(ruled: Scene) -> None:
    asking = registration("laptop", user="anna", request_tags=("tag:ci",))
    assert ruled.refused(asking).code == "tag.not_owner"
    ruled.when(SetUserRole(user="anna", role="owner"))
    ruled.when(asking)
    assert tags(ruled) == ("tag:ci",)


def test_without_a_policy_a_client_gets_no_tag(scene: Scene) -> None:
    assert (
        scene.refused(registration("laptop", user="anna", request_tags=("tag:web",))).code == "tag.not_owner"
    )


def test_a_tagged_keys_own_tags_stay_and_own_others(ruled: Scene) -> None:
    key = ruled.auth_key("bert", tags=["tag:web"], reusable=True)
    cases: tuple[tuple[str, tuple[str, ...], tuple[str, ...]], ...] = (
        ("a", (), ("tag:web",)),
        ("b", ("tag:web",), ("tag:web",)),
        ("c", ("tag:child",), ("tag:web", "tag:child")),
    )
    for name, asked, got in cases:
        node = ruled.when(registration(name, auth_key=key, request_tags=asked)).result["node"]
        assert tags(ruled, int(str(node))) == got
    for asked in (("tag:db",), ("tag:any",), ("tag:web", "tag:any")):
        refusal = ruled.refused(registration("d", auth_key=key, request_tags=asked))
        assert refusal.code == "tag.not_owner"


def test_who_comes_back_gets_what_it_may_and_is_let_in_without_the_rest(ruled: Scene) -> None:
    ruled.node("laptop", "anna", expiry=ruled.now + HOUR)
    asking = registration("laptop", request_tags=("tag:db",))
    assert ruled.when(asking).result["outcome"] == "authorized"
    assert tags(ruled) == ()
    asking = registration("laptop", request_tags=("tag:web",))
    assert ruled.happens(asking) == ["NodeReregistered"]
    assert (tags(ruled), ruled.tailnet.nodes[ONE].expiry) == (("tag:web",), NEVER)
    assert ruled.happens(asking) == []
    ruled.when(TagNode(node=1, tags=("tag:nobody",)))
    assert ruled.happens(asking) == [], "what an operator said stays"


def test_a_key_that_a_node_came_in_with_does_not_undo_an_operators_word(ruled: Scene) -> None:
    key = ruled.auth_key("anna", reusable=True)
    other = ruled.auth_key("anna", reusable=True)
    ruled.when(registration("laptop", auth_key=key))
    ruled.when(TagNode(node=1, tags=("tag:nobody",)))
    assert ruled.happens(registration("laptop", auth_key=key)) == []
    assert tags(ruled) == ("tag:nobody",)
    assert ruled.happens(registration("laptop", auth_key=other)) == ["NodeReregistered", "AuthKeyUsed"]
    assert tags(ruled) == (), "it has logged in anew"


def test_who_logs_in_anew_belongs_to_its_user_again(ruled: Scene) -> None:
    ruled.node("laptop", "anna")
    ruled.when(TagNode(node=1, tags=("tag:web",)))
    ruled.when(registration("laptop", node_key=node_key("fresh"), user="anna", expiry=ruled.now + HOUR))
    assert (tags(ruled), ruled.tailnet.nodes[ONE].expiry) == ((), ruled.now + HOUR)


def asks(name: str, *asked: str, routes: tuple[str, ...] = ()) -> AdvertiseNode:
    return AdvertiseNode(
        machine_key=machine_key(name), node_key=node_key(name), routes=routes, request_tags=asked
    )


def test_a_client_that_is_in_gets_what_it_may_and_keeps_the_rest(ruled: Scene) -> None:
    ruled.node("laptop", "anna", expiry=ruled.now + HOUR)
    decision = ruled.when(asks("laptop", "tag:db"))
    assert (decision.events, decision.result) == ((), {"node": 1, "later": False, "refused": True})
    assert ruled.happens(asks("laptop", "tag:web")) == ["NodeTagged", "NodeExpirySet"]
    assert ruled.happens(asks("laptop", "tag:web")) == []
    assert ruled.happens(asks("laptop")) == [], "asking for less takes nothing away"
    assert ruled.happens(asks("laptop", "tag:child")) == ["NodeTagged"]
    assert tags(ruled) == ("tag:web", "tag:child")
    ruled.when(SetNodeExpiry(node=1, expiry=Millis(ruled.now + HOUR)))
    assert ruled.happens(asks("laptop", "tag:web")) == []


def test_another_machines_word_and_that_of_an_expired_node_count_for_nothing(ruled: Scene) -> None:
    ruled.node("laptop", "anna")
    strange = AdvertiseNode(
        machine_key=machine_key("other"), node_key=node_key("laptop"), request_tags=("tag:web",)
    )
    assert ruled.refused(strange).code == "node.not_found"
    assert ruled.refused(asks("other", "tag:web")).code == "node.not_found"
    ruled.when(ExpireNode(node=1))
    assert ruled.refused(asks("laptop", "tag:web")).code == "node.not_found"
