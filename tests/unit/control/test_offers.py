"""What clients offer to route: asked about once, not too often, and never waited for."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager

import msgspec
import pytest

from engine.adapters.bus.memory import Hub, MemoryBus
from engine.contracts import subjects
from engine.contracts.netmap import Change, NodeObject, Snapshot
from engine.contracts.requests import Accepted, Problem, error_body, error_headers
from engine.domain.commands import AdvertiseNode
from engine.domain.values import Epoch, Millis, NodeId, Position, StableId, TailnetName, UserId
from engine.ports import Answer, Endpoint, Message
from frontends.control.offers import MAX_TAGS, PAUSE_SECONDS, Offers, tags_of
from frontends.control.presence import Presence
from frontends.control.replica import Replica
from frontends.wire.tailcfg.hostinfo import Hostinfo
from tests.kit.fakes import VirtualClock
from tests.kit.scenario import machine_key, node_key
from tests.unit.control.test_facts import request

T = TailnetName("default")


def node(number: int = 1, *, routes: tuple[str, ...] = (), tags: tuple[str, ...] = ()) -> NodeObject:
    return NodeObject(
        id=NodeId(number),
        stable_id=StableId(f"n{number}"),
        name=f"node{number}",
        user=UserId(1),
        machine_key=machine_key(str(number)),
        node_key=node_key(str(number)),
        ipv4=f"100.64.0.{number}",
        ipv6=f"fd7a:115c:a1e0:1::{number}",
        class_id="u1",
        created=Millis(1),
        tags=tags,
        advertised=routes,
    )


def host(*routes: str, tags: tuple[str, ...] = ()) -> Hostinfo:
    return Hostinfo(routable_ips=routes, request_tags=tags)


class Engine:
    """An engine that writes down what it is asked, and answers when it is let."""

    def __init__(self, hub: Hub) -> None:
        self.asked: list[AdvertiseNode] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.result: Mapping[str, object] = {}
        self.problem: Problem | None = None
        self.bus = MemoryBus(hub)

    async def start(self) -> None:
        subject = subjects.registration(T, "*", "advertise")
        await self.bus.serve(
            "e", "1", "the engine", [Endpoint(name="a", subject=subject, respond=self.answer)]
        )

    async def answer(self, message: Message) -> Answer:
        self.asked.append(msgspec.json.decode(message.data, type=AdvertiseNode))
        await self.gate.wait()
        if self.problem is not None:
            return Answer(error_body(self.problem), error_headers(self.problem))
        accepted = Accepted(ok=True, position=1, command_id="c", result=dict(self.result))
        return Answer(msgspec.json.encode(accepted))

    def routes(self) -> list[tuple[str, ...]]:
        return [asked.routes for asked in self.asked]


class Site:
    def __init__(self, engine: Engine, offers: Offers, clock: VirtualClock) -> None:
        self.engine, self.offers, self.clock = engine, offers, clock

    async def settle(self) -> None:
        for _ in range(50):
            await asyncio.sleep(0)

    async def until(self, holds: Callable[[], bool]) -> None:
        async with asyncio.timeout(5):
            while not holds():
                await asyncio.sleep(0)


@asynccontextmanager
async def running() -> AsyncIterator[Site]:
    hub, clock = Hub(), VirtualClock()
    engine = Engine(hub)
    await engine.start()
    offers = Offers(MemoryBus(hub), clock, T, "f1")
    task = asyncio.create_task(offers.run())
    yield Site(engine, offers, clock)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_an_offer_that_the_log_does_not_have_is_told_once() -> None:
    async with running() as site:
        site.offers.heard(node(), host("192.168.1.9/24", "10.0.0.0/8", "nonsense", tags=("tag:a",)))
        await site.until(lambda: len(site.engine.asked) == 1)
        await site.settle()
        assert site.engine.asked == [
            AdvertiseNode(
                machine_key=machine_key("1"),
                node_key=node_key("1"),
                routes=("10.0.0.0/8", "192.168.1.0/24"),
                request_tags=("tag:a",),
            )
        ]


@pytest.mark.parametrize(
    ("known", "said"),
    [
        (node(), None),
        (node(), host()),
        (node(routes=("10.0.0.0/8",)), host("10.0.0.7/8", "100.64.0.0/10")),
        (node(tags=("tag:a", "tag:b")), host(tags=("tag:b",))),
    ],
)
async def test_what_the_log_has_is_not_told(known: NodeObject, said: Hostinfo | None) -> None:
    async with running() as site:
        site.offers.heard(known, said)
        site.offers.heard(node(2), host("10.0.0.0/8"))
        await site.until(lambda: bool(site.engine.asked))
        assert [asked.node_key for asked in site.engine.asked] == [node_key("2")]


async def test_what_is_withdrawn_is_told() -> None:
    async with running() as site:
        site.offers.heard(node(routes=("10.0.0.0/8",)), host())
        await site.until(lambda: site.engine.routes() == [()])


async def test_one_question_of_a_node_is_on_its_way_and_the_last_word_is_asked_next() -> None:
    async with running() as site:
        site.engine.gate.clear()
        site.offers.heard(node(), host("10.0.0.0/8"))
        await site.until(lambda: len(site.engine.asked) == 1)
        site.clock.advance(10)
        for number in range(1, 9):
            site.offers.heard(node(), host(f"10.{number}.0.0/16"))
            await site.settle()
        site.offers.heard(node(2), host("10.9.0.0/16"))
        await site.until(lambda: len(site.engine.asked) == 2)
        site.engine.gate.set()
        await site.until(lambda: len(site.engine.asked) == 3)
        await site.settle()
        assert site.engine.routes() == [("10.0.0.0/8",), ("10.9.0.0/16",), ("10.8.0.0/16",)]


async def test_a_client_that_flaps_is_asked_about_once_a_pause() -> None:
    async with running() as site:
        for number in range(20):
            site.offers.heard(node(), host(f"10.{number}.0.0/16"))
            await site.settle()
        assert len(site.engine.asked) == 1
        site.clock.advance(PAUSE_SECONDS)
        site.offers.heard(node(), host("10.99.0.0/16"))
        await site.until(lambda: site.engine.routes()[1:] == [("10.99.0.0/16",)])


async def test_who_goes_back_before_it_was_asked_about_is_not_asked_about() -> None:
    async with running() as site:
        site.offers.heard(node(), host("10.1.0.0/16"))
        site.offers.heard(node(), host())
        site.offers.heard(node(2), host("10.2.0.0/16"))
        await site.until(lambda: bool(site.engine.asked))
        await site.settle()
        assert site.engine.routes() == [("10.2.0.0/16",)]


async def test_who_goes_back_while_it_is_asked_about_is_asked_about_once_more() -> None:
    """The frontend still knows the node as it was, and the engine has just been told otherwise."""
    async with running() as site:
        site.offers.heard(node(), host("10.0.0.0/8"))
        await site.until(lambda: len(site.engine.asked) == 1)
        site.offers.heard(node(), host())
        site.clock.advance(PAUSE_SECONDS)
        site.offers.heard(node(2), host("10.2.0.0/16"))
        await site.until(lambda: len(site.engine.asked) == 3)
        assert sorted(site.engine.routes()[1:]) == [(), ("10.2.0.0/16",)]


async def test_what_the_engine_puts_off_is_asked_again_after_the_pause() -> None:
    async with running() as site:
        site.engine.result = {"later": True}
        site.offers.heard(node(), host("10.0.0.0/8"))
        await site.until(lambda: len(site.engine.asked) == 1)
        await site.settle()
        assert len(site.engine.asked) == 1
        site.engine.result = {}
        site.clock.advance(PAUSE_SECONDS)
        site.offers.heard(node(2), host("10.2.0.0/16"))
        await site.until(lambda: len(site.engine.asked) == 3)
        assert sorted(site.engine.routes()[1:]) == [("10.0.0.0/8",), ("10.2.0.0/16",)]


async def test_a_pause_ends_by_itself() -> None:
    hub, clock = Hub(), VirtualClock()
    offers = Offers(MemoryBus(hub), clock, T, "f1")
    offers.heard(node(), host("10.0.0.0/8"))
    assert len(offers.due()) == 1
    offers.heard(node(2), host("10.0.0.0/8"))
    assert len(offers.due()) == 1
    assert offers.pause() is None, "both are on their way"
    offers.answered(NodeId(1))
    offers.heard(node(), host("10.1.0.0/16"))
    clock.advance(PAUSE_SECONDS / 4)
    assert offers.due() == []
    assert offers.pause() == PAUSE_SECONDS * 3 / 4


async def test_what_nobody_answered_is_asked_when_the_client_speaks_again() -> None:
    async with running() as site:
        site.engine.problem = Problem(code="engine.unavailable", status=503, message="no", retryable=True)
        site.offers.heard(node(), host("10.0.0.0/8"))
        await site.until(lambda: len(site.engine.asked) == 1)
        await site.settle()
        site.engine.problem = None
        site.clock.advance(PAUSE_SECONDS)
        await site.settle()
        assert len(site.engine.asked) == 1
        site.offers.heard(node(), host("10.0.0.0/8"))
        await site.until(lambda: len(site.engine.asked) == 2)


def test_more_tags_than_a_node_can_have_are_not_made_fewer_than_that() -> None:
    asked = tuple(f"tag:t{number}" for number in range(200))
    assert len(tags_of(Hostinfo(request_tags=(*asked, *asked)))) == MAX_TAGS
    assert tags_of(Hostinfo(request_tags=("tag:a", "tag:a"))) == ("tag:a",)
    assert tags_of(Hostinfo()) == ()


@pytest.mark.parametrize("lite", [True, False])
async def test_lite_updates_and_streams_are_heard(*, lite: bool) -> None:
    hub, clock = Hub(), VirtualClock()
    engine = Engine(hub)
    await engine.start()
    replica = Replica()
    change = Change(key="node/1", at=Position(1), value=node())
    replica.load(Snapshot(epoch=Epoch("e"), position=Position(1), objects=(change,)))
    presence = Presence(MemoryBus(hub), clock, T, "f1", replica)
    task = asyncio.create_task(presence.run())
    said = request(Stream=not lite, OmitPeers=lite, Hostinfo={"RoutableIPs": ["10.0.0.0/8"]})
    if lite:
        presence.told(NodeId(1), said)
    else:
        presence.opened(NodeId(1), said)
    async with asyncio.timeout(5):
        while not engine.asked:
            await asyncio.sleep(0)
    assert engine.routes() == [("10.0.0.0/8",)]
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
