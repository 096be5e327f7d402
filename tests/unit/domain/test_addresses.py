"""Which address comes next."""

import ipaddress

import pytest

from engine.domain.addresses import RESERVED, next_free, pool_of
from engine.domain.commands import DeleteNode, RemovePeer, SetPools
from engine.domain.errors import Refusal
from tests.kit.scenario import Scene, registration_of_peer


def test_the_first_node_and_the_first_peer_get_the_first_addresses_of_their_pools() -> None:
    scene = Scene()
    scene.user()
    node = scene.tailnet.nodes[scene.node("laptop")]
    assert (node.ipv4, node.ipv6) == ("100.64.0.1", "fd7a:115c:a1e0:1::1")
    said = scene.peer("exit").result
    assert (said["ipv4"], said["ipv6"]) == ("100.96.0.1", "fd7a:115c:a1e0:2::1")


def test_no_pool_touches_what_clients_reserve() -> None:
    for pool in Scene().tailnet.pools.values():
        assert pool.reserved == ()


def test_a_pool_gives_each_address_once_and_never_its_first_last_or_reserved_ones() -> None:
    pool = pool_of("100.100.0.0/22")
    held: set[int] = set()
    after = 0
    while len(held) < pool.capacity:
        after = next_free(pool, after=after, held=held, count=len(held))
        assert after not in held
        held.add(after)
    given = {ipaddress.ip_address(number) for number in held}
    assert given == set(ipaddress.IPv4Network("100.100.0.0/22").hosts()) - set(
        ipaddress.IPv4Network("100.100.0.0/24")
    )
    with pytest.raises(Refusal) as caught:
        next_free(pool, after=after, held=held, count=len(held))
    assert caught.value.code == "address.pool_exhausted"


@pytest.mark.parametrize("network", RESERVED)
def test_a_reserved_range_inside_a_pool_is_stepped_over(network: ipaddress.IPv4Network) -> None:
    pool = pool_of(str(network.supernet(prefixlen_diff=3)))
    before = int(network.network_address) - 1
    assert next_free(pool, after=before, held=(), count=0) not in range(
        before + 1, int(network.broadcast_address) + 1
    )


def test_an_address_that_was_given_back_rests_until_all_others_had_their_turn() -> None:
    scene = Scene()
    scene.user()
    scene.when(
        SetPools(
            nodes_v4="100.64.0.0/29",
            nodes_v6="fd7a:115c:a1e0:1::/64",
            peers_v4="100.96.0.0/29",
            peers_v6="fd7a:115c:a1e0:2::/64",
        )
    )
    first = scene.node("a")
    scene.when(DeleteNode(node=first))
    seen = [scene.tailnet.nodes[scene.node(name)].ipv4 for name in "bcdefg"]
    assert seen == [f"100.64.0.{last}" for last in (2, 3, 4, 5, 6, 1)]
    scene.when(DeleteNode(node="d"))
    assert scene.tailnet.nodes[scene.node("h")].ipv4 == "100.64.0.4"


def test_addresses_of_a_removed_peer_are_available_again_in_both_families() -> None:
    """Scenario N5."""
    scene = Scene()
    scene.user()
    scene.when(
        SetPools(
            nodes_v4="100.64.0.0/29",
            nodes_v6="fd7a:115c:a1e0:1::/125",
            peers_v4="100.96.0.0/30",
            peers_v6="fd7a:115c:a1e0:2::/126",
        )
    )
    first, _ = scene.peer("a").result, scene.peer("b").result
    assert scene.refused(registration_of_peer("c")).code == "address.pool_exhausted"
    scene.when(RemovePeer(peer="a"))
    again = scene.peer("c").result
    assert (again["ipv4"], again["ipv6"]) == (first["ipv4"], first["ipv6"])
    assert again["id"] != first["id"]


def test_after_a_restart_the_allocator_steps_over_peers_and_nodes_in_both_families() -> None:
    """Scenario N4: what Headscale's fork forgot."""
    scene = Scene()
    scene.user()
    scene.node("laptop")
    scene.peer("exit")
    scene.tailnet = scene.replay()
    node = scene.tailnet.nodes[scene.node("phone")]
    said = scene.peer("exit2").result
    addresses = (node.ipv4, node.ipv6, said["ipv4"], said["ipv6"])
    assert addresses == ("100.64.0.2", "fd7a:115c:a1e0:1::2", "100.96.0.2", "fd7a:115c:a1e0:2::2")
