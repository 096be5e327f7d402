"""How nodes come in, come back, and log out."""

import pytest

from engine.domain.commands import (
    AddConnection,
    CreateAuthKey,
    DeleteNode,
    ExpireAuthKey,
    ExpireNode,
    LogOutNode,
    RegisterNode,
    SetNodeExpiry,
)
from engine.domain.errors import NotAllowed
from engine.domain.events import AuthKeyUsed, NodeExpired, NodeReregistered
from engine.domain.registration import QUIET_MILLIS
from engine.domain.values import LAST_MILLIS, LAST_NODE_ID, NEVER, Millis, NodeId
from tests.kit.scenario import (
    HOUR,
    Scene,
    machine_key,
    node_key,
    peer_key,
    registration,
    registration_of_peer,
)

ONE = NodeId(1)


@pytest.fixture
def scene() -> Scene:
    scene = Scene()
    scene.user("anna")
    scene.user("bert")
    return scene


def outcome(scene: Scene, command: RegisterNode) -> tuple[list[str], object]:
    names = scene.happens(command)
    # Asked once more after it was applied: what is known comes back without events.
    return names, scene.when(command).result["outcome"]


def test_an_unknown_node_without_a_key_must_be_approved(scene: Scene) -> None:
    decision = scene.when(registration("laptop"))
    assert decision.events == ()
    assert decision.result == {"outcome": "login"}


def test_an_approved_node_is_of_the_user_who_was_named(scene: Scene) -> None:
    decision = scene.when(registration("laptop", user="bert", os="linux", hostname="Laptop.lan"))
    assert decision.result == {
        "outcome": "authorized",
        "node": 1,
        "user": 2,
        "user_name": "bert",
        "user_display_name": "",
    }
    node = scene.tailnet.nodes[ONE]
    assert (node.name, node.hostname, node.os, node.capver) == ("laptop", "Laptop.lan", "linux", 106)
    assert (node.stable_id, node.expiry, node.created) == ("n1", NEVER, scene.now)


def test_a_pre_auth_key_lets_a_node_in_and_is_used_in_the_same_decision(scene: Scene) -> None:
    key = scene.auth_key("anna", tags=["tag:ci"], ephemeral=True)
    assert scene.happens(registration("laptop", auth_key=key)) == ["NodeRegistered", "AuthKeyUsed"]
    node = scene.tailnet.nodes[ONE]
    assert (node.user, node.tags, node.ephemeral, node.auth_key) == (1, ("tag:ci",), True, 1)


def test_a_one_off_key_opens_once_and_a_reusable_one_again(scene: Scene) -> None:
    """Invariant S5, by sequence."""
    one_off, reusable = scene.auth_key(), scene.auth_key(reusable=True)
    for index in range(3):
        scene.when(registration(f"m{index}", auth_key=reusable))
    scene.when(registration("x", auth_key=one_off))
    refusal = scene.refused(registration("y", auth_key=one_off))
    assert (refusal.code, refusal.status) == ("authkey.used", 403)
    assert [event.key for event, _ in scene.log if isinstance(event, AuthKeyUsed)].count(1) == 1  # type: ignore[arg-type]


def test_a_key_that_opens_nothing_is_refused_and_not_repeated(scene: Scene) -> None:
    expired, ended = scene.auth_key(expires_in_seconds=60), scene.auth_key(expires_in_seconds=7_200)
    scene.when(ExpireAuthKey(key=2))
    scene.later(HOUR)
    cases = {"nmkey-1-" + "0" * 32: "authkey.unknown", expired: "authkey.expired", ended: "authkey.expired"}
    for key, code in cases.items():
        refusal = scene.refused(registration("laptop", auth_key=key))
        assert isinstance(refusal, NotAllowed)
        assert refusal.code == code
        assert key not in refusal.message + refusal.hint


def test_a_known_node_is_let_in_whatever_its_key_is_worth(scene: Scene) -> None:
    """Containers repeat their one-off key at each start."""
    key = scene.auth_key()
    command = registration("laptop", auth_key=key)
    scene.when(command)
    for again in (key, "", "nonsense", key + "0"):
        decision = scene.when(registration("laptop", auth_key=again))
        assert (decision.events, decision.result["outcome"]) == ((), "authorized")
    scene.later(1_000 * HOUR)
    assert scene.when(command).events == ()


