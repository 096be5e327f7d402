"""Where benchmarks run: our own processes in a temporary folder, and a tailnet with people and machines in it."""

import asyncio
import contextlib
import os
import tempfile
from collections.abc import AsyncIterator, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec

from bench import machine
from bench.asker import connected
from bench.profiled import Profiles
from bench.viewer import CAPVER, HOSTINFO
from engine.adapters.bus.nats import open_bus
from engine.config import Settings
from engine.contracts import subjects
from engine.contracts.registration import RegisterRequest
from engine.contracts.soft import SoftFact, SoftState
from engine.domain.values import DEFAULT_TAILNET, MachineKey, Millis, NodeId, NodeKey
from frontends.wire.codec import fragment
from frontends.wire.keytext import Kind, show
from frontends.wire.noise import PrivateKey
from tests.kit.cluster import Cluster
from tests.kit.control_client import server_key
from tests.kit.operator import operator
from tests.kit.procs import Proc

USERS: Final = 20
"""People who share the nodes evenly: as many classes."""
IN_FLIGHT: Final = 128
HEARTBEAT_SECONDS: Final = 5.0
"""How often `tell` has to be repeated for its nodes to stay online: within the lease."""
FACTS: Final = 100
"""Soft facts in a message: about 150 KB."""


class Machine(NamedTuple):
    """A simulated client's keys; the private one also as it is."""

    key: PrivateKey
    private: bytes
    node_key: str
    disco: str


class Site(Cluster):
    """A cluster that knows how much processor time it has used, and may be profiled."""

    profiles: Profiles | None = None

    def _proc(self, name: str, argv: Sequence[str]) -> Proc:
        if self.profiles is not None and argv[1:2] == ["run"]:
            argv = self.profiles.wrap(name, argv)
        return super()._proc(name, argv)

    def start(self, *names: str) -> None:
        """Start these, or all, and wait until the engine decides, too."""
        super().start(*names)
        if "engine" in self.procs:
            self.procs["engine"].wait_line("engine.ready", timeout=30.0)

    @property
    def frontends(self) -> list[str]:
        """The names of the frontends that run."""
        return [name for name in self.ports if name in self.procs and self.procs[name].running]

    def cpu(self) -> dict[str, float]:
        """Return the processor time of each process so far, in seconds."""
        return {name: machine.cpu_seconds(proc.pid) for name, proc in self.procs.items() if proc.running}

    def resident(self) -> dict[str, int]:
        """Return the octets of memory of each process."""
        return {name: machine.resident(proc.pid) for name, proc in self.procs.items() if proc.running}

    async def server_key(self) -> bytes:
        """Return the Noise key of the frontends."""
        return await server_key("127.0.0.1", self.port)


@contextlib.contextmanager
def running(
    *names: str, store: str = "", frontends: int = 1, profiles: Profiles | None = None
) -> Iterator[Site]:
    """Run these roles, or all, in a new folder, until the block ends."""
    with tempfile.TemporaryDirectory(prefix="netmap-bench-") as folder:
        site = Site(Path(folder), store=store, frontends=frontends)
        site.profiles = profiles
        try:
            site.start(*names)
            yield site
        finally:
            site.stop()
            site.close()


async def people(site: Site, count: int = USERS) -> list[str]:
    """Create users, and a reusable pre-auth key of each; return the keys."""
    keys = []
    async with operator(site.directory) as op:
        for number in range(count):
            await op.command("user.create", {"name": f"user{number}"})
            body = {"user": f"user{number}", "reusable": True, "expiresInSeconds": 86_400}
            keys.append(str((await op.command("authkey.create", body)).result["key"]))
    return keys


async def rule(site: Site, rules: int) -> None:
    """Set a policy of so many rules under which everybody sees everybody: one for all, the others between groups."""
    groups = {f"group:g{number}": [f"user{number}"] for number in range(USERS)}
    between = [
        {
            "action": "accept",
            "src": [f"group:g{number % USERS}"],
            "dst": [f"group:g{number * 7 % USERS}:{1_000 + number}", f"10.{number}.0.0/16:443"],
        }
        for number in range(rules - 1)
    ]
    everybody = {"action": "accept", "src": ["*"], "dst": ["*:22"]}
    text = msgspec.json.encode({"groups": groups, "acls": [everybody, *between]}).decode()
    async with operator(site.directory) as op:
        await op.command("policy.set", {"text": text}, key=f"policy-of-{rules}-rules")


