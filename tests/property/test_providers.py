"""Whatever happens to nodes, and whatever a provider answers: nobody is registered twice, nothing stays behind there.

The provider is a table of keys; it does what the device's task says, at times without our hearing of it.
"""

import contextlib
import json
from typing import Final

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from engine.domain.commands import (
    AddConnection,
    AddSelector,
    Command,
    DeleteNode,
    RemoveConnection,
    RemovePeer,
    RemoveSelector,
    SetPolicy,
    TagNode,
    UpdatePeer,
)
from engine.domain.device import FULL, due_at, task_of
from engine.domain.errors import Refusal
from engine.domain.provided import Provided
from engine.domain.providercommands import (
    AddProvider,
    EnrolNode,
    RemoveProvider,
    UpdateProvider,
    WithdrawNode,
)
from engine.domain.values import DeviceId, NodeKey
from tests.kit.provided import SEALED, ProviderScene
from tests.kit.scenario import node_key, registration

MACHINES: Final = ("a", "b", "c", "d")
nodes = st.sampled_from([1, 2, 3, 4, 5])
relays = st.sampled_from(["exit", "other"])
commands: st.SearchStrategy[Command] = st.one_of(
    st.builds(EnrolNode, provider=st.just("mv"), node=nodes),
    st.builds(EnrolNode, provider=st.just("mv"), node=nodes),
    st.builds(WithdrawNode, provider=st.just("mv"), node=nodes, cascade=st.booleans()),
    st.builds(AddConnection, node=nodes, peer=relays),
    st.builds(RemoveConnection, node=nodes, peer=relays),
    st.builds(AddSelector, selector=st.sampled_from(["anna", "tag:x"]), peer=relays),
    st.builds(RemoveSelector, selector=st.sampled_from(["anna", "tag:x"]), peer=relays),
    st.builds(TagNode, node=nodes, tags=st.just(("tag:x",))),
    st.builds(DeleteNode, node=nodes),
    st.builds(UpdateProvider, provider=st.just("mv"), quota=st.sampled_from([1, 2, 3])),
    st.builds(UpdatePeer, peer=relays, provider=st.sampled_from(["mv", ""])),
    st.builds(
        lambda name, number: registration(name, node_key=node_key(f"{name}{number}"), user=1),
        st.sampled_from(MACHINES),
        st.integers(0, 2),
    ),
)
rare: st.SearchStrategy[Command] = st.one_of(
    st.builds(RemoveProvider, provider=st.just("mv"), cascade=st.booleans()),
    st.builds(
        AddProvider, name=st.just("mv"), kind=st.just("mullvad"), quota=st.just(2), account=st.just(SEALED)
    ),
    st.builds(RemovePeer, peer=relays, cascade=st.booleans()),
)
ANSWERS: Final = ("yes", "yes", "yes", "unheard", "no", "never", "full")
answers = st.tuples(st.integers(0, 5), st.sampled_from(ANSWERS))
slow = settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.too_slow])


class Told:
    """The provider's side: who is registered there."""

    def __init__(self, scene: ProviderScene) -> None:
        self.scene = scene
        self.keys: set[NodeKey] = set()

    def answer(self, which: int, how: str) -> None:
        """Do the task of one of the devices that have one."""
        due = sorted(self.scene.tailnet.provided.busy)
        if not due:
            return
        device = self.scene.tailnet.provided.devices[due[which % len(due)]]
        task = task_of(device)
        assert task is not None
        if due_at(device) is None:
            return
        key = task.registration.node_key
        if how in {"yes", "unheard"}:
            (self.keys.add if task.verb == "register" else self.keys.discard)(key)
        if how == "yes":
            self.scene.works_on(device)
        elif how != "unheard":
            code = FULL if how == "full" else "provider.x"
            self.scene.fails_on(device, code, lasting=how != "no")


def play(sequence: list[Command | tuple[int, str]]) -> tuple[ProviderScene, Told]:
    scene = ProviderScene()
    scene.peer("other", provider="mv")
    scene.when(SetPolicy(text=json.dumps({"tagOwners": {"tag:x": ["autogroup:admin"]}})))
    for name in MACHINES:
        scene.node(name, node_key=node_key(f"{name}0"))
    told = Told(scene)
    for number in (1, 2):
        scene.enrol(number)
        told.answer(0, "yes")
        scene.connect(number, "exit")
    for step in sequence:
        scene.later(1_000)
        if isinstance(step, tuple):
            told.answer(*step)
        else:
            with contextlib.suppress(Refusal):
                scene.when(step)
        check(scene)
    return scene, told


