"""Durable commands over a queue in memory."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager

import msgspec

from engine.application.durable import ALIASES, DLQ_CODE, DLQ_REASON, DurableCommands
from engine.application.logins import Logins
from engine.application.registration import Registration
from engine.application.service import Commands
from engine.contracts import subjects
from engine.contracts.requests import COMMAND_ID, ERROR_CODE
from engine.domain.commands import COMMANDS
from engine.domain.values import CommandId, TailnetName
from engine.ports import Fault, Headers, Message
from tests.unit.application.world import Lab, running

T = TailnetName("t")
PEER = {
    "name": "relay",
    "user": "ann",
    "publicKey": "xJsw8SNGxKwqPHgULHWY7Z2tPNBJPxKLbJ9FJxDfXr8=",
    "allowedIps": ["0.0.0.0/0"],
    "endpoints": ["1.2.3.4:51820"],
}


class ListedJob:
    def __init__(self, message: Message) -> None:
        self.message = message
        self.state = "taken"

    async def done(self) -> None:
        self.state = "done"

    async def again(self, delay: float) -> None:  # noqa: ARG002 (the port's)
        self.state = "again"


class ListedQueue:
    """A `WorkQueue` over a list; a work queue's real behaviour is tested on the real one."""

    def __init__(self) -> None:
        self.kept: dict[str, tuple[bytes, Mapping[str, str]]] = {}

    async def open(self) -> None: ...

    async def take(self, limit: int, *, timeout: float) -> Sequence[ListedJob]:  # noqa: ARG002 (the port's)
        await asyncio.Event().wait()
        return []

    async def keep(self, subject: str, data: bytes, headers: Headers | None = None) -> None:
        self.kept[subject] = (data, headers or {})


class Desk:
    def __init__(self, lab: Lab) -> None:
        registration = Registration(lab.engine, Logins(lab.clock, lab.ids), lab.ids)
        self.commands = Commands(lab.engine, registration, lab.ids, open_commands=False)
        self.queue = ListedQueue()
        self.lab = lab
        self._durable = DurableCommands(self.queue, self.commands, T)

    async def do(self, *jobs: tuple[str, object, str]) -> list[str]:
        listed = [
            ListedJob(
                Message(
                    subjects.durable_as(T, "alice", name),
                    msgspec.json.encode(body),
                    {COMMAND_ID: key} if key else {},
                )
            )
            for name, body, key in jobs
        ]
        async with asyncio.TaskGroup() as group:
            self._durable.start(group, listed)
        return [job.state for job in listed]

    def result(self, key: str) -> dict[str, object]:
        data, _ = self.queue.kept[subjects.durable_result(T, CommandId(key))]
        found: dict[str, object] = msgspec.json.decode(data)
        return found


@asynccontextmanager
async def desk() -> AsyncIterator[Desk]:
    async with running() as lab:
        yield Desk(lab)


async def test_commands_that_need_each_other_are_decided_in_order() -> None:
    async with desk() as d:
        states = await d.do(
            ("user.create", {"name": "ann"}, "1"),
            ("peer.register", PEER, "2"),
            ("peer.remove", {"peer": "relay"}, "3"),
        )
        assert states == ["done"] * 3
        assert d.result("2")["id"] == 100_000_001
        assert not d.lab.engine.tailnet.peers


async def test_a_past_tense_name_is_the_command() -> None:
    async with desk() as d:
        await d.do(("UserCreated", {"name": "ann"}, "1"), ("PeerRegistered", PEER, "2"))
        assert d.result("2")["ok"] is True
        assert (await d.lab.records())[2].event.name == "user.create"  # type: ignore[union-attr]


async def test_an_alias_and_its_command_are_one_command() -> None:
    async with desk() as d:
        await d.do(("UserCreated", {"name": "ann"}, "1"), ("user.create", {"name": "ann"}, "1"))
        assert d.result("1")["ok"] is True
        assert len(d.lab.engine.tailnet.users) == 1