async def policy(site: Site, wanted: dict[str, Any]) -> None:
    """Set a policy."""
    async with operator(site.directory) as op:
        await op.command("policy.set", {"text": text_of(wanted)}, key=os.urandom(8).hex())


def text_of(wanted: dict[str, Any]) -> str:
    """Return a policy as it is sent."""
    return msgspec.json.encode(wanted).decode()


def circles(port: str = "*") -> dict[str, Any]:
    """Return the policy by which everybody sees the own nodes and no others, on these ports."""
    return {"acls": [{"action": "accept", "src": ["autogroup:member"], "dst": [f"autogroup:self:{port}"]}]}


def machines(count: int) -> list[Machine]:
    """Make the keys of so many clients."""
    return [_machine(os.urandom(32)) for _ in range(count)]


def _machine(private: bytes) -> Machine:
    return Machine(
        PrivateKey(private), private, show(Kind.NODE, os.urandom(32)), show(Kind.DISCO, os.urandom(32))
    )


async def register(site: Site, found: Sequence[Machine], auth_keys: Sequence[str]) -> None:
    """Register the clients as a frontend does, many at a time, without their connections."""
    subject = subjects.registration(DEFAULT_TAILNET, "f1", "register")

    def question(number: int) -> tuple[str, bytes]:
        client = found[number]
        request = RegisterRequest(
            machine_key=MachineKey(show(Kind.MACHINE, client.key.public)),
            node_key=NodeKey(client.node_key),
            auth_key=auth_keys[number % len(auth_keys)],
            hostname=f"machine{number}",
            os="linux",
            capver=CAPVER,
        )
        return subject, msgspec.json.encode(request)

    async with connected(site.directory, "frontend", keyed=True) as asker:
        answers = await asker.all(len(found), IN_FLIGHT, question, b'"authorized"')
    if answers.errors:
        raise RuntimeError(f"{answers.errors} registrations failed: {answers.first_error}")


async def tell(site: Site, found: Sequence[Machine]) -> None:
    """Say on the bus what another frontend would say of these clients, nodes 1 … n: online, with endpoints and all."""
    bus = await open_bus(Settings(directory=str(site.directory)), "frontend", name="bench")
    try:
        for start in range(0, len(found), FACTS):
            part = found[start : start + FACTS]
            facts = tuple(_fact(NodeId(start + i + 1), client) for i, client in enumerate(part))
            state = SoftState(origin="bench", at=Millis(1), facts=facts)
            await bus.publish(subjects.soft(DEFAULT_TAILNET, "bench", "state"), msgspec.json.encode(state))
        await bus.client.flush()
    finally:
        await bus.close()


def _fact(node: NodeId, client: Machine) -> SoftFact:
    host = {name: value for name, value in HOSTINFO.items() if name != "NetInfo"}
    return SoftFact(
        node=node,
        origin="bench",
        generation=1,
        sequence=1,
        online=True,
        disco_key=client.disco,
        endpoints=("192.168.178.20:41641", f"198.51.{node // 250}.{node % 250}:41641"),
        home_derp=1,
        capver=CAPVER,
        hostinfo=fragment(host | {"Hostname": f"machine{node}"}),
    )


@contextlib.asynccontextmanager
async def inhabited(
    count: int, *, users: int = USERS, frontends: int = 1, profiles: Profiles | None = None
) -> AsyncIterator[tuple[Site, list[Machine], list[str]]]:
    """Run all roles with so many registered nodes, shared evenly by users; yield the site, the clients and the pre-auth keys."""
    stack = contextlib.ExitStack()
    with stack:
        site = await asyncio.to_thread(
            partial(stack.enter_context, running(frontends=frontends, profiles=profiles))
        )
        keys = await people(site, users)
        found = machines(count)
        await register(site, found, keys)
        yield site, found, keys