def test_a_known_node_key_of_another_machine_is_refused(scene: Scene) -> None:
    scene.node("laptop")
    refusal = scene.refused(registration("thief", node_key=node_key("laptop"), auth_key=scene.auth_key()))
    assert (refusal.code, refusal.status) == ("node.wrong_machine", 403)


def test_an_expired_node_is_told_so_and_comes_back_in_place_with_a_new_key(scene: Scene) -> None:
    scene.node("laptop")
    before = scene.tailnet.nodes[ONE]
    scene.when(ExpireNode(node=1))
    valid = scene.auth_key()
    for key in ("", valid):
        decision = scene.when(registration("laptop", auth_key=key))
        assert (decision.events, decision.result["outcome"]) == ((), "expired")
        assert decision.result["user_name"] == "anna"
    fresh = registration(
        "laptop", node_key=node_key("laptop 2"), old_node_key=node_key("laptop"), auth_key=valid
    )
    assert scene.happens(fresh) == ["NodeReregistered", "AuthKeyUsed"]
    after = scene.tailnet.nodes[ONE]
    assert after.node_key == node_key("laptop 2")
    assert not after.is_expired(scene.now)
    for name in ("id", "stable_id", "ipv4", "ipv6", "name", "created"):
        assert getattr(after, name) == getattr(before, name)
    assert scene.tailnet.node_by_key == {node_key("laptop 2"): 1}


def test_an_expired_node_without_a_key_must_be_approved_again_and_keeps_its_identity(scene: Scene) -> None:
    scene.node("laptop")
    scene.when(ExpireNode(node=1))
    fresh = node_key("laptop 2")
    assert scene.when(registration("laptop", node_key=fresh)).result == {"outcome": "login"}
    assert scene.happens(registration("laptop", node_key=fresh, user="anna")) == ["NodeReregistered"]
    assert set(scene.tailnet.nodes) == {1}


def test_a_machine_has_a_node_for_each_of_its_users(scene: Scene) -> None:
    scene.node("laptop", "anna")
    scene.node("laptop", "bert", node_key=node_key("laptop of bert"))
    assert set(scene.tailnet.nodes) == {1, 2}
    assert scene.tailnet.nodes[NodeId(2)].name == "laptop-1"
    scene.node("laptop", "anna", node_key=node_key("laptop of anna 2"))
    assert set(scene.tailnet.nodes) == {1, 2}


def test_a_valid_key_of_another_user_asks_for_a_fresh_node_key_and_makes_a_new_node(scene: Scene) -> None:
    scene.node("laptop", "anna")
    key = scene.auth_key("bert")
    decision = scene.when(registration("laptop", auth_key=key))
    assert (decision.events, decision.result["outcome"]) == ((), "expired")
    fresh = registration("laptop", node_key=node_key("laptop 2"), auth_key=key)
    assert outcome(scene, fresh) == (["NodeRegistered", "AuthKeyUsed"], "authorized")
    assert scene.tailnet.nodes[NodeId(2)].user == 2
    assert scene.tailnet.nodes[ONE].user == 1


def test_a_valid_key_with_other_tags_changes_the_tags(scene: Scene) -> None:
    scene.node("laptop", "anna", expiry=scene.now + HOUR)
    key = scene.auth_key("anna", tags=["tag:ci"])
    assert outcome(scene, registration("laptop", auth_key=key)) == (
        ["NodeReregistered", "AuthKeyUsed"],
        "authorized",
    )
    node = scene.tailnet.nodes[ONE]
    assert (node.tags, node.expiry, node.node_key) == (("tag:ci",), NEVER, node_key("laptop"))


def test_an_updated_client_is_noted_once(scene: Scene) -> None:
    scene.node("laptop", os="linux")
    scene.later(QUIET_MILLIS)
    newer = registration("laptop", os="linux", capver=130)
    assert scene.happens(newer) == ["NodeReregistered"]
    assert scene.happens(newer) == []
    assert scene.happens(registration("laptop", capver=0)) == []
    assert scene.tailnet.nodes[ONE].capver == 130


