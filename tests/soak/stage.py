"""The deployment that a soak runs on: every process a real one, each frontend and projection behind links to the brokers.

Rule 1: what is killed is started as it was: no operator looks in. What ends by itself is started again as a service manager does, and
        that is written down: a projection that cannot read its store gives up after 10 s (`projections/runner.py`).
Rule 2: a signal goes to a process and to all that it has started.
"""

import asyncio
import contextlib
import os
import shutil
import signal
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import msgspec

from engine.adapters.bus.context import Context, context_path
from tests.kit.cluster import NETMAP, Cluster, Size
from tests.soak.client import CLOCK
from tests.soak.links import Link
from tests.soak.records import ENDED_BY_ITSELF, Fault, Writer
from tests.soak.workers import Workers

RESTART_SECONDS: Final = 1.0
"""After which a service manager starts again what has ended (`RestartSec`)."""


class Topology(msgspec.Struct, frozen=True):
    """How many processes of each kind; the store is PostgreSQL or SQLite."""

    brokers: int = 3
    engines: int = 2
    projections: int = 2
    frontends: int = 4
    postgres: bool = True


WHOLE: Final = Topology()
SMALL: Final = Topology(brokers=1, engines=1, projections=1, frontends=2, postgres=False)


class Stage:
    """The processes, the links, and the clients: what faults happen to (`faults.Subject`)."""

    def __init__(self, folder: Path, topology: Topology, program: Sequence[str] = (NETMAP,)) -> None:
        size = Size(
            brokers=topology.brokers,
            engines=topology.engines,
            projections=topology.projections,
            postgres=topology.postgres,
        )
        self.cluster = Cluster(folder, frontends=topology.frontends, balanced=True, size=size)
        self.cluster.frontend_program = program
        self.workers: Workers | None = None
        self._down: set[str] = set()
        self._links: dict[str, list[Link]] = {}

    @property
    def store(self) -> str:
        """The URL of the log's store."""
        return self.cluster._common()[-1]

    @property
    def roles(self) -> list[str]:
        """Every process that faults happen to."""
        return self.cluster.roles

    @property
    def links(self) -> list[str]:
        """The processes that reach the brokers through links."""
        return [*self.cluster.projections, *self.cluster.ports]

    async def start(self) -> None:
        """Start everything, the links before those who use them."""
        cluster = self.cluster
        await asyncio.to_thread(cluster.start, *cluster.nats)
        for name in self.links:
            role = "projection" if name in cluster.projections else "frontend"
            await self._link(name, role)
        await asyncio.to_thread(cluster.start, *[name for name in cluster.roles if name not in cluster.nats])

    async def _link(self, name: str, role: str) -> None:
        path = context_path(str(self.cluster.directory), role)
        context = msgspec.json.decode(path.read_bytes(), type=Context)
        links = []
        for url in context.url.split(","):
            host, _, port = url.rpartition("//")[2].rpartition(":")
            link = Link((host, int(port)))
            await link.start()
            links.append(link)
        self._links[name] = links
        self.cluster.role_settings[name] = {
            "NETMAP_NATS_URLS": ",".join(f"nats://127.0.0.1:{link.port}" for link in links),
            "NETMAP_NATS_USER": context.user,
            "NETMAP_NATS_PASSWORD": context.password,
            "NETMAP_NATS_INBOX": context.inbox_prefix,
        }

    async def supervise(self, writer: Writer) -> None:
        """Start again what ends by itself, until cancelled; write down what that was."""
        while True:
            await asyncio.sleep(RESTART_SECONDS)
            for role in self.roles:
                if role not in self._down and not self.cluster.procs[role].running:
                    writer.write(Fault(ENDED_BY_ITSELF, role, CLOCK.now(), CLOCK.now()))
                    writer.flush()
                    self._spawn(role)

    def down(self, role: str) -> None:
        """See `faults.Subject`."""
        self._down.add(role)
        if self.cluster.procs[role].running:
            self.cluster.kill(role)

    async def up(self, role: str) -> None:
        """See `faults.Subject`; nobody waits until it is ready."""
        self._spawn(role)
        self._down.discard(role)

    def _spawn(self, role: str) -> None:
        self.cluster.procs[role] = self.cluster._spawn(role)

    def signal(self, role: str, number: int) -> None:
        """See `faults.Subject`."""
        for process in family(self.cluster.procs[role].pid):
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, number)

    def wipe(self, role: str) -> None:
        """See `faults.Subject`."""
        if self.cluster.brokers:
            self.cluster.brokers.wipe(role)
        else:
            shutil.rmtree(self.cluster.directory / "jetstream", ignore_errors=True)

    def link(self, name: str, state: str) -> None:
        """See `faults.Subject`."""
        for link in self._links[name]:
            link.set(state)

    async def hop(self, share: float) -> None:
        """See `faults.Subject`."""
        if self.workers is not None:
            await self.workers.tell(f"hop {share}")

    async def close(self) -> None:
        """End everything, whatever state it is in."""
        for name in self.cluster.roles:
            if name in self.cluster.procs and self.cluster.procs[name].running:
                self.signal(name, signal.SIGCONT)  # what is stopped cannot end
        for links in self._links.values():
            for link in links:
                await link.close()
        await asyncio.to_thread(self.cluster.close)


def family(process: int) -> list[int]:
    """A process and all that descend from it."""
    parents: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
                parents.setdefault(int(fields[1]), []).append(int(entry.name))
    found = [process]
    for one in found:
        found += parents.get(one, [])
    return found
