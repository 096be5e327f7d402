"""A node's netmap in JSON, as an operator reads it."""

import msgspec

from engine.domain.values import NodeId
from projections.netmap.diff import diff
from projections.netmap.fold import fold
from projections.netmap.state import NetmapState
from projections.netmap.view import NodeNetmap, view
from tests.kit.histories import Step, history

COURSE: list[Step] = [("user", 0, 0), ("user", 0, 0), ("node", 0, 0), ("node", 1, 0), ("peer", 0, 0)]


def netmap(course: list[Step], node: int = 1) -> NodeNetmap:
    state = NetmapState()
    for record in history(course):
        fold(state, record)
    found = view(state, NodeId(node))
    assert found is not None
    return found


def test_it_has_the_names_of_the_contract() -> None:
    whole = msgspec.json.decode(msgspec.json.encode(netmap([*COURSE, ("connect", 0, 0)])))
    assert set(whole) == {
        "position",
        "epoch",
        "self",
        "peers",
        "wireguardOnlyPeers",
        "rules",
        "baseDomain",
        "derp",
    }
    assert whole["self"]["fqdn"] == "node1.netmap.internal"
    assert [peer["id"] for peer in whole["peers"]] == [2]
    assert whole["peers"][0]["userName"] == "user2"
    assert whole["wireguardOnlyPeers"][0]["ipv4MasqAddr"].startswith("10.64.1.")
    assert whole["rules"] == [{"sourceClasses": ["u1", "u2"], "ports": [[0, 65535]], "protocols": []}]


def test_nobody_sees_a_wireguard_only_peer_without_a_connection() -> None:
    connected = [*COURSE, ("connect", 0, 0)]
    assert len(netmap(connected, 1).wireguard_only_peers) == 1
    assert netmap(connected, 2).wireguard_only_peers == ()


def test_a_disabled_wireguard_only_peer_stands_as_clients_get_it() -> None:
    connected: list[Step] = [*COURSE, ("connect", 0, 0)]
    (before,) = netmap(connected).wireguard_only_peers
    (parked,) = netmap([*connected, ("peer_switch", 0, 0)]).wireguard_only_peers
    (ended,) = netmap([*connected, ("peer_switch", 0, 1)]).wireguard_only_peers
    (again,) = netmap([*connected, ("peer_switch", 0, 0), ("peer_switch", 0, 2)]).wireguard_only_peers
    assert (parked.disabled, parked.expired) == (True, False)
    assert parked.public_key != before.public_key
    assert parked.endpoints == ("192.0.2.1:9",)
    assert (ended.disabled, ended.expired, ended.public_key) == (False, True, before.public_key)
    assert again == before


def test_an_expired_peer_is_there_and_marked() -> None:
    assert [peer.expired for peer in netmap([*COURSE, ("expire", 1, 0)]).peers] == [True]


def test_an_expired_node_is_told_its_own_self_node_and_nothing_else() -> None:
    found = netmap([*COURSE, ("connect", 0, 0), ("expire", 0, 0)])
    assert found.self_node.expired
    assert (found.peers, found.wireguard_only_peers, found.rules) == ((), (), ())


def test_a_node_that_is_not_there_has_no_netmap() -> None:
    assert view(NetmapState(), NodeId(1)) is None


def test_the_diff_names_what_came_what_went_and_what_changed() -> None:
    before = netmap(COURSE)
    more: list[Step] = [*COURSE, ("connect", 0, 0), ("node", 1, 0), ("rename", 1, 1), ("settings", 2, 0)]
    found = diff(before, netmap(more))
    assert [peer.id for peer in found.peers.added] == [3]
    assert [pair.after.name for pair in found.peers.changed] == ["node2x1"]
    assert [peer.id for peer in found.wireguard_only_peers.added] == [100_000_001]
    assert "baseDomain" in found.others


def test_the_diff_of_equal_views_is_empty() -> None:
    found = diff(netmap(COURSE), netmap(COURSE))
    assert (found.peers.added, found.peers.removed, found.peers.changed, found.others) == ((), (), (), ())
