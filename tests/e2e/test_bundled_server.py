"""The bundled nats-server: it comes up, comes back, goes; and who may do what on it."""

import asyncio
import os
import signal
import stat
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from engine.adapters.bus.eventstream import JetStreamEvents
from engine.adapters.bus.nats import NatsBus, open_bus
from engine.adapters.bus.server import binary, bundled
from engine.adapters.bus.server_config import ROLES
from engine.config import Settings
from engine.domain.values import DEFAULT_TAILNET
from engine.ports import Answer, Endpoint, Fault, Message
from tests.contract.events_suite import messages
from tests.kit.procs import Proc

pytestmark = pytest.mark.real
OWN = "netmap.v1.default"


@asynccontextmanager
async def served(folder: Path) -> AsyncIterator[Settings]:
    async with bundled(Settings(directory=str(folder), nats_port=0)) as settings:
        yield settings


@asynccontextmanager
async def users(folder: Path) -> AsyncIterator[dict[str, NatsBus]]:
    async with served(folder) as settings:
        buses = {role: await open_bus(settings, role, name=role) for role in ROLES}
        yield buses
        for bus in buses.values():
            await bus.close()


def pid_of(folder: Path) -> int:
    return int((folder / "nats.pid").read_text())


async def echo(message: Message) -> Answer:
    return Answer(message.subject.encode())


async def test_every_secret_is_its_owners_alone(tmp_path: Path) -> None:
    folder = tmp_path / "d"
    async with served(folder):
        files = [folder / "nats.conf", *(folder / "contexts").iterdir()]
        assert len(files) == 1 + len(ROLES)
        assert {stat.S_IMODE(path.stat().st_mode) for path in files} == {0o600}
        assert stat.S_IMODE((folder / "contexts").stat().st_mode) == 0o700


async def test_passwords_are_kept_over_restarts(tmp_path: Path) -> None:
    async with served(tmp_path):
        first = (tmp_path / "contexts/operator.json").read_text()
    async with served(tmp_path):
        second = (tmp_path / "contexts/operator.json").read_text()
    assert first.split('"password"')[1].split(",")[0] == second.split('"password"')[1].split(",")[0]


async def test_a_child_that_dies_is_started_again(tmp_path: Path) -> None:
    async with users(tmp_path) as buses:
        stream = await buses["projection"].subscribe(f"{OWN}.log.head")
        os.kill(pid_of(tmp_path), signal.SIGKILL)
        async with asyncio.timeout(15):
            while True:
                await buses["engine"].publish(f"{OWN}.log.head", b"")
                try:
                    await asyncio.wait_for(anext(stream), 0.2)
                    break
                except TimeoutError:
                    continue


async def test_the_child_goes_with_its_parent(tmp_path: Path) -> None:
    async with served(tmp_path):
        pid = pid_of(tmp_path)
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


async def test_a_child_of_a_killed_parent_is_ended_first(tmp_path: Path) -> None:
    async with served(tmp_path) as settings:
        pass
    with Proc([str(binary()), "-c", str(tmp_path / "nats.conf")], tmp_path / "orphan.log") as orphan:
        await asyncio.to_thread(orphan.wait_port, settings.nats_port)
        async with bundled(settings):
            assert not orphan.running
            assert pid_of(tmp_path) != orphan.pid


async def test_a_taken_port_is_said(tmp_path: Path) -> None:
    async with served(tmp_path / "one") as settings:
        with pytest.raises(Fault, match=f"port {settings.nats_port} taken"):
            async with bundled(Settings(directory=str(tmp_path / "two"), nats_port=settings.nats_port)):
                pass


async def test_nobody_comes_in_without_a_password(tmp_path: Path) -> None:
    async with served(tmp_path) as settings:
        with pytest.raises(Fault):
            await NatsBus.connect([f"nats://127.0.0.1:{settings.nats_port}"], name="x", within=1)


async def test_an_operators_short_command_arrives_with_its_name(tmp_path: Path) -> None:
    async with users(tmp_path) as buses:
        await buses["engine"].serve(
            "s", "1.0.0", "", [Endpoint(name="any", subject=f"{OWN}.as.*.cmd.>", respond=echo)]
        )
        reply = await buses["operator"].request(f"{OWN}.cmd.peer.register", b"", timeout=5)
        assert reply.data == f"{OWN}.as.operator.cmd.peer.register".encode()


