"""Connections: who may have which, and under which masquerade address."""

import json

import pytest

from engine.domain.commands import (
    AddConnection,
    DeleteNode,
    ExpireNode,
    RemoveConnection,
    RemovePeer,
    SetNodeExpiry,
    SetPolicy,
    SetWireGuardMode,
    UpdateConnection,
)
from engine.domain.events import ConnectionAdded
from engine.domain.values import NodeId
from tests.kit.scenario import HOUR, Scene, peer_id

EXIT = peer_id(1)


@pytest.fixture
def scene() -> Scene:
    """Nodes 1 (laptop) and 2 (phone), and the exit 100000001."""
    scene = Scene()
    scene.user()
    scene.node("laptop")
    scene.node("phone")
    scene.peer("exit")
    return scene


def codes(warnings: tuple[str, ...]) -> list[str]:
    return [said.partition(":")[0] for said in warnings]


def test_the_documented_commands_work_word_for_word(scene: Scene) -> None:
    """Scenario N1, with the document's multicast example: accepted, with a warning that says why it is no use."""
    first = scene.when(AddConnection(node=1, peer=100_000_001, ipv4_masq_addr="10.64.0.100"))
    assert first.events == (ConnectionAdded(node=1, peer=EXIT, ipv4_masq="10.64.0.100"),)  # type: ignore[arg-type]
    assert codes(first.warnings) == ["masq.missing"]

    second = scene.when(
        AddConnection(node=2, peer=100_000_001, ipv4_masq_addr="10.64.0.101", ipv6_masq_addr="ff02:b::11")
    )
    assert second.result["ipv6MasqAddr"] == "ff02:b::11"
    assert codes(second.warnings) == ["masq.multicast"]
    assert "clients cannot use it" in second.warnings[0]


def test_a_masquerade_inside_the_tailnets_ula_is_only_a_warning(scene: Scene) -> None:
    """Scenario F5: the values of the fork's own test."""
    said = scene.connect(1, "exit", "10.64.0.100", "fd7a:115c:a1e0::100")
    assert codes(said.warnings) == ["masq.tailnet"]


def test_the_answer_tells_what_the_far_side_must_be_told(scene: Scene) -> None:
    said = scene.connect("laptop", "exit", "10.64.0.100/32", "FD00::1/128").result
    assert said["ipv4MasqAddr"] == "10.64.0.100"
    assert said["ipv6MasqAddr"] == "fd00::1"
    assert len(str(said["nodePublicKey"])) == 44


def test_a_connection_needs_a_masquerade_address(scene: Scene) -> None:
    """Scenario F4."""
    refusal = scene.refused(AddConnection(node=1, peer="exit"))
    assert (refusal.code, refusal.status) == ("masq.none", 422)
    assert scene.refused(UpdateConnection(node=1, peer="exit")).code == "masq.none"


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("fd00::1", "masq.family"),
        ("::ffff:10.64.0.1", "masq.family"),
        ("10.64.0.0/24", "masq.syntax"),
        ("10.64.0.1/", "masq.syntax"),
        ("exit", "masq.syntax"),
        ("0.0.0.0", "masq.address"),
        ("0.0.0.1", "masq.address"),
        ("127.0.0.1", "masq.address"),
        ("169.254.1.1", "masq.address"),
        ("255.255.255.255", "masq.address"),
        ("100.64.0.1", "masq.in_use"),
        ("100.96.0.1", "masq.in_use"),
        ("100.64.9.9", "masq.in_use"),
        ("100.64.0.0", "masq.in_use"),
        ("10.99.0.1", "masq.gateway"),
        ("10.64.0.53", "masq.gateway"),
    ],
)
def test_what_cannot_be_an_ipv4_source_is_refused(scene: Scene, text: str, code: str) -> None:
    scene.peer("site", allowed_ips=("10.99.0.1/32",), extra_config={"exitNodeDNSResolvers": ["10.64.0.53"]})
    refusal = scene.refused(AddConnection(node=1, peer="site", ipv4_masq_addr=text))
    assert (refusal.code, refusal.field) == (code, "ipv4MasqAddr")
    assert text in refusal.message


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("10.64.0.1", "masq.family"),
        ("::ffff:10.64.0.1", "masq.family"),
        ("fd00::1/64", "masq.syntax"),
        ("fe80::1%eth0", "masq.syntax"),
        ("::", "masq.address"),
        ("::1", "masq.address"),
        ("fe80::1", "masq.address"),
        ("fd7a:115c:a1e0:1::1", "masq.in_use"),
        ("fd7a:115c:a1e0:2::77", "masq.in_use"),
    ],
)
def test_what_cannot_be_an_ipv6_source_is_refused(scene: Scene, text: str, code: str) -> None:
    refusal = scene.refused(AddConnection(node=1, peer="exit", ipv6_masq_addr=text))
    assert (refusal.code, refusal.field) == (code, "ipv6MasqAddr")


