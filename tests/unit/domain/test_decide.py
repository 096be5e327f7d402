"""The one door, the state behind it, and the repeatability of both."""

from typing import get_args

import msgspec
import pytest
from msgspec.structs import replace

from engine.domain.commands import (
    COMMANDS,
    REGISTRATION,
    AddConnection,
    ApproveLogin,
    CreateUser,
    DeleteNode,
    RejectLogin,
)
from engine.domain.decide import decide
from engine.domain.errors import Refusal
from engine.domain.events import EVENTS, CommandHandled, Event, LogStarted, NodeRenamed, PeerRemoved
from engine.domain.state import Tailnet
from engine.domain.values import Epoch, LoginId, Millis, NodeId
from tests.kit.scenario import Scene, peer_id, registration, registration_of_peer

HERE = {ApproveLogin, RejectLogin}


@pytest.mark.parametrize("kind", [*COMMANDS.values(), *REGISTRATION.values()], ids=lambda kind: kind.__name__)
def test_every_command_is_decided_or_is_the_applications(kind: type) -> None:
    fields = {
        field.name: {} if field.name == "derp_map" else "x"
        for field in msgspec.structs.fields(kind)
        if field.required
    }
    command = kind(**fields)
    expected = TypeError if kind in HERE else Refusal
    if fields == {"name": "x"}:  # a user of any name may be
        assert decide(Tailnet(), command, Scene().given()).events
        return
    if fields in ({"domain": "x"}, {"on": "x"}, {}):  # a key for everything needs no word
        assert decide(Tailnet(), command, Scene().given()).events
        return
    with pytest.raises(expected):
        decide(Tailnet(), command, Scene().given())


def test_pending_logins_are_not_decided_here() -> None:
    with pytest.raises(TypeError):
        decide(Tailnet(), ApproveLogin(login=LoginId("x"), user=1), Scene().given())


def test_every_event_has_a_tag_of_its_own() -> None:
    tags = [tag_of_type(kind) for kind in EVENTS]
    assert len(set(tags)) == len(tags) == len(get_args(Event))
    assert all(tag == f"{kind.__name__}.v1" for kind, tag in zip(EVENTS, tags, strict=True))


def tag_of_type(kind: type) -> str:
    return str(kind.__struct_config__.tag)  # type: ignore[attr-defined]


def test_the_same_state_command_and_given_make_the_same_decision() -> None:
    scene = Scene()
    scene.user()
    given = scene.given()
    command = registration("laptop", user=1)
    assert decide(scene.tailnet, command, given) == decide(scene.replay(), command, given)


def test_receipts_and_beginnings_change_nothing() -> None:
    tailnet = Tailnet()
    tailnet.apply(LogStarted(epoch=Epoch("e")), Millis(1))
    tailnet.apply(CommandHandled(name="x", digest="", result=msgspec.Raw(b"{}")), Millis(1))
    assert tailnet == Tailnet()


def test_an_event_of_what_is_not_there_changes_nothing() -> None:
    tailnet = Tailnet()
    tailnet.apply(NodeRenamed(node=NodeId(7), name="x"), Millis(1))
    tailnet.apply(PeerRemoved(peer=peer_id(7)), Millis(1))
    assert tailnet == Tailnet()


def test_tailnets_differ_when_any_table_does() -> None:
    scene = Scene()
    scene.user()
    other = scene.replay()
    assert other == scene.tailnet
    other.handed_out["nodes_v4"] = 1
    assert other != scene.tailnet


def test_peers_beside_nodes_leave_nodes_alone() -> None:
    """Scenarios F7, F10, F14, F15: tables by kind, and who owns what."""
    scene = Scene()
    assert (scene.tailnet.nodes, scene.tailnet.peers, scene.tailnet.connections) == ({}, {}, {})
    scene.user("anna")
    scene.user("bert")
    scene.node("laptop", "anna")
    for name, user in (("a", "anna"), ("b", "bert"), ("c", "anna")):
        scene.when(registration_of_peer(name, user=user))
    assert set(scene.tailnet.nodes) == {1}
    owners = [(peer.name, peer.user) for peer in scene.tailnet.peers.values()]
    assert owners == [("a", 1), ("b", 2), ("c", 1)]


def test_concurrent_registrations_never_share_an_address() -> None:
    """Scenario N21: decided one after the other, however they arrive."""
    scene = Scene()
    scene.user()
    for index in range(50):
        scene.node(f"n{index}")
        scene.peer(f"p{index}")
    addresses = [node.ipv4 for node in scene.tailnet.nodes.values()]
    addresses += [peer.ipv4 for peer in scene.tailnet.peers.values()]
    assert len(set(addresses)) == 100


def test_deleting_everything_leaves_only_what_must_be_remembered() -> None:
    scene = Scene()
    scene.node("laptop", scene.user())
    scene.when(DeleteNode(node=1))
    empty = Tailnet()
    left = {name for name, value in vars(scene.tailnet).items() if value != vars(empty)[name]}
    assert left == {"users", "user_by_name", "next_user", "next_node", "handed_out"}


def test_strictness_refuses_what_has_warnings_and_tells_all_of_them() -> None:
    scene = Scene()
    scene.user()
    scene.node("laptop")
    scene.peer("exit")
    command = AddConnection(node=1, peer="exit", ipv4_masq_addr="8.8.8.8")
    warned = decide(scene.tailnet, command, scene.given())
    assert len(warned.warnings) > 1
    with pytest.raises(Refusal) as caught:
        decide(scene.tailnet, command, replace(scene.given(), strict=True))
    assert (caught.value.code, caught.value.status) == ("strict", 409)
    assert all(warning in caught.value.message for warning in warned.warnings)


def test_strictness_lets_pass_what_has_no_warnings() -> None:
    scene = Scene()
    command = CreateUser(name="anna")
    plain = decide(scene.tailnet, command, scene.given())
    assert decide(scene.tailnet, command, replace(scene.given(), strict=True)).events == plain.events
