"""Commands and registrations on a bus in memory: every kind of answer, and who the actor is."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import pytest

from engine.adapters.bus.memory import Hub, MemoryBus
from engine.adapters.checkpoints import MemoryCheckpoints
from engine.application.checkpoints import Checkpoints
from engine.application.logins import MOST, Logins
from engine.application.registration import Registration
from engine.application.service import Commands, metadata_of, serve
from engine.contracts import subjects
from engine.contracts.queries import HeadReply
from engine.contracts.registration import LoginList, RegisterReply
from engine.contracts.requests import (
    CAUSE,
    COMMAND_ID,
    DEADLINE,
    REASON,
    STRICT,
    Accepted,
    ErrorReply,
    Problem,
)
from engine.domain.commands import COMMANDS
from engine.domain.events import NodeRegistered
from engine.domain.values import NodeId, TailnetName
from engine.ports import Fault, Message, NoResponders
from tests.kit.fakes import MemoryKeyRing
from tests.kit.scenario import DOCUMENT_KEY
from tests.unit.application.world import Lab, running

T = TailnetName("t")


class Site:
    """An engine on a bus, and somebody who asks."""

    def __init__(self, lab: Lab, bus: MemoryBus) -> None:
        self.lab = lab
        self.bus = bus

    async def ask(self, subject: str, body: object, headers: Mapping[str, str] | None = None) -> Message:
        data = body if isinstance(body, bytes) else msgspec.json.encode(body)
        return await self.bus.request(subject, data, timeout=30, headers=headers)

    async def command(self, name: str, body: object, **headers: str) -> Accepted:
        named = {
            {"id": COMMAND_ID, "reason": REASON, "deadline": DEADLINE, "cause": CAUSE}[k]: v
            for k, v in headers.items()
        }
        reply = await self.ask(subjects.command_as(T, "alice", *name.split(".")), body, named)
        return msgspec.json.decode(reply.data, type=Accepted, strict=True)

    async def refused(self, name: str, body: object, headers: Mapping[str, str] | None = None) -> Problem:
        reply = await self.ask(subjects.command_as(T, "alice", *name.split(".")), body, headers)
        return msgspec.json.decode(reply.data, type=ErrorReply).error

    async def reg(self, verb: str, body: object) -> RegisterReply:
        reply = await self.ask(subjects.registration(T, "f1", verb), body)
        return msgspec.json.decode(reply.data, type=RegisterReply)


@asynccontextmanager
async def site(*, open_commands: bool = False) -> AsyncIterator[Site]:
    async with running() as lab:
        hub = Hub()
        served, asking = MemoryBus(hub), MemoryBus(hub)
        registration = Registration(lab.engine, Logins(lab.clock, lab.ids), lab.ids)
        commands = Commands(lab.engine, registration, lab.ids, open_commands=open_commands)
        checkpoints = Checkpoints(lab.engine, MemoryKeyRing(), served, T, MemoryCheckpoints())
        await serve(served, T, commands, registration, checkpoints)
        yield Site(lab, asking)
        await served.close()
        await asking.close()


def machine(number: int = 1, node: int = 2) -> dict[str, object]:
    return {
        "machineKey": f"mkey:{number:064x}".replace("mkey:0", "mkey:a"),
        "nodeKey": f"nodekey:{node:064x}".replace("nodekey:0", "nodekey:a"),
        "hostname": "laptop",
    }


async def test_a_command_is_answered_with_its_position_and_id() -> None:
    async with site() as s:
        accepted = await s.command("user.create", {"name": "ann"}, id="u-1", reason="new hire", cause="c-0")
        assert (accepted.ok, accepted.id, accepted.command_id) == (True, 1, "u-1")
        envelope = (await s.lab.records())[1].envelope
        assert (envelope.actor, envelope.reason, envelope.command_id) == ("alice", "new hire", "u-1")
        assert envelope.cause == "c-0"


async def test_a_command_without_an_id_gets_one() -> None:
    async with site() as s:
        assert (await s.command("user.create", {"name": "ann"})).command_id


async def test_an_unknown_command_is_answered_once_with_its_nearest() -> None:
    async with site() as s:
        error = await s.refused("peer.reigster", {})
        assert (error.code, error.status, error.hint) == ("command.unknown", 404, "perhaps 'peer.register'?")


async def test_the_short_subject_is_nobodys() -> None:
    async with site() as s:
        for name in (("user", "create"), ("user", "crate")):
            reply = await s.ask(subjects.command(T, *name), {"name": "ann"})
            assert msgspec.json.decode(reply.data, type=ErrorReply).error.code == "command.no_actor"


async def test_the_short_subject_is_anonymous_when_commands_are_open() -> None:
    async with site(open_commands=True) as s:
        await s.ask(subjects.command(T, "user", "create"), {"name": "ann"})
        assert (await s.lab.records())[1].envelope.actor == "anonymous"


@pytest.mark.parametrize(
    ("body", "headers", "code", "status"),
    [
        (b"{", {}, "body.not_json", 422),
        ({"name": "ann", "nme": 1}, {}, "body.unknown_field", 422),
        ({"name": 7}, {}, "body.wrong_type", 422),
        ({}, {}, "body.missing_field", 422),
        (b'{"name":"a","name":"b"}', {}, "body.duplicate_field", 422),
        ({"name": "x" * 600_000}, {}, "body.too_large", 422),
        ({"name": "ann"}, {COMMAND_ID: "a b"}, "command.id_malformed", 422),
        ({"name": "ann"}, {REASON: "x" * 2_000}, "command.reason_too_long", 422),
        ({"name": "ann"}, {CAUSE: "two words"}, "command.cause_malformed", 422),
        ({"name": "ann"}, {DEADLINE: "soon"}, "command.deadline_malformed", 422),
        ({"name": "ann"}, {DEADLINE: "1"}, "command.expired", 409),
        ({"name": "taken"}, {}, "user.taken", 409),
    ],
)
async def test_every_error_has_its_code(
    body: object, headers: dict[str, str], code: str, status: int
) -> None:
    async with site() as s:
        await s.command("user.create", {"name": "taken"})
        before = len(await s.lab.records())
        error = await s.refused("user.create", body, headers)
        assert (error.code, error.status, error.retryable) == (code, status, False)
        assert len(await s.lab.records()) == before


async def test_a_fault_tells_the_id_to_ask_for() -> None:
    async with site() as s:
        s.lab.store.fault = Fault("disk")
        error = await s.refused("user.create", {"name": "ann"})
        assert (error.code, error.status, error.retryable) == ("engine.unknown_outcome", 503, True)
        assert error.command_id


async def by_key(s: Site, prefix: str, name: str, body: object) -> dict[str, Any]:
    subject = subjects.command_by_key(T, prefix, *name.split("."))
    answer: dict[str, Any] = msgspec.json.decode((await s.ask(subject, body)).data)
    return answer


async def test_the_holder_of_an_api_key_is_the_actor_until_the_key_ends() -> None:
    peer = {"name": "exit", "user": 1, "publicKey": "nodekey:" + "ab" * 32}
    peer |= {"allowedIps": ["10.0.0.0/8"], "endpoints": ["192.0.2.1:1"]}
    async with site() as s:
        await s.command("user.create", {"name": "ann"})
        prefix = str((await s.command("apikey.create", {})).result["prefix"])
        assert (await by_key(s, prefix, "peer.register", peer))["ok"] is True
        assert (await s.lab.records())[-1].envelope.actor == f"api-{prefix}"
        await s.command("apikey.expire", {"key": prefix})
        before = len(await s.lab.records())
        ended = await by_key(s, prefix, "peer.remove", {"peer": "exit"})
        unknown = await by_key(s, "0" * 12, "peer.remove", {"peer": "exit"})
        assert ended["error"]["code"] == unknown["error"]["code"] == "apikey.ended"
        assert len(await s.lab.records()) == before


async def test_an_api_key_that_ran_out_changes_nothing() -> None:
    async with site() as s:
        prefix = str((await s.command("apikey.create", {"expiresInSeconds": 60})).result["prefix"])
        assert (await by_key(s, prefix, "node.remove", {"node": 1}))["error"]["code"] == "node.not_found"
        s.lab.clock.advance(60)
        assert (await by_key(s, prefix, "node.remove", {"node": 1}))["error"]["code"] == "apikey.ended"


async def test_a_key_for_an_export_changes_nothing() -> None:
    peer = {"name": "exit", "user": 1, "publicKey": "nodekey:" + "ab" * 32}
    peer |= {"allowedIps": ["10.0.0.0/8"], "endpoints": ["192.0.2.1:1"]}
    async with site() as s:
        await s.command("user.create", {"name": "ann"})
        await s.command("peer.register", peer)
        made = await s.command("apikey.create", {"scope": "export", "peer": "exit"})
        answer = await by_key(s, str(made.result["prefix"]), "peer.remove", {"peer": "exit"})
        assert answer["error"]["code"] == "apikey.scope"


async def test_what_an_api_key_has_no_endpoint_for_is_not_heard() -> None:
    async with site() as s:
        prefix = str((await s.command("apikey.create", {})).result["prefix"])
        with pytest.raises(NoResponders):
            await by_key(s, prefix, "apikey.create", {})


async def test_a_client_with_a_key_is_in() -> None:
    async with site() as s:
        await s.command("user.create", {"name": "ann", "displayName": "Ann"})
        key = (await s.command("authkey.create", {"user": "ann"})).result["key"]
        reply = await s.reg("register", machine() | {"authKey": key})
        assert (reply.outcome, reply.node, reply.user, reply.user_display_name) == (
            "authorized",
            1,
            1,
            "Ann",
        )
        records = await s.lab.records()
        registered = next(r for r in records if isinstance(r.event, NodeRegistered))
        assert registered.envelope.actor == "frontend:f1"
        assert reply.position == records[-1].position


async def test_a_client_that_comes_back_leaves_nothing_in_the_log() -> None:
    async with site() as s:
        await s.command("user.create", {"name": "ann"})
        key = (await s.command("authkey.create", {"user": "ann"})).result["key"]
        await s.reg("register", machine() | {"authKey": key})
        before = len(await s.lab.records())
        assert (await s.reg("register", machine())).outcome == "authorized"
        assert len(await s.lab.records()) == before


async def test_a_wrong_key_is_refused_with_words_for_the_user() -> None:
    async with site() as s:
        reply = await s.reg("register", machine() | {"authKey": "nmkey-1-" + "0" * 32})
        assert (reply.outcome, reply.message) == ("refused", "the pre-auth key is not known here")


async def test_a_client_without_a_key_waits_until_an_operator_approves() -> None:
    async with site() as s:
        await s.command("user.create", {"name": "ann"})
        asked = await s.reg("register", machine())
        assert asked.outcome == "login"
        listed = msgspec.json.decode(
            (await s.ask(subjects.query(T, "login", "list"), b"")).data, type=LoginList
        )
        assert [(login.login, login.hostname) for login in listed.logins] == [(asked.login, "laptop")]
        wait = {"machineKey": machine()["machineKey"], "login": asked.login}
        waiting = asyncio.create_task(s.reg("wait", wait))
        await asyncio.sleep(0)
        approved = await s.command("login.approve", {"login": asked.login, "user": "ann"}, id="ok-1")
        async with asyncio.timeout(1):
            reply = await waiting
        assert (reply.outcome, reply.node, reply.position) == ("authorized", 1, approved.position)
        registered = (await s.lab.records())[-2]
        assert isinstance(registered.event, NodeRegistered)
        assert registered.envelope.actor == "alice"
        again = await s.command("login.approve", {"login": asked.login, "user": "ann"}, id="ok-1")
        assert again == approved
        assert (
            await s.refused("login.approve", {"login": asked.login, "user": "ann"})
        ).code == "login.unknown"


async def test_a_client_is_told_to_try_again_while_too_many_wait() -> None:
    async with site() as s:
        for number in range(MOST):
            await s.reg("register", machine(number=number))
        reply = await s.ask(subjects.registration(T, "f1", "register"), machine(number=MOST))
        error = msgspec.json.decode(reply.data, type=ErrorReply).error
        assert (error.code, error.status, error.retryable) == ("login.full", 503, True)


async def test_an_approval_for_an_unknown_user_leaves_the_login() -> None:
    async with site() as s:
        asked = await s.reg("register", machine())
        error = await s.refused("login.approve", {"login": asked.login, "user": "ghost"})
        assert error.code == "user.not_found"
        await s.command("user.create", {"name": "ann"})
        assert (await s.command("login.approve", {"login": asked.login, "user": "ann"})).ok


async def test_a_rejected_client_is_told() -> None:
    async with site() as s:
        asked = await s.reg("register", machine())
        await s.command("login.reject", {"login": asked.login})
        wait = {"machineKey": machine()["machineKey"], "login": asked.login}
        assert (await s.reg("wait", wait)).outcome == "refused"


async def test_a_login_is_not_for_another_machine() -> None:
    async with site() as s:
        asked = await s.reg("register", machine())
        wait = {"machineKey": machine(number=9)["machineKey"], "login": asked.login}
        reply = await s.ask(subjects.registration(T, "f1", "wait"), wait)
        assert msgspec.json.decode(reply.data, type=ErrorReply).error.code == "login.unknown"


async def test_a_client_logs_out() -> None:
    async with site() as s:
        await s.command("user.create", {"name": "ann"})
        key = (await s.command("authkey.create", {"user": "ann"})).result["key"]
        await s.reg("register", machine() | {"authKey": key})
        keys = {name: machine()[name] for name in ("machineKey", "nodeKey")}
        reply = await s.ask(subjects.registration(T, "f1", "log-out"), keys)
        assert msgspec.json.decode(reply.data, type=Accepted).result["outcome"] == "expired"


POLICY = (
    '{"tagOwners": {"tag:web": ["ann@"]}, "acls": [], "autoApprovers": {"routes": {"10.0.0.0/8": ["ann@"]}}}'
)


async def test_a_client_that_is_in_offers_routes_and_asks_for_tags() -> None:
    async with site() as s:
        await s.command("user.create", {"name": "ann"})
        await s.command("policy.set", {"text": POLICY})
        key = (await s.command("authkey.create", {"user": "ann"})).result["key"]
        told = {"authKey": key, "osVersion": "6.1", "clientVersion": "1.92.5"}
        await s.reg("register", machine() | told)
        subject = subjects.registration(T, "f1", "advertise")
        keys = {name: machine()[name] for name in ("machineKey", "nodeKey")}
        offer = {"routes": ["10.1.0.0/16", "nonsense"], "requestTags": ["tag:db"]}
        reply = msgspec.json.decode((await s.ask(subject, keys | offer)).data, type=Accepted)
        assert reply.result == {"node": 1, "later": False, "refused": True}
        node = s.lab.engine.tailnet.nodes[NodeId(1)]
        assert (node.routes, node.tags) == (("10.1.0.0/16",), ())
        assert (node.os_version, node.client_version) == ("6.1", "1.92.5")
        before = len(await s.lab.records())
        assert (await s.ask(subject, keys | offer)).data
        assert len(await s.lab.records()) == before, "the same offer leaves nothing in the log"
        await s.ask(subject, keys | {"routes": ["10.1.0.0/16"], "requestTags": ["tag:web"]})
        assert s.lab.engine.tailnet.nodes[NodeId(1)].tags == ("tag:web",)


async def test_a_strangers_offer_is_an_error() -> None:
    async with site() as s:
        keys = {name: machine()[name] for name in ("machineKey", "nodeKey")}
        reply = await s.ask(subjects.registration(T, "f1", "advertise"), keys | {"routes": ["10.0.0.0/8"]})
        assert msgspec.json.decode(reply.data, type=ErrorReply).error.code == "node.not_found"
        assert len(await s.lab.records()) == 1


async def test_who_asks_for_tags_that_its_user_does_not_own_is_refused() -> None:
    async with site() as s:
        await s.command("user.create", {"name": "ann"})
        await s.command("user.create", {"name": "bob"})
        await s.command("policy.set", {"text": POLICY})
        asking = {"requestTags": ["tag:web"], "routes": ["10.0.0.0/8"]}
        asked = await s.reg("register", machine() | asking)
        listed = msgspec.json.decode(
            (await s.ask(subjects.query(T, "login", "list"), b"")).data, type=LoginList
        )
        assert listed.logins[0].request_tags == ("tag:web",)
        error = await s.refused("login.approve", {"login": asked.login, "user": "bob"})
        assert error.code == "tag.not_owner"
        assert (await s.command("login.approve", {"login": asked.login, "user": "ann"})).ok
        assert s.lab.engine.tailnet.nodes[NodeId(1)].tags == ("tag:web",)
        key = (await s.command("authkey.create", {"user": "bob"})).result["key"]
        reply = await s.reg("register", machine(number=2, node=3) | asking | {"authKey": key})
        assert (reply.outcome, "tag:web" in reply.message) == ("refused", False)


async def test_a_frontend_asks_for_the_head() -> None:
    async with site() as s:
        reply = await s.ask(subjects.registration(T, "f1", "head"), b"")
        assert msgspec.json.decode(reply.data, type=HeadReply) == s.lab.engine.head()


@pytest.mark.parametrize(("entity", "verb"), COMMANDS)
def test_every_command_tells_its_schema(entity: str, verb: str) -> None:
    metadata = metadata_of(entity, verb)
    assert metadata["description"]
    assert "$ref" in msgspec.json.decode(metadata["schema"])


async def test_who_asks_strictly_is_refused_what_would_have_warnings_and_nothing_is_appended() -> None:
    async with site() as here:
        special = {"domain": "tailnet.local"}
        before = here.lab.engine.head().position
        problem = await here.refused("settings.set-domain", special, {STRICT: "1"})
        assert (problem.code, problem.status) == ("strict", 409)
        assert "domain.special: " in problem.message
        assert here.lab.engine.head().position == before
        assert here.lab.engine.tailnet.settings.base_domain == "netmap.internal"
        accepted = await here.command("settings.set-domain", special)
        assert accepted.warnings


async def test_who_asks_strictly_is_done_what_has_no_warnings() -> None:
    async with site() as here:
        reply = await here.ask(
            subjects.command_as(T, "alice", "user", "create"), {"name": "ann"}, {STRICT: "true"}
        )
        assert msgspec.json.decode(reply.data, type=Accepted).ok


async def test_an_export_that_is_recorded_already_leaves_nothing_in_the_log() -> None:
    """A router may ask every minute for years."""
    async with site() as here:
        await here.command("user.create", {"name": "ann"})
        peer = {"name": "exit", "user": 1, "publicKey": DOCUMENT_KEY, "allowedIps": ["0.0.0.0/0", "::/0"]}
        await here.command("peer.register", peer | {"endpoints": ["192.0.2.1:1"]})
        waiting = await here.reg("register", machine() | {"hostname": "laptop"})
        await here.command("login.approve", {"login": waiting.login, "user": "ann"})
        await here.command("connection.add", {"node": "laptop", "peer": "exit", "ipv4MasqAddr": "10.64.0.2"})
        first = await here.command("connection.exported", {"peer": "exit", "format": "wg-quick"})
        assert first.result["recorded"] == 1
        head = here.lab.engine.head().position
        again = await here.command("connection.exported", {"peer": "exit", "format": "routeros"})
        assert (again.result["recorded"], again.result["unchanged"]) == (0, 1)
        assert here.lab.engine.head().position == head