@pytest.mark.parametrize(
    ("ipv4", "ipv6", "allowed", "expected"),
    [
        ("10.64.0.2", "fd00::2", ("0.0.0.0/0", "::/0"), []),
        ("100.127.0.2", "", ("0.0.0.0/0",), ["masq.tailnet"]),
        ("8.8.8.8", "", ("0.0.0.0/0",), ["masq.public"]),
        ("239.1.1.1", "", ("0.0.0.0/0",), ["masq.multicast"]),
        ("", "ff02:b::11", ("::/0",), ["masq.multicast"]),
        ("10.64.0.2", "", ("0.0.0.0/0", "::/0"), ["masq.missing"]),
        ("10.64.0.2", "fd00::2", ("0.0.0.0/0",), ["masq.unused"]),
    ],
)
def test_what_is_doubtful_is_a_warning(
    scene: Scene, ipv4: str, ipv6: str, allowed: tuple[str, ...], expected: list[str]
) -> None:
    scene.peer("other", allowed_ips=allowed)
    assert codes(scene.connect(1, "other", ipv4, ipv6).warnings) == expected


def test_two_nodes_never_have_one_masquerade_address_at_one_peer(scene: Scene) -> None:
    """Scenario N21, masquerade part: whoever comes second is refused."""
    scene.connect(1, "exit", "10.64.0.100", "fd00::1")
    for command in (
        AddConnection(node=2, peer="exit", ipv4_masq_addr="10.64.0.100"),
        AddConnection(node=2, peer="exit", ipv6_masq_addr="FD00:0::1"),
    ):
        refusal = scene.refused(command)
        assert (refusal.code, refusal.status) == ("masq.taken", 409)
        assert "node 1(laptop)" in refusal.message
    scene.when(RemoveConnection(node=1, peer="exit"))
    assert scene.connect(2, "exit", "10.64.0.100", "fd00::1").events


def test_one_node_may_have_one_masquerade_address_at_two_peers(scene: Scene) -> None:
    scene.peer("exit2")
    scene.connect(1, "exit", "10.64.0.100")
    assert scene.connect(1, "exit2", "10.64.0.100").events


def test_adding_the_same_again_changes_nothing(scene: Scene) -> None:
    scene.connect(1, "exit", "10.64.0.100")
    again = scene.connect(1, "exit", "10.64.0.100/32")
    assert again.events == ()
    assert again.result["node"] == 1


def test_adding_with_other_addresses_is_refused_with_the_command_to_update(scene: Scene) -> None:
    scene.connect(1, "exit", "10.64.0.100")
    refusal = scene.refused(AddConnection(node=1, peer="exit", ipv4_masq_addr="10.64.0.7"))
    assert (refusal.code, refusal.status) == ("connection.exists", 409)
    assert refusal.hint == (
        "netmap node update-wg-connection --node-id 1 --wg-peer-id 100000001 --ipv4-masq-addr 10.64.0.7"
    )


