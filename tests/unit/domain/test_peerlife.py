"""WireGuard-only peers, changed in place: what may change, what stays, what connected nodes are spared."""

import json

import pytest

from engine.domain.commands import (
    AddConnection,
    DisablePeer,
    DrainPeer,
    EnablePeer,
    MovePeer,
    RemoveConnection,
    RemovePeer,
    RenamePeer,
    SetPolicy,
    TagPeer,
    UndrainPeer,
    UpdateConnection,
    UpdatePeer,
)
from tests.kit.scenario import Scene, node_key, peer_id, peer_key, registration, registration_of_peer

EXIT = peer_id(1)
POLICY = json.dumps({"tagOwners": {"tag:exit": ["autogroup:admin"]}})


@pytest.fixture
def scene() -> Scene:
    """Nodes 1 (laptop) and 2 (phone), and the exit 100000001."""
    scene = Scene()
    scene.user()
    scene.node("laptop")
    scene.node("phone")
    scene.peer("exit", extra_config={"suggestExitNode": True, "tags": ["tag:a"]})
    return scene


def codes(warnings: tuple[str, ...]) -> list[str]:
    return [said.partition(":")[0] for said in warnings]


def test_what_is_not_given_stays_and_the_ids_stay_for_life(scene: Scene) -> None:
    """Scenarios N12 and N13, as far as they are decided here."""
    before = scene.tailnet.peers[EXIT]
    said = scene.when(UpdatePeer(peer="exit", endpoints=("203.0.113.9:51820",)))
    assert said.result["endpoints"] == ["203.0.113.9:51820"]
    after = scene.tailnet.peers[EXIT]
    assert after.endpoints == ("203.0.113.9:51820",)
    kept = (
        "id",
        "stable_id",
        "name",
        "ipv4",
        "ipv6",
        "public_key",
        "allowed_ips",
        "extra",
        "created",
        "user",
    )
    assert [getattr(after, name) for name in kept] == [getattr(before, name) for name in kept]
    assert scene.tailnet.handed_out == scene.replay().handed_out
    assert scene.peer("next").result["id"] == peer_id(2)
    assert scene.tailnet == scene.replay()


def test_an_update_of_what_is_so_already_changes_nothing(scene: Scene) -> None:
    peer = scene.tailnet.peers[EXIT]
    same = UpdatePeer(
        peer="exit",
        public_key=peer.public_key,
        allowed_ips=peer.allowed_ips,
        endpoints=peer.endpoints,
        extra_config={"suggestExitNode": True},
    )
    assert scene.happens(same) == []
    assert scene.happens(UpdatePeer(peer="exit")) == []


def test_a_key_is_swapped_in_place(scene: Scene) -> None:
    """Scenario N13: connections stay; the old key is free, the new one is taken."""
    scene.connect(1, "exit", "10.64.0.2")
    scene.when(UpdatePeer(peer="exit", public_key=peer_key("second")))
    assert scene.tailnet.peers[EXIT].public_key == peer_key("second")
    assert set(scene.tailnet.connections) == {(1, EXIT)}
    assert scene.refused(registration_of_peer("b", public_key=peer_key("second"))).code == "peer.key_taken"
    assert scene.peer("b", public_key=peer_key("exit")).result["id"] == peer_id(2)
    for taken in (peer_key("exit"), node_key("laptop")):
        assert scene.refused(UpdatePeer(peer="exit", public_key=taken)).code == "peer.key_taken"


def test_a_key_is_swapped_under_a_parked_one(scene: Scene) -> None:
    scene.when(DisablePeer(peer="exit"))
    parked = scene.tailnet.peers[EXIT].parked_key
    scene.when(UpdatePeer(peer="exit", public_key=peer_key("second")))
    assert scene.tailnet.peers[EXIT].parked_key == parked
    scene.when(EnablePeer(peer="exit"))
    assert scene.tailnet.peers[EXIT].public_key == peer_key("second")


def test_of_the_extra_config_only_the_given_fields_change(scene: Scene) -> None:
    scene.when(UpdatePeer(peer="exit", extra_config={"exitNodeDNSResolvers": ["10.64.0.1"]}))
    extra = scene.tailnet.peers[EXIT].extra
    assert (extra.exit_node_dns_resolvers, extra.suggest_exit_node, extra.tags) == (
        ("10.64.0.1",),
        True,
        ("tag:a",),
    )
    scene.when(UpdatePeer(peer="exit", extra_config={"exitNodeDNSResolvers": None, "SuggestExitNode": False}))
    extra = scene.tailnet.peers[EXIT].extra
    assert (extra.exit_node_dns_resolvers, extra.suggest_exit_node) == ((), False)


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"public_key": "00" * 32}, "key.zero"),
        ({"public_key": "privkey:" + "11" * 32}, "key.private"),
        ({"allowed_ips": ()}, "allowedips.none"),
        ({"allowed_ips": ("100.64.0.0/10",)}, "allowedips.tailnet"),
        ({"endpoints": ()}, "endpoint.none"),
        ({"endpoints": ("127.0.0.1:1",)}, "endpoint.address"),
        ({"extra_config": {"tags": ["exit"]}}, "tag.syntax"),
        ({"extra_config": {"location": {"country": "Sweden"}}}, "location.partial"),
        ({"endpoints": ("192.0.2.1:1",), "allowed_ips": ("192.0.2.0/24",)}, "endpoint.loop"),
        ({"allowed_ips": ("198.51.0.0/16",)}, "endpoint.loop"),
    ],
)
def test_what_could_not_be_registered_is_refused(scene: Scene, change: dict[str, object], code: str) -> None:
    assert scene.refused(UpdatePeer(peer="exit", **change)).code == code  # type: ignore[arg-type]


