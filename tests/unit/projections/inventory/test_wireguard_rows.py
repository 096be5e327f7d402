"""What operators read of WireGuard-only peers and their connections."""

from engine.domain.commands import AddConnection, AddSelector, DrainPeer, SetMasqueradePool
from projections.inventory.lists import connections, peers
from tests.kit.scenario import Scene


def test_rows_show_pool_selectors_drain_parts_and_jail() -> None:
    scene = Scene()
    for name in ("anna", "bert"):
        scene.user(name)
        scene.node(f"{name}s", name)
    scene.peer("site", allowed_ips=("10.9.0.0/16",))
    (row,) = peers(scene.tailnet)
    assert (row.drained, row.masq_pool_v4, row.masq_pool_v6, row.selectors) == (False, "", "", ())
    scene.when(SetMasqueradePool(peer="site", ipv4="10.64.0.0/24", ipv6="fd00:b::/64"))
    scene.when(DrainPeer(peer="site"))
    scene.when(AddSelector(selector="anna", peer="site"))
    scene.when(AddConnection(node="berts", peer="site", allowed_ips=("10.9.1.0/24",), jailed=False))
    (row,) = peers(scene.tailnet)
    assert (row.drained, row.masq_pool_v4, row.masq_pool_v6) == (True, "10.64.0.0/24", "fd00:b::/64")
    assert row.selectors == ("user:anna",)
    first, second = connections(scene.tailnet)
    assert (first.allowed_ips, first.jailed, first.selector) == (("10.9.0.0/16",), True, "user:anna")
    assert (second.allowed_ips, second.jailed, second.selector) == (("10.9.1.0/24",), False, "")