def test_an_update_replaces_both_addresses_and_frees_the_old_ones(scene: Scene) -> None:
    """Scenario F22."""
    scene.connect(1, "exit", "10.64.0.100", "fd00::1")
    update = UpdateConnection(node=1, peer="exit", ipv4_masq_addr="10.64.0.7")
    assert scene.happens(update) == ["ConnectionUpdated"]
    assert scene.happens(update) == []
    connection = scene.tailnet.connections[1, EXIT]  # type: ignore[index]
    assert (connection.ipv4_masq, connection.ipv6_masq) == ("10.64.0.7", "")
    assert scene.connect(2, "exit", "10.64.0.100", "fd00::1").events


def test_what_is_missing_is_not_found(scene: Scene) -> None:
    """Scenarios F17, F18."""
    scene.connect(1, "exit", "10.64.0.100")
    cases = {
        RemoveConnection(node=2, peer="exit"): "connection.not_found",
        RemoveConnection(node=9, peer="exit"): "node.not_found",
        RemoveConnection(node=1, peer=9): "peer.not_found",
        UpdateConnection(node=2, peer="exit", ipv4_masq_addr="10.64.0.9"): "connection.not_found",
        AddConnection(node=9, peer="exit", ipv4_masq_addr="10.64.0.9"): "node.not_found",
        AddConnection(node=1, peer="no", ipv4_masq_addr="10.64.0.9"): "peer.not_found",
        AddConnection(node=100_000_001, peer=1, ipv4_masq_addr="10.64.0.9"): "node.not_found",
    }
    for command, code in cases.items():
        refusal = scene.refused(command)
        assert (refusal.code, refusal.status) == (code, 404)
    assert scene.happens(RemoveConnection(node=1, peer="exit")) == ["ConnectionRemoved"]
    assert scene.refused(RemoveConnection(node=1, peer="exit")).code == "connection.not_found"


def test_who_is_connected_to_what_follows_the_commands(scene: Scene) -> None:
    """Scenarios F8, F9, F11, F12, F19, F20, F21, F23, F24: the index from both ends."""
    scene.node("tablet")
    scene.peer("exit2")
    scene.connect(1, "exit", "10.64.0.1")
    assert scene.tailnet.peers_of_node == {1: {EXIT}}
    scene.connect(2, "exit", "10.64.0.2")
    scene.connect(2, "exit2", "10.64.0.2")
    assert scene.tailnet.peers_of_node == {1: {EXIT}, 2: {EXIT, peer_id(2)}}
    assert scene.tailnet.nodes_of_peer == {EXIT: {1, 2}, peer_id(2): {2}}
    scene.when(RemoveConnection(node=2, peer="exit"))
    assert scene.tailnet.peers_of_node == {1: {EXIT}, 2: {peer_id(2)}}
    scene.when(DeleteNode(node=2))
    scene.when(RemoveConnection(node=1, peer="exit"))
    scene.when(RemovePeer(peer="exit"))
    assert scene.tailnet.peers_of_node == {}
    assert scene.tailnet.nodes_of_peer == {}
    assert scene.tailnet.masq_by_peer == {}


@pytest.mark.parametrize(
    ("capver", "ipv6", "expected"),
    [
        (59, "", "connection.capver"),
        (93, "", "connection.capver"),
        (94, "", ""),
        (103, "fd00::1", "masq.capver"),
        (104, "fd00::1", ""),
        (0, "fd00::1", ""),
    ],
)
def test_a_client_that_is_too_old_gets_no_peer_or_a_warning(
    scene: Scene, capver: int, ipv6: str, expected: str
) -> None:
    """Scenario N15, the part that is decided here."""
    node = scene.node("old", capver=capver)
    if expected == "connection.capver":
        command = AddConnection(node=node, peer="exit", ipv4_masq_addr="10.64.0.9")
        refusal = scene.refused(command)
        assert (refusal.code, refusal.status) == (expected, 422)
    else:
        warnings = codes(scene.connect(node, "exit", "10.64.0.9", ipv6).warnings)
        assert [said for said in warnings if said != "masq.missing"] == ([expected] if expected else [])


