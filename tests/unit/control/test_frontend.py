"""A whole frontend over a bus in memory, driven by the model client; the rest of the system is answered for here."""

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Callable
from typing import Any

import msgspec
import pytest

from engine.adapters.bus.memory import Hub, MemoryBus, no_trouble
from engine.adapters.clock import SystemClock
from engine.adapters.ids import RandomIds
from engine.config import Settings
from engine.contracts import chunks, subjects
from engine.contracts.netmap import (
    Change,
    ConnectionExtra,
    Delta,
    ExtrasObject,
    NetmapObject,
    Snapshot,
    UserObject,
    WireGuardPeerObject,
    key_of,
)
from engine.contracts.queries import HeadReply, Query
from engine.contracts.registration import RegisterReply, RegisterRequest
from engine.domain.values import (
    FIRST_PEER_ID,
    Epoch,
    Millis,
    NodeId,
    Position,
    StableId,
    TailnetName,
    UserId,
)
from engine.ports import Answer, Endpoint, Message
from frontends.control.frontend import Frontend, Identity
from frontends.control.listen import serve
from frontends.wire.keytext import Kind, show
from frontends.wire.noise import PrivateKey
from tests.kit.control_client import Gone, Refused, connect
from tests.kit.procs import free_port
from tests.unit.control.objects import a_class, a_set, entry, node, program, reach, tailnet

TAILNET = TailnetName("default")
EPOCH = Epoch("e1")
DELTAS = subjects.map_delta(TAILNET)
LIMIT = 5.0


class Rest:
    """The engine and the projection: a log's head, a snapshot, deltas."""

    def __init__(self) -> None:
        self.hub = Hub()
        self.bus = MemoryBus(self.hub)
        self.objects: dict[str, Change] = {}
        self.epoch = EPOCH
        self.position = Position(0)
        self.ahead = 0
        """How far the engine's head is beyond what was published."""
        self.asked_for_head = asyncio.Event()
        self.asked: list[RegisterRequest] = []
        self.reply = RegisterReply(outcome="authorized", user=UserId(1), user_name="ann")

    async def start(self) -> None:
        await self.put(
            tailnet(),
            UserObject(id=UserId(1), name="ann"),
            a_set("all", "u1"),
            entry("e", "all"),
            program("e"),
            a_class("u1", sees=("all",), rules=(reach("e"),)),
        )
        found = [
            Endpoint(
                name="snapshot", subject=subjects.query(TAILNET, "snapshot", "get"), respond=self.snapshot
            ),
            Endpoint(name="head", subject=subjects.registration(TAILNET, "*", "head"), respond=self.head),
            Endpoint(
                name="reg", subject=subjects.registration(TAILNET, "*", "register"), respond=self.register
            ),
        ]
        await self.bus.serve("rest", "1.0.0", "the rest", found)

    async def snapshot(self, message: Message) -> Answer:
        query = msgspec.json.decode(message.data, type=Query)
        whole = Snapshot(epoch=self.epoch, position=self.position, objects=tuple(self.objects.values()))
        return Answer(msgspec.json.encode(chunks.split(whole)[query.chunk]))

    async def head(self, _message: Message) -> Answer:
        self.asked_for_head.set()
        return Answer(msgspec.json.encode(HeadReply(epoch=self.epoch, position=self.position + self.ahead)))

    async def register(self, message: Message) -> Answer:
        self.asked.append(msgspec.json.decode(message.data, type=RegisterRequest))
        return Answer(msgspec.json.encode(self.reply))

    async def put(self, *values: NetmapObject, gone: tuple[str, ...] = ()) -> None:
        prev, self.position = self.position, Position(self.position + 1)
        changes = [Change(key=key_of(value), at=self.position, value=value) for value in values]
        changes += [Change(key=key, at=self.position, value=None) for key in gone]
        for change in changes:
            self.objects[change.key] = change
            if change.value is None:
                del self.objects[change.key]
        delta = Delta(epoch=self.epoch, prev=prev, cur=self.position, changes=tuple(changes))
        await self.bus.publish(DELTAS, msgspec.json.encode(delta))

    async def beat(self) -> None:
        while True:
            mark = Delta(epoch=self.epoch, prev=self.position, cur=self.position)
            await self.bus.publish(DELTAS, msgspec.json.encode(mark))
            await asyncio.sleep(0.2)

    async def machine(self, number: int) -> PrivateKey:
        """Let a node of a fresh machine in; its node key is that of `node(number)`."""
        machine = PrivateKey(os.urandom(32))
        value = msgspec.structs.replace(node(number, "u1"), machine_key=show(Kind.MACHINE, machine.public))
        await self.put(value)
        return machine


