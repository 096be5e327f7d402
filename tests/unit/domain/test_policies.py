"""The policy: set, kept, gone back to."""

import hashlib
import json
from collections.abc import Mapping

import pytest

from engine.domain.commands import AdvertiseNode, ApproveRoutes, RevertPolicy, SetPolicy, TagNode
from engine.domain.document import document_of
from engine.domain.events import NodeRoutesApproved, PolicySet
from engine.domain.state import KEPT_POLICIES, KEPT_POLICY_CHARACTERS, Tailnet
from engine.domain.values import Millis, NodeId
from engine.policy.document import EMPTY
from tests.kit.scenario import Scene, machine_key, node_key

OPEN = '{"acls": [{"action": "accept", "src": ["*"], "dst": ["*:*"]}]}'
SHUT = '// nobody\n{"acls": []}'


def digest_of(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


@pytest.fixture
def scene() -> Scene:
    scene = Scene()
    scene.user("anna")
    scene.node("laptop", "anna")
    scene.node("router", "anna")
    return scene


def advertise(scene: Scene, name: str, *routes: str) -> list[str]:
    scene.later(1_000)
    command = AdvertiseNode(machine_key=machine_key(name), node_key=node_key(name), routes=routes)
    return scene.happens(command)


def test_a_policy_is_kept_as_it_was_written(scene: Scene) -> None:
    decision = scene.when(SetPolicy(text=SHUT))
    assert decision.events == (PolicySet(text=SHUT, digest=digest_of(SHUT)),)
    assert decision.result == {"digest": digest_of(SHUT), "rules": 0, "approvals": 0}
    held = scene.tailnet.policy
    assert held is not None
    assert (held.text, held.digest, held.at) == (SHUT, digest_of(SHUT), scene.now)
    assert scene.when(SetPolicy(text=OPEN)).result["rules"] == 1


def test_the_same_text_is_not_set_again(scene: Scene) -> None:
    scene.when(SetPolicy(text=OPEN))
    decision = scene.when(SetPolicy(text=OPEN))
    assert decision.events == ()
    assert decision.result == {"digest": digest_of(OPEN), "rules": 1, "approvals": 0}
    assert scene.happens(SetPolicy(text=OPEN + " ")) == ["PolicySet"]


def test_an_empty_text_ends_the_policy(scene: Scene) -> None:
    assert scene.happens(SetPolicy(text="")) == []
    scene.when(SetPolicy(text=SHUT))
    decision = scene.when(SetPolicy(text=""))
    assert (len(decision.events), decision.result["digest"]) == (1, "")
    assert scene.tailnet.policy is None
    assert document_of(scene.tailnet) == EMPTY


@pytest.mark.parametrize(
    ("text", "code", "place"),
    [
        ('{"acls": [', "policy.syntax", "line 1, column 11"),
        (
            '{\n  "grants": [{"src": ["tag:x"], "dst": ["*"], "ip": ["*"]}]\n}',
            "policy.unknown-tag",
            "line 2, column 23",
        ),
    ],
)
def test_what_is_no_policy_is_refused_with_its_place(scene: Scene, text: str, code: str, place: str) -> None:
    refusal = scene.refused(SetPolicy(text=text, force=True))
    assert (refusal.code, refusal.status, refusal.field) == (code, 422, "text")
    assert refusal.message.startswith(f"{place}: ")


def with_tests(*tests: Mapping[str, object]) -> str:
    rule = {"action": "accept", "src": ["anna@"], "dst": ["tag:web:22"]}
    return json.dumps({"tagOwners": {"tag:web": []}, "acls": [rule], "tests": tests}, indent=1)


def test_a_policy_whose_own_tests_fail_is_refused_unless_it_is_forced(scene: Scene) -> None:
    good = {"src": "anna@", "accept": ["tag:web:22"]}
    bad = {"src": "anna@", "deny": ["tag:web:22"]}
    assert scene.happens(SetPolicy(text=with_tests(good))) == ["PolicySet"]
    refusal = scene.refused(SetPolicy(text=with_tests(good, bad, bad)))
    assert (refusal.code, refusal.field) == ("policy.test-failed", "text")
    assert refusal.message.startswith("2 of the policy's tests fail: ")
    assert "tests[1]" in refusal.message
    assert "tests[2]" in refusal.message
    decision = scene.when(SetPolicy(text=with_tests(good, bad), force=True))
    assert decision.warnings[0].startswith("policy.test-failed: 1 of")
    assert scene.tailnet.policy is not None
    assert scene.tailnet.policy.text == with_tests(good, bad)


def test_not_every_failing_test_is_told(scene: Scene) -> None:
    bad = {"src": "anna@", "deny": ["tag:web:22"]}
    message = scene.refused(SetPolicy(text=with_tests(*[bad] * 30))).message
    assert message.endswith("; and 20 more")


def test_who_expects_another_policy_changes_nothing(scene: Scene) -> None:
    assert scene.happens(SetPolicy(text=OPEN, expected="")) == ["PolicySet"]
    for expected in ("", digest_of(SHUT)):
        refusal = scene.refused(SetPolicy(text=SHUT, expected=expected, force=True))
        assert (refusal.code, refusal.status) == ("policy.changed", 409)
    assert scene.happens(SetPolicy(text=SHUT, expected=digest_of(OPEN))) == ["PolicySet"]


def test_a_former_policy_is_set_again_by_its_digest(scene: Scene) -> None:
    for text in (OPEN, SHUT, ""):
        scene.when(SetPolicy(text=text))
    assert scene.happens(RevertPolicy(digest=digest_of(OPEN))) == ["PolicySet"]
    assert scene.happens(RevertPolicy(digest=digest_of(SHUT)[:8].upper())) == ["PolicySet"]
    assert scene.happens(RevertPolicy(digest=digest_of(SHUT))) == []
    assert scene.refused(RevertPolicy(digest=digest_of(SHUT)[:7])).code == "policy.digest"
    refusal = scene.refused(RevertPolicy(digest="0" * 64))
    assert (refusal.code, refusal.status) == ("policy.not_found", 404)
    assert "policy get --at" in refusal.hint


def test_a_former_policy_is_checked_as_any_other(scene: Scene) -> None:
    good = with_tests({"src": "anna@", "accept": ["tag:web:22"]})
    scene.when(SetPolicy(text=with_tests({"src": "anna@", "deny": ["tag:web:22"]}), force=True))
    forced = scene.tailnet.policy
    scene.when(SetPolicy(text=good))
    assert forced is not None
    assert scene.refused(RevertPolicy(digest=forced.digest)).code == "policy.test-failed"


def remembered(*texts: str) -> list[str]:
    tailnet = Tailnet()
    for text in texts:
        tailnet.apply(PolicySet(text=text, digest=digest_of(text)), Millis(1))
    return list(tailnet.policies.values())


def test_the_last_policies_are_remembered_and_no_more() -> None:
    texts = [f"// {number}\n{{}}" for number in range(KEPT_POLICIES + 2)]
    assert remembered(*texts) == texts[2:]
    assert remembered(*texts, texts[2], "", texts[2]) == [*texts[3:], texts[2]]
    long = "x" * (KEPT_POLICY_CHARACTERS // 2)
    assert remembered("a", long, long + "y") == [long + "y"]
    assert remembered("a" * (KEPT_POLICY_CHARACTERS + 1)) == ["a" * (KEPT_POLICY_CHARACTERS + 1)]


APPROVING = json.dumps(
    {
        "tagOwners": {"tag:router": ["anna@"]},
        "acls": [],
        "autoApprovers": {"routes": {"10.0.0.0/8": ["anna@"]}, "exitNode": ["tag:router"]},
    }
)


def test_a_new_policy_approves_what_nodes_offer_already(scene: Scene) -> None:
    advertise(scene, "laptop", "10.1.0.0/16", "192.168.0.0/16", "0.0.0.0/0", "::/0")
    advertise(scene, "router", "10.2.0.0/16")
    scene.when(ApproveRoutes(node=1, routes=("172.16.0.0/12",)))
    decision = scene.when(SetPolicy(text=APPROVING))
    assert decision.events[1:] == (
        NodeRoutesApproved(node=NodeId(1), routes=("10.1.0.0/16", "172.16.0.0/12")),
        NodeRoutesApproved(node=NodeId(2), routes=("10.2.0.0/16",)),
    )
    assert decision.result["approvals"] == 2
    assert scene.happens(SetPolicy(text=SHUT)) == ["PolicySet"]
    assert scene.tailnet.nodes[NodeId(2)].routes == ("10.2.0.0/16",), "an approval stays"


def test_a_policy_that_does_not_know_a_nodes_tags_says_so(scene: Scene) -> None:
    scene.when(TagNode(node=2, tags=("tag:old",)))
    decision = scene.when(SetPolicy(text=APPROVING))
    assert decision.warnings == ("policy.undefined-tags: nodes have tag:old, which it does not define",)
    assert scene.when(SetPolicy(text=OPEN)).warnings == ()


def test_a_policy_that_cannot_be_read_any_more_permits_nothing() -> None:
    tailnet = Tailnet()
    tailnet.apply(PolicySet(text="{", digest=digest_of("{")), Millis(1))
    document = document_of(tailnet)
    assert (document.acls, document.grants, document.tag_owners) == ((), None, {})
