"""Connections by selector: who gets one, when it ends, and who is passed over (scenario N22)."""

import json

import pytest

from engine.domain import selectors
from engine.domain.commands import (
    AddConnection,
    AddSelector,
    DeleteNode,
    RemoveConnection,
    RemovePeer,
    RemoveSelector,
    SetMasqueradePool,
    SetPolicy,
    TagNode,
    UpdateConnection,
    UpdatePeer,
)
from engine.domain.events import ConnectionAdded, ConnectionRemoved, ConnectionUpdated
from engine.domain.values import NodeId
from tests.kit.scenario import Scene, node_key, peer_id, registration

EXIT = peer_id(1)


def policy(*members: str) -> SetPolicy:
    tags = {"tag:web": ["autogroup:admin"], "tag:db": ["autogroup:admin"]}
    return SetPolicy(text=json.dumps({"groups": {"group:ops": list(members)}, "tagOwners": tags}))


@pytest.fixture
def scene() -> Scene:
    """Anna's nodes 1 and 2, Bert's 3, and the exit 100000001 with a pool."""
    scene = Scene()
    scene.user("anna")
    scene.user("bert")
    for name, user in (("a1", "anna"), ("a2", "anna"), ("b1", "bert")):
        scene.node(name, user)
    scene.peer("exit")
    scene.when(SetMasqueradePool(peer="exit", ipv4="10.64.0.0/24"))
    return scene


def selected(scene: Scene) -> dict[int, str]:
    return {node: held.selector for (node, _), held in sorted(scene.tailnet.connections.items())}


def codes(warnings: tuple[str, ...]) -> list[str]:
    return [said.partition(":")[0] for said in warnings]


def test_all_nodes_of_a_user_are_connected_in_one_decision_each_by_an_event(scene: Scene) -> None:
    said = scene.when(AddSelector(selector="anna", peer="exit"))
    assert said.result["selector"] == "user:anna"
    assert said.events[1:] == tuple(
        ConnectionAdded(
            node=NodeId(number),
            peer=EXIT,
            ipv4_masq=f"10.64.0.{number + 1}",
            from_pool=True,
            selector="user:anna",
        )
        for number in (1, 2)
    )
    assert scene.tailnet == scene.replay()


@pytest.mark.parametrize("text", ["anna", "anna@", "user:anna", "1", "ANNA"])
def test_a_user_is_selected_however_it_is_written(scene: Scene, text: str) -> None:
    scene.when(AddSelector(selector=text, peer="exit"))
    assert selected(scene) == {1: "user:anna", 2: "user:anna"}
    scene.when(RemoveSelector(selector="anna", peer="exit"))
    assert selected(scene) == {}


def test_nodes_that_come_go_and_are_retagged_are_followed(scene: Scene) -> None:
    scene.when(AddSelector(selector="tag:web", peer="exit"))
    assert selected(scene) == {}
    assert scene.happens(TagNode(node="a1", tags=("tag:web",)))[-1] == "ConnectionAdded"
    scene.when(AddSelector(selector="user:bert", peer="exit"))
    joined = scene.when(registration("b2", user="bert"))
    assert isinstance(joined.events[-1], ConnectionAdded)
    assert selected(scene) == {1: "tag:web", 3: "user:bert", 4: "user:bert"}
    assert scene.happens(TagNode(node="b1", tags=("tag:db",)))[-1] == "ConnectionRemoved"
    scene.when(DeleteNode(node="a1"))
    assert selected(scene) == {4: "user:bert"}
    assert scene.tailnet == scene.replay()


def test_a_node_of_nobody_who_is_selected_costs_nothing(scene: Scene) -> None:
    scene.when(AddSelector(selector="tag:web", peer="exit"))
    assert scene.happens(registration("b2", user="bert")) == ["NodeRegistered"]


def test_who_is_in_a_group_is_followed_through_the_policy(scene: Scene) -> None:
    assert scene.refused(AddSelector(selector="group:ops", peer="exit")).code == "selector.group"
    scene.when(policy("bert@"))
    scene.when(AddSelector(selector="group:ops", peer="exit"))
    assert selected(scene) == {3: "group:ops"}
    said = scene.when(policy("anna@"))
    assert [type(event).__name__ for event in said.events] == [
        "PolicySet",
        "ConnectionAdded",
        "ConnectionAdded",
        "ConnectionRemoved",
    ]
    assert selected(scene) == {1: "group:ops", 2: "group:ops"}
    scene.when(SetPolicy(text=""))
    assert selected(scene) == {}
    scene.when(policy("bert@"))
    assert selected(scene) == {3: "group:ops"}


def test_what_somebody_asked_for_stays_as_it_is(scene: Scene) -> None:
    scene.connect(1, "exit", "10.9.9.9")
    scene.when(AddSelector(selector="anna", peer="exit"))
    assert selected(scene) == {1: "", 2: "user:anna"}
    scene.when(RemoveSelector(selector="anna", peer="exit"))
    assert selected(scene) == {1: ""}
    assert scene.tailnet.connections[NodeId(1), EXIT].ipv4_masq == "10.9.9.9"


def test_a_connection_goes_over_to_the_next_selector(scene: Scene) -> None:
    scene.when(policy("anna@"))
    scene.when(AddSelector(selector="group:ops", peer="exit"))
    scene.when(AddSelector(selector="anna", peer="exit"))
    before = scene.tailnet.connections[NodeId(1), EXIT]
    said = scene.when(RemoveSelector(selector="group:ops", peer="exit"))
    assert [type(event) for event in said.events[1:]] == [ConnectionUpdated, ConnectionUpdated]
    after = scene.tailnet.connections[NodeId(1), EXIT]
    assert (after.selector, after.ipv4_masq) == ("user:anna", before.ipv4_masq)


