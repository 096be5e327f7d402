"""Masquerade pools: whom they give what, in which order, and when they have nothing more."""

import pytest

from engine.domain.commands import (
    AddConnection,
    DeleteNode,
    RemoveConnection,
    SetMasqueradePool,
    SetPools,
    UpdateConnection,
)
from tests.kit.scenario import Scene, peer_id

EXIT = peer_id(1)


@pytest.fixture
def scene() -> Scene:
    """Nodes 1 to 9, and the exit 100000001."""
    scene = Scene()
    scene.user()
    for number in range(1, 10):
        scene.node(f"n{number}")
    scene.peer("exit", extra_config={"exitNodeDNSResolvers": ["10.64.0.4"]})
    return scene


def given(scene: Scene, node: int) -> tuple[object, object]:
    said = scene.when(AddConnection(node=node, peer="exit")).result
    return said["ipv4MasqAddr"], said["ipv6MasqAddr"]


def test_a_pool_gives_the_next_address_of_each_family(scene: Scene) -> None:
    """Scenario N20: never the network's address, the one after it, the last one, a resolver, or another node's."""
    said = scene.when(SetMasqueradePool(peer="exit", ipv4="10.64.0.0/29", ipv6="fd00:b::/64"))
    assert said.result["ipv4"] == "10.64.0.0/29"
    scene.connect(9, "exit", "10.64.0.3")
    assert given(scene, 1) == ("10.64.0.2", "fd00:b::2")
    assert given(scene, 2) == ("10.64.0.5", "fd00:b::3")
    assert given(scene, 3) == ("10.64.0.6", "fd00:b::4")
    refusal = scene.refused(AddConnection(node=4, peer="exit"))
    assert refusal.code == "masq.pool_exhausted"
    assert "10.64.0.0/29" in refusal.message
    assert "100000001(exit)" in refusal.message
    scene.when(DeleteNode(node=2))
    assert given(scene, 4) == ("10.64.0.5", "fd00:b::5")
    assert scene.tailnet == scene.replay()


def test_an_address_that_was_given_back_rests_as_long_as_it_can(scene: Scene) -> None:
    """Scenario N20: the pool goes on after the last that it handed out, round and round."""
    scene.when(SetMasqueradePool(peer="exit", ipv4="10.65.0.0/29"))
    seen = []
    for _ in range(6):
        seen.append(given(scene, 1)[0])
        scene.when(RemoveConnection(node=1, peer="exit"))
    assert seen == [f"10.65.0.{last}" for last in (2, 3, 4, 5, 6, 2)]


def test_two_nodes_never_get_one_address(scene: Scene) -> None:
    """Scenario N21: decided one after the other, however they arrive."""
    scene.when(SetMasqueradePool(peer="exit", ipv4="10.65.0.0/24"))
    assert len({given(scene, node) for node in range(1, 10)}) == 9


def test_two_peers_have_pools_of_their_own(scene: Scene) -> None:
    scene.peer("other")
    for peer in ("exit", "other"):
        scene.when(SetMasqueradePool(peer=peer, ipv4="10.65.0.0/24"))
    assert given(scene, 1)[0] == "10.65.0.2"
    assert scene.when(AddConnection(node=1, peer="other")).result["ipv4MasqAddr"] == "10.65.0.2"


def test_an_address_given_by_hand_is_taken_and_moves_nothing(scene: Scene) -> None:
    scene.when(SetMasqueradePool(peer="exit", ipv4="10.65.0.0/24"))
    scene.connect(1, "exit", "10.65.0.200")
    assert given(scene, 2)[0] == "10.65.0.2"
    scene.when(UpdateConnection(node=2, peer="exit", ipv4_masq_addr="10.65.0.100"))
    assert given(scene, 3)[0] == "10.65.0.3"


def test_adding_what_the_pool_gave_again_changes_nothing(scene: Scene) -> None:
    scene.when(SetMasqueradePool(peer="exit", ipv4="10.65.0.0/24"))
    given(scene, 1)
    assert scene.happens(AddConnection(node=1, peer="exit")) == []


def test_without_a_pool_an_address_must_be_given(scene: Scene) -> None:
    """Scenario F4."""
    scene.when(SetMasqueradePool(peer="exit", ipv4="10.65.0.0/24"))
    given(scene, 1)
    assert scene.happens(SetMasqueradePool(peer="exit")) == ["PeerPoolSet"]
    assert scene.happens(SetMasqueradePool(peer="exit")) == []
    assert scene.refused(AddConnection(node=2, peer="exit")).code == "masq.none"
    assert scene.tailnet.connections[1, EXIT].ipv4_masq == "10.65.0.2"  # type: ignore[index]


def test_another_pool_goes_on_from_its_own_beginning(scene: Scene) -> None:
    scene.when(SetMasqueradePool(peer="exit", ipv4="10.65.0.0/24"))
    given(scene, 1)
    scene.when(SetMasqueradePool(peer="exit", ipv4="10.66.0.0/24"))
    assert given(scene, 2)[0] == "10.66.0.2"
    assert scene.tailnet.connections[1, EXIT].ipv4_masq == "10.65.0.2"  # type: ignore[index]


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"ipv4": "10.65.0.1/24"}, "masq.pool"),
        ({"ipv4": "10.65.0.0/31"}, "masq.pool"),
        ({"ipv4": "10.65.0.0"}, "masq.pool"),
        ({"ipv4": "fd00::/64"}, "masq.pool"),
        ({"ipv6": "10.65.0.0/24"}, "masq.pool"),
        ({"ipv6": "fd00::/127"}, "masq.pool"),
        ({"ipv6": "ff02::/64"}, "masq.pool"),
        ({"ipv4": "127.0.0.0/8"}, "masq.pool"),
        ({"ipv4": "0.0.0.0/0"}, "masq.pool"),
        ({"ipv4": "x"}, "masq.pool"),
        ({"ipv4": "100.64.0.0/24"}, "masq.in_use"),
        ({"ipv6": "fd7a:115c:a1e0::/48"}, "masq.in_use"),
        ({"peer": "nobody"}, "peer.not_found"),
    ],
)
def test_what_cannot_be_a_pool_is_refused(scene: Scene, fields: dict[str, str], code: str) -> None:
    assert scene.refused(SetMasqueradePool(**({"peer": "exit"} | fields))).code == code


def test_the_tailnets_pools_keep_clear_of_it(scene: Scene) -> None:
    scene.when(SetMasqueradePool(peer="exit", ipv4="100.127.0.0/24"))
    pools = SetPools(
        nodes_v4="100.64.0.0/11",
        nodes_v6="fd7a:115c:a1e0:1::/64",
        peers_v4="100.96.0.0/11",
        peers_v6="fd7a:115c:a1e0:2::/64",
    )
    assert scene.refused(pools).code == "pool.masquerade"
    scene.when(SetMasqueradePool(peer="exit"))
    scene.when(pools)


@pytest.mark.parametrize(
    ("prefix", "code"),
    [("100.127.0.0/24", "masq.tailnet"), ("198.18.0.0/15", ""), ("9.9.9.0/24", "masq.public")],
)
def test_doubtful_pools_are_taken_with_a_word(scene: Scene, prefix: str, code: str) -> None:
    said = scene.when(SetMasqueradePool(peer="exit", ipv4=prefix)).warnings
    assert [warning.partition(":")[0] for warning in said] == ([code] if code else [])