async def test_a_refused_command_is_answered_and_buried() -> None:
    async with desk() as d:
        assert await d.do(("peer.remove", {"peer": "ghost"}, "1")) == ["done"]
        assert "error" in d.result("1")
        data, headers = d.queue.kept["netmap.v1.t.dlq.cmd.peer.remove"]
        assert msgspec.json.decode(data) == {"peer": "ghost"}
        assert (headers[DLQ_CODE], headers[COMMAND_ID]) == ("peer.not_found", "1")
        assert headers[DLQ_REASON]
        assert d.queue.kept[subjects.durable_result(T, CommandId("1"))][1][ERROR_CODE] == "404"


async def test_a_pre_auth_key_is_not_kept_and_is_told_to_who_asks_directly() -> None:
    """Invariant S9: results lie in a stream's files for a day."""
    async with desk() as d:
        body = {"user": "ann"}
        await d.do(("user.create", {"name": "ann"}, "1"), ("AuthKeyCreated", body, "2"))
        assert d.result("2")["ok"] is True
        direct = Message(
            subjects.command_as(T, "alice", "authkey", "create"), msgspec.json.encode(body), {COMMAND_ID: "2"}
        )
        told = await d.commands.do(direct, "authkey.create", CommandId("2"))
        secret = str(told.result["key"]).encode()
        assert not [subject for subject, (data, _) in d.queue.kept.items() if secret in data]


async def test_an_api_key_is_not_kept_and_is_told_to_who_asks_directly() -> None:
    """Invariant S9, and a resend is told the same key."""
    async with desk() as d:
        await d.do(("ApiKeyCreated", {}, "1"))
        direct = Message(subjects.command_as(T, "alice", "apikey", "create"), b"{}", {COMMAND_ID: "1"})
        told = await d.commands.do(direct, "apikey.create", CommandId("1"))
        again = await d.commands.do(direct, "apikey.create", CommandId("1"))
        secret = str(told.result["key"]).encode()
        assert secret.startswith(b"hskey-api-" + str(told.result["prefix"]).encode())
        assert again == told
        assert "hskey" not in repr(d.result("1"))
        assert not [subject for subject, (data, _) in d.queue.kept.items() if secret in data]


async def test_what_may_be_a_secret_is_not_buried_with_its_command() -> None:
    """Invariant S9: dead letters lie in a stream's files for a month."""
    secret = "privkey:" + "ab" * 32
    async with desk() as d:
        await d.do(
            ("user.create", {"name": "ann"}, "1"),
            ("peer.register", PEER | {"publicKey": secret}, "2"),
            ("peer.register", PEER | {"extraConfig": {"privateKey": secret}}, "3"),
            ("authkey.expire", {"key": secret}, "4"),
            ("apikey.expire", {"key": secret}, "5"),
            ("apikey.delete", {"key": secret}, "6"),
        )
        assert not [subject for subject, (data, _) in d.queue.kept.items() if secret.encode() in data]
        assert d.queue.kept["netmap.v1.t.dlq.cmd.peer.register"][1][DLQ_CODE] == "extra.secret"


async def test_a_command_without_an_id_or_of_no_kind_is_buried() -> None:
    async with desk() as d:
        assert await d.do(("user.create", {"name": "ann"}, ""), ("NoSuchThing", {}, "2")) == ["done", "done"]
        assert d.queue.kept["netmap.v1.t.dlq.cmd.user.create"][1][DLQ_CODE] == "command.id_missing"
        assert d.queue.kept["netmap.v1.t.dlq.cmd.NoSuchThing"][1][DLQ_CODE] == "command.unknown"


async def test_after_a_fault_the_command_comes_again_and_has_one_effect() -> None:
    async with desk() as d:
        d.lab.store.fault, d.lab.store.keep = Fault("disk"), True
        assert await d.do(("user.create", {"name": "ann"}, "1")) == ["again"]
        assert not d.queue.kept
        for _ in range(20):
            await asyncio.sleep(0)
        assert await d.do(("user.create", {"name": "ann"}, "1")) == ["done"]
        assert len(d.lab.engine.tailnet.users) == 1


def test_every_alias_means_a_command_and_every_command_but_a_logins_has_one() -> None:
    commands = {f"{entity}.{verb}" for entity, verb in COMMANDS}
    assert set(ALIASES.values()) == {name for name in commands if not name.startswith("login.")}
