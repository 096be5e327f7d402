"""What the far side was told: recorded once, stale as soon as it no longer holds."""

import pytest

from engine.domain.commands import (
    AddConnection,
    DeleteNode,
    RecordExport,
    RemoveConnection,
    SetNodeExpiry,
    UpdateConnection,
)
from engine.domain.events import ConnectionExported, ConnectionStale
from engine.domain.keys import wireguard_base64
from engine.domain.values import Millis
from engine.domain.wgcommands import ToldConnection
from tests.kit.scenario import HOUR, Scene, node_key, peer_id, registration

EXIT = peer_id(1)


@pytest.fixture
def scene() -> Scene:
    """Nodes 1 (laptop) and 2 (phone), both connected to the exit 100000001."""
    scene = Scene()
    scene.user()
    scene.node("laptop")
    scene.node("phone")
    scene.peer("exit")
    scene.connect("laptop", "exit", "10.64.0.2", "fd00::2")
    scene.connect("phone", "exit", "10.64.0.3")
    return scene


def stale_since(scene: Scene, node: int = 1) -> Millis:
    return scene.tailnet.connections[node, EXIT].stale_since  # type: ignore[index]


def new_key(scene: Scene, key: str) -> list[str]:
    """Let the laptop log in with another key; return the warnings."""
    scene.later(HOUR)
    return list(scene.when(registration("laptop", node_key=node_key(key), user=1)).warnings)


def test_an_export_of_all_is_recorded_as_it_is_now(scene: Scene) -> None:
    decision = scene.when(RecordExport(peer="exit", style="wg-quick", checksum="sha256:ab"))
    assert decision.result == {"peer": EXIT, "recorded": 2, "unchanged": 0}
    first, second = decision.events
    assert first == ConnectionExported(
        node=1,  # type: ignore[arg-type]
        peer=EXIT,
        node_key=node_key("laptop"),
        ipv4_masq="10.64.0.2",
        ipv6_masq="fd00::2",
        style="wg-quick",
        checksum="sha256:ab",
    )
    assert isinstance(second, ConnectionExported)
    told = scene.tailnet.connections[1, EXIT].exported  # type: ignore[index]
    assert told is not None
    assert (told.at, told.style, told.checksum) == (scene.now, "wg-quick", "sha256:ab")
    assert not stale_since(scene)


def test_what_is_recorded_already_is_no_event(scene: Scene) -> None:
    scene.when(RecordExport(peer="exit"))
    scene.later(HOUR)
    again = scene.when(RecordExport(peer="exit", style="routeros", checksum="sha256:cd"))
    assert (again.events, again.result["unchanged"]) == ((), 2)


def test_one_node_alone_is_recorded(scene: Scene) -> None:
    scene.when(RecordExport(peer="exit", connections=(ToldConnection(node="phone"),)))
    assert scene.tailnet.connections[1, EXIT].exported is None  # type: ignore[index]
    assert scene.tailnet.connections[2, EXIT].exported is not None  # type: ignore[index]


def test_a_new_node_key_makes_every_connection_of_the_node_stale_in_the_same_decision(scene: Scene) -> None:
    """Scenario E28, the engine's part; nothing was recorded here."""
    scene.peer("other", endpoints=("192.0.2.9:1",))
    scene.connect("laptop", "other", "10.9.0.2")
    scene.later(HOUR)
    decision = scene.when(registration("laptop", node_key=node_key("laptop 2"), user=1))
    assert [event for event in decision.events if isinstance(event, ConnectionStale)] == [
        ConnectionStale(node=1, peer=peer, former_key=node_key("laptop"), node_key=node_key("laptop 2"))  # type: ignore[arg-type]
        for peer in (EXIT, peer_id(2))
    ]
    assert [said.partition(":")[0] for said in decision.warnings] == ["connection.stale"] * 2
    assert "netmap wg export --peer exit --node laptop --record" in decision.warnings[0]
    assert stale_since(scene) == scene.now
    assert not stale_since(scene, 2)


def test_a_node_that_comes_back_with_its_key_makes_nothing_stale(scene: Scene) -> None:
    scene.when(SetNodeExpiry(node=1, expiry=Millis(scene.now + 2 * HOUR)))
    assert new_key(scene, "laptop") == []
    assert not stale_since(scene)


def test_an_export_after_the_new_key_heals(scene: Scene) -> None:
    new_key(scene, "laptop 2")
    scene.when(RecordExport(peer="exit", connections=(ToldConnection(node=1),)))
    assert not stale_since(scene)