def test_a_node_has_no_two_peers_with_one_endpoint(scene: Scene) -> None:
    scene.peer("a", endpoints=("1.2.3.4:51820",))
    scene.peer("b", endpoints=("1.2.3.5:51820", "1.2.3.4:51820"))
    scene.connect(1, "a", "10.64.0.100")
    refusal = scene.refused(AddConnection(node=1, peer="b", ipv4_masq_addr="10.64.0.100"))
    assert (refusal.code, refusal.status) == ("connection.endpoint", 409)
    assert "1.2.3.4:51820" in refusal.message
    assert scene.connect(2, "b", "10.64.0.100").events


def test_a_node_has_no_two_peers_with_one_prefix_but_may_have_several_exits(scene: Scene) -> None:
    site = {"allowed_ips": ("192.0.2.0/24", "0.0.0.0/0", "::/0")}
    scene.peer("a", **site)
    scene.peer("b", **site)
    scene.connect(1, "exit", "10.64.0.100")
    assert scene.connect(1, "a", "10.64.0.100").events
    refusal = scene.refused(AddConnection(node=1, peer="b", ipv4_masq_addr="10.64.0.100"))
    assert (refusal.code, refusal.status) == ("connection.overlap", 409)
    assert "100000002(a)" in refusal.message
    assert refusal.hint == "netmap node remove-wg-connection --node-id 1 --wg-peer-id 100000002"


def test_a_node_whose_key_ends_soon_is_a_warning(scene: Scene) -> None:
    """The far side knows the node by its key, and gets no updates."""
    scene.when(SetNodeExpiry(node=1, expiry=scene.now + 24 * HOUR))  # type: ignore[arg-type]
    assert "connection.key_expires" in codes(scene.connect(1, "exit", "10.64.0.100").warnings)
    scene.when(ExpireNode(node=2))
    assert "connection.node_expired" in codes(scene.connect(2, "exit", "10.64.0.101").warnings)


@pytest.mark.parametrize(
    ("grant", "told"),
    [
        ({"dst": ["autogroup:internet"], "ip": ["*"]}, []),
        ({"dst": ["autogroup:internet"], "ip": ["tcp:443"]}, ["connection.ports"]),
        ({"dst": ["100.96.0.0/14"], "ip": ["*"]}, ["connection.cut"]),
        ({"dst": ["*"], "ip": ["*"]}, ["connection.not_permitted"]),
    ],
)
def test_where_the_policy_rules_over_such_peers_an_answer_says_what_it_leaves(
    scene: Scene, grant: dict[str, object], told: list[str]
) -> None:
    scene.when(SetPolicy(text=json.dumps({"grants": [{"src": ["anna@"], **grant}]})))
    before = scene.connect(1, "exit", "10.64.0.100", "fd00::1")
    assert codes(before.warnings) == []
    scene.when(SetWireGuardMode(mode="enforce"))
    assert codes(scene.connect(2, "exit", "10.64.0.101", "fd00::2").warnings) == told


def test_a_connection_may_have_a_part_of_the_allowed_ips(scene: Scene) -> None:
    scene.peer("site", allowed_ips=("10.9.0.0/16", "fd00:9::/48"))
    said = scene.when(
        AddConnection(
            node=1, peer="site", ipv4_masq_addr="10.64.0.2", allowed_ips=("10.9.1.0/24", "10.9.2.0/24")
        )
    )
    assert said.result["allowedIps"] == ["10.9.1.0/24", "10.9.2.0/24"]
    assert scene.tailnet.connections[NodeId(1), peer_id(2)].allowed_ips == ("10.9.1.0/24", "10.9.2.0/24")
    again = AddConnection(node=1, peer="site", ipv4_masq_addr="10.64.0.2", allowed_ips=("10.9.1.0/24",))
    assert scene.refused(again).code == "connection.exists"
    for wrong in ("10.8.0.0/24", "10.0.0.0/8", "0.0.0.0/0", "fd00::/16"):
        refusal = scene.refused(UpdateConnection(node=1, peer="site", allowed_ips=(wrong,)))
        assert (refusal.code, refusal.field) == ("allowedips.outside", "allowedIps")
    assert scene.happens(UpdateConnection(node=1, peer="site", allowed_ips=("10.9.1.5/32",))) == [
        "ConnectionUpdated"
    ]
    assert scene.tailnet.connections[NodeId(1), peer_id(2)].ipv4_masq == "10.64.0.2", "it stays"
    scene.when(UpdateConnection(node=1, peer="site", ipv4_masq_addr="10.64.0.3"))
    assert scene.tailnet.connections[NodeId(1), peer_id(2)].allowed_ips == ("10.9.1.5/32",), "it stays"
    scene.when(UpdateConnection(node=1, peer="site", allowed_ips=()))
    assert scene.tailnet.connections[NodeId(1), peer_id(2)].allowed_ips is None
    assert scene.tailnet == scene.replay()


