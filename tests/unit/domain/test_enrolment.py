"""Nodes at providers: who is registered, who waits, whose connections live by it, and what a new key changes."""

import json

import pytest

from engine.domain.commands import (
    AddConnection,
    AddSelector,
    DeleteNode,
    RemoveConnection,
    RemoveSelector,
    SetMasqueradePool,
    SetPolicy,
    TagNode,
    UpdateConnection,
)
from engine.domain.device import BACKOFF_SECONDS, FULL, OFF, due_at
from engine.domain.events import ConnectionUpdated
from engine.domain.providercommands import EnrolNode, ReportFailed, ReportRegistered, WithdrawNode
from engine.domain.values import DeviceId, NodeId
from tests.kit.provided import ProviderScene, addresses_of
from tests.kit.scenario import node_key, peer_id, registration

EXIT = peer_id(1)


@pytest.fixture
def scene() -> ProviderScene:
    """Nodes 1 to 3 are a, b and c; the provider has two places."""
    made = ProviderScene()
    for name in ("a", "b", "c"):
        made.node(name)
    return made


def again(scene: ProviderScene, name: str, key: str) -> None:
    """Let a machine log in anew with another node key."""
    old = scene.tailnet.nodes[scene.tailnet.node_by_name[name]].node_key
    scene.when(registration(name, node_key=node_key(key), old_node_key=old, user=1))


def masquerade(scene: ProviderScene, node: int) -> tuple[str, str]:
    held = scene.tailnet.connections[NodeId(node), EXIT]
    return held.ipv4_masq, held.ipv6_masq


def test_who_comes_first_is_registered_and_who_finds_no_place_waits(scene: ProviderScene) -> None:
    assert scene.happens(EnrolNode(provider="mv", node="a")) == ["DeviceWanted", "DeviceAdmitted"]
    scene.enrol(2)
    said = scene.when(EnrolNode(provider="mv", node=3))
    assert said.warnings == ("device.waits: 1 more wait for one of the 2 places at mv; 1 wait in all",)
    assert scene.states() == {1: "wanted", 2: "wanted", 3: "waiting"}


def test_the_next_in_line_gets_a_place_when_one_is_free(scene: ProviderScene) -> None:
    scene.node("d")
    for node in (1, 2, 4, 3):
        scene.enrol(node)
    scene.works(1)
    scene.when(WithdrawNode(provider="mv", node=1))
    assert scene.states()[4] == "waiting", "the place is taken until the key is revoked"
    scene.works(1)
    assert scene.states() == {2: "wanted", 4: "wanted", 3: "waiting"}


def test_who_waits_leaves_at_once(scene: ProviderScene) -> None:
    for node in (1, 2, 3):
        scene.enrol(node)
    assert scene.happens(WithdrawNode(provider="mv", node=3)) == ["DeviceLeft"]
    assert scene.states() == {1: "wanted", 2: "wanted"}


def test_to_enrol_again_changes_nothing_but_what_failed_is_tried_again(scene: ProviderScene) -> None:
    scene.enrol(1)
    assert scene.happens(EnrolNode(provider="mv", node=1)) == []
    scene.fails(1)
    assert scene.happens(EnrolNode(provider="mv", node=1)) == ["DeviceRetried"]


def test_nobody_is_enrolled_while_being_withdrawn(scene: ProviderScene) -> None:
    scene.enrol(1)
    scene.when(WithdrawNode(provider="mv", node=1))
    assert scene.refused(EnrolNode(provider="mv", node=1)).code == "device.leaving"
    assert scene.happens(WithdrawNode(provider="mv", node=1)) == []
    scene.works(1)
    assert scene.enrol(1).result["id"] == 2, "ids are not used again"


@pytest.mark.parametrize(
    ("command", "code"),
    [
        (EnrolNode(provider="x", node=1), "provider.not_found"),
        (EnrolNode(provider="mv", node="x"), "node.not_found"),
        (WithdrawNode(provider="mv", node=2), "device.not_found"),
    ],
)
def test_what_is_not_there_is_refused(
    scene: ProviderScene, command: EnrolNode | WithdrawNode, code: str
) -> None:
    assert scene.refused(command).code == code


