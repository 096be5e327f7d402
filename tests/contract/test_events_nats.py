"""The stream of events on a real nats-server."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import nats.errors
import nats.js.errors
import pytest

from engine.adapters.bus.context import Context
from engine.adapters.bus.eventstream import JetStreamEvents
from engine.adapters.bus.nats import NatsBus
from engine.contracts import subjects
from engine.domain.values import DEFAULT_TAILNET
from engine.ports import Fault, Message
from tests.contract.events_suite import EventsSuite, messages, told
from tests.kit.nats_server import NatsServer

pytestmark = pytest.mark.real


@pytest.fixture
async def bus(nats_server: NatsServer) -> AsyncIterator[NatsBus]:
    bus = await NatsBus.connect([nats_server.url], name="one")
    yield bus
    with contextlib.suppress(nats.js.errors.NotFoundError):
        await bus.client.jetstream().delete_stream(subjects.EVENT_STREAM)
    await bus.close()


@pytest.fixture
def stream(bus: NatsBus) -> JetStreamEvents:
    return JetStreamEvents(bus, DEFAULT_TAILNET, age=3_600.0, octets=1_000_000)


class TestJetStreamEvents(EventsSuite):
    pass


async def kept(bus: NatsBus) -> list[Message]:
    js = bus.client.jetstream()
    state = (await js.stream_info(subjects.EVENT_STREAM)).state
    raws = [
        await js.get_msg(subjects.EVENT_STREAM, number)
        for number in range(state.first_seq, state.last_seq + 1)
    ]
    return [Message(raw.subject or "", raw.data or b"", raw.headers or {}) for raw in raws]


async def test_messages_are_kept_as_they_are_and_in_order(bus: NatsBus, stream: JetStreamEvents) -> None:
    await stream.open()
    await stream.last()
    await stream.publish(messages())
    found = await kept(bus)
    assert [(m.subject, m.data) for m in found] == [(m.subject, m.data) for m in messages()]
    assert all(
        dict(want.headers).items() <= dict(got.headers).items()
        for want, got in zip(messages(), found, strict=True)
    )


async def test_another_writer_lets_nothing_in_between(bus: NatsBus, stream: JetStreamEvents) -> None:
    other = JetStreamEvents(bus, DEFAULT_TAILNET, age=3_600.0, octets=1_000_000)
    await stream.open()
    await stream.last()
    await other.last()
    await other.publish(messages()[:1])
    with pytest.raises(Fault):
        await stream.publish(messages()[1:4])
    assert await stream.last() == told(0)
    await stream.publish(messages()[1:4])
    assert await stream.last() == told(3)


async def test_what_the_stream_has_had_is_not_taken_for_told(bus: NatsBus, stream: JetStreamEvents) -> None:
    await stream.open()
    await stream.last()
    await stream.publish(messages()[:2])
    await bus.client.jetstream().purge_stream(subjects.EVENT_STREAM)
    assert await stream.last() is None
    with pytest.raises(Fault, match="emptied"):
        await stream.publish(messages()[:2])


async def test_a_stream_that_is_gone_is_a_fault_and_can_be_opened_again(
    bus: NatsBus, stream: JetStreamEvents
) -> None:
    await stream.open()
    await stream.last()
    await bus.client.jetstream().delete_stream(subjects.EVENT_STREAM)
    with pytest.raises(Fault):
        await stream.publish(messages()[:1])
    await stream.open()
    assert await stream.last() is None
    await stream.publish(messages()[:1])
    assert await stream.last() == told(0)


async def test_the_stream_keeps_as_long_as_it_is_told_to(bus: NatsBus, stream: JetStreamEvents) -> None:
    await stream.open()
    longer = JetStreamEvents(bus, DEFAULT_TAILNET, age=7_200.0, octets=0)
    await longer.open()
    config = (await bus.client.jetstream().stream_info(subjects.EVENT_STREAM)).config
    assert (config.max_age, config.max_bytes) == (7_200.0, -1)


async def test_a_restarted_server_still_knows_the_last(
    nats_server: NatsServer, bus: NatsBus, stream: JetStreamEvents
) -> None:
    await stream.open()
    await stream.last()
    await stream.publish(messages()[:3])
    await asyncio.to_thread(nats_server.restart)
    async with asyncio.timeout(20):
        while True:
            try:
                assert await stream.last() == told(2)
                break
            except Fault:
                await asyncio.wait({asyncio.ensure_future(asyncio.sleep(0.1))})
    await stream.publish(messages()[3:])
    assert await stream.last() == told(len(messages()) - 1)


READER = """
listen: "127.0.0.1:{port}"
jetstream {{ store_dir: "{store}" }}
authorization {{ users: [
  {{ user: engine, password: pe }}
  {{ user: r, password: pr, permissions: {{
    publish: ["$JS.API.STREAM.INFO.NETMAP_EVENTS", "$JS.API.CONSUMER.*.NETMAP_EVENTS.>",
              "$JS.API.CONSUMER.MSG.NEXT.NETMAP_EVENTS.*", "$JS.ACK.NETMAP_EVENTS.>"]
    subscribe: "_INBOX_r.>"
  }} }}
] }}
"""


async def test_another_system_reads_with_a_consumer_and_the_rights_that_the_docs_name(tmp_path: Path) -> None:
    with NatsServer(tmp_path, READER) as server:
        context = Context(url=server.url, user="engine", password="pe")
        engine = await NatsBus.connect([server.url], name="engine", credentials=context)
        stream = JetStreamEvents(engine, DEFAULT_TAILNET, age=3_600.0, octets=0)
        await stream.open()
        await stream.last()
        await stream.publish(messages())
        context = Context(url=server.url, user="r", password="pr", inbox_prefix="_INBOX_r")
        reader = await NatsBus.connect([server.url], name="r", credentials=context)
        js = reader.client.jetstream()
        pulled = await js.pull_subscribe(
            "netmap.v1.default.ev.user.>", durable="tickets", stream=subjects.EVENT_STREAM
        )
        wanted = [m for m in messages() if ".ev.user." in m.subject]
        found = await pulled.fetch(len(wanted), timeout=5)
        for message in found:
            await message.ack()
        assert [(m.subject, m.data) for m in found] == [(m.subject, m.data) for m in wanted]
        with pytest.raises(nats.errors.Error):
            await reader.client.jetstream(timeout=0.2).purge_stream(subjects.EVENT_STREAM)
        await reader.close()
        await engine.close()
