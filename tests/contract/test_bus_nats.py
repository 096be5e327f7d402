"""The bus on a real nats-server."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from engine.adapters.bus.context import Context
from engine.adapters.bus.nats import NatsBus
from engine.ports import Answer, Fault, Message
from tests.contract.bus_suite import ROOT, BusSuite, Pair, echo, endpoint, take
from tests.kit.nats_server import NatsServer

pytestmark = pytest.mark.real

USERS = """
listen: "127.0.0.1:{port}"
authorization {{ users: [
  {{ user: a, password: pa, permissions: {{ publish: ">", subscribe: ["_INBOX_a.>", "x"] }} }}
] }}
"""


@pytest.fixture
async def pair(nats_server: NatsServer) -> AsyncIterator[Pair]:
    one = await NatsBus.connect([nats_server.url], name="one")
    two = await NatsBus.connect([nats_server.url], name="two")
    yield one, two
    await one.close()
    await two.close()


class TestNatsBus(BusSuite):
    pass


async def control(bus: NatsBus, verb: str) -> dict[str, object]:
    reply = await bus.request(f"$SRV.{verb}.suite", b"", timeout=5)
    found: dict[str, object] = json.loads(reply.data)
    return found


async def test_a_service_tells_its_endpoints_and_counts_its_requests(pair: tuple[NatsBus, NatsBus]) -> None:
    one, two = pair

    async def crash(_message: Message) -> Answer:
        raise ValueError

    await two.serve(
        "suite",
        "1.2.3",
        "a suite",
        [endpoint("echo", f"{ROOT}.q.a.get", echo), endpoint("crash", f"{ROOT}.q.b.get", crash)],
    )
    for subject in (f"{ROOT}.q.a.get", f"{ROOT}.q.a.get", f"{ROOT}.q.b.get"):
        await one.request(subject, b"", timeout=5)
    info = await control(one, "INFO")
    assert (info["version"], info["description"]) == ("1.2.3", "a suite")
    assert info["endpoints"] == [
        {"name": "echo", "subject": f"{ROOT}.q.a.get", "queue_group": "q", "metadata": {"k": "v"}},
        {"name": "crash", "subject": f"{ROOT}.q.b.get", "queue_group": "q", "metadata": {"k": "v"}},
    ]
    stats = await control(one, "STATS")
    counted = stats["endpoints"]
    assert isinstance(counted, list)
    assert [(e["num_requests"], e["num_errors"]) for e in counted] == [(2, 0), (1, 1)]


async def test_a_lost_server_is_found_again(tmp_path: Path) -> None:
    with NatsServer(tmp_path) as server:
        bus = await NatsBus.connect([server.url], name="one")
        stream = await bus.subscribe("x")
        await asyncio.to_thread(server.restart)
        async with asyncio.timeout(10):
            while not bus.client.is_connected:
                await asyncio.wait({asyncio.ensure_future(asyncio.sleep(0.05))})
        await bus.publish("x", b"again")
        assert [m.data for m in await take(stream, 1)] == [b"again"]
        await bus.close()


async def test_answers_go_to_the_private_inbox(tmp_path: Path) -> None:
    with NatsServer(tmp_path, USERS) as server:
        context = Context(url=server.url, user="a", password="pa", inbox_prefix="_INBOX_a")
        bus = await NatsBus.connect([server.url], name="a", credentials=context)
        await bus.serve("suite", "1.0.0", "a suite", [endpoint("echo", "x", echo)])
        assert (await bus.request("x", b"1", timeout=5)).data == b"1"
        await bus.close()


async def test_a_wrong_password_is_a_fault_that_does_not_tell_it(tmp_path: Path) -> None:
    with NatsServer(tmp_path, USERS) as server:
        context = Context(url=server.url, user="a", password="hunter2")
        with pytest.raises(Fault, match="'a'") as caught:
            await NatsBus.connect([server.url], name="a", credentials=context, within=1.0)
        assert "hunter2" not in str(caught.value)


async def test_no_server_is_a_fault() -> None:
    with pytest.raises(Fault):
        await NatsBus.connect(["nats://127.0.0.1:1"], name="a", within=0.5)
