"""P6 and F5 over three frontends: the newest session's word counts, and nobody is offline by mistake."""

import asyncio

import msgspec
import pytest

from engine.adapters.bus.memory import Hub, MemoryBus
from engine.contracts import subjects
from engine.contracts.soft import SoftState
from engine.domain.values import Millis, NodeId, TailnetName
from frontends.control.presence import GRACE_SECONDS, Presence
from frontends.control.replica import Replica
from tests.kit.fakes import VirtualClock
from tests.unit.control.test_facts import request

NODE = NodeId(1)


class Site:
    """A frontend's presence, and what it was told of its sessions."""

    def __init__(self, name: str, hub: Hub, clock: VirtualClock) -> None:
        self.replica = Replica()
        self.presence = Presence(MemoryBus(hub), clock, TailnetName("default"), name, self.replica)
        self.superseded: list[NodeId] = []
        self.presence.on_superseded = self.superseded.append
        self.name = name

    def state(self, *, full: bool = True) -> SoftState:
        return SoftState(origin=self.name, at=Millis(0), facts=self.replica.facts(), full=full)

    @property
    def online(self) -> bool:
        fact = self.replica.fact(NODE)
        return fact is not None and fact.online


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock()


@pytest.fixture
def sites(clock: VirtualClock) -> tuple[Site, Site]:
    hub = Hub()
    return Site("f1", hub, clock), Site("f2", hub, clock)


async def test_a_node_is_offline_only_after_the_grace(clock: VirtualClock, sites: tuple[Site, Site]) -> None:
    one, _ = sites
    generation = one.presence.opened(NODE, request(Stream=True))
    one.presence.closed(NODE, generation)
    clock.advance(GRACE_SECONDS - 1)
    one.presence.sweep()
    assert one.online
    clock.advance(2)
    one.presence.sweep()
    assert not one.online


async def test_a_client_that_comes_back_in_time_was_never_offline(
    clock: VirtualClock, sites: tuple[Site, Site]
) -> None:
    one, _ = sites
    old = one.presence.opened(NODE, request(Stream=True))
    one.presence.closed(NODE, old)
    one.presence.opened(NODE, request(Stream=True))
    one.presence.closed(NODE, old)
    clock.advance(GRACE_SECONDS + 1)
    one.presence.sweep()
    assert one.online


async def test_a_newer_session_elsewhere_ends_ours_and_stays_online(
    clock: VirtualClock, sites: tuple[Site, Site]
) -> None:
    one, two = sites
    first = one.presence.opened(NODE, request(Stream=True))
    two.presence.hear(one.state())
    second = two.presence.opened(NODE, request(Stream=True))
    assert second > first
    one.presence.hear(two.state())
    assert one.superseded == [NODE]
    one.presence.closed(NODE, first)
    clock.advance(GRACE_SECONDS + 1)
    for site in sites:
        site.presence.sweep()
        assert site.online


async def test_of_two_sessions_of_one_moment_one_stays(sites: tuple[Site, Site]) -> None:
    """Invariant F5: `newer` breaks the tie for the fact, and so it must for the sessions."""
    one, two = sites
    first = one.presence.opened(NODE, request(Stream=True))
    assert two.presence.opened(NODE, request(Stream=True)) == first
    before = one.state()
    one.presence.hear(two.state())
    two.presence.hear(before)
    assert (one.superseded, two.superseded) == ([NODE], [])


async def test_a_dead_frontends_clients_are_offline_after_the_lease(
    clock: VirtualClock, sites: tuple[Site, Site]
) -> None:
    one, two = sites
    one.presence.opened(NODE, request(Stream=True))
    two.presence.hear(one.state())
    clock.advance(14)
    two.presence.sweep()
    assert two.online
    clock.advance(2)
    two.presence.sweep()
    assert not two.online
    two.presence.hear(SoftState(origin="f1", at=Millis(0)))
    assert two.online


async def test_what_an_earlier_life_said_ends_unless_the_client_returns(
    clock: VirtualClock, sites: tuple[Site, Site]
) -> None:
    one, two = sites
    one.presence.opened(NODE, request(Stream=True))
    two.presence.hear(one.state())
    reborn = Site("f1", Hub(), clock)
    reborn.presence.hear(two.state())
    assert reborn.online
    clock.advance(GRACE_SECONDS + 1)
    reborn.presence.sweep()
    assert not reborn.online
    two.presence.hear(reborn.state())
    assert not two.online


async def test_a_lite_update_keeps_the_session_and_repeats_nothing(sites: tuple[Site, Site]) -> None:
    one, _ = sites
    generation = one.presence.opened(NODE, request(Stream=True))
    said: list[object] = []
    one.presence.on_change = said.append
    one.presence.told(NODE, request(Endpoints=["192.0.2.1:1"]))
    one.presence.told(NODE, request(Endpoints=["192.0.2.1:1"]))
    held = one.replica.held(NODE)
    assert held is not None
    assert (held.generation, held.online, held.endpoints) == (generation, True, ("192.0.2.1:1",))
    assert len(said) == 1


async def test_facts_survive_the_wire(sites: tuple[Site, Site]) -> None:
    one, two = sites
    one.presence.opened(NODE, request(Stream=True, Hostinfo={"OS": "linux"}))
    two.presence.hear(msgspec.json.decode(msgspec.json.encode(one.state()), type=SoftState))
    assert two.replica.held(NODE) == one.replica.held(NODE)


async def test_nobody_speaks_in_another_frontends_name(clock: VirtualClock, sites: tuple[Site, Site]) -> None:
    one, _ = sites
    one.presence.opened(NODE, request(Stream=True))
    hub = Hub()
    listener, bus = Site("f3", hub, clock), MemoryBus(hub)
    running = asyncio.create_task(listener.presence.run())
    tailnet = TailnetName("default")
    own, word = subjects.soft(tailnet, "f1", "state"), msgspec.json.encode(one.state())
    for subject, heard in ((subjects.soft(tailnet, "f2", "state"), False), (own, True)):
        for _ in range(100):
            await bus.publish(subject, word)
            await asyncio.sleep(0)
        assert listener.online is heard
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