def check(scene: ProviderScene) -> None:
    provided, tailnet = scene.tailnet.provided, scene.tailnet
    for device in provided.devices.values():
        assert device.provider in provided.providers, "a device of no provider"
        node = tailnet.nodes.get(device.node)
        assert node is not None or device.state == "leaving", "a device of no node"
        assert device.state == "leaving" or node is None or node.node_key == device.node_key, (
            "a key of before"
        )
        keys = [one.node_key for one in device.former]
        assert len(set(keys)) == len(keys), "a key is revoked twice"
        assert device.state == "leaving" or device.node_key not in keys, "the node's own key is to be revoked"
    busy = {number for number, device in provided.devices.items() if task_of(device)}
    assert busy == provided.busy
    pairs = [(device.provider, device.node) for device in provided.devices.values()]
    assert len(set(pairs)) == len(pairs), "a node has two devices at one provider"
    for provider in provided.providers.values():
        free = provider.quota - provided.places(provider.id)
        assert free <= 0 or not provided.waiting.get(provider.id), "somebody waits although there is room"


@slow
@given(st.lists(st.one_of(commands, answers, answers, rare), min_size=10, max_size=60))
def test_a_replay_gives_the_same_devices(sequence: list[Command | tuple[int, str]]) -> None:
    scene, _ = play(sequence)
    assert scene.replay() == scene.tailnet


@slow
@given(st.lists(st.one_of(commands, answers, answers), min_size=10, max_size=60))
def test_when_the_provider_answers_again_it_knows_exactly_the_keys_of_those_who_have_a_place(
    sequence: list[Command | tuple[int, str]],
) -> None:
    scene, told = play(sequence)
    with contextlib.suppress(Refusal):
        scene.when(UpdateProvider(provider="mv", account="sealed:v1:BBBB"))  # what stopped goes on
    for _ in range(200):
        if not scene.tailnet.provided.busy:
            break
        told.answer(0, "yes")
        check(scene)
    provided = scene.tailnet.provided
    assert not provided.busy
    placed = {device.node_key for device in provided.devices.values() if device.state != "waiting"}
    assert told.keys == placed
    assert all(device.state in {"registered", "waiting"} for device in provided.devices.values())


@slow
@given(st.lists(st.one_of(commands, answers, answers), min_size=10, max_size=60))
def test_a_connection_at_a_relay_has_the_addresses_of_its_nodes_device(
    sequence: list[Command | tuple[int, str]],
) -> None:
    scene, _ = play(sequence)
    provided = scene.tailnet.provided
    for (node, peer), held in scene.tailnet.connections.items():
        provider = provided.provider_of_peer.get(peer)
        device = None if provider is None else provided.device(provider, node)
        if provider is not None and device is not None and device.state != "leaving":
            assert (held.ipv4_masq, held.ipv6_masq) == (device.ipv4, device.ipv6)


@slow
@given(st.lists(st.one_of(commands, answers, rare), min_size=10, max_size=40), st.data())
def test_events_out_of_order_never_raise(
    sequence: list[Command | tuple[int, str]], data: st.DataObject
) -> None:
    scene, _ = play(sequence)
    provided = Provided()
    for event, at in data.draw(st.permutations(scene.log)):
        provided.apply(event, at)
    assert all(number == DeviceId(device.id) for number, device in provided.devices.items())


def test_these_stories_reach_every_event_of_providers() -> None:
    met: set[str] = set()

    @settings(max_examples=150, deadline=None, database=None, derandomize=True)
    @given(st.lists(st.one_of(commands, answers, answers, rare), min_size=40, max_size=60))
    def collect(sequence: list[Command | tuple[int, str]]) -> None:
        met.update(type(event).__name__ for event, _ in play(sequence)[0].log)

    collect()
    assert met >= {
        "ProviderAdded", "ProviderUpdated", "ProviderRemoved", "PeerProviderSet", "DeviceWanted", "DeviceAdmitted",
        "DeviceRegistered", "DeviceRekeyed", "DeviceFailed", "DeviceRetried", "DeviceLeft", "DeviceRevoked",
        "DeviceForgotten", "ConnectionAdded", "ConnectionUpdated", "ConnectionRemoved",
    }  # fmt: skip