class Site:
    """One running frontend."""

    def __init__(self, rest: Rest, name: str, drain_seconds: float = 0.0) -> None:
        self.port = free_port()
        self.settings = Settings(frontend=name, listen_port=self.port, drain_seconds=drain_seconds)
        self.stop = asyncio.Event()
        clock = SystemClock()
        identity = Identity(TAILNET, name, self.settings.public_url(), PrivateKey(b"\1" * 32))
        self.frontend = Frontend(identity, MemoryBus(rest.hub), clock, RandomIds(clock))
        self.said: list[bool] = []
        """What it has said of its being ready."""
        self.task = asyncio.create_task(serve(self.settings, self.frontend, self.stop, self._told))

    def _told(self, *, ready: bool) -> None:
        self.said.append(ready)

    async def page(self, path: str, method: str = "GET") -> tuple[int, bytes]:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        writer.write(f"{method} {path} HTTP/1.1\r\nhost: x\r\n\r\n".encode())
        async with asyncio.timeout(LIMIT):
            answer = await reader.read()
        writer.close()
        head, _, body = answer.partition(b"\r\n\r\n")
        return int(head.split()[1]), body

    async def health(self) -> dict[str, Any]:
        found: dict[str, Any] = msgspec.json.decode((await self.page("/health"))[1])
        return found

    async def until(self, holds: Callable[[dict[str, Any]], bool]) -> None:
        async with asyncio.timeout(LIMIT):
            while True:
                with contextlib.suppress(ConnectionError):
                    if holds(await self.health()):
                        return
                await asyncio.sleep(0.01)


@pytest.fixture
async def rest() -> AsyncIterator[Rest]:
    found = Rest()
    await found.start()
    beating = asyncio.create_task(found.beat())
    yield found
    beating.cancel()


@pytest.fixture
async def site(rest: Rest) -> AsyncIterator[Site]:
    found = Site(rest, "f1")
    await found.until(lambda health: health["ready"])
    yield found
    found.stop.set()
    async with asyncio.timeout(LIMIT):
        await found.task


def key(number: int) -> str:
    return node(number, "u1").node_key


async def test_a_client_registers_and_gets_a_map_without_complaints(rest: Rest, site: Site) -> None:
    machine = await rest.machine(1)
    async with connect("127.0.0.1", site.port, machine) as client:
        assert client.challenge is not None
        answer = await client.register(key(1), auth_key="k")
        assert (answer["MachineAuthorized"], answer["Login"]["LoginName"]) == (True, "ann")
        assert rest.asked[0].machine_key == show(Kind.MACHINE, machine.public)
        stream = await client.map_stream(key(1))
        first = await stream.next()
        assert stream.view.complaints() == []
        assert first.json["Debug"] == {"DisableLogTail": True}
        await rest.machine(2)
        view = await stream.until(lambda view: 2 in view.peers)
        assert view.complaints() == []
        await rest.put(gone=("node/2",))
        await stream.until(lambda view: not view.peers)


async def test_what_one_client_says_reaches_the_other(rest: Rest, site: Site) -> None:
    one, two = await rest.machine(1), await rest.machine(2)
    async with connect("127.0.0.1", site.port, one) as a, connect("127.0.0.1", site.port, two) as b:
        stream = await a.map_stream(key(1))
        await stream.until(lambda view: 2 in view.peers)
        assert await b.map_lite(key(2), Endpoints=["192.0.2.7:41641"]) == 200
        await stream.until(lambda view: view.peers[2].get("Endpoints") == ["192.0.2.7:41641"])
        await (await b.map_stream(key(2))).next()
        await stream.until(lambda view: view.peers[2]["Online"])


async def test_a_foreign_node_key_is_refused(rest: Rest, site: Site) -> None:
    await rest.machine(1)
    async with connect("127.0.0.1", site.port, PrivateKey(os.urandom(32))) as client:
        with pytest.raises(Refused) as refused:
            await client.map_stream(key(1))
        assert refused.value.status == 404
        assert await client.map_lite(key(1)) == 404


async def test_a_deleted_nodes_session_ends(rest: Rest, site: Site) -> None:
    machine = await rest.machine(1)
    async with connect("127.0.0.1", site.port, machine) as client:
        stream = await client.map_stream(key(1))
        await stream.next()
        await rest.put(gone=("node/1",))
        with pytest.raises((StopAsyncIteration, Gone)):
            await stream.next()


