"""WireGuard-only peers: what may be registered, and when one may go."""

import json

import pytest

from engine.domain.commands import (
    DeleteNode,
    DisablePeer,
    EnablePeer,
    ExpirePeer,
    RegisterPeer,
    RemoveConnection,
    RemovePeer,
)
from engine.domain.events import PeerRegistered
from engine.domain.keys import wireguard_base64
from tests.kit.scenario import (
    DOCUMENT_KEY,
    Scene,
    machine_key,
    node_key,
    octets,
    peer_id,
    peer_key,
    registration,
    registration_of_peer,
)


@pytest.fixture
def scene() -> Scene:
    scene = Scene()
    scene.user()
    return scene


def codes(warnings: tuple[str, ...]) -> list[str]:
    return [said.partition(":")[0] for said in warnings]


def test_the_documented_command_works_word_for_word(scene: Scene) -> None:
    """Scenario N1."""
    decision = scene.when(
        RegisterPeer(
            name="mullvad-exit",
            user="1",
            public_key=DOCUMENT_KEY,
            allowed_ips=("0.0.0.0/0", "::/0"),
            endpoints=("1.2.3.4:51820",),
            extra_config=json.loads('{"suggestExitNode": true}'),
        )
    )
    key = scene.tailnet.peers[peer_id(1)].public_key
    assert decision.result == {
        "id": 100_000_001,
        "stableId": "wg100000001",
        "name": "mullvad-exit",
        "user": 1,
        "ipv4": "100.96.0.1",
        "ipv6": "fd7a:115c:a1e0:2::1",
        "publicKey": DOCUMENT_KEY,
        "nodeKey": key,
        "allowedIps": ["0.0.0.0/0", "::/0"],
        "endpoints": ["1.2.3.4:51820"],
    }
    assert codes(decision.warnings) == ["endpoint.no_ipv6"]


def test_the_documented_endpoints_and_host_bits_are_kept_canonical(scene: Scene) -> None:
    said = scene.peer(
        "exit",
        allowed_ips=("10.64.0.1/24", "0.0.0.0/0", "::/0"),
        endpoints=("1.2.3.4:51820", "[2001:db8::1]:51820"),
    )
    assert said.result["endpoints"] == ["1.2.3.4:51820", "[2001:db8::1]:51820"]
    assert said.result["allowedIps"] == ["10.64.0.0/24", "0.0.0.0/0", "::/0"]
    assert codes(said.warnings) == ["allowedips.host_bits"]


def test_one_key_is_one_peer_in_every_text_form(scene: Scene) -> None:
    """Scenario N2."""
    scene.peer("first")
    key = peer_key("first")
    for text in (
        key,
        key.upper().replace("NODEKEY", "nodekey"),
        key.removeprefix("nodekey:"),
        wireguard_base64(key),
    ):
        refusal = scene.refused(registration_of_peer("second", public_key=text))
        assert refusal.code == "peer.key_taken"
        assert "100000001(first)" in refusal.message


def test_ids_grow_over_removals(scene: Scene) -> None:
    """Scenario N3."""
    assert [scene.peer(name).result["id"] for name in ("a", "b")] == [100_000_001, 100_000_002]
    scene.when(RemovePeer(peer="b"))
    assert scene.peer("c").result["id"] == 100_000_003
    scene.when(RemovePeer(peer="a"))
    scene.when(RemovePeer(peer="c"))
    assert [scene.peer(name).result["id"] for name in ("d", "e")] == [100_000_004, 100_000_005]


def test_a_key_that_is_or_was_a_nodes_is_refused(scene: Scene) -> None:
    scene.node("laptop")
    scene.when(registration("laptop", user=1, node_key=node_key("laptop 2")))
    for text in (node_key("laptop"), node_key("laptop 2"), machine_key("laptop").replace("mkey", "nodekey")):
        refusal = scene.refused(registration_of_peer("exit", public_key=text))
        assert (refusal.code, refusal.status) == ("peer.key_taken", 409)
        assert "1(laptop)" in refusal.message
    scene.when(DeleteNode(node=1))
    assert scene.peer("exit", public_key=node_key("laptop")).result["id"] == peer_id(1)