def test_a_selected_connection_is_not_ended_by_hand_but_may_be_changed(scene: Scene) -> None:
    scene.when(AddSelector(selector="anna", peer="exit"))
    refusal = scene.refused(RemoveConnection(node=1, peer="exit"))
    assert refusal.code == "connection.selected"
    assert "user:anna" in refusal.hint
    scene.when(UpdateConnection(node=1, peer="exit", ipv4_masq_addr="10.64.0.99"))
    assert scene.tailnet.connections[NodeId(1), EXIT].selector == "user:anna"
    assert scene.happens(AddConnection(node=1, peer="exit")) == []


def test_the_terms_of_a_selector_are_those_of_its_connections(scene: Scene) -> None:
    scene.when(AddSelector(selector="anna", peer="exit", allowed_ips=("10.9.0.0/24",), jailed=False))
    held = scene.tailnet.connections[NodeId(2), EXIT]
    assert (held.allowed_ips, held.jailed) == (("10.9.0.0/24",), False)
    scene.when(DeleteNode(node=1))
    scene.when(DeleteNode(node=2))
    refusal = scene.refused(UpdatePeer(peer="exit", allowed_ips=("10.8.0.0/24",)))
    assert refusal.code == "allowedips.outside"
    assert scene.refused(AddSelector(selector="anna", peer="exit")).code == "selector.exists"


def test_who_cannot_be_connected_is_passed_over_and_joins_all_the_same(scene: Scene) -> None:
    scene.when(SetMasqueradePool(peer="exit", ipv4="10.64.0.0/30"))
    said = scene.when(AddSelector(selector="anna", peer="exit"))
    assert selected(scene) == {1: "user:anna"}
    assert codes(said.warnings) == ["selector.passed"]
    assert "2(a2)" in said.warnings[0]
    said = scene.when(registration("a3", user="anna"))
    assert codes(said.warnings)[-1] == "selector.passed"
    assert scene.happens(SetMasqueradePool(peer="exit", ipv4="10.65.0.0/24")) == [
        "PeerPoolSet",
        "ConnectionAdded",
        "ConnectionAdded",
    ]
    assert set(selected(scene)) == {1, 2, 4}


def test_an_old_client_is_passed_over_until_it_is_updated(scene: Scene) -> None:
    scene.when(AddSelector(selector="bert", peer="exit"))
    assert codes(scene.when(registration("b2", user="bert", capver=80)).warnings)[-1] == "selector.passed"
    scene.when(registration("b2", user="bert", capver=106, node_key=node_key("b2 updated")))
    assert set(selected(scene)) == {3, 4}


def test_two_selected_peers_at_one_place_are_not_both_connected(scene: Scene) -> None:
    place = scene.tailnet.peers[EXIT].endpoints
    scene.peer("other", endpoints=place)
    scene.when(SetMasqueradePool(peer="other", ipv4="10.65.0.0/24"))
    scene.when(AddSelector(selector="tag:web", peer="exit"))
    scene.when(AddSelector(selector="tag:web", peer="other"))
    said = scene.when(TagNode(node="a1", tags=("tag:web",)))
    assert set(scene.tailnet.connections) == {(1, EXIT)}
    assert codes(said.warnings)[-1] == "selector.passed"


def test_one_decision_adds_so_many_and_asking_again_goes_on(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(selectors, "MAX_ADDED", 1)
    said = scene.when(AddSelector(selector="anna", peer="exit"))
    assert codes(said.warnings) == ["selector.more"]
    assert set(selected(scene)) == {1}
    scene.when(AddSelector(selector="anna", peer="exit"))
    assert set(selected(scene)) == {1, 2}
    assert scene.happens(AddSelector(selector="anna", peer="exit")) == []
    said = scene.when(RemoveSelector(selector="anna", peer="exit"))
    assert [type(event) for event in said.events[1:]] == [ConnectionRemoved] * 2, "an end has no bound"


def test_a_peer_that_goes_takes_its_selectors_with_it(scene: Scene) -> None:
    scene.when(AddSelector(selector="anna", peer="exit"))
    assert scene.happens(RemovePeer(peer="exit", cascade=True)) == [
        "ConnectionRemoved",
        "ConnectionRemoved",
        "PeerRemoved",
    ]
    assert scene.tailnet.selecting == set()
    assert scene.happens(registration("a3", user="anna")) == ["NodeRegistered"]


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"selector": "nobody"}, "user.not_found"),
        ({"selector": "group:x"}, "selector.group"),
        ({"selector": "tag:X"}, "tag.syntax"),
        ({"peer": "nobody"}, "peer.not_found"),
        ({"jailed": False}, "connection.unjail"),
        ({"allowed_ips": ("100.64.0.0/10",)}, "allowedips.tailnet"),
        ({"allowed_ips": ("198.51.0.0/16",)}, "endpoint.loop"),
    ],
)
def test_what_cannot_be_a_selector_is_refused(scene: Scene, fields: dict[str, object], code: str) -> None:
    command = AddSelector(**({"selector": "anna", "peer": "exit"} | fields))  # type: ignore[arg-type]
    assert scene.refused(command).code == code


def test_without_a_pool_nobody_is_selected(scene: Scene) -> None:
    scene.peer("other")
    assert scene.refused(AddSelector(selector="anna", peer="other")).code == "selector.pool"
    assert scene.refused(RemoveSelector(selector="anna", peer="other")).code == "selector.not_found"
    scene.when(policy())
    assert scene.refused(AddSelector(selector="tag:x", peer="exit")).code == "tag.unknown"