async def test_a_session_starts_at_the_engines_head_or_not_at_all(rest: Rest, site: Site) -> None:
    machine = await rest.machine(1)
    await site.until(lambda health: health["position"] == rest.position)
    rest.ahead = 1
    async with connect("127.0.0.1", site.port, machine) as client:
        opening = asyncio.create_task(client.map_stream(key(1)))
        await rest.asked_for_head.wait()
        rest.ahead = 0
        await rest.machine(2)
        stream = await opening
        assert 2 in (await stream.until(lambda view: view.frames)).peers
        rest.ahead = 1
        with pytest.raises(Refused) as refused:
            await client.map_stream(key(1))
        assert refused.value.status == 503


async def test_a_newer_stream_takes_the_place_of_the_old_one(rest: Rest, site: Site) -> None:
    machine = await rest.machine(1)
    async with connect("127.0.0.1", site.port, machine) as client:
        old = await client.map_stream(key(1))
        await old.next()
        fresh = await client.map_stream(key(1))
        await fresh.next()
        with pytest.raises((StopAsyncIteration, Gone)):
            await old.next()
        await site.until(lambda health: health["sessions"] == 1)


async def test_a_client_that_went_elsewhere_is_let_go(rest: Rest, site: Site) -> None:
    machine = await rest.machine(1)
    other = Site(rest, "f2")
    await other.until(lambda health: health["ready"])
    async with (
        connect("127.0.0.1", site.port, machine) as here,
        connect("127.0.0.1", other.port, machine) as there,
    ):
        old = await here.map_stream(key(1))
        await old.next()
        fresh = await there.map_stream(key(1))
        await fresh.next()
        with pytest.raises((StopAsyncIteration, Gone)):
            await old.next()
        await site.until(lambda health: health["sessions"] == 0)
        await other.until(lambda health: health["sessions"] == 1)
    other.stop.set()
    await other.task


async def test_a_client_that_does_not_read_falls_behind_and_catches_up(rest: Rest, site: Site) -> None:
    machine = await rest.machine(1)
    async with connect("127.0.0.1", site.port, machine) as client:
        stream = await client.map_stream(key(1))
        await stream.next()
        client.pause()
        for _ in range(3):
            await asyncio.gather(*(rest.put(node(number, "u1")) for number in range(2, 60)))
        await rest.put(gone=tuple(f"node/{number}" for number in range(3, 60)))
        await site.until(lambda health: health["position"] == rest.position)
        client.resume()
        view = await stream.until(lambda view: set(view.peers) == {2})
        assert view.strangers == []


async def test_an_interactive_login_gets_our_url_and_its_page(rest: Rest, site: Site) -> None:
    login = "a" * 24
    rest.reply = RegisterReply(outcome="login", login=login)  # type: ignore[arg-type]
    async with connect("127.0.0.1", site.port, PrivateKey(os.urandom(32))) as client:
        answer = await client.register(key(1))
    assert answer["AuthURL"] == f"http://127.0.0.1:{site.port}/register/{login}"
    status, body = await site.page(f"/register/{login}")
    assert status == 200
    assert f"netmap auth approve {login} --user NAME".encode() in body


@pytest.mark.parametrize(
    ("path", "method", "status"),
    [
        ("/register/%3Cscript%3E", "GET", 404),
        ("/", "GET", 404),
        ("/robots.txt", "GET", 200),
        ("/key?v=1", "GET", 200),
        ("/key", "POST", 405),
        ("/ts2021", "GET", 405),
        ("/ts2021", "POST", 426),
    ],
)
async def test_ordinary_pages_have_ordinary_answers(site: Site, path: str, method: str, status: int) -> None:
    found, body = await site.page(path, method)
    assert found == status
    assert b"script" not in body


async def test_what_is_no_http_is_answered_once_and_cut_off(site: Site) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", site.port)
    writer.write(b"\x16\x03\x01 not http\r\n\r\n")
    async with asyncio.timeout(LIMIT):
        assert (await reader.read()).startswith(b"HTTP/1.1 400")
    writer.close()


@pytest.mark.parametrize("expiry", ["1970-01-01T00:02:03Z", "1969-12-31T23:59:59Z", "0001-01-01T00:00:01Z"])
async def test_any_past_expiry_is_a_logout(rest: Rest, site: Site, expiry: str) -> None:
    asked: list[bytes] = []

    async def log_out(message: Message) -> Answer:
        asked.append(message.data)
        return Answer(b"{}")

    subject = subjects.registration(TAILNET, "*", "log-out")
    await rest.bus.serve("out", "1.0.0", "log-outs", [Endpoint(name="out", subject=subject, respond=log_out)])
    async with connect("127.0.0.1", site.port, PrivateKey(os.urandom(32))) as client:
        assert (await client.register(key(1), Expiry=expiry, auth_key="k"))["NodeKeyExpired"] is True
    assert (len(asked), rest.asked) == (1, [])