def test_a_client_that_changes_each_time_is_noted_once_a_minute(scene: Scene) -> None:
    scene.node("laptop", os="linux")
    noted = []
    for number in range(1, 25):
        scene.later(QUIET_MILLIS // 6)
        noted += scene.happens(registration("laptop", os=f"linux {number}", capver=106 + number))
    assert noted == ["NodeReregistered"] * 4
    assert scene.tailnet.nodes[ONE].os == "linux 24"


def test_a_new_expiry_is_noted_at_once_whatever_else_has_changed(scene: Scene) -> None:
    scene.node("laptop", os="linux")
    near = Millis(scene.now + HOUR)
    assert scene.happens(registration("laptop", os="other", expiry=near)) == ["NodeExpirySet"]
    assert scene.tailnet.nodes[ONE].expiry == near


def test_an_approval_after_the_expiry_that_was_asked_for_gives_none(scene: Scene) -> None:
    asked = Millis(scene.now + HOUR)
    assert scene.when(registration("laptop", expiry=asked)).result == {"outcome": "login"}
    scene.later(2 * HOUR)
    decision = scene.when(registration("laptop", expiry=asked, user="anna"))
    assert decision.result["outcome"] == "authorized"
    assert scene.tailnet.nodes[ONE].expiry == NEVER
    assert scene.happens(registration("laptop", expiry=asked, user="anna")) == []


def test_a_client_shortens_its_expiry_and_never_extends_it(scene: Scene) -> None:
    scene.node("laptop")
    near, far = Millis(scene.now + HOUR), Millis(scene.now + 2 * HOUR)
    assert scene.happens(registration("laptop", expiry=near)) == ["NodeExpirySet"]
    assert scene.happens(registration("laptop", expiry=far)) == []
    assert scene.tailnet.nodes[ONE].expiry == near
    scene.later(HOUR)
    assert scene.when(registration("laptop")).result["outcome"] == "expired"


def test_a_client_does_not_escape_its_expiry_by_a_time_before_1970(scene: Scene) -> None:
    scene.node("laptop")
    scene.when(SetNodeExpiry(node=1, expiry=Millis(scene.now + HOUR)))
    assert scene.happens(registration("laptop", expiry=Millis(-1))) == ["NodeExpired"]
    scene.later(2 * HOUR)
    assert scene.tailnet.nodes[ONE].is_expired(scene.now)


def test_an_expiry_that_no_calendar_has_is_never(scene: Scene) -> None:
    scene.node("laptop", expiry=Millis(LAST_MILLIS + 1))
    assert scene.tailnet.nodes[ONE].expiry == NEVER
    assert scene.happens(registration("laptop", expiry=Millis(10**18))) == []


def test_a_tagged_node_has_no_expiry(scene: Scene) -> None:
    key = scene.auth_key(tags=["tag:ci"])
    scene.when(registration("laptop", auth_key=key, expiry=scene.now + HOUR))
    scene.when(registration("laptop", expiry=scene.now + HOUR))
    assert scene.tailnet.nodes[ONE].expiry == NEVER


def test_a_registration_that_expires_in_the_past_is_a_logout(scene: Scene) -> None:
    scene.node("laptop")
    command = registration("laptop", expiry=Millis(scene.now - 1), auth_key="whatever")
    assert scene.happens(command) == ["NodeExpired"]
    assert scene.when(registration("nobody", expiry=Millis(1))).result == {"outcome": "expired"}


def test_a_logout_expires_the_node_now(scene: Scene) -> None:
    scene.node("laptop")
    scene.later(HOUR)
    command = LogOutNode(machine_key=machine_key("laptop"), node_key=node_key("laptop"))
    decision = scene.when(command)
    assert decision.events == (NodeExpired(node=ONE, at=scene.now, why="logout"),)
    assert decision.result["outcome"] == "expired"
    assert scene.tailnet.nodes[ONE].expiry == scene.now
    assert scene.when(command).events == ()


def test_a_logout_deletes_an_ephemeral_node_with_its_connections(scene: Scene) -> None:
    """Scenario N32, the part that is decided here."""
    scene.node("ci", ephemeral=True)
    scene.peer("exit")
    scene.connect("ci", "exit", "10.64.0.100")
    command = LogOutNode(machine_key=machine_key("ci"), node_key=node_key("ci"))
    assert scene.happens(command) == ["ConnectionRemoved", "NodeDeleted"]
    assert scene.tailnet.connections == {}
    assert scene.tailnet.masq_by_peer == {}
    assert scene.happens(command) == []


def test_a_logout_of_an_unknown_node_or_another_machine_changes_nothing(scene: Scene) -> None:
    scene.node("laptop")
    for machine, node in (("thief", "laptop"), ("laptop", "unknown")):
        decision = scene.when(LogOutNode(machine_key=machine_key(machine), node_key=node_key(node)))
        assert decision.events == ()
        assert decision.result == {"outcome": "expired"}


def test_a_node_key_that_belongs_to_somebody_else_is_refused(scene: Scene) -> None:
    scene.peer("exit")
    scene.node("laptop")
    scene.node("laptop", node_key=node_key("laptop 2"))
    for taken in (peer_key("exit"), node_key("laptop")):
        refusal = scene.refused(registration("thief", node_key=taken, user=1))
        assert (refusal.code, refusal.status) == ("node.key_in_use", 403)


def test_a_machine_may_go_back_to_a_former_key_of_its_own(scene: Scene) -> None:
    scene.node("laptop")
    scene.node("laptop", node_key=node_key("laptop 2"))
    assert scene.happens(registration("laptop", user=1)) == ["NodeReregistered"]
    assert scene.tailnet.retired_keys == {node_key("laptop 2"): 1}
    scene.when(DeleteNode(node=1))
    assert scene.tailnet.retired_keys == {}
    assert scene.tailnet.retired_by_node == {}


def test_a_former_key_stays_with_the_node_that_had_it_last(scene: Scene) -> None:
    scene.node("laptop", "anna")
    scene.node("laptop", "anna", node_key=node_key("laptop 2"))
    scene.node("laptop", "bert", node_key=node_key("laptop"))
    scene.node("laptop", "bert", node_key=node_key("laptop 3"))
    scene.when(DeleteNode(node=1))
    assert scene.tailnet.retired_keys == {node_key("laptop"): 2}
    refusal = scene.refused(registration_of_peer("exit", public_key=node_key("laptop")))
    assert refusal.code == "peer.key_taken"


def test_an_approval_for_a_machine_that_joined_meanwhile_is_refused_or_nothing(scene: Scene) -> None:
    scene.node("laptop", "anna")
    assert scene.happens(registration("laptop", user="anna")) == []
    assert scene.refused(registration("laptop", user="bert")).code == "node.other_owner"


def test_a_client_that_writes_nonsense_is_kept_short_and_printable(scene: Scene) -> None:
    scene.node("laptop", hostname="x\x00\x1b[31m" + "y" * 1_000, os="\n" * 70 + "z", capver=10**30)
    node = scene.tailnet.nodes[ONE]
    assert node.hostname.isprintable()
    assert len(node.hostname) <= 255
    assert (node.os, node.capver) == ("", 65_535)


def test_ids_of_nodes_never_reach_those_of_peers(scene: Scene) -> None:
    scene.tailnet.next_node = LAST_NODE_ID
    decision = scene.when(registration("last", user=1))
    assert decision.result["node"] == LAST_NODE_ID
    scene.log.clear()
    with pytest.raises(Exception, match="no node ids left"):
        scene.when(registration("too many", user=1))


def test_a_reregistration_keeps_the_connections(scene: Scene) -> None:
    scene.node("laptop")
    scene.peer("exit")
    scene.connect(1, "exit", "10.64.0.100")
    event, _stale = scene.when(registration("laptop", node_key=node_key("laptop 2"), user=1)).events
    assert isinstance(event, NodeReregistered)
    assert (
        scene.refused(AddConnection(node=1, peer="exit", ipv4_masq_addr="10.0.0.1")).code
        == "connection.exists"
    )


def test_an_operators_expiry_ends_a_node_and_a_later_one_brings_it_back(scene: Scene) -> None:
    scene.node("laptop")
    scene.when(SetNodeExpiry(node=1, expiry=Millis(scene.now + HOUR)))
    scene.later(HOUR)
    assert scene.when(registration("laptop")).result["outcome"] == "expired"
    scene.when(SetNodeExpiry(node=1))
    assert scene.when(registration("laptop")).result["outcome"] == "authorized"


def test_a_secret_is_in_no_event_and_no_repr(scene: Scene) -> None:
    decision = scene.when(CreateAuthKey(user=1))
    key = str(decision.secret_result["key"])
    command = registration("laptop", auth_key=key)
    digits = key.rpartition("-")[2]
    said = repr((decision, scene.when(command), command, scene.log, ExpireAuthKey(key=key), decision.result))
    assert digits not in said
    assert len(digits) == 32
