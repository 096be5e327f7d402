"""Users."""

import pytest

from engine.domain.commands import CreateUser, DeleteUser, SetUserRole
from tests.kit.scenario import Scene


def test_a_user_has_an_id_and_a_name() -> None:
    decision = Scene().when(CreateUser(name="anna@example.com", display_name="Änna", email="a@b"))
    assert decision.result == {
        "id": 1,
        "name": "anna@example.com",
        "displayName": "Änna",
        "email": "a@b",
        "role": "member",
    }


@pytest.mark.parametrize("name", ["", "12", "an na", "-anna", "änna", "anna\n", "a/b"])
def test_what_cannot_be_a_name_is_refused(name: str) -> None:
    assert Scene().refused(CreateUser(name=name)).code == "user.name"


def test_names_are_unique_without_regard_to_case() -> None:
    scene = Scene()
    scene.user("anna")
    refusal = scene.refused(CreateUser(name="Anna"))
    assert (refusal.code, refusal.status) == ("user.taken", 409)
    assert scene.user("bert") == 2


def test_what_is_shown_is_printable() -> None:
    assert Scene().refused(CreateUser(name="anna", display_name="a\x1b[31m")).code == "user.text"


def roles(scene: Scene) -> list[str]:
    return [user.role for user in scene.tailnet.users.values()]


def test_a_user_is_a_member_until_it_is_something_else() -> None:
    scene = Scene()
    scene.user("anna")
    assert roles(scene) == ["member"]
    assert scene.happens(SetUserRole(user="anna", role="auditor")) == ["UserRoleSet"]
    assert scene.happens(SetUserRole(user="anna", role="auditor")) == []
    assert roles(scene) == ["auditor"]
    assert scene.happens(SetUserRole(user=1, role="member")) == ["UserRoleSet"]
    assert roles(scene) == ["member"]


def test_a_new_owner_makes_an_admin_of_the_one_before() -> None:
    scene = Scene()
    assert scene.happens(CreateUser(name="anna", role="owner")) == ["UserCreated"]
    scene.user("bert")
    decision = scene.when(SetUserRole(user="bert", role="owner"))
    assert decision.warnings == ("user.owner: anna was the owner, and is an admin now",)
    assert roles(scene) == ["admin", "owner"]
    assert scene.happens(CreateUser(name="carl", role="owner")) == ["UserRoleSet", "UserCreated"]
    assert roles(scene) == ["admin", "admin", "owner"]
    assert scene.happens(SetUserRole(user="carl", role="member")) == ["UserRoleSet"]


@pytest.mark.parametrize(
    ("role", "hint"), [("Admin", "did you mean admin?"), ("x", ""), ("it_admin", "did you mean it-admin?")]
)
def test_what_is_no_role_is_refused(role: str, hint: str) -> None:
    scene = Scene()
    scene.user("anna")
    for command in (SetUserRole(user="anna", role=role), CreateUser(name="bert", role=role)):
        refusal = scene.refused(command)
        assert (refusal.code, refusal.field, refusal.hint) == ("user.role", "role", hint)
    assert scene.refused(SetUserRole(user="bert", role="admin")).code == "user.not_found"


def test_a_user_to_whom_nothing_belongs_is_deleted_and_its_number_rests() -> None:
    scene = Scene()
    scene.user("anna")
    scene.user("bert")
    scene.auth_key("bert")
    assert scene.happens(DeleteUser(user="Bert")) == ["AuthKeyExpired", "UserDeleted"]
    assert scene.refused(DeleteUser(user="bert")).code == "user.not_found"
    assert scene.user("bert") == 3
    assert [user.name for user in scene.tailnet.users.values()] == ["anna", "bert"]


def test_a_user_to_whom_something_belongs_stays() -> None:
    scene = Scene()
    scene.user("anna")
    scene.node("laptop")
    scene.peer("relay")
    refusal = scene.refused(DeleteUser(user="anna"))
    assert (refusal.code, refusal.status) == ("user.in_use", 409)
    assert "node 1(laptop), WireGuard-only peer 100000001(relay)" in refusal.message
    assert "--cascade" in refusal.hint


def test_with_cascade_all_goes_that_belongs_to_a_user_and_what_others_have_stays() -> None:
    scene = Scene()
    for name in ("anna", "bert"):
        scene.user(name)
    scene.node("laptop", user="anna")
    scene.node("phone", user="bert")
    scene.peer("relay", user="anna")
    scene.peer("other", user="bert")
    for number, node in enumerate(("laptop", "phone"), 2):
        scene.connect(node, "relay", f"10.64.0.{number}")
        scene.connect(node, "other", f"10.65.0.{number}")
    decision = scene.when(DeleteUser(user="anna", cascade=True))
    assert decision.warnings[0] == (
        "user.cascade: 1 nodes, 1 WireGuard-only peers and 3 connections went with it"
    )
    assert decision.warnings[1].startswith("peer.leaks:")
    tailnet = scene.tailnet
    assert [node.name for node in tailnet.nodes.values()] == ["phone"]
    assert [peer.name for peer in tailnet.peers.values()] == ["other"]
    assert [(pair.node, pair.peer) for pair in tailnet.connections.values()] == [(2, 100_000_002)]
    assert tailnet == scene.replay()