def test_parts_of_two_peers_do_not_overlap_at_one_node(scene: Scene) -> None:
    scene.peer("site", allowed_ips=("10.9.0.0/16", "10.10.0.0/16"))
    part = AddConnection(node=1, peer="exit", ipv4_masq_addr="10.64.0.2", allowed_ips=("10.9.0.0/16",))
    scene.when(part)
    whole = AddConnection(node=1, peer="site", ipv4_masq_addr="10.64.0.2")
    assert scene.refused(whole).code == "connection.overlap"
    other = AddConnection(node=1, peer="site", ipv4_masq_addr="10.64.0.2", allowed_ips=("10.10.0.0/16",))
    scene.when(other)
    assert scene.refused(UpdateConnection(node=1, peer="site", allowed_ips=())).code == "connection.overlap"


def test_a_part_that_holds_the_endpoint_is_refused(scene: Scene) -> None:
    loop = AddConnection(node=1, peer="exit", ipv4_masq_addr="10.64.0.2", allowed_ips=("198.51.0.0/16",))
    assert scene.refused(loop).code == "endpoint.loop"


def test_a_peer_with_a_default_route_stays_in_jail(scene: Scene) -> None:
    """Scenario N18."""
    free = AddConnection(node=1, peer="exit", ipv4_masq_addr="10.64.0.2", jailed=False)
    refusal = scene.refused(free)
    assert (refusal.code, refusal.field) == ("connection.unjail", "jailed")
    scene.connect(1, "exit", "10.64.0.2")
    assert scene.refused(UpdateConnection(node=1, peer="exit", jailed=False)).code == "connection.unjail"
    scene.when(UpdateConnection(node=1, peer="exit", jailed=False, allowed_ips=("10.9.0.0/16",)))
    assert not scene.tailnet.connections[NodeId(1), EXIT].jailed
    assert scene.refused(UpdateConnection(node=1, peer="exit", allowed_ips=())).code == "connection.unjail"
    wide = UpdateConnection(node=1, peer="exit", allowed_ips=("100.0.0.0/8",))
    assert scene.refused(wide).code == "allowedips.tailnet"
    scene.when(UpdateConnection(node=1, peer="exit", jailed=True, allowed_ips=()))
    assert scene.tailnet.connections[NodeId(1), EXIT].jailed


def test_what_is_not_there_cannot_be_updated(scene: Scene) -> None:
    assert scene.refused(UpdateConnection(node=1, peer="exit", jailed=True)).code == "connection.not_found"
    assert scene.refused(UpdateConnection(node=1, peer="exit", allowed_ips=())).code == "connection.not_found"


def test_an_update_says_what_the_policy_leaves(scene: Scene) -> None:
    """Scenario N19."""
    scene.connect(1, "exit", "10.64.0.2")
    scene.when(SetPolicy(text=json.dumps({"grants": [{"src": ["*"], "dst": ["10.9.1.0/24"], "ip": ["*"]}]})))
    scene.when(SetWireGuardMode(mode="enforce"))
    said = scene.when(UpdateConnection(node=1, peer="exit", allowed_ips=("10.9.0.0/16",)))
    assert "connection.cut" in codes(said.warnings)