@pytest.mark.parametrize(
    ("change", "code", "status"),
    [
        ({"user": 9}, "user.not_found", 404),
        ({"user": "nobody"}, "user.not_found", 404),
        ({"name": "Exit"}, "name.syntax", 422),
        ({"name": "laptop"}, "name.taken", 409),
        ({"public_key": "nodekey:xyz"}, "key.syntax", 422),
        ({"public_key": "00" * 32}, "key.zero", 422),
        ({"public_key": "01" + "00" * 31}, "key.low_order", 422),
        ({"public_key": "privkey:" + "11" * 32}, "key.private", 422),
        ({"allowed_ips": ()}, "allowedips.none", 422),
        ({"allowed_ips": ("100.64.0.0/10",)}, "allowedips.tailnet", 422),
        ({"endpoints": ()}, "endpoint.none", 422),
        ({"endpoints": ("127.0.0.1:51820",)}, "endpoint.address", 422),
        ({"extra_config": {"tags": ["exit"]}}, "tag.syntax", 422),
        ({"extra_config": {"location": {"country": "Sweden"}}}, "location.partial", 422),
    ],
)
def test_what_cannot_be_is_refused(scene: Scene, change: dict[str, object], code: str, status: int) -> None:
    scene.node("laptop")
    refusal = scene.refused(registration_of_peer("exit", **change))
    assert (refusal.code, refusal.status) == (code, status)
    assert refusal.field


def test_a_taken_name_is_refused_with_a_free_one(scene: Scene) -> None:
    scene.peer("exit")
    refusal = scene.refused(registration_of_peer("exit", public_key=peer_key("other")))
    assert refusal.code == "name.taken"
    assert "exit-1" in refusal.hint


def test_a_key_that_looks_private_is_a_warning(scene: Scene) -> None:
    clamped = "f8" + octets("any")[2:62] + "40"
    assert codes(scene.peer("exit", public_key=clamped).warnings) == ["endpoint.no_ipv6", "key.clamped"]


def test_an_endpoint_that_another_peer_has_is_a_warning(scene: Scene) -> None:
    scene.peer("a", endpoints=("1.2.3.4:51820",))
    assert codes(scene.peer("b", endpoints=("1.2.3.4:51820",)).warnings) == [
        "endpoint.no_ipv6",
        "endpoint.shared",
    ]


def test_one_city_code_in_two_countries_is_a_warning(scene: Scene) -> None:
    def place(country: str, city_code: str) -> dict[str, object]:
        return {
            "location": {
                "country": country,
                "countryCode": country[:2].upper(),
                "city": "X",
                "cityCode": city_code,
                "latitude": 0,
                "longitude": 0,
                "priority": 0,
            }
        }

    scene.peer("a", extra_config=place("Sweden", "STO"))
    assert codes(scene.peer("b", extra_config=place("Sweden", "STO")).warnings) == ["endpoint.no_ipv6"]
    assert codes(scene.peer("c", extra_config=place("Norway", "STO")).warnings) == [
        "endpoint.no_ipv6",
        "location.city",
    ]


def test_everything_that_was_given_is_in_the_event(scene: Scene) -> None:
    """Scenario F5, the part that is decided here."""
    decision = scene.peer(
        "sweden",
        extra_config={
            "exitNodeDNSResolvers": ["10.64.0.1", "10.64.0.2"],
            "suggestExitNode": True,
            "tags": ["tag:exit", "tag:se"],
        },
    )
    (event,) = decision.events
    assert isinstance(event, PeerRegistered)
    assert event.extra.exit_node_dns_resolvers == ("10.64.0.1", "10.64.0.2")
    assert event.extra.tags == ("tag:exit", "tag:se")
    assert event.extra.suggest_exit_node


def test_a_peer_is_registered_without_any_connection(scene: Scene) -> None:
    """Scenario F6a."""
    scene.peer("exit")
    assert scene.tailnet.connections == {}
    assert scene.happens(RemovePeer(peer="exit")) == ["PeerRemoved"]


