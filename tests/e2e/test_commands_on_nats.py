"""Commands on a real nats-server with its accounts, and a store in SQLite: what an operator meets."""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest

from engine.adapters.bus.nats import NatsBus, open_bus
from engine.adapters.bus.server import bundled
from engine.adapters.store.opening import open_reader
from engine.bootstrap import run_engine
from engine.config import Settings
from engine.contracts import subjects
from engine.contracts.queries import HeadReply
from engine.contracts.requests import COMMAND_ID, ERROR_CODE, ERROR_TEXT, Accepted, ErrorReply, Problem
from engine.domain.commands import COMMANDS
from engine.domain.events import PeerRegistered, UserCreated
from engine.domain.values import CommandId, Position, TailnetName
from engine.ports import Fault, Message, Recorded

pytestmark = pytest.mark.real
T = TailnetName("default")
PEER = {
    "name": "mullvad-exit",
    "user": "ann",
    "publicKey": "xJsw8SNGxKwqPHgULHWY7Z2tPNBJPxKLbJ9FJxDfXr8=",
    "allowedIps": ["0.0.0.0/0", "::/0"],
    "endpoints": ["1.2.3.4:51820"],
}


class Site:
    def __init__(self, settings: Settings, operator: NatsBus, engine: "RunningEngine") -> None:
        self.settings = settings
        self.operator = operator
        self.engine = engine

    async def ask(self, name: str, body: object, headers: Mapping[str, str] | None = None) -> Message:
        data = body if isinstance(body, bytes) else msgspec.json.encode(body)
        subject = subjects.command(T, *name.split("."))
        return await self.operator.request(subject, data, timeout=10, headers=headers)

    async def command(self, name: str, body: object, key: str = "") -> Accepted:
        reply = await self.ask(name, body, {COMMAND_ID: key} if key else None)
        return msgspec.json.decode(reply.data, type=Accepted)

    async def refused(self, name: str, body: object, headers: Mapping[str, str] | None = None) -> Problem:
        reply = await self.ask(name, body, headers)
        problem = msgspec.json.decode(reply.data, type=ErrorReply).error
        assert reply.headers[ERROR_CODE] == str(problem.status)
        assert reply.headers[ERROR_TEXT]
        return problem

    async def durable(self, name: str, body: object, key: str) -> None:
        """Put a command into the queue and wait for the server's word that it has it."""
        subject, headers = subjects.durable(T, name), {COMMAND_ID: key} if key else {}
        reply = await self.operator.request(subject, msgspec.json.encode(body), timeout=10, headers=headers)
        assert "error" not in json.loads(reply.data), reply.data

    async def records(self) -> list[Recorded]:
        reader = open_reader(self.settings.store_url(), tailnet=T)
        try:
            return list(await reader.read(Position(0), 10_000))
        finally:
            await reader.close()


class RunningEngine:
    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._stop = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    async def start(self, asking: NatsBus) -> None:
        self._stop.clear()
        self._task = asyncio.create_task(run_engine(self._settings, self._stop))
        async with asyncio.timeout(15):
            while not self._task.done():
                try:
                    await asking.request(f"$SRV.PING.{subjects.REGISTRATION_SERVICE}", b"", timeout=0.2)
                except Fault:
                    await asyncio.sleep(0.02)
                else:
                    return
        await self._task

    async def stop(self) -> None:
        self._stop.set()
        if self._task is not None:
            async with asyncio.timeout(15):
                await self._task


@asynccontextmanager
async def site(folder: Path) -> AsyncIterator[Site]:
    async with bundled(Settings(directory=str(folder), nats_port=0)) as settings:
        operator = await open_bus(settings, "operator", name="operator")
        engine = RunningEngine(settings)
        await engine.start(operator)
        try:
            yield Site(settings, operator, engine)
        finally:
            await engine.stop()
            await operator.close()


