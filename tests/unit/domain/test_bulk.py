"""Many connections at once: all of them or none, each with an event of its own."""

import pytest

from engine.domain.bulk import MAX_PAIRS
from engine.domain.commands import AddConnection, AddConnections, SetMasqueradePool
from engine.domain.events import ConnectionAdded
from tests.kit.scenario import Scene


@pytest.fixture
def scene() -> Scene:
    """Nodes 1, 2 and 3, and two exits with a pool each."""
    scene = Scene()
    scene.user()
    for name in ("laptop", "phone", "tv"):
        scene.node(name)
    for name in ("oslo", "bergen"):
        scene.peer(name)
        scene.when(SetMasqueradePool(peer=name, ipv4="10.64.0.0/29"))
    return scene


def pairs(scene: Scene) -> dict[tuple[int, int], str]:
    return {pair: held.ipv4_masq for pair, held in scene.tailnet.connections.items()}


def test_each_node_is_connected_to_each_peer_by_an_event_of_its_own(scene: Scene) -> None:
    decision = scene.when(AddConnections(nodes=(1, "phone", 3), peers=("oslo", "bergen")))
    assert all(isinstance(event, ConnectionAdded) for event in decision.events)
    assert decision.result == {"added": 6, "present": 0}
    oslo, bergen = (scene.tailnet.peer_by_name[name] for name in ("oslo", "bergen"))
    addresses = {1: "10.64.0.2", 2: "10.64.0.3", 3: "10.64.0.4"}
    assert pairs(scene) == {(n, p): masq for p in (oslo, bergen) for n, masq in addresses.items()}


def test_what_is_there_already_is_no_error_and_what_is_named_twice_counts_once(scene: Scene) -> None:
    scene.when(AddConnection(node=1, peer="oslo"))
    again = scene.when(AddConnections(nodes=(1, "laptop", 2), peers=("oslo",)))
    assert again.result == {"added": 1, "present": 1}
    assert scene.when(AddConnections(nodes=(1, 2), peers=("oslo",))).events == ()


def test_one_that_cannot_be_undoes_all(scene: Scene) -> None:
    scene.when(AddConnection(node=3, peer="bergen", jailed=True))
    before = pairs(scene)
    refusal = scene.refused(
        AddConnections(nodes=(1, 3), peers=("oslo", "bergen"), allowed_ips=("0.0.0.0/0",))
    )
    assert refusal.code == "connection.exists"
    assert "3(tv)" in refusal.message
    assert pairs(scene) == before
    assert scene.refused(AddConnections(nodes=(1, 99), peers=("oslo",))).code == "node.not_found"


def test_the_pool_is_asked_for_each_and_may_run_dry(scene: Scene) -> None:
    scene.when(SetMasqueradePool(peer="oslo", ipv4="10.65.0.0/30"))  # one address to give
    assert scene.refused(AddConnections(nodes=(1, 2), peers=("oslo",))).code == "masq.pool_exhausted"
    assert scene.when(AddConnections(nodes=(1,), peers=("oslo",))).result["added"] == 1


def test_one_node_may_have_the_same_address_everywhere_and_two_may_not(scene: Scene) -> None:
    scene.when(AddConnections(nodes=(1,), peers=("oslo", "bergen"), ipv4_masq_addr="10.66.0.5"))
    assert set(pairs(scene).values()) == {"10.66.0.5"}
    refusal = scene.refused(AddConnections(nodes=(2, 3), peers=("oslo",), ipv4_masq_addr="10.66.0.6"))
    assert refusal.code == "masq.many"


def test_the_number_is_bounded(scene: Scene) -> None:
    for number in range(46):
        scene.node(f"n{number}")
    names = tuple(f"n{number}" for number in range(46))
    for number in range(44):
        scene.peer(f"p{number}", endpoints=(f"192.0.2.{number + 1}:1",))
    peers = tuple(f"p{number}" for number in range(44))
    assert len(names) * len(peers) > MAX_PAIRS
    assert scene.refused(AddConnections(nodes=names, peers=peers)).code == "connection.many"


def test_warnings_are_told_once_for_each_kind(scene: Scene) -> None:
    warnings = scene.when(AddConnections(nodes=(1, 2, 3), peers=("oslo",))).warnings
    assert [said.partition(":")[0] for said in warnings] == ["masq.missing"]
    assert warnings[0].endswith("(and 2 more)")