def poison() -> tuple[NetmapObject, NetmapObject]:
    """Return a WireGuard-only peer that cannot be rendered, and node 1's connection to it."""
    peer = WireGuardPeerObject(
        id=FIRST_PEER_ID,
        stable_id=StableId("wg"),
        name="poison",
        public_key=node(9, "u1").node_key,
        allowed_ips=("no prefix",),
        endpoints=("192.0.2.1:1",),
        ipv4="100.96.0.1",
        ipv6="",
        created=Millis(1),
    )
    return peer, ExtrasObject(node=NodeId(1), connections=(ConnectionExtra(peer=FIRST_PEER_ID),))


async def test_a_session_that_cannot_be_begun_harms_nobody_else(rest: Rest, site: Site) -> None:
    """Invariant F7."""
    one, two = await rest.machine(1), await rest.machine(2)
    await rest.put(*poison())
    async with connect("127.0.0.1", site.port, one) as a, connect("127.0.0.1", site.port, two) as b:
        stream = await b.map_stream(key(2))
        await stream.next()
        with pytest.raises((StopAsyncIteration, Gone)):
            await (await a.map_stream(key(1))).next()
        await rest.machine(3)
        await stream.until(lambda view: 3 in view.peers)
        await site.until(lambda health: health["sessions"] == 1)


async def test_a_session_that_cannot_go_on_harms_nobody_else(rest: Rest, site: Site) -> None:
    """Invariant F7."""
    one, two = await rest.machine(1), await rest.machine(2)
    async with connect("127.0.0.1", site.port, one) as a, connect("127.0.0.1", site.port, two) as b:
        first, second = await a.map_stream(key(1)), await b.map_stream(key(2))
        await first.next()
        await second.next()
        await rest.put(*poison())
        with pytest.raises((StopAsyncIteration, Gone)):
            await first.until(lambda _: False)
        await rest.machine(3)
        await second.until(lambda view: 3 in view.peers)
        await site.until(lambda health: health["sessions"] == 1)


async def test_an_old_client_is_told_so_in_words(site: Site) -> None:
    async with connect("127.0.0.1", site.port, PrivateKey(os.urandom(32)), version=90) as client:
        assert "too old" in (await client.register(key(1)))["Error"]


async def test_garbage_in_a_request_is_answered_with_a_constant(site: Site) -> None:
    async with connect("127.0.0.1", site.port, PrivateKey(os.urandom(32))) as client:
        for body in (b"", b"{", b"[]", b'{"Version":"x"}', b"\xff"):
            answer = await client.request("POST", "/machine/map", body)
            assert answer.status == 400
            assert answer.body == b"the request is not what it should be\n"


async def test_without_a_snapshot_nobody_is_served() -> None:
    rest = Rest()
    site = Site(rest, "f1")
    await site.until(lambda health: not health["ready"])
    async with connect("127.0.0.1", site.port, PrivateKey(os.urandom(32))) as client:
        assert await client.map_lite(key(1)) == 503
    site.stop.set()
    async with asyncio.timeout(LIMIT):
        await site.task


async def test_a_lost_delta_is_noticed_at_the_next_bookmark(rest: Rest, site: Site) -> None:
    machine = await rest.machine(1)
    async with connect("127.0.0.1", site.port, machine) as client:
        stream = await client.map_stream(key(1))
        await stream.next()
        rest.hub.trouble = lambda message: () if message.subject == DELTAS else (0.0,)
        await rest.machine(2)
        rest.hub.trouble = no_trouble
        await stream.until(lambda view: 2 in view.peers)


async def test_a_delta_that_cannot_be_read_is_replaced_by_a_snapshot(rest: Rest, site: Site) -> None:
    machine = await rest.machine(1)
    async with connect("127.0.0.1", site.port, machine) as client:
        stream = await client.map_stream(key(1))
        await stream.next()
        rest.hub.trouble = lambda message: () if message.subject == DELTAS else (0.0,)
        await rest.machine(2)
        rest.hub.trouble = no_trouble
        await rest.bus.publish(
            DELTAS, b'{"epoch":"e1","prev":1,"cur":2,"changes":[["x/1",2,{"type":"future"}]]}'
        )
        await stream.until(lambda view: 2 in view.peers)


async def test_another_history_ends_every_session(rest: Rest, site: Site) -> None:
    machine = await rest.machine(1)
    async with connect("127.0.0.1", site.port, machine) as client:
        stream = await client.map_stream(key(1))
        await stream.next()
        rest.epoch = Epoch("e2")
        with pytest.raises((StopAsyncIteration, Gone)):
            await stream.next()
        await site.until(lambda health: health["epoch"] == "e2")
        again = await client.map_stream(key(1))
        await again.next()