def test_a_connected_peer_does_not_go_and_the_refusal_says_what_to_do(scene: Scene) -> None:
    """Scenarios F6b to F6g."""
    for name in ("laptop", "phone"):
        scene.node(name)
    scene.peer("exit")
    scene.connect(1, "exit", "10.64.0.100")
    scene.connect(2, "exit", "10.64.0.101")

    refusal = scene.refused(RemovePeer(peer="exit"))
    assert (refusal.code, refusal.status) == ("peer.connected", 409)
    assert refusal.message.endswith("is still connected to 1(laptop), 2(phone)")
    assert refusal.hint == (
        "netmap node remove-wg-connection --node-id 1 --wg-peer-id 100000001 && "
        "netmap node remove-wg-connection --node-id 2 --wg-peer-id 100000001, "
        "or with all of them: netmap wg remove exit --cascade"
    )

    scene.when(RemoveConnection(node=2, peer="exit"))
    assert set(scene.tailnet.connections) == {(1, peer_id(1))}
    assert scene.refused(RemovePeer(peer="exit")).message.endswith("connected to 1(laptop)")
    scene.when(RemoveConnection(node=1, peer="exit"))
    assert scene.happens(RemovePeer(peer=100_000_001)) == ["PeerRemoved"]
    assert scene.tailnet.peers == {}


def test_a_peer_of_a_deleted_node_can_go_at_once(scene: Scene) -> None:
    """Scenario N10."""
    scene.node("laptop")
    scene.peer("exit")
    scene.connect(1, "exit", "10.64.0.100")
    assert scene.happens(DeleteNode(node="laptop")) == ["ConnectionRemoved", "NodeDeleted"]
    assert scene.happens(RemovePeer(peer="exit")) == ["PeerRemoved"]


def test_a_peer_is_found_by_id_name_key_and_address(scene: Scene) -> None:
    scene.node("laptop")
    scene.peer("exit")
    scene.connect(1, "exit", "10.64.0.100")
    for ref in (
        100_000_001,
        "100000001",
        "exit",
        "EXIT",
        peer_key("exit"),
        "100.96.0.1",
        "fd7a:115c:a1e0:2::1",
    ):
        assert scene.refused(RemovePeer(peer=ref)).code == "peer.connected"
    for ref in (100_000_002, 1, "laptop", "100.64.0.1", "100.96.0.9", node_key("laptop"), "9" * 30):
        assert scene.refused(RemovePeer(peer=ref)).code == "peer.not_found"


def test_a_disabled_peer_keeps_its_own_key_and_gets_one_that_nobody_has(scene: Scene) -> None:
    """Scenario N30, as far as it is decided here."""
    scene.peer("exit")
    before = scene.tailnet.peers[peer_id(1)]
    assert scene.happens(DisablePeer(peer="exit")) == ["PeerDisabled"]
    parked = scene.tailnet.peers[peer_id(1)]
    assert parked.public_key == before.public_key
    assert parked.parked_key not in (None, before.public_key)
    assert scene.happens(DisablePeer(peer="exit")) == []
    assert scene.happens(EnablePeer(peer="exit")) == ["PeerEnabled"]
    assert scene.tailnet.peers[peer_id(1)] == before
    assert scene.happens(EnablePeer(peer="exit")) == []


def test_two_peers_are_never_parked_under_one_key(scene: Scene) -> None:
    for name in ("one", "two"):
        scene.peer(name)
        scene.when(DisablePeer(peer=name))
    assert len({peer.parked_key for peer in scene.tailnet.peers.values()}) == 2


def test_to_expire_a_peer_that_is_in_use_warns_of_the_leak(scene: Scene) -> None:
    scene.node("laptop")
    scene.peer("exit")
    assert scene.when(ExpirePeer(peer="exit")).warnings == ()
    scene.when(EnablePeer(peer="exit"))
    scene.connect(1, "exit", "10.64.0.100")
    assert codes(scene.when(ExpirePeer(peer="exit")).warnings) == ["peer.leaks"]
    assert scene.tailnet.peers[peer_id(1)].expired_at
    assert scene.happens(ExpirePeer(peer="exit")) == []
    assert scene.happens(EnablePeer(peer="exit")) == ["PeerEnabled"]


def test_a_parked_peer_is_still_guarded_and_can_be_removed(scene: Scene) -> None:
    scene.node("laptop")
    scene.peer("exit")
    scene.connect(1, "exit", "10.64.0.100")
    scene.when(DisablePeer(peer="exit"))
    assert scene.refused(RemovePeer(peer="exit")).code == "peer.connected"
    scene.when(RemoveConnection(node=1, peer="exit"))
    assert scene.happens(RemovePeer(peer="exit")) == ["PeerRemoved"]