async def test_an_operator_registers_a_peer_and_the_log_says_who(tmp_path: Path) -> None:
    async with site(tmp_path) as s:
        await s.command("user.create", {"name": "ann"})
        accepted = await s.command("peer.register", PEER, "reg-1")
        assert (accepted.id, accepted.command_id) == (100_000_001, "reg-1")
        registered = next(r for r in await s.records() if isinstance(r.event, PeerRegistered))
        assert (registered.envelope.actor, registered.envelope.command_id) == ("operator", "reg-1")


async def test_an_operator_cannot_be_somebody_else(tmp_path: Path) -> None:
    async with site(tmp_path) as s:
        body = msgspec.json.encode({"name": "ann"})
        for subject in (
            subjects.command_as(T, "bob", "user", "create"),
            subjects.durable_as(T, "bob", "user.create"),
        ):
            with pytest.raises(Fault):
                await s.operator.request(subject, body, timeout=0.3, headers={COMMAND_ID: "x"})
        await s.command("user.create", {"name": "bob"})
        created = [r for r in await s.records() if isinstance(r.event, UserCreated)]
        assert [(r.event.name, r.envelope.actor) for r in created if isinstance(r.event, UserCreated)] == [
            ("bob", "operator")
        ]


ERRORS: list[tuple[str, object, dict[str, str], str, int]] = [
    ("user.create", b"{", {}, "body.not_json", 422),
    ("user.create", {"name": "ann", "nme": "x"}, {}, "body.unknown_field", 422),
    ("user.create", {"name": 7}, {}, "body.wrong_type", 422),
    ("user.create", {}, {}, "body.missing_field", 422),
    ("user.create", b'{"name":"a","name":"b"}', {}, "body.duplicate_field", 422),
    ("user.create", {"name": "x" * 600_000}, {}, "body.too_large", 422),
    ("user.create", {"name": "ann"}, {COMMAND_ID: "a b"}, "command.id_malformed", 422),
    ("user.creat", {}, {}, "command.unknown", 404),
    ("node.remove", {"node": "ghost"}, {}, "node.not_found", 404),
    ("login.approve", {"login": "x", "user": "ann"}, {}, "login.unknown", 404),
]


async def test_every_refusal_has_a_code_in_body_and_headers(tmp_path: Path) -> None:
    async with site(tmp_path) as s:
        for name, body, headers, code, status in ERRORS:
            problem = await s.refused(name, body, headers)
            assert (problem.code, problem.status) == (code, status)
        assert len(await s.records()) == 1


async def test_the_services_tell_what_they_do(tmp_path: Path) -> None:
    async with site(tmp_path) as s:
        await s.command("user.create", {"name": "ann"})
        await s.refused("user.create", {"name": "ann"})
        reply = await s.operator.request(f"$SRV.INFO.{subjects.COMMAND_SERVICE}", b"", timeout=5)
        info: dict[str, Any] = json.loads(reply.data)
        by_name = {endpoint["name"]: endpoint for endpoint in info["endpoints"]}
        for entity, verb in COMMANDS:
            endpoint = by_name[f"{entity}-{verb}"]
            assert endpoint["subject"] == subjects.command(T, entity, verb)
            assert json.loads(endpoint["metadata"]["schema"])
            assert len(endpoint["metadata"]["schema"]) <= 2_048
        reply = await s.operator.request(f"$SRV.STATS.{subjects.COMMAND_SERVICE}", b"", timeout=5)
        stats = {e["name"]: e for e in json.loads(reply.data)["endpoints"]}
        assert (stats["user-create-as"]["num_requests"], stats["user-create-as"]["num_errors"]) == (2, 1)


async def test_a_resend_has_one_effect_and_one_answer_also_after_a_restart(tmp_path: Path) -> None:
    async with site(tmp_path) as s:
        await s.command("user.create", {"name": "ann"}, "u-1")
        key = await s.command("authkey.create", {"user": "ann"}, "k-1")
        assert str(key.result["key"]).startswith("nmkey-1-")
        before = len(await s.records())
        assert await s.command("authkey.create", {"user": "ann"}, "k-1") == key
        await s.engine.stop()
        await s.engine.start(s.operator)
        assert await s.command("authkey.create", {"user": "ann"}, "k-1") == key
        assert (
            await s.refused("user.create", {"name": "bob"}, {COMMAND_ID: "k-1"})
        ).code == "command.id_reused"
        assert len(await s.records()) == before


