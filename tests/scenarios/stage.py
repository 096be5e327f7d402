"""A whole tailnet in one process: what is sent are commands as JSON, what is read are the frames that clients decode.

    command ─► bus ─► service ─► engine ─► store ─► projection ─► delta as JSON ─► replica ─► session ─► frame ─► client

Everything on the way is the product's own, but for sockets and for what wakes up whom: `pump` does that, after every command.

Rule 1: after each command every open client has been told; `Client.frames` are those since `forget`.
Rule 2: `restart` stops every role and starts it again over the same log, as other processes would be: nothing but the log
        is left, and clients come back for everything.
"""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Mapping
from typing import Any, Final

import msgspec

from engine.adapters.bus.memory import Hub, MemoryBus
from engine.adapters.checkpoints import MemoryCheckpoints
from engine.adapters.store.memory import MemoryEventReader, MemoryEventStore, MemoryLog
from engine.adapters.store.opening import open_reader, open_store
from engine.application.checkpoints import Checkpoints
from engine.application.engine import Engine
from engine.application.logins import Logins
from engine.application.registration import Registration
from engine.application.service import Commands, serve
from engine.contracts import subjects
from engine.contracts.netmap import Delta, Snapshot
from engine.contracts.requests import COMMAND_ID, ERROR_CODE, REASON, Accepted, ErrorReply, Problem
from engine.contracts.soft import SoftFact
from engine.domain.values import DEFAULT_TAILNET, FIRST_PEER_ID, NodeId, Position
from engine.ports import EventReader, EventStore, Message, Recorded
from frontends.control.peerlist import PeerLists
from frontends.control.replica import Replica, node_key
from frontends.control.session import End, Session
from frontends.control.view import View
from frontends.wire.mapframe import Decoder, Encoder, join
from projections.live import Live
from projections.netmap.deltas import deltas
from projections.netmap.state import snapshot_of
from projections.queries import Queries
from tests.kit import scenario
from tests.kit.client_view import ClientView
from tests.kit.fakes import MemoryKeyRing, SequenceIds, VirtualClock

Json = dict[str, Any]
TIME: Final = "2026-01-01T00:00:00Z"
NEWEST: Final = 142
FIRST: Final = int(FIRST_PEER_ID)
EXIT: Final = ("0.0.0.0/0", "::/0")