def test_a_peer_is_not_warned_of_itself(scene: Scene) -> None:
    scene.when(UpdatePeer(peer="exit", allowed_ips=("10.9.0.0/24",)))
    peer = scene.tailnet.peers[EXIT]
    said = scene.when(
        UpdatePeer(peer="exit", allowed_ips=("10.9.0.0/24", "10.8.0.0/24"), endpoints=peer.endpoints)
    )
    assert codes(said.warnings) == ["endpoint.no_ipv6"]
    scene.peer("other", allowed_ips=("10.7.0.0/24",))
    said = scene.when(
        UpdatePeer(
            peer="other",
            allowed_ips=("10.7.0.0/24", "10.8.0.0/24"),
            endpoints=(*peer.endpoints, "192.0.2.1:1"),
        )
    )
    assert codes(said.warnings) == ["allowedips.shared", "endpoint.no_ipv6", "endpoint.shared"]


def test_an_update_gives_no_connected_node_an_overlap(scene: Scene) -> None:
    scene.peer("other", allowed_ips=("10.8.0.0/24",))
    scene.connect(1, "exit", "10.64.0.2")
    scene.connect(1, "other", "10.65.0.2")
    other = scene.tailnet.peers[peer_id(2)]
    overlap = scene.refused(UpdatePeer(peer="exit", allowed_ips=("0.0.0.0/0", "::/0", "10.8.0.0/24")))
    assert overlap.code == "connection.overlap"
    assert "1(laptop)" in overlap.message
    assert scene.refused(UpdatePeer(peer="exit", endpoints=other.endpoints)).code == "connection.endpoint"
    scene.when(RemoveConnection(node=1, peer="other"))
    scene.when(UpdatePeer(peer="exit", endpoints=other.endpoints))
    assert scene.refused(AddConnection(node=1, peer="other", ipv4_masq_addr="10.65.0.2")).code == (
        "connection.endpoint"
    )


def test_an_update_takes_nobodys_masquerade_address(scene: Scene) -> None:
    scene.connect(1, "exit", "10.64.0.2")
    refusal = scene.refused(UpdatePeer(peer="exit", allowed_ips=("0.0.0.0/0", "::/0", "10.64.0.2/32")))
    assert refusal.code == "peer.masq"
    assert "1(laptop)" in refusal.message


def test_to_take_the_default_routes_from_connected_nodes_warns_of_the_leak(scene: Scene) -> None:
    scene.connect(1, "exit", "10.64.0.2")
    said = scene.when(UpdatePeer(peer="exit", allowed_ips=("10.9.0.0/24",)))
    assert codes(said.warnings) == ["peer.leaks"]


def test_a_rename_frees_the_old_name(scene: Scene) -> None:
    """Scenario N12."""
    before = scene.tailnet.peers[EXIT]
    assert scene.happens(RenamePeer(peer="exit", name="stockholm")) == ["PeerRenamed"]
    after = scene.tailnet.peers[EXIT]
    assert (after.id, after.stable_id, after.name) == (before.id, before.stable_id, "stockholm")
    assert scene.happens(RenamePeer(peer="stockholm", name="stockholm")) == []
    assert scene.refused(RenamePeer(peer="stockholm", name="laptop")).code == "name.taken"
    assert scene.refused(RenamePeer(peer="stockholm", name="Big")).code == "name.syntax"
    assert scene.refused(RenamePeer(peer="exit", name="x")).code == "peer.not_found"
    assert scene.node("exit") == 3


def test_tags_are_those_that_the_policy_knows(scene: Scene) -> None:
    assert scene.happens(TagPeer(peer="exit", tags=("tag:b", "tag:a"))) == ["PeerTagged"]
    scene.when(SetPolicy(text=POLICY))
    assert scene.refused(TagPeer(peer="exit", tags=("tag:b",))).code == "tag.unknown"
    assert scene.refused(UpdatePeer(peer="exit", extra_config={"tags": ["tag:b"]})).code == "tag.unknown"
    assert scene.refused(registration_of_peer("x", extra_config={"tags": ["tag:b"]})).code == "tag.unknown"
    assert scene.when(TagPeer(peer="exit", tags=("tag:exit",))).result["tags"] == ["tag:exit"]
    assert scene.tailnet.peers[EXIT].extra.suggest_exit_node
    assert scene.happens(TagPeer(peer="exit", tags=("tag:exit",))) == []
    assert scene.happens(TagPeer(peer="exit", tags=())) == ["PeerTagged"]


