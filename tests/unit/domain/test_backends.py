"""A WireGuard-only peer with several far sides: what a switch changes, what it keeps, whose a key is."""

import pytest

from engine.domain.backends import MAX_BACKENDS
from engine.domain.commands import (
    DisablePeer,
    DrainPeer,
    EnablePeer,
    RegisterPeer,
    RemoveBackend,
    RemovePeer,
    SetBackend,
    SwitchPeer,
    UpdatePeer,
)
from engine.domain.values import NodeKey
from tests.kit.scenario import Scene, node_key, peer_id, peer_key, registration_of_peer

EXIT = peer_id(1)


@pytest.fixture
def scene() -> Scene:
    """Node 1 (laptop), connected to the exit 100000001."""
    scene = Scene()
    scene.user()
    scene.node("laptop")
    scene.peer("exit", endpoints=("198.51.100.1:1",), extra_config={"exitNodeDNSResolvers": ["10.64.0.1"]})
    scene.connect("laptop", "exit", "10.64.0.9")
    return scene


def setting(name: str, *, key: NodeKey | None = None, at: str = "", **more: object) -> SetBackend:
    where = at or f"203.0.113.{len(name)}:51820"
    fields = {"peer": "exit", "backend": name, "public_key": key or peer_key(name), "endpoints": (where,)}
    return SetBackend(**(fields | more))  # type: ignore[arg-type]


def names(scene: Scene) -> list[str]:
    return [held.name for held in scene.tailnet.peers[EXIT].backends]


def test_the_first_backend_keeps_what_the_peer_is_as_main(scene: Scene) -> None:
    before = scene.tailnet.peers[EXIT]
    assert scene.happens(setting("b")) == ["PeerBackendSet", "PeerBackendSet"]
    after = scene.tailnet.peers[EXIT]
    assert (names(scene), after.backend) == (["main", "b"], "main")
    assert (after.public_key, after.endpoints, after.extra) == (
        before.public_key,
        before.endpoints,
        before.extra,
    )


def test_what_the_peer_is_already_may_be_given_a_name(scene: Scene) -> None:
    own = scene.tailnet.peers[EXIT].public_key
    assert scene.happens(setting("first", key=own, at="198.51.100.1:1")) == ["PeerBackendSet"]
    assert (names(scene), scene.tailnet.peers[EXIT].backend) == (["first"], "first")


def test_a_switch_changes_key_endpoints_and_resolvers_in_place_and_back(scene: Scene) -> None:
    before = scene.tailnet.peers[EXIT]
    scene.when(setting("b", resolvers=("10.65.0.1",)))
    assert scene.happens(SwitchPeer(peer="exit", backend="b")) == ["PeerSwitched"]
    now = scene.tailnet.peers[EXIT]
    assert (now.public_key, now.endpoints) == (peer_key("b"), ("203.0.113.1:51820",))
    assert now.extra.exit_node_dns_resolvers == ("10.65.0.1",)
    kept = ("id", "stable_id", "name", "ipv4", "ipv6", "allowed_ips", "user")
    assert all(getattr(now, name) == getattr(before, name) for name in kept)
    assert scene.tailnet.connections[1, EXIT].ipv4_masq == "10.64.0.9"  # type: ignore[index]
    scene.when(SwitchPeer(peer="exit", backend="main"))
    back = scene.tailnet.peers[EXIT]
    assert (back.public_key, back.endpoints, back.extra) == (
        before.public_key,
        before.endpoints,
        before.extra,
    )


def test_a_switch_to_the_present_one_is_nothing(scene: Scene) -> None:
    scene.when(setting("b"))
    assert scene.happens(SwitchPeer(peer="exit", backend="main")) == []


def test_keys_of_parked_backends_are_taken_and_free_after_removal(scene: Scene) -> None:
    scene.when(setting("b"))
    refused = scene.refused(registration_of_peer("other", public_key=peer_key("b")))
    assert (refused.code, "backend b" in refused.message) == ("peer.key_taken", True)
    scene.when(SwitchPeer(peer="exit", backend="b"))
    assert scene.refused(registration_of_peer("other", public_key=peer_key("exit"))).code == "peer.key_taken"
    assert scene.refused(setting("c", key=peer_key("exit"))).code == "peer.key_taken"
    assert scene.refused(setting("c", key=node_key("laptop"))).code == "peer.key_taken"
    scene.when(RemoveBackend(peer="exit", backend="main"))
    assert scene.happens(registration_of_peer("other", public_key=peer_key("exit"))) == ["PeerRegistered"]


def test_keys_of_all_backends_are_free_when_the_peer_goes(scene: Scene) -> None:
    scene.when(setting("b"))
    scene.when(RemovePeer(peer="exit", cascade=True))
    assert scene.tailnet.peer_by_key == {}


def test_the_present_backend_goes_only_as_the_last(scene: Scene) -> None:
    scene.when(setting("b"))
    refused = scene.refused(RemoveBackend(peer="exit", backend="main"))
    assert (refused.code, refused.hint) == ("backend.present", "netmap wg switch exit b")
    scene.when(RemoveBackend(peer="exit", backend="b"))
    before = scene.tailnet.peers[EXIT].public_key
    assert scene.happens(RemoveBackend(peer="exit", backend="main")) == ["PeerBackendRemoved"]
    after = scene.tailnet.peers[EXIT]
    assert (after.public_key, after.backend, after.backends) == (before, "", ())


