"""What operators do to nodes."""

import pytest

from engine.domain.commands import DeleteNode, ExpireNode, RenameNode, SetNodeExpiry
from engine.domain.events import NodeExpired
from engine.domain.values import LAST_MILLIS, Millis, NodeId
from tests.kit.scenario import HOUR, Scene, node_key

ONE = NodeId(1)


@pytest.fixture
def scene() -> Scene:
    scene = Scene()
    scene.user()
    scene.node("laptop")
    return scene


def test_a_node_is_ended_by_hand_once(scene: Scene) -> None:
    assert scene.happens(ExpireNode(node="laptop")) == ["NodeExpired"]
    assert scene.happens(ExpireNode(node="laptop")) == []
    assert scene.tailnet.nodes[ONE].is_expired(scene.now)


def test_a_deadline_ends_a_node_when_it_has_come_and_not_before(scene: Scene) -> None:
    due = Millis(scene.now + HOUR)
    scene.when(SetNodeExpiry(node=1, expiry=due))
    deadline = ExpireNode(node=1, because="deadline")
    assert scene.happens(deadline) == []
    scene.later(HOUR + 5)
    assert scene.when(deadline).events == (NodeExpired(node=ONE, at=due, why="deadline"),)
    assert scene.when(deadline).events == ()
    assert scene.refused(ExpireNode(node=1, because="whim")).code == "node.because"


def test_a_deadline_that_was_moved_ends_nothing(scene: Scene) -> None:
    scene.when(SetNodeExpiry(node=1, expiry=Millis(scene.now + HOUR)))
    scene.when(SetNodeExpiry(node=1))
    scene.later(2 * HOUR)
    assert scene.happens(ExpireNode(node=1, because="deadline")) == []


def test_an_expiry_is_in_the_future_or_never(scene: Scene) -> None:
    assert scene.refused(SetNodeExpiry(node=1, expiry=scene.now)).code == "node.expiry"
    assert scene.refused(SetNodeExpiry(node=1, expiry=Millis(LAST_MILLIS + 1))).code == "node.expiry"
    assert scene.happens(SetNodeExpiry(node=1)) == []
    scene.when(ExpireNode(node=1))
    assert scene.happens(SetNodeExpiry(node=1)) == ["NodeExpirySet"]
    assert not scene.tailnet.nodes[ONE].is_expired(scene.now)


def test_a_renamed_node_keeps_its_identity(scene: Scene) -> None:
    """Scenario N12, for nodes."""
    before = scene.tailnet.nodes[ONE]
    assert scene.happens(RenameNode(node="laptop", name="desk")) == ["NodeRenamed"]
    assert scene.happens(RenameNode(node="desk", name="desk")) == []
    after = scene.tailnet.nodes[ONE]
    assert after.name == "desk"
    assert (after.id, after.stable_id, after.ipv4) == (before.id, before.stable_id, before.ipv4)
    assert scene.tailnet.node_by_name == {"desk": 1}


def test_a_deleted_node_is_gone_and_its_id_is_not_used_again(scene: Scene) -> None:
    scene.peer("exit")
    scene.connect(1, "exit", "10.64.0.100")
    decision = scene.when(DeleteNode(node="100.64.0.1"))
    assert len(decision.events) == 2
    assert decision.warnings[0].startswith("node.connections: 1 ")
    assert scene.tailnet.nodes == {}
    assert scene.node("laptop") == 2
    assert scene.refused(DeleteNode(node=1)).code == "node.not_found"


@pytest.mark.parametrize(
    "ref", [1, "1", "laptop", "LAPTOP", "100.64.0.1", "fd7a:115c:a1e0:1::1", node_key("laptop")]
)
def test_a_node_is_found_by_id_name_address_and_key(scene: Scene, ref: int | str) -> None:
    assert scene.when(RenameNode(node=ref, name="desk")).result["id"] == 1


@pytest.mark.parametrize("ref", [0, -1, 2, 2**70, "2", "desk", "100.64.0.9", "nodekey:00", "1" * 50])
def test_what_is_no_node_is_not_found(scene: Scene, ref: int | str) -> None:
    refusal = scene.refused(RenameNode(node=ref, name="desk"))
    assert (refusal.code, refusal.status, refusal.field) == ("node.not_found", 404, "node")


def test_a_peer_that_is_taken_for_a_node_is_explained(scene: Scene) -> None:
    scene.peer("exit")
    assert scene.refused(DeleteNode(node=100_000_001)).hint == "this is a WireGuard-only peer"
