"""The HTTP API over a bus in memory, with a real engine and a real projection behind it."""

import asyncio
import base64
import contextlib
from collections.abc import AsyncIterator, Callable
from typing import Any
from urllib.parse import unquote

import msgspec
from starlette.types import ASGIApp

from engine.adapters.bus.memory import Hub, MemoryBus
from engine.adapters.checkpoints import MemoryCheckpoints
from engine.adapters.store.memory import MemoryEventReader
from engine.application.announcer import Announcer
from engine.application.checkpoints import Checkpoints
from engine.application.logins import Logins
from engine.application.registration import Registration
from engine.application.service import Commands, serve
from engine.contracts import subjects
from engine.contracts.requests import Accepted
from engine.domain.values import TailnetName
from engine.ports import Headers, Message
from frontends.admin.app import app
from frontends.admin.asking import Asking
from frontends.admin.gate import Gate
from projections.runner import Projection
from tests.kit.fakes import MemoryKeyRing
from tests.unit.application.world import Lab, running

T = TailnetName("t")
RELAY = {
    "name": "mv-se-got-wg-001",
    "userId": 1,
    "publicKey": "nodekey:" + "ab" * 32,
    "allowedIps": ["0.0.0.0/0", "::/0"],
    "endpoints": ["198.51.100.21:51820"],
    "extraConfig": '{"suggestExitNode": true}',
}


class NotingBus(MemoryBus):
    """A bus that notes on which subjects was asked."""

    def __init__(self, hub: Hub) -> None:
        super().__init__(hub)
        self.asked: list[str] = []

    async def request(
        self, subject: str, data: bytes, *, timeout: float, headers: Headers | None = None
    ) -> Message:
        self.asked.append(subject)
        return await super().request(subject, data, timeout=timeout, headers=headers)


class Reply:
    def __init__(self, status: int, headers: dict[str, str], body: bytes) -> None:
        self.status, self.headers, self.body = status, headers, body

    @property
    def text(self) -> str:
        return self.body.decode()

    @property
    def json(self) -> dict[str, Any]:
        found: dict[str, Any] = msgspec.json.decode(self.body)
        return found


class Api:
    """An operator at the engine, and tools in front of the API."""

    def __init__(self, lab: Lab, bus: NotingBus, asking: Asking, application: ASGIApp) -> None:
        self.lab, self.noted, self.asking, self.app = lab, bus, asking, application
        self.bus = MemoryBus(bus.hub)
        self.key = ""
        self.machines = 0

    async def does(self, name: str, body: object) -> Accepted:
        """Let the operator send a command; what is heard of the log then includes it."""
        subject = subjects.command_as(T, "operator", *name.split("."))
        reply = await self.bus.request(subject, msgspec.json.encode(body), timeout=5)
        accepted = msgspec.json.decode(reply.data, type=Accepted)
        await until(lambda: self.asking.floor >= accepted.position)
        return accepted

    async def new_key(self, **fields: object) -> str:
        return str((await self.does("apikey.create", fields)).result["key"])

    async def joins(self, name: str, **fields: object) -> int:
        """Let a machine in as a node of user 1."""
        self.machines += 1
        auth_key = (await self.does("authkey.create", {"user": 1, **fields})).result["key"]
        await self.registers(self.machines, self.machines, name, authKey=auth_key)
        return self.machines

    async def registers(self, machine: int, node_key: int, name: str, **fields: object) -> None:
        body = {
            "machineKey": f"mkey:{machine:064x}",
            "nodeKey": f"nodekey:{0xA0 + node_key:064x}",
            "hostname": name,
            **fields,
        }
        subject = subjects.registration(T, "f1", "register")
        reply = await self.bus.request(subject, msgspec.json.encode(body), timeout=5)
        position = msgspec.json.decode(reply.data)["position"]
        await until(lambda: self.asking.floor >= position)

    def checks(self) -> int:
        """How often was asked whether a key is good."""
        return self.noted.asked.count(subjects.query(T, "apikey", "check"))

    async def call(
        self,
        method: str,
        path: str,
        body: object = None,
        *,
        key: str | None = None,
        address: str = "192.0.2.7",
        **headers: str,
    ) -> Reply:
        """Make a request, with the stage's own key unless another is given; an empty one is none."""
        given = {name.replace("_", "-").lower(): value for name, value in headers.items()}
        key = self.key if key is None else key
        if key:
            given.setdefault("authorization", f"Bearer {key}")
        data = body if isinstance(body, bytes) else b"" if body is None else msgspec.json.encode(body)
        return await asked(self.app, method, path, given, data, address=address)


async def asked(
    application: ASGIApp, method: str, path: str, headers: dict[str, str], data: bytes, *, address: str
) -> Reply:
    """Make a request of an ASGI application."""
    bare, _, query = path.partition("?")
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": method,
        "path": unquote(bare),
        "raw_path": bare.encode(),
        "root_path": "",
        "scheme": "http",
        "query_string": query.encode(),
        "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
        "client": (address, 4711),
        "server": ("127.0.0.1", 8081),
    }
    sent: list[Any] = []
    pieces = [data[start : start + 100_000] for start in range(0, max(1, len(data)), 100_000)]

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": pieces.pop(0), "more_body": bool(pieces)}

    async def send(message: Any) -> None:
        sent.append(message)

    await application(scope, receive, send)
    start = next(one for one in sent if one["type"] == "http.response.start")
    body = b"".join(one.get("body", b"") for one in sent if one["type"] == "http.response.body")
    return Reply(start["status"], {name.decode(): value.decode() for name, value in start["headers"]}, body)


@contextlib.asynccontextmanager
async def api(*, user: bool = True) -> AsyncIterator[Api]:
    """An engine, a projection and the API, one user, and a key for everything."""
    hub, stop = Hub(), asyncio.Event()
    async with running() as lab:
        registration = Registration(lab.engine, Logins(lab.clock, lab.ids), lab.ids)
        commands = Commands(lab.engine, registration, lab.ids, open_commands=False)
        checkpoints = Checkpoints(lab.engine, MemoryKeyRing(), MemoryBus(hub), T, MemoryCheckpoints())
        await serve(MemoryBus(hub), T, commands, registration, checkpoints)
        projection = Projection(MemoryBus(hub), MemoryEventReader(lab.log), T, lab.clock)
        noted = NotingBus(hub)
        asking = Asking(noted, T, lab.clock, lab.ids)
        heads = await asking.open()
        tasks = [
            asyncio.create_task(asking.follow(heads)),
            asyncio.create_task(Announcer(lab.engine, MemoryBus(hub), T).run(stop)),
            asyncio.create_task(projection.run(stop)),
        ]
        await projection.ready.wait()
        try:
            made = Api(lab, noted, asking, app(asking, Gate(asking, lab.clock)))
            if user:
                await made.does("user.create", {"name": "alice"})
            made.key = await made.new_key()
            yield made
        finally:
            stop.set()
            for task in tasks[:2]:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


async def until(condition: Callable[[], bool]) -> None:
    """Wait until the condition holds."""
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0)


def basic(user: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()
