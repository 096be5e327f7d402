"""`POST /machine/register` and `/machine/map` without a socket: what the engine is asked, and how often."""

import asyncio
from collections.abc import Mapping
from typing import Final, cast

import msgspec
import pytest

from engine.adapters.bus.memory import Hub, MemoryBus
from engine.contracts import subjects
from engine.contracts.registration import RegisterReply, RegisterRequest, WaitRequest
from engine.domain.values import LoginId, MachineKey, TailnetName
from engine.ports import Answer, Endpoint, Message
from frontends.control.exchange import Answer as HttpAnswer
from frontends.control.exchange import Handler, Request, Stream
from frontends.control.frontend import Frontend, Identity
from frontends.control.map import answer_map
from frontends.control.rate import BURST
from frontends.control.register import answer_register
from frontends.wire.noise import PrivateKey
from tests.kit.fakes import SequenceIds, VirtualClock

TAILNET = TailnetName("default")
LOGIN = LoginId("a" * 24)
NOWHERE: Final = cast("Stream", None)
ASKED = {"Version": 130, "NodeKey": "nodekey:" + "ab" * 32}


class Engine:
    """An engine that answers every registration with the same pending login, at once."""

    def __init__(self, hub: Hub) -> None:
        self.registered = self.waited = 0
        self.asked: list[RegisterRequest] = []
        self.asked_to_wait = asyncio.Event()
        self._bus = MemoryBus(hub)

    async def start(self) -> None:
        found = [
            Endpoint(name=verb, subject=subjects.registration(TAILNET, "*", verb), respond=respond)
            for verb, respond in (("register", self._register), ("wait", self._wait))
        ]
        await self._bus.serve("engine", "1.0.0", "the engine", found)

    async def _register(self, message: Message) -> Answer:
        self.registered += 1
        self.asked.append(msgspec.json.decode(message.data, type=RegisterRequest))
        return Answer(msgspec.json.encode(RegisterReply(outcome="login", login=LOGIN)))

    async def _wait(self, message: Message) -> Answer:
        self.waited += 1
        self.asked_to_wait.set()
        login = msgspec.json.decode(message.data, type=WaitRequest).login
        return Answer(msgspec.json.encode(RegisterReply(outcome="login", login=login)))


class Site:
    """A frontend, and one machine that asks it."""

    def __init__(self) -> None:
        hub = Hub()
        self.clock = VirtualClock()
        self.engine = Engine(hub)
        identity = Identity(TAILNET, "f1", "http://127.0.0.1:8080", PrivateKey(b"\1" * 32))
        self.frontend = Frontend(identity, MemoryBus(hub), self.clock, SequenceIds())

    async def ask(
        self, handler: Handler, fields: Mapping[str, object] = {}, machine: str = "1"
    ) -> HttpAnswer:
        body = msgspec.json.encode(ASKED | dict(fields))
        answer = await handler(
            self.frontend, Request(MachineKey(f"mkey:{machine}"), "POST", "/", body), NOWHERE
        )
        assert answer is not None
        return answer


@pytest.fixture
async def site() -> Site:
    found = Site()
    await found.engine.start()
    return found


async def test_a_machine_that_registers_without_pause_is_told_to_wait(site: Site) -> None:
    for _ in range(BURST):
        assert (await site.ask(answer_register)).status == 200
    refused = await site.ask(answer_register)
    assert (refused.status, dict(refused.headers)[b"retry-after"]) == (429, b"1")
    assert site.engine.registered == BURST
    assert (await site.ask(answer_register, machine="2")).status == 200
    site.clock.advance(1)
    assert (await site.ask(answer_register)).status == 200


async def test_the_engine_hears_what_the_client_says_of_its_host(site: Site) -> None:
    host = {
        "OS": "linux",
        "OSVersion": "6.1" * 40,
        "IPNVersion": "1.92.5-t1",
        "RoutableIPs": ["10.0.0.9/8", "nonsense", "::/0", "0.0.0.0/0"],
        "RequestTags": ["tag:b", "tag:a", "tag:b"],
    }
    await site.ask(answer_register, {"Hostinfo": host})
    (asked,) = site.engine.asked
    assert (asked.os, asked.os_version, asked.client_version) == ("linux", ("6.1" * 40)[:64], "1.92.5-t1")
    assert asked.routes == ("0.0.0.0/0", "10.0.0.0/8", "::/0")
    assert asked.request_tags == ("tag:b", "tag:a")
    await site.ask(answer_register, {"Hostinfo": {}})
    assert (site.engine.asked[-1].routes, site.engine.asked[-1].request_tags) == ((), ())
    await site.ask(answer_register)
    assert site.engine.asked[-1].routes is None, "who says nothing of its host takes no route back"


async def test_lite_updates_and_streams_spend_from_the_same_bucket(site: Site) -> None:
    kinds: list[Mapping[str, object]] = [{"OmitPeers": True}, {"Stream": True, "Compress": "zstd"}]
    for number in range(BURST):
        assert (await site.ask(answer_map, kinds[number % 2])).status == 503
    kinds.append({"Compress": "zstd"})
    for kind in kinds:
        assert (await site.ask(answer_map, kind)).status == 429
    assert (await site.ask(answer_register)).status == 429


async def test_a_wait_that_the_engine_does_not_hold_is_not_repeated_without_a_pause(site: Site) -> None:
    followup = {"Followup": f"http://127.0.0.1:8080/register/{LOGIN}"}
    asking = asyncio.create_task(site.ask(answer_register, followup))
    async with asyncio.timeout(5):
        await site.engine.asked_to_wait.wait()
    for _ in range(100):
        await asyncio.sleep(0)
    assert site.engine.waited == 1
    assert not asking.done()
    asking.cancel()
    await asyncio.gather(asking, return_exceptions=True)
