"""The work queue and its streams on a real nats-server: made, changed, made again."""

import asyncio
from collections.abc import AsyncIterator, Sequence

import pytest
from nats.js.api import RetentionPolicy, StreamConfig

from engine.adapters.bus import jetstream, streams
from engine.adapters.bus.jetstream import JetStreamQueue
from engine.adapters.bus.nats import NatsBus
from engine.config import Settings
from engine.contracts import subjects
from engine.domain.values import DEFAULT_TAILNET
from engine.ports import Fault, Job
from tests.kit.nats_server import NatsServer

pytestmark = pytest.mark.real
COMMAND = subjects.durable_as(DEFAULT_TAILNET, "operator", "user.create")


@pytest.fixture
async def bus(nats_server: NatsServer) -> AsyncIterator[NatsBus]:
    bus = await NatsBus.connect([nats_server.url], name="one")
    yield bus
    js = bus.client.jetstream()
    for info in await js.streams_info():
        await js.delete_stream(str(info.config.name))
    await bus.close()


@pytest.fixture
def queue(bus: NatsBus) -> JetStreamQueue:
    return JetStreamQueue(bus, DEFAULT_TAILNET, open_commands=False)


async def taken(queue: JetStreamQueue) -> Sequence[Job]:
    async with asyncio.timeout(10):
        while True:
            try:
                if jobs := await queue.take(10, timeout=0.05):
                    return jobs
            except Fault:
                continue


async def test_what_was_made_does_not_differ_from_what_is_wanted(bus: NatsBus) -> None:
    js = bus.client.jetstream()
    for config in streams.streams_of(Settings()):
        await streams.have(js, config)
        found = (await js.stream_info(str(config.name))).config
        assert streams.differences(found, config) == []


async def test_every_difference_is_named_and_mended(bus: NatsBus) -> None:
    js = bus.client.jetstream()
    await js.add_stream(StreamConfig(name=subjects.DLQ_STREAM, subjects=["netmap.v1.other.dlq.>"], max_age=5))
    wanted = next(c for c in streams.streams_of(Settings()) if c.name == subjects.DLQ_STREAM)
    found = (await js.stream_info(subjects.DLQ_STREAM)).config
    assert {each.field for each in streams.differences(found, wanted)} == {
        "subjects",
        "max_age",
        "max_bytes",
        "duplicate_window",
    }
    await streams.have(js, wanted)
    assert streams.differences((await js.stream_info(subjects.DLQ_STREAM)).config, wanted) == []


async def test_what_a_server_does_not_change_is_a_fault(bus: NatsBus, queue: JetStreamQueue) -> None:
    js = bus.client.jetstream()
    retention = RetentionPolicy.LIMITS
    await js.add_stream(StreamConfig(name=subjects.CMDQ_STREAM, subjects=[COMMAND], retention=retention))
    with pytest.raises(Fault, match="work queue"):
        await queue.open()


@pytest.mark.parametrize("name", [subjects.CMDQ_STREAM, subjects.RES_STREAM])
async def test_a_queue_whose_broker_lost_everything_is_there_again(
    bus: NatsBus, queue: JetStreamQueue, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    await queue.open()
    monkeypatch.setattr(jetstream, "LOOK_SECONDS", 0.0)
    js = bus.client.jetstream()
    await js.delete_stream(name)
    assert await queue.take(10, timeout=0.01) == []
    await js.publish(COMMAND, b"{}")
    (job,) = await taken(queue)
    assert job.message.subject == COMMAND
    await job.done()
    await js.publish(subjects.dead_letter(DEFAULT_TAILNET, "x"), b"")
    assert (await js.stream_info(name)).config.name == name


async def test_a_consumer_that_is_gone_is_made_again(
    bus: NatsBus, queue: JetStreamQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    await queue.open()
    js = bus.client.jetstream()
    await js.delete_consumer(subjects.CMDQ_STREAM, jetstream.CONSUMER)
    await js.publish(COMMAND, b"1")
    assert await queue.take(10, timeout=0.2) == []  # nothing comes, and nobody looks yet
    monkeypatch.setattr(jetstream, "LOOK_SECONDS", 0.0)
    (job,) = await taken(queue)
    assert job.message.data == b"1"