class RefusedError(AssertionError):
    """The answer is no, where it should have been yes."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(f"{problem.code}: {problem.message}")
        self.problem: Final = problem


class Client:
    """A map session, and what its client makes of the frames."""

    def __init__(self, node: int, capver: int) -> None:
        self.session: Final = Session(NodeId(node), capver)
        self.view: Final = ClientView(capver)
        self.frames: list[Json] = []
        self.octets = 0
        self._decoder = Decoder(1 << 26)

    @property
    def relays(self) -> dict[int, Json]:
        """The WireGuard-only peers that it holds, by id."""
        return {number: peer for number, peer in self.view.peers.items() if peer.get("IsWireGuardOnly")}

    def take(self, frame: bytes) -> None:
        """Take in a frame as it comes from the wire."""
        self.octets += len(frame)
        for text in self._decoder.receive(frame):
            self.frames.append(self.view.apply(text))
        assert not self.view.strangers

    def forget(self) -> None:
        """Forget the frames that came so far, not what was in them."""
        self.frames, self.octets = [], 0


class Site:
    """One engine, one projection, one frontend; `url` is of a store, or empty for one in memory."""

    def __init__(self, url: str = "", log: MemoryLog | None = None) -> None:
        self.url: Final = url
        self.log: Final = log or MemoryLog()
        self.clock: Final = VirtualClock()
        self.clients: list[Client] = []
        self.records: list[Recorded] = []
        self._ids: Final = SequenceIds()
        self._encoder: Final = Encoder()
        self._sequence = 0
        self._pumping: Final = asyncio.Lock()

    async def start(self) -> None:
        """Start every role over what the log has."""
        self.hub = Hub()
        self.bus = SiteBus(self)
        self.store = self._store()
        self.engine = Engine(self.store, self.clock, self._ids, MemoryKeyRing())
        self._stop = asyncio.Event()
        await self.engine.start()
        self._running = asyncio.create_task(self.engine.run(self._stop))
        registration = Registration(self.engine, Logins(self.clock, self._ids), self._ids)
        commands = Commands(self.engine, registration, self._ids, open_commands=True)
        bus = MemoryBus(self.hub)
        checkpoints = Checkpoints(self.engine, MemoryKeyRing(), bus, DEFAULT_TAILNET, MemoryCheckpoints())
        await serve(bus, DEFAULT_TAILNET, commands, registration, checkpoints)
        self.reader = self._reader()
        self.live = Live(self.reader, self.clock)
        self.records = list(await self.reader.read(Position(0), 100_000))
        self.live.take(self.records)
        queries = Queries(self.live).endpoints(DEFAULT_TAILNET)
        await MemoryBus(self.hub).serve(subjects.QUERY_SERVICE, "0", "", queries)
        self.replica = Replica()
        self.view = View(self.replica)
        self.lists = PeerLists(self.view, self._encoder.compress)
        sent = msgspec.json.encode(snapshot_of(self.live.state))
        self._show(self.replica.load(msgspec.json.decode(sent, type=Snapshot)))

    async def close(self) -> None:
        """Stop every role."""
        self._stop.set()
        await self._running
        await self.store.close()
        await self.reader.close()

    async def restart(self) -> None:
        """Stop everything, start it anew, and let the clients come back."""
        await self.close()
        back = [(client.session.node, client.session.capver) for client in self.clients]
        self.clients = []
        await self.start()
        for node, capver in back:
            self.client(node, capver)

    def _store(self) -> EventStore:
        return open_store(self.url, tailnet=DEFAULT_TAILNET) if self.url else MemoryEventStore(self.log)

    def _reader(self) -> EventReader:
        return open_reader(self.url, tailnet=DEFAULT_TAILNET) if self.url else MemoryEventReader(self.log)

    # What somebody says -----------------------------------------------------------------------------------------------

    async def command(self, name: str, /, key: str = "", actor: str = "ann", **body: Any) -> Accepted:
        """Send `peer.register` with the fields of its body, by their names on the wire."""
        subject = subjects.command_as(DEFAULT_TAILNET, actor, *name.split("."))
        headers = {REASON: "a test"} | ({COMMAND_ID: key} if key else {})
        reply = await self.bus.request(subject, msgspec.json.encode(body), timeout=30, headers=headers)
        if ERROR_CODE in reply.headers:
            raise RefusedError(msgspec.json.decode(reply.data, type=ErrorReply).error)
        return msgspec.json.decode(reply.data, type=Accepted)

    async def refused(self, name: str, /, **body: Any) -> Problem:
        """Send a command that is refused and leaves nothing; return why."""
        before = len(self.records)
        try:
            await self.command(name, **body)
        except RefusedError as refused:
            assert len(self.records) == before, "a refusal is in the log"
            return refused.problem
        raise AssertionError(f"{name} was not refused: {body}")

    async def ask(self, name: str, /, **body: Any) -> Json:
        """Send the query `peer.list`."""
        subject = subjects.query(DEFAULT_TAILNET, *name.split("."))
        reply = await self.bus.request(subject, msgspec.json.encode(body), timeout=30)
        assert ERROR_CODE not in reply.headers, reply.data
        found: Json = json.loads(reply.data)
        return found

    async def user(self, name: str) -> int:
        """Create a user; return its id."""
        return number(await self.command("user.create", name=name))

    async def node(self, name: str, /, user: str | int = "ann", **said: Any) -> int:
        """Let a machine of this name in, with a pre-auth key of the user; return the node's id.

        `said` is what its client says more: `capver`, `node_key`, `ephemeral`; `tags` are those of the key.
        """
        tags = said.pop("tags", ())
        made = await self.command(
            "authkey.create", user=user, tags=tags, ephemeral=said.get("ephemeral", False)
        )
        reply = await self.registered(name, auth_key=str(made.result["key"]), **said)
        assert reply["outcome"] == "authorized", reply
        return int(reply["node"])

    async def registered(self, name: str, /, **said: Any) -> Json:
        """Send a registration of this machine; return the answer."""
        request = {
            "machineKey": scenario.machine_key(name),
            "nodeKey": scenario.node_key(said.pop("node_key", name)),
            "hostname": name,
            "capver": said.pop("capver", NEWEST),
            "authKey": said.pop("auth_key", ""),
            **said,
        }
        subject = subjects.registration(DEFAULT_TAILNET, "f1", "register")
        reply = await self.bus.request(subject, msgspec.json.encode(request), timeout=30)
        assert ERROR_CODE not in reply.headers, reply.data
        found: Json = json.loads(reply.data)
        return found

    async def relay(self, name: str, /, user: str | int = "ann", **more: Any) -> int:
        """Register a WireGuard-only exit with key and endpoint of its own; return its id."""
        digits = int(scenario.octets(name)[:4], 16)
        body = {
            "name": name,
            "user": user,
            "publicKey": scenario.peer_key(name),
            "allowedIps": EXIT,
            "endpoints": [f"198.51.{digits >> 8}.{digits & 255}:51820"],
        }
        return number(await self.command("peer.register", **body | more))

    async def connect(self, node: int | str, peer: int | str, ipv4: str = "", **more: Any) -> Accepted:
        """Connect a node."""
        return await self.command("connection.add", node=node, peer=peer, ipv4MasqAddr=ipv4, **more)

    async def disconnect(self, node: int | str, peer: int | str) -> Accepted:
        """End a connection."""
        return await self.command("connection.remove", node=node, peer=peer)

    # What clients hear -----------------------------------------------------------------------------------------------

    def client(self, node: int, capver: int = NEWEST) -> Client:
        """Open a map session; its client has its first frame."""
        client = Client(node, capver)
        whole = client.session.first(self.view, self.lists, TIME)
        assert not isinstance(whole, End), whole
        tail = (self._encoder.compress(whole.tail),) if whole.tail else ()
        client.take(join(self._encoder.compress(whole.head), *whole.peers, *tail))
        self.clients.append(client)
        return client

    def report(self, node: int, *, online: bool, hostinfo: Mapping[str, Any] | None = None) -> None:
        """Let a frontend say whether a node is online; clients are told."""
        self._sequence += 1
        fact = SoftFact(
            node=NodeId(node),
            origin="f1",
            generation=1,
            sequence=self._sequence,
            online=online,
            hostinfo=msgspec.Raw(msgspec.json.encode(hostinfo or {})),
        )
        self.replica.merge([fact])
        self._show(frozenset({node_key(fact.node)}))
        self._tell()

    async def pump(self) -> None:
        """Let everybody know what the log has beyond what they know."""
        async with self._pumping:
            prev = self.live.state.position
            records = await self.reader.read(prev, 100_000)
            if not records:
                return
            self.records += records
            for data in deltas(prev, self.live.take(records)):
                self._show(self.replica.receive(msgspec.json.decode(data, type=Delta))[1])
            assert self.replica.position == self.live.state.position, "the replica lost its chain"
            self._tell()

    def _tell(self) -> None:
        for client in list(self.clients):
            text = client.session.next(self.view, TIME)
            if isinstance(text, End):
                self.clients.remove(client)
            elif text is not None:
                client.take(join(self._encoder.compress(text)))

    def _show(self, touched: frozenset[str]) -> None:
        self.lists.update(self.view.update(touched))


class SiteBus(MemoryBus):
    """A member of the hub whose every request is followed by what it causes."""

    def __init__(self, site: Site) -> None:
        super().__init__(site.hub)
        self._site = site

    async def request(
        self, subject: str, data: bytes, *, timeout: float, headers: Mapping[str, str] | None = None
    ) -> Message:
        """See `Bus.request`."""
        reply = await super().request(subject, data, timeout=timeout, headers=headers)
        await self._site.pump()
        return reply


@contextlib.asynccontextmanager
async def running(*users: str, url: str = "") -> AsyncIterator[Site]:
    """Run a site with these users, `ann` if none are named, until the block ends."""
    site = Site(url)
    await site.start()
    try:
        for name in users or ("ann",):
            await site.user(name)
        yield site
    finally:
        await site.close()


def number(accepted: Accepted) -> int:
    """The id of what was made."""
    assert isinstance(accepted.id, int)
    return accepted.id