def test_stale_is_since_the_first_change_and_ends_when_the_former_key_is_back(scene: Scene) -> None:
    scene.when(RecordExport(peer="exit"))
    new_key(scene, "laptop 2")
    first = scene.now
    new_key(scene, "laptop 3")
    assert stale_since(scene) == first
    new_key(scene, "laptop")
    assert not stale_since(scene)


def test_other_masquerade_addresses_make_a_recorded_connection_stale_until_they_are_back(
    scene: Scene,
) -> None:
    scene.when(RecordExport(peer="exit"))
    scene.later(HOUR)
    scene.when(UpdateConnection(node=1, peer="exit", ipv4_masq_addr="10.64.0.9", ipv6_masq_addr="fd00::2"))
    assert stale_since(scene) == scene.now
    assert not stale_since(scene, 2)
    scene.later(HOUR)
    scene.when(UpdateConnection(node=1, peer="exit", ipv4_masq_addr="10.64.0.2", ipv6_masq_addr="fd00::2"))
    assert not stale_since(scene)


def test_other_masquerade_addresses_are_not_stale_where_nothing_was_recorded(scene: Scene) -> None:
    scene.when(UpdateConnection(node=1, peer="exit", ipv4_masq_addr="10.64.0.9"))
    assert not stale_since(scene)


def test_what_was_told_may_be_what_no_longer_holds(scene: Scene) -> None:
    """Between the reading of the list and its recording the node may have got another key."""
    new_key(scene, "laptop 2")
    since = scene.now
    scene.later(HOUR)
    former = ToldConnection(node=1, public_key=wireguard_base64(node_key("laptop")))
    decision = scene.when(RecordExport(peer="exit", connections=(former,)))
    assert [said.partition(":")[0] for said in decision.warnings] == ["export.old"]
    assert stale_since(scene) == since
    assert scene.when(RecordExport(peer="exit", connections=(former,))).events == ()
    addresses = ToldConnection(node=2, ipv4_masq_addr="10.64.0.77/32")
    scene.when(RecordExport(peer="exit", connections=(addresses,)))
    assert stale_since(scene, 2) == scene.now


@pytest.mark.parametrize(
    ("told", "code"),
    [
        (ToldConnection(node=1, public_key=node_key("phone")), "export.key"),
        (ToldConnection(node=1, public_key=node_key("nobody")), "export.key"),
        (ToldConnection(node=1, public_key="PrivateKey = x"), "key.private"),
        (ToldConnection(node=1, public_key="x"), "key.syntax"),
        (ToldConnection(node=1, ipv4_masq_addr="10.0.0.0/24"), "export.address"),
        (ToldConnection(node=1, ipv4_masq_addr="fd00::1"), "export.address"),
        (ToldConnection(node=1, ipv6_masq_addr="fe80::1%eth0"), "export.address"),
        (ToldConnection(node=9), "node.not_found"),
    ],
)
def test_what_cannot_have_been_told_is_refused(scene: Scene, told: ToldConnection, code: str) -> None:
    assert scene.refused(RecordExport(peer="exit", connections=(told,))).code == code


def test_a_node_that_is_not_connected_cannot_have_been_told_of(scene: Scene) -> None:
    scene.node("desk")
    refusal = scene.refused(RecordExport(peer="exit", connections=(ToldConnection(node="desk"),)))
    assert (refusal.code, refusal.status) == ("connection.not_found", 404)


def test_a_connection_that_is_made_anew_was_never_told(scene: Scene) -> None:
    scene.when(RecordExport(peer="exit"))
    scene.when(RemoveConnection(node=1, peer="exit"))
    scene.when(AddConnection(node=1, peer="exit", ipv4_masq_addr="10.64.0.2"))
    assert scene.tailnet.connections[1, EXIT].exported is None  # type: ignore[index]


def test_a_node_that_goes_takes_what_was_told_with_it(scene: Scene) -> None:
    scene.when(RecordExport(peer="exit"))
    scene.when(DeleteNode(node=1))
    assert scene.happens(RecordExport(peer="exit")) == []


def test_a_key_that_was_given_is_not_shown() -> None:
    assert "secret" not in repr(ToldConnection(node=1, public_key="secret"))
    assert "secret" not in repr(
        RecordExport(peer=1, connections=(ToldConnection(node=1, public_key="secret"),))
    )


def test_a_replay_gives_the_same(scene: Scene) -> None:
    scene.when(RecordExport(peer="exit"))
    new_key(scene, "laptop 2")
    assert scene.replay() == scene.tailnet
