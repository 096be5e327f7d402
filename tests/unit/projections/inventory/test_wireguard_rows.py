"""What operators read of WireGuard-only peers and their connections."""

from engine.domain.commands import (
    AddConnection,
    AddSelector,
    DrainPeer,
    RecordExport,
    SetMasqueradePool,
    UpdateConnection,
)
from engine.domain.values import NodeId
from projections.inventory.lists import base64_of, connections, nodes, peers
from projections.inventory.rows import Presence
from tests.kit.scenario import HOUR, Scene, node_key, registration


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


def test_rows_show_what_the_far_side_was_told_and_since_when_it_no_longer_holds() -> None:
    scene = Scene()
    scene.user()
    scene.node("laptop")
    scene.peer("exit")
    scene.connect("laptop", "exit", "10.64.0.2")
    (row,) = connections(scene.tailnet)
    assert (row.exported, row.stale) == (None, None)
    scene.when(RecordExport(peer="exit", style="wg-quick", checksum="sha256:ab"))
    told = scene.now
    scene.later(HOUR)
    scene.when(registration("laptop", node_key=node_key("laptop 2"), user=1))
    (row,) = connections(scene.tailnet)
    assert row.exported is not None
    assert (row.exported.at, row.exported.style, row.exported.checksum) == (told, "wg-quick", "sha256:ab")
    assert row.exported.node_key == node_key("laptop")
    assert row.stale is not None
    assert (row.stale.since, row.stale.because) == (scene.now, "ConnectionStale.v1")
    assert row.stale.known_key_base64 == base64_of(node_key("laptop"))
    assert row.stale.fix == "netmap wg export --peer exit --node laptop --record"
    (node,) = nodes(scene.tailnet)
    assert (node.connections[0].stale, node.connections[0].exported) == (row.stale, row.exported)
    (peer,) = peers(scene.tailnet)
    assert peer.stale == (row.stale,)


def test_rows_show_that_masquerade_addresses_made_it_stale() -> None:
    scene = Scene()
    scene.user()
    scene.node("laptop")
    scene.peer("exit")
    scene.connect("laptop", "exit", "10.64.0.2")
    scene.when(RecordExport(peer="exit"))
    scene.when(UpdateConnection(node=1, peer="exit", ipv4_masq_addr="10.64.0.3"))
    (row,) = connections(scene.tailnet)
    assert row.stale is not None
    assert row.stale.because == "ConnectionUpdated.v1"
    assert row.stale.known_key_base64 == base64_of(node_key("laptop"))


def test_a_peer_shows_which_connected_nodes_use_it_as_exit_now() -> None:
    scene = Scene()
    scene.user()
    for name in ("laptop", "phone", "desk", "other"):
        scene.node(name)
    for name in ("exit", "spare"):
        scene.peer(name)
    for number, name in enumerate(("laptop", "phone", "desk"), 2):
        scene.connect(name, "exit", f"10.64.0.{number}")
    known = {
        1: Presence(online=True, exit_node="wg100000001"),
        2: Presence(online=False, exit_node="wg100000001"),
        3: Presence(online=True, exit_node="wg100000002"),
        4: Presence(online=True, exit_node="wg100000001"),
    }

    def presence(node: NodeId) -> Presence | None:
        return known.get(node)

    exit_row, spare = peers(scene.tailnet, presence)
    assert (exit_row.used_by, spare.used_by) == (("1(laptop)",), ())
    assert next(peers(scene.tailnet)).used_by == ()
    assert [row.exit_node for row in nodes(scene.tailnet, presence)][:1] == ["wg100000001"]