def test_a_disabled_peer_stays_disabled_over_a_switch(scene: Scene) -> None:
    scene.when(setting("b"))
    scene.when(DisablePeer(peer="exit"))
    parked = scene.tailnet.peers[EXIT].parked_key
    said = scene.when(SwitchPeer(peer="exit", backend="b"))
    assert "peer.disabled" in {text.partition(":")[0] for text in said.warnings}
    assert scene.tailnet.peers[EXIT].parked_key == parked is not None
    scene.when(EnablePeer(peer="exit"))
    assert scene.tailnet.peers[EXIT].public_key == peer_key("b")
    assert scene.tailnet.peers[EXIT].parked_key is None


def test_a_drained_peer_stays_drained_over_a_switch(scene: Scene) -> None:
    scene.when(setting("b"))
    scene.when(DrainPeer(peer="exit"))
    scene.when(SwitchPeer(peer="exit", backend="b"))
    assert scene.tailnet.peers[EXIT].drained


def test_setting_the_present_backend_changes_the_peer_in_place(scene: Scene) -> None:
    scene.when(setting("b"))
    scene.when(setting("main", key=peer_key("new"), at="203.0.113.77:1"))
    peer = scene.tailnet.peers[EXIT]
    assert (peer.public_key, peer.endpoints, peer.backend) == (peer_key("new"), ("203.0.113.77:1",), "main")
    assert peer_key("exit") not in scene.tailnet.peer_by_key


def test_an_update_of_the_peer_is_one_of_its_present_backend(scene: Scene) -> None:
    scene.when(setting("b"))
    scene.when(UpdatePeer(peer="exit", public_key=peer_key("new"), endpoints=("203.0.113.77:1",)))
    scene.when(SwitchPeer(peer="exit", backend="b"))
    scene.when(SwitchPeer(peer="exit", backend="main"))
    peer = scene.tailnet.peers[EXIT]
    assert (peer.public_key, peer.endpoints) == (peer_key("new"), ("203.0.113.77:1",))


def test_setting_the_same_again_is_nothing(scene: Scene) -> None:
    scene.when(setting("b"))
    assert scene.happens(setting("b")) == []


def test_a_switch_that_a_connection_could_not_have_is_refused(scene: Scene) -> None:
    scene.peer("other", endpoints=("203.0.113.9:1",))
    scene.connect("laptop", "other", "10.64.0.9")
    said = scene.when(setting("b", at="203.0.113.9:1"))
    assert "endpoint.shared" in {text.partition(":")[0] for text in said.warnings}
    assert scene.refused(SwitchPeer(peer="exit", backend="b")).code == "connection.endpoint"
    scene.when(setting("c", resolvers=("10.64.0.9",)))
    assert scene.refused(SwitchPeer(peer="exit", backend="c")).code == "peer.masq"


@pytest.mark.parametrize(
    ("command", "code"),
    [
        (setting("a b"), "backend.name"),
        (setting("-b"), "backend.name"),
        (setting("main"), "backend.main"),
        (setting("b", at="127.0.0.1:1"), "endpoint.address"),
        (setting("b", public_key="privkey:" + "0" * 64), "key.private"),
        (setting("b", peer="nobody"), "peer.not_found"),
        (SwitchPeer(peer="exit", backend="b"), "backend.not_found"),
        (RemoveBackend(peer="exit", backend="b"), "backend.not_found"),
    ],
)
def test_what_cannot_be_is_refused(
    scene: Scene, command: SetBackend | SwitchPeer | RemoveBackend, code: str
) -> None:
    assert scene.refused(command).code == code


def test_backends_are_bounded(scene: Scene) -> None:
    for number in range(MAX_BACKENDS - 1):
        scene.when(setting(f"b{number}", at=f"203.0.113.{number + 1}:1"))
    assert len(names(scene)) == MAX_BACKENDS
    assert scene.refused(setting("more")).code == "backend.many"
    assert scene.happens(setting("b0", at="203.0.113.99:1")) == ["PeerBackendSet"]


def test_the_parked_backends_endpoints_stay_outside_of_the_allowed_ips() -> None:
    scene = Scene()
    scene.user()
    scene.when(
        RegisterPeer(
            name="exit",
            user=1,
            public_key=peer_key("exit"),
            allowed_ips=("10.0.0.0/24",),
            endpoints=("198.51.100.1:1",),
        )
    )
    assert scene.refused(setting("b", at="10.0.0.1:1")).code == "endpoint.loop"
    scene.when(setting("b", at="203.0.113.9:1"))
    assert scene.refused(UpdatePeer(peer="exit", allowed_ips=("203.0.113.0/24",))).code == "endpoint.loop"


def test_no_repr_has_what_was_given_as_a_key() -> None:
    assert "SECRET" not in repr(setting("b", public_key="SECRET"))