MAY_NOT_ASK = [
    ("operator", f"{OWN}.as.bob.cmd.peer.register"),
    ("operator", f"{OWN}.as.operator.cmd.peer.register"),
    ("operator", f"{OWN}.as.api.0123456789ab.cmd.peer.register"),
    ("operator", f"{OWN}.q.apikey.check"),
    ("operator", f"{OWN}.reg.f1.register"),
    ("operator", "$JS.API.STREAM.LIST"),
    ("operator", f"{OWN}.js.CONSUMER.CREATE.NETMAP_EVENTS"),
    ("operator", f"{OWN}.js.STREAM.PURGE.NETMAP_EVENTS"),
    ("operator", f"{OWN}.js.STREAM.DELETE.NETMAP_EVENTS"),
    ("operator", f"{OWN}.js.STREAM.INFO.NETMAP_CMDQ"),
    ("operator", "$JS.API.STREAM.PURGE.NETMAP_EVENTS"),
    ("frontend", "$JS.API.STREAM.INFO.NETMAP_EVENTS"),
    ("frontend", f"{OWN}.as.operator.cmd.peer.register"),
    ("frontend", f"{OWN}.as.api.0123456789ab.cmd.peer.register"),
    ("frontend", f"{OWN}.q.apikey.check"),
    ("frontend", f"{OWN}.cmd.peer.register"),
    ("frontend", f"{OWN}.q.event.list"),
    ("frontend", "$JS.API.STREAM.LIST"),
    ("admin", f"{OWN}.as.operator.cmd.peer.register"),
    ("admin", f"{OWN}.as.api.0123456789ab.cmd.policy.set"),
    ("admin", f"{OWN}.as.api.0123456789ab.cmd.apikey.create"),
    ("admin", f"{OWN}.cmd.peer.register"),
    ("admin", f"{OWN}.reg.f1.register"),
    ("admin", f"{OWN}.q.snapshot.get"),
    ("admin", f"{OWN}.q.event.list"),
    ("admin", "$JS.API.STREAM.LIST"),
    ("projection", f"{OWN}.as.operator.cmd.peer.register"),
    ("projection", f"{OWN}.reg.f1.register"),
    ("projection", "$JS.API.STREAM.LIST"),
]


async def test_what_is_not_allowed_does_not_arrive(tmp_path: Path) -> None:
    async with users(tmp_path) as buses:
        heard: list[str] = []

        async def listen(message: Message) -> Answer:
            heard.append(message.subject)
            return Answer(b"")

        subjects = [f"{OWN}.as.*.cmd.>", f"{OWN}.as.api.*.cmd.>", f"{OWN}.cmd.>", f"{OWN}.reg.>"]
        await buses["engine"].serve(
            "s",
            "1.0.0",
            "",
            [Endpoint(name=f"e{n}", subject=s, respond=listen) for n, s in enumerate(subjects)],
        )
        for role, subject in MAY_NOT_ASK:
            with pytest.raises(Fault):
                await buses[role].request(subject, b"", timeout=0.2)
        assert heard == []
        await buses["frontend"].request(f"{OWN}.reg.f1.register", b"", timeout=5)
        by_key = f"{OWN}.as.api.0123456789ab.cmd.peer.register"
        await buses["admin"].request(by_key, b"", timeout=5)
        assert heard == [f"{OWN}.reg.f1.register", by_key]


MAY_NOT_HEAR = [
    ("operator", f"{OWN}.as.*.cmd.>"),
    ("operator", f"{OWN}.reg.>"),
    ("frontend", f"{OWN}.reg.>"),
    ("frontend", f"{OWN}.as.*.cmd.>"),
    ("projection", f"{OWN}.reg.>"),
    ("admin", f"{OWN}.as.>"),
    ("admin", f"{OWN}.map.>"),
    ("admin", "_INBOX_operator.>"),
    ("projection", "_INBOX_engine.>"),
    ("engine", "_INBOX_operator.>"),
]


async def repeat(bus: NatsBus, subject: str) -> None:
    """Say it until cancelled: a message on the bus may be lost."""
    while True:
        await bus.publish(subject, b"")
        await asyncio.sleep(0.2)


async def test_what_is_not_allowed_is_not_heard(tmp_path: Path) -> None:
    async with users(tmp_path) as buses:
        streams = [await buses[role].subscribe(subject) for role, subject in MAY_NOT_HEAR]
        control = await buses["engine"].subscribe(f"{OWN}.reg.>")
        said = asyncio.create_task(repeat(buses["frontend"], f"{OWN}.reg.f1.register"))
        async with asyncio.timeout(20):
            await anext(control)
        said.cancel()
        for stream in streams:
            assert not stream._waiting  # type: ignore[attr-defined]


async def test_an_operator_reads_the_stream_of_events(tmp_path: Path) -> None:
    async with users(tmp_path) as buses:
        stream = JetStreamEvents(buses["engine"], DEFAULT_TAILNET, age=3_600.0, octets=0)
        await stream.open()
        await stream.last()
        live = await buses["operator"].subscribe(f"{OWN}.ev.>")
        await stream.publish(messages()[:3])
        async with asyncio.timeout(5):
            assert [(await anext(live)).subject for _ in range(3)] == [m.subject for m in messages()[:3]]
        js = buses["operator"].client.jetstream(prefix=f"{OWN}.js")
        assert (await js.stream_info("NETMAP_EVENTS")).state.messages == 3
        for direct in (False, True):
            assert (await js.get_msg("NETMAP_EVENTS", 2, direct=direct)).data == messages()[1].data


async def test_an_operator_sees_deltas_and_services(tmp_path: Path) -> None:
    async with users(tmp_path) as buses:
        stream = await buses["operator"].subscribe(f"{OWN}.map.>")
        await buses["projection"].publish(f"{OWN}.map.delta", b"x")
        async with asyncio.timeout(5):
            assert (await anext(stream)).data == b"x"
        for name in ("one", "two"):
            await buses["engine"].serve(
                name, "1.0.0", "", [Endpoint(name="e", subject=f"{OWN}.cmd.{name}", respond=echo)]
            )
        reply = await buses["operator"].request("$SRV.INFO.two", b"", timeout=5)
        assert b'"name": "two"' in reply.data
        inbox = buses["operator"].client.new_inbox()
        answers = await buses["operator"].subscribe(inbox)
        await buses["operator"].client.publish("$SRV.PING", b"", reply=inbox)
        async with asyncio.timeout(5):
            assert len([await anext(answers) for _ in range(2)]) == 2