def test_a_connection_at_a_relay_gets_the_nodes_own_addresses(scene: ProviderScene) -> None:
    refusal = scene.refused(AddConnection(node=1, peer="exit"))
    assert (refusal.code, refusal.hint) == ("device.none", "netmap provider enrol mv 1")
    scene.enrol(1)
    assert scene.refused(AddConnection(node=1, peer="exit")).code == "device.pending"
    scene.works(1)
    scene.connect(1, "exit")
    assert masquerade(scene, 1) == addresses_of(node_key("a"))
    assert "connection.exists" in scene.connect(1, "exit").warnings[0]


def test_addresses_by_hand_and_peers_of_no_provider_are_as_before(scene: ProviderScene) -> None:
    scene.connect(1, "exit", "10.64.9.9")
    assert masquerade(scene, 1) == ("10.64.9.9", "")
    scene.peer("plain")
    assert scene.refused(AddConnection(node=1, peer="plain")).code == "masq.none"
    scene.when(SetMasqueradePool(peer="plain", ipv4="10.70.0.0/24"))
    scene.connect(1, "plain")


def test_a_new_key_moves_the_connections_in_the_decision_that_reports_it(scene: ProviderScene) -> None:
    scene.peer("other", provider="mv")
    scene.peer("byhand", provider="mv")
    scene.enrol(1)
    scene.works(1)
    scene.connect(1, "exit")
    scene.connect(1, "other")
    scene.connect(1, "byhand", "10.64.9.9")
    before = masquerade(scene, 1)
    again(scene, "a", "a2")
    assert scene.states()[1] == "rotating"
    assert masquerade(scene, 1) == before, "nothing moves before the provider has said yes"
    said = scene.works(1)
    moved = [event.peer for event in said.events if isinstance(event, ConnectionUpdated)]
    assert moved == [peer_id(1), peer_id(2)]
    assert masquerade(scene, 1) == addresses_of(node_key("a2")) != before
    assert scene.happens_next(1) == ["DeviceRevoked"]
    assert scene.device(1).former == ()
    assert scene.replay() == scene.tailnet


def test_a_report_of_what_is_past_changes_nothing(scene: ProviderScene) -> None:
    scene.enrol(1)
    turn = scene.device(1).turn
    scene.works(1)
    assert scene.registered(1, turn, node_key("a")).events == ()
    late = ReportFailed(device=DeviceId(1), turn=turn, code="x")
    assert scene.when(late).events == ()
    assert scene.when(ReportFailed(device=DeviceId(9), turn=0, code="x")).events == ()