def test_a_peer_moves_to_another_user(scene: Scene) -> None:
    scene.user("bert")
    assert scene.happens(MovePeer(peer="exit", user="bert")) == ["PeerMoved"]
    assert scene.tailnet.peers[EXIT].user == 2
    assert scene.happens(MovePeer(peer="exit", user=2)) == []
    assert scene.refused(MovePeer(peer="exit", user="nobody")).code == "user.not_found"


def test_a_peer_is_drained_and_comes_back(scene: Scene) -> None:
    """Scenario N29, as far as it is decided here."""
    before = scene.tailnet.peers[EXIT]
    assert scene.happens(DrainPeer(peer="exit")) == ["PeerDrained"]
    assert scene.happens(DrainPeer(peer="exit")) == []
    assert scene.tailnet.peers[EXIT].drained
    scene.when(UpdatePeer(peer="exit", endpoints=("203.0.113.9:1",)))
    assert scene.tailnet.peers[EXIT].drained, "an update is no undoing"
    assert scene.happens(UndrainPeer(peer="exit")) == ["PeerUndrained"]
    assert scene.happens(UndrainPeer(peer="exit")) == []
    assert scene.tailnet.peers[EXIT].public_key == before.public_key


def test_a_connected_peer_goes_with_its_connections_when_asked_to(scene: Scene) -> None:
    """Scenarios F6c to F6g in one decision."""
    scene.connect(1, "exit", "10.64.0.2")
    scene.connect(2, "exit", "10.64.0.3")
    assert scene.refused(RemovePeer(peer="exit")).code == "peer.connected"
    said = scene.when(RemovePeer(peer="exit", cascade=True))
    assert [type(event).__name__ for event in said.events] == [
        "ConnectionRemoved",
        "ConnectionRemoved",
        "PeerRemoved",
    ]
    assert codes(said.warnings) == ["peer.connections", "peer.leaks"]
    assert (scene.tailnet.peers, scene.tailnet.connections, scene.tailnet.masq_by_peer) == ({}, {}, {})
    scene.peer("lonely")
    said = scene.when(RemovePeer(peer="lonely", cascade=True))
    assert (len(said.events), said.warnings) == (1, ())


def test_the_part_of_a_connection_must_stay_inside(scene: Scene) -> None:
    scene.peer("site", allowed_ips=("10.9.0.0/16",))
    scene.when(AddConnection(node=1, peer="site", ipv4_masq_addr="10.64.0.2", allowed_ips=("10.9.1.0/24",)))
    scene.when(AddConnection(node=2, peer="site", ipv4_masq_addr="10.64.0.3"))
    scene.when(UpdatePeer(peer="site", allowed_ips=("10.9.0.0/23",)))
    assert scene.tailnet.connections[1, peer_id(2)].allowed_ips == ("10.9.1.0/24",)  # type: ignore[index]
    refusal = scene.refused(UpdatePeer(peer="site", allowed_ips=("10.9.0.0/24",)))
    assert refusal.code == "peer.part"
    assert "1(laptop): 10.9.1.0/24" in refusal.message
    assert "phone" not in refusal.message
    scene.when(UpdateConnection(node=1, peer="site", allowed_ips=()))
    scene.when(UpdatePeer(peer="site", allowed_ips=("10.9.0.0/24",)))


def test_who_may_call_a_node_gets_no_default_route(scene: Scene) -> None:
    scene.peer("site", allowed_ips=("10.9.0.0/16",))
    scene.when(AddConnection(node=1, peer="site", ipv4_masq_addr="10.64.0.2", jailed=False))
    wider = UpdatePeer(peer="site", allowed_ips=("10.9.0.0/16", "0.0.0.0/0", "::/0"))
    assert scene.refused(wider).code == "connection.unjail"
    scene.when(UpdateConnection(node=1, peer="site", jailed=True))
    scene.when(wider)


def test_a_node_may_not_come_in_with_a_peers_new_key(scene: Scene) -> None:
    scene.when(UpdatePeer(peer="exit", public_key=node_key("third")))
    assert scene.refused(registration("third", user=1)).status in (403, 409)


def test_the_mark_of_a_file_stays_until_it_is_taken_away() -> None:
    scene = Scene()
    scene.user()
    scene.peer("oslo", managed_by="site.a")
    scene.when(UpdatePeer(peer="oslo", endpoints=("192.0.2.1:1",)))
    (peer,) = scene.tailnet.peers.values()
    assert peer.managed_by == "site.a"
    assert scene.refused(UpdatePeer(peer="oslo", managed_by="Site A")).code == "managed.syntax"
    scene.when(UpdatePeer(peer="oslo", managed_by=""))
    (peer,) = scene.tailnet.peers.values()
    assert peer.managed_by == ""
    assert scene.replay() == scene.tailnet