async def test_concurrent_resends_have_one_effect(tmp_path: Path) -> None:
    async with site(tmp_path) as s:
        answers = await asyncio.gather(*(s.command("user.create", {"name": "ann"}, "u-1") for _ in range(8)))
        assert all(answer == answers[0] for answer in answers)
        assert len(await s.records()) == 3


async def test_no_engine_is_told_at_once(tmp_path: Path) -> None:
    async with site(tmp_path) as s:
        await s.engine.stop()
        with pytest.raises(Fault, match="nobody listens"):
            await s.command("user.create", {"name": "ann"})


async def result_of(stream: AsyncIterator[Message], key: str) -> Message:
    async with asyncio.timeout(15):
        async for message in stream:
            if message.subject == subjects.durable_result(T, CommandId(key)):
                return message
    raise AssertionError(key)


async def test_durable_commands_are_done_in_order_and_answered(tmp_path: Path) -> None:
    async with site(tmp_path) as s:
        results = await s.operator.subscribe(f"{subjects.ROOT}.{T}.res.*")
        await s.durable("user.create", {"name": "ann"}, "1")
        await s.durable("PeerRegistered", PEER, "2")
        await s.durable("PeerRegistered", PEER, "2")
        await s.durable("ConnectionAdded", {"node": "ghost", "peer": "mullvad-exit"}, "3")
        accepted = msgspec.json.decode((await result_of(results, "2")).data, type=Accepted)
        assert accepted.id == 100_000_001
        refused = await result_of(results, "3")
        assert msgspec.json.decode(refused.data, type=ErrorReply).error.code == "node.not_found"
        peers = [r for r in await s.records() if isinstance(r.event, PeerRegistered)]
        assert [r.envelope.actor for r in peers] == ["operator"]


async def test_what_waits_in_the_queue_is_done_by_the_next_engine(tmp_path: Path) -> None:
    async with site(tmp_path) as s:
        results = await s.operator.subscribe(f"{subjects.ROOT}.{T}.res.*")
        await s.engine.stop()
        await s.durable("UserCreated", {"name": "ann"}, "1")
        await s.engine.start(s.operator)
        assert msgspec.json.decode((await result_of(results, "1")).data, type=Accepted).ok


async def test_a_refused_durable_command_is_kept_as_a_dead_letter(tmp_path: Path) -> None:
    async with site(tmp_path) as s:
        results = await s.operator.subscribe(f"{subjects.ROOT}.{T}.res.*")
        await s.durable("peer.remove", {"peer": "ghost"}, "1")
        await result_of(results, "1")
        engine = await open_bus(s.settings, "engine", name="looker")
        try:
            async with asyncio.timeout(10):
                while True:
                    info = await engine.client.jetstream().stream_info(subjects.DLQ_STREAM)
                    if info.state.messages:
                        break
                    await asyncio.sleep(0.02)
            kept = await engine.client.jetstream().get_msg(
                subjects.DLQ_STREAM, subject=subjects.dead_letter(T, "peer.remove")
            )
            assert kept.headers is not None
            assert kept.headers["Netmap-Code"] == "peer.not_found"
        finally:
            await engine.close()


async def test_a_commit_wakes_the_readers_of_the_log(tmp_path: Path) -> None:
    async with site(tmp_path) as s:
        heads = await s.operator.subscribe(subjects.log_head(T))
        accepted = await s.command("user.create", {"name": "ann"})
        async with asyncio.timeout(5):
            async for message in heads:
                head = msgspec.json.decode(message.data, type=HeadReply)
                if head.position >= accepted.position:
                    break