def test_pauses_between_tries_grow_and_end_growing(scene: ProviderScene) -> None:
    scene.enrol(1)
    pauses = []
    for _ in range(len(BACKOFF_SECONDS) + 2):
        scene.fails(1)
        due = due_at(scene.device(1))
        assert due is not None
        pauses.append((due - scene.now) // 1_000)
    assert pauses == [*BACKOFF_SECONDS, BACKOFF_SECONDS[-1], BACKOFF_SECONDS[-1]]


def test_what_lasts_is_not_tried_again_until_a_place_is_free(scene: ProviderScene) -> None:
    scene.enrol(1)
    scene.enrol(2)
    scene.works(1)
    scene.fails(2, FULL, lasting=True)
    assert due_at(scene.device(2)) is None
    scene.when(WithdrawNode(provider="mv", node=1))
    scene.works(1)
    assert due_at(scene.device(2)) == 0


def test_a_full_account_makes_a_rotating_device_give_up_its_former_key_at_once(scene: ProviderScene) -> None:
    scene.enrol(1)
    scene.works(1)
    scene.connect(1, "exit")
    again(scene, "a", "a2")
    scene.fails(1, FULL, lasting=True)
    assert due_at(scene.device(1)) == scene.now
    assert scene.happens_next(1) == ["DeviceRevoked"]
    scene.works(1)
    assert masquerade(scene, 1) == addresses_of(node_key("a2"))


def test_a_failure_keeps_no_line_ends_and_no_novels(scene: ProviderScene) -> None:
    scene.enrol(1)
    scene.when(ReportFailed(device=DeviceId(1), turn=0, code="x", word="a\n\x1b[31m" + "b" * 900))
    assert scene.device(1).word.startswith("a[31mb")
    assert len(scene.device(1).word) <= 200


@pytest.mark.parametrize(
    "addresses",
    [("", ""), ("10.0.0.1/24", ""), ("fc00::1", ""), ("", "10.0.0.1"), ("", "fe80::1%1"), ("x", "")],
)
def test_addresses_that_are_none_are_refused(scene: ProviderScene, addresses: tuple[str, str]) -> None:
    scene.enrol(1)
    report = ReportRegistered(
        device=DeviceId(1),
        turn=0,
        node_key=node_key("a"),
        reference="r",
        ipv4=addresses[0],
        ipv6=addresses[1],
    )
    assert scene.refused(report).code == "device.address"


def test_an_address_that_the_tailnet_numbers_from_moves_nothing_and_says_so(scene: ProviderScene) -> None:
    scene.enrol(1)
    scene.works(1)
    scene.connect(1, "exit")
    before = masquerade(scene, 1)
    again(scene, "a", "a2")
    report = ReportRegistered(
        device=DeviceId(1),
        turn=scene.device(1).turn,
        node_key=node_key("a2"),
        reference="r",
        ipv4="100.64.0.9",
    )
    said = scene.when(report)
    assert said.warnings[0].startswith("device.unmoved: ")
    assert masquerade(scene, 1) == before


def test_to_withdraw_a_connected_node_ends_its_connections_only_when_told_to(scene: ProviderScene) -> None:
    scene.enrol(1)
    scene.works(1)
    scene.connect(1, "exit")
    refusal = scene.refused(WithdrawNode(provider="mv", node=1))
    assert (refusal.code, "exit" in refusal.message) == ("device.connected", True)
    assert scene.happens(WithdrawNode(provider="mv", node=1, cascade=True)) == [
        "ConnectionRemoved",
        "DeviceLeft",
    ]
    scene.works(1)
    assert scene.states() == {}


def test_a_connection_with_other_addresses_does_not_keep_a_device(scene: ProviderScene) -> None:
    scene.enrol(1)
    scene.works(1)
    scene.connect(1, "exit")
    scene.when(UpdateConnection(node=1, peer="exit", ipv4_masq_addr="10.64.9.9"))
    assert scene.happens(WithdrawNode(provider="mv", node=1)) == ["DeviceLeft"]


def test_a_node_that_goes_takes_its_devices_with_it(scene: ProviderScene) -> None:
    scene.enrol(1)
    scene.works(1)
    scene.connect(1, "exit")
    assert scene.happens(DeleteNode(node=1)) == ["ConnectionRemoved", "NodeDeleted", "DeviceLeft"]
    assert scene.states() == {1: "leaving"}
    scene.works(1)
    assert scene.states() == {}


def test_a_device_that_no_call_was_ever_made_for_is_forgotten(scene: ProviderScene) -> None:
    scene.enrol(1)
    scene.fails(1, OFF, lasting=True)
    assert scene.happens(WithdrawNode(provider="mv", node=1)) == ["DeviceForgotten"]


def test_a_selector_enrols_its_nodes_and_connects_them_when_they_have_addresses(scene: ProviderScene) -> None:
    said = scene.happens(AddSelector(selector="anna", peer="exit"))
    assert said == ["SelectorAdded", *["DeviceWanted"] * 3, *["DeviceAdmitted"] * 2]
    assert scene.states() == {1: "wanted", 2: "wanted", 3: "waiting"}
    assert not scene.tailnet.connections
    assert scene.happens_next(1) == ["DeviceRegistered", "ConnectionAdded"]
    assert masquerade(scene, 1) == addresses_of(node_key("a"))
    assert scene.tailnet.connections[NodeId(1), EXIT].selector == "user:anna"
    late = scene.node("d")
    assert scene.states()[late] == "waiting"


def test_one_registration_serves_every_relay_that_selects_the_node(scene: ProviderScene) -> None:
    scene.peer("other", provider="mv")
    scene.when(AddSelector(selector="anna", peer="exit"))
    assert scene.happens(AddSelector(selector="anna", peer="other")) == ["SelectorAdded"]
    assert scene.happens_next(1) == ["DeviceRegistered", "ConnectionAdded", "ConnectionAdded"]


def test_a_place_is_given_back_when_no_selector_speaks_of_the_node_any_more(scene: ProviderScene) -> None:
    tags = {"tagOwners": {"tag:x": ["autogroup:admin"]}}
    scene.when(SetPolicy(text=json.dumps(tags)))
    scene.when(AddSelector(selector="anna", peer="exit"))
    scene.works(1)
    scene.works(2)
    assert scene.happens(TagNode(node=1, tags=("tag:x",))) == [
        "NodeTagged",
        "ConnectionRemoved",
        "DeviceLeft",
    ]
    assert scene.happens_next(1) == ["DeviceRevoked", "DeviceAdmitted"]
    assert scene.states() == {2: "registered", 3: "wanted"}
    scene.when(RemoveSelector(selector="anna", peer="exit"))
    assert scene.states() == {2: "leaving", 3: "leaving"}


def test_who_was_enrolled_by_name_stays_when_selectors_go(scene: ProviderScene) -> None:
    scene.when(AddSelector(selector="anna", peer="exit"))
    scene.works(1)
    assert scene.refused(WithdrawNode(provider="mv", node=1)).code == "device.selected"
    assert scene.happens(EnrolNode(provider="mv", node=1)) == ["DeviceWanted"]
    scene.when(RemoveSelector(selector="anna", peer="exit"))
    assert scene.states() == {1: "registered", 2: "leaving"}


def test_a_device_stays_while_a_connection_by_name_lives_at_its_provider(scene: ProviderScene) -> None:
    scene.peer("other", provider="mv")
    scene.when(AddSelector(selector="anna", peer="exit"))
    scene.works(1)
    scene.connect(1, "other")
    scene.when(RemoveSelector(selector="anna", peer="exit"))
    assert scene.states()[1] == "registered"
    scene.when(RemoveConnection(node=1, peer="other"))
    assert scene.happens(WithdrawNode(provider="mv", node=1)) == ["DeviceLeft"]


def test_who_is_wanted_again_while_leaving_is_enrolled_anew_afterwards(scene: ProviderScene) -> None:
    scene.when(AddSelector(selector="anna", peer="exit"))
    scene.works(1)
    scene.when(RemoveSelector(selector="anna", peer="exit"))
    scene.when(AddSelector(selector="anna", peer="exit"))
    assert scene.states()[1] == "leaving"
    said = scene.happens_next(1)
    assert said[:2] == ["DeviceRevoked", "DeviceWanted"]
    assert scene.states()[1] in {"waiting", "wanted"}


def test_a_selector_enrols_a_bounded_number_in_one_decision(
    scene: ProviderScene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("engine.domain.selectors.MAX_ADDED", 2)
    said = scene.when(AddSelector(selector="anna", peer="exit"))
    assert len(scene.states()) == 2
    assert any(warning.startswith("selector.more") for warning in said.warnings)


def test_a_key_that_changes_while_waiting_is_the_one_that_is_registered(scene: ProviderScene) -> None:
    for node in (1, 2, 3):
        scene.enrol(node)
    again(scene, "c", "c2")
    assert scene.device(3).node_key == node_key("c2")
    assert scene.states()[3] == "waiting"
