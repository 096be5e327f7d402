"""What a change of a WireGuard-only peer or of a connection touches in the netmap, and what nodes are given by it."""

import json

import msgspec

from engine.contracts.netmap import Change, ConnectionExtra, ExtrasObject, WireGuardPeerObject
from engine.domain.commands import (
    AddConnection,
    Command,
    DrainPeer,
    MovePeer,
    RemovePeer,
    RenamePeer,
    SetMasqueradePool,
    SetPolicy,
    SetWireGuardMode,
    TagPeer,
    UndrainPeer,
    UpdateConnection,
    UpdatePeer,
)
from engine.domain.events import LogStarted
from engine.domain.values import Epoch, NodeId, PeerId, Position
from projections.netmap.fold import fold
from projections.netmap.state import NetmapState
from tests.kit.histories import records
from tests.kit.scenario import Scene, peer_id, peer_key

SITE = "peer/100000001"
POLICY = {"grants": [{"src": ["*"], "dst": ["10.9.1.0/24"], "ip": ["*"]}]}
TAGGED = {
    "tagOwners": {"tag:site": ["autogroup:admin"]},
    "grants": [{"src": ["*"], "dst": ["tag:site"], "ip": ["*"]}],
}


def scene() -> Scene:
    """Nodes 1 (laptop) and 2 (phone), of which the first is connected to the site 100000001."""
    scene = Scene()
    scene.user()
    scene.user("bert")
    scene.node("laptop")
    scene.node("phone")
    scene.peer("site", allowed_ips=("10.9.0.0/16",))
    scene.connect(1, "site", "10.64.0.2")
    return scene


def after(scene: Scene, *commands: Command) -> tuple[NetmapState, dict[str, Change]]:
    """The state after the commands, and what they changed."""
    known = len(scene.log) + 1
    for command in commands:
        scene.when(command)
    state, changes = NetmapState(), dict[str, Change]()
    events = [LogStarted(epoch=Epoch("e")), *(event for event, _ in scene.log)]
    for number, record in enumerate(records(events)):
        found = fold(state, record)
        if number >= known:
            changes |= {change.key: change for change in found}
    return state, changes


def peer_of(state: NetmapState) -> WireGuardPeerObject:
    value = state.objects[SITE].value
    assert isinstance(value, WireGuardPeerObject)
    return value


def extra_of(state: NetmapState, node: int = 1) -> ConnectionExtra:
    value = state.objects[f"extras/{node}"].value
    assert isinstance(value, ExtrasObject)
    return value.connections[0]


def test_an_update_touches_the_peer_alone() -> None:
    """Scenario N9: no other peer, no node."""
    state, changes = after(
        scene(), UpdatePeer(peer="site", public_key=peer_key("new"), allowed_ips=("10.8.0.0/16",))
    )
    assert set(changes) == {SITE}
    assert (peer_of(state).public_key, peer_of(state).allowed_ips) == (peer_key("new"), ("10.8.0.0/16",))
    assert peer_of(state).stable_id == "wg100000001"


def test_a_rename_a_drain_and_its_undoing_touch_the_peer_alone() -> None:
    """Scenarios N12 and N29."""
    state, changes = after(scene(), RenamePeer(peer="site", name="other"), DrainPeer(peer="other"))
    assert set(changes) == {SITE}
    assert (peer_of(state).name, peer_of(state).drained) == ("other", True)
    state, changes = after(scene(), DrainPeer(peer="site"), UndrainPeer(peer="site"))
    assert not peer_of(state).drained


def test_what_clients_are_not_told_touches_nothing() -> None:
    _, changes = after(
        scene(), MovePeer(peer="site", user="bert"), SetMasqueradePool(peer="site", ipv4="10.65.0.0/24")
    )
    assert changes == {}


def test_a_cascade_takes_the_peer_and_the_extras() -> None:
    """Scenario F6, in one decision."""
    _, changes = after(scene(), RemovePeer(peer="site", cascade=True))
    assert {key: change.value for key, change in changes.items()} == {SITE: None, "extras/1": None}


def test_a_node_is_given_its_part_and_its_jail() -> None:
    state, changes = after(
        scene(), UpdateConnection(node=1, peer="site", allowed_ips=("10.9.1.0/24",), jailed=False)
    )
    assert set(changes) == {"extras/1"}
    assert extra_of(state) == ConnectionExtra(
        peer=peer_id(1), ipv4_masq="10.64.0.2", allowed_ips=("10.9.1.0/24",), jailed=False
    )


def test_the_policy_cuts_a_part_further_where_it_rules() -> None:
    """Scenario N19."""
    part = UpdateConnection(node=1, peer="site", allowed_ips=("10.9.1.128/25", "10.9.2.0/24"))
    state, _ = after(scene(), part, SetPolicy(text=json.dumps(POLICY)), SetWireGuardMode(mode="enforce"))
    assert extra_of(state).allowed_ips == ("10.9.1.128/25",)
    more = AddConnection(node=2, peer="site", ipv4_masq_addr="10.64.0.3")
    state, _ = after(scene(), more, SetPolicy(text=json.dumps(POLICY)), SetWireGuardMode(mode="enforce"))
    assert extra_of(state, 2).allowed_ips == ("10.9.1.0/24",)
    state, _ = after(scene(), part, SetPolicy(text=json.dumps(POLICY)))
    assert extra_of(state).allowed_ips == ("10.9.1.128/25", "10.9.2.0/24")


def test_where_the_policy_rules_an_update_and_tags_reach_the_connected_nodes() -> None:
    ruled = (SetPolicy(text=json.dumps(TAGGED)), SetWireGuardMode(mode="enforce"))
    state, _ = after(scene(), *ruled)
    assert "extras/1" not in state.objects
    staged = scene()
    after(staged, *ruled)
    state, changes = after(staged, TagPeer(peer="site", tags=("tag:site",)))
    assert set(changes) == {SITE, "extras/1"}
    assert extra_of(state).allowed_ips == ("10.9.0.0/16",)
    state, changes = after(staged, UpdatePeer(peer="site", allowed_ips=("10.8.0.0/16",)))
    assert set(changes) == {SITE, "extras/1"}
    assert extra_of(state).allowed_ips == ("10.8.0.0/16",)
    assert extra_of(state).peer == PeerId(100_000_001)


def test_of_many_connections_the_one_that_changes_is_made_anew() -> None:
    at = scene()
    for number in range(6):
        at.peer(f"site{number}", allowed_ips=(f"10.{20 + number}.0.0/16",))
        at.connect(1, f"site{number}", "10.64.0.2")
    state, _ = after(at)
    before = state.extras(NodeId(1)).connections
    events = at.when(UpdateConnection(node=1, peer="site3", ipv4_masq_addr="10.64.0.9")).events
    record = records([LogStarted(epoch=Epoch("e")), *events])[1]
    [change] = fold(state, msgspec.structs.replace(record, position=Position(state.position + 1)))
    now = state.extras(NodeId(1)).connections
    assert change.key == "extras/1"
    assert [extra is old for extra, old in zip(now, before, strict=True)] == [n != 4 for n in range(7)]
    assert now[4].ipv4_masq == "10.64.0.9"
