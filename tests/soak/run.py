"""One run: a deployment, its clients, a load, faults, and all of it written into a folder for the checker.

Rule 1: the faults end, everything is healed, the load stops; then everything is read.
"""

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec

from engine.adapters.store.opening import open_reader
from engine.domain.values import DEFAULT_TAILNET, Position
from engine.ports import Fault as BusFault
from engine.ports import Recorded
from tests.kit.cluster import NETMAP
from tests.kit.control_client import server_key
from tests.kit.lab.derp import derp_map
from tests.kit.operator import Operator, RefusedError, operator
from tests.soak.client import CLOCK, Place
from tests.soak.faults import Nemesis, schedule
from tests.soak.fleet import Plan
from tests.soak.load import Lane, Sender, join_and_tell, policies, relay, watchwords
from tests.soak.records import Looked, Run, Told, Writer
from tests.soak.stage import WHOLE, Stage, Topology
from tests.soak.workers import Workers

CANARY: Final = "canary"
"""A WireGuard-only peer that nobody is ever connected to."""
CANARY_LANE: Final = 200
QUIET_MILLIS: Final = 2_000
"""All is read when nobody has been told anything for so long."""
PATIENCE_SECONDS: Final = 90.0
ASKED_SECONDS: Final = 30.0
LOOK_SECONDS: Final = 0.25
TRIES: Final = 2
"""How often each netmap is asked for at the end: two projections answer in turn."""


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """What a run is made of."""

    seconds: float = 900.0
    """How long faults go on."""
    seed: int = 1
    clients: int = 500
    groups: int = 25
    """Users; each one's clients see each other."""
    rate: float = 50.0
    """Commands a second, all lanes together."""
    lanes: int = 10
    every: float = 5.0
    """Seconds from one fault to the next."""
    targets: tuple[str, ...] = ()
    """What faults happen to, by the beginnings of names: `engine`, `f1`; empty is everything."""
    workers: int = 2
    """Processes that the clients are spread over."""
    topology: Topology = WHOLE
    program: tuple[str, ...] = (NETMAP,)
    """What frontends are: another program shows that the checker finds what is wrong with it."""


class Soak:
    """A run under way; `folder` takes the deployment, and its history under `history`."""

    def __init__(self, folder: Path, options: Options) -> None:
        self.history: Final = folder / "history"
        self._options = options
        self._stage = Stage(folder, options.topology, options.program)
        self._workers = Workers()
        self._stage.workers = self._workers
        self._done = Writer(self.history / "commands.jsonl")
        self._faults = Writer(self.history / "faults.jsonl")
        self._supervising: asyncio.Task[None] | None = None
        self._operator: Operator
        self._sender: Sender
        self._keys: list[str] = []
        self._place: Place
        self._healed_at = 0

    async def run(self) -> None:
        """Do it all; the folder's history is whole when this returns."""
        try:
            await self._stage.start()
            self._supervising = asyncio.create_task(self._stage.supervise(self._faults))
            async with operator(self._stage.cluster.directory) as self._operator:
                clients = await self._build()
                await self._storm()
                await self._settle()
                await self._read(clients)
        finally:
            self._done.close()
            if self._supervising is not None:
                self._supervising.cancel()
            await self._workers.close()
            await self._stage.close()
            self._faults.close()

    async def _build(self) -> dict[int, str]:
        """Make the tailnet, and let every client in; return their node keys."""
        options, cluster, sender = self._options, self._stage.cluster, self._operator
        for group in range(options.groups):
            await sender.command("user.create", {"name": f"g{group}"})
            made = await sender.command("authkey.create", {"user": f"g{group}", "reusable": True})
            self._keys.append(str(made.result["key"]))
        await sender.command("derp.set", {"derpMap": derp_map()})
        await sender.command("policy.set", {"text": policies(options.groups)[0]})
        canary = await sender.command("peer.register", relay(CANARY, "g0", CANARY_LANE, 1))
        public = await server_key(cluster.address, next(iter(cluster.ports.values())))
        address = (cluster.address, cluster.port)
        self._place = Place(address, public, watchwords(canary, CANARY))
        return await self._workers.start(self.history, [self._plan(n) for n in range(options.workers)])

    def _plan(self, worker: int) -> Plan:
        options = self._options
        numbers = range(worker, options.clients, options.workers)
        return Plan(
            place=self._place,
            keys={number: self._keys[number % options.groups] for number in numbers},
            seed=options.seed * 100 + worker,
            frames=str(self.history / f"frames-{worker}.jsonl"),
            joins=str(self.history / f"joins-{worker}.jsonl"),
        )

    def _lanes(self) -> list[Lane]:
        options = self._options
        chance = random.Random(options.seed)
        self._sender = Sender(self._operator, self._done, chance)
        texts = policies(options.groups)

        def lane(number: int) -> Lane:
            async def join(name: str) -> None:
                await join_and_tell(self._place, self._done, name, self._keys[number % options.groups])

            names = [f"c{client}" for client in range(number, options.clients, options.lanes)]
            return Lane(number, self._sender, names, texts, join=join, seed=options.seed)

        return [lane(number) for number in range(options.lanes)]

    async def _storm(self) -> None:
        """Let the load run while faults happen."""
        options, stop = self._options, asyncio.Event()
        planned = schedule(
            options.seed,
            options.seconds,
            options.every,
            self._chosen(self._stage.roles),
            self._chosen(self._stage.links),
        )
        async with asyncio.TaskGroup() as group:
            for lane in self._lanes():
                group.create_task(lane.run(stop, options.rate / options.lanes))
            if not planned:
                await asyncio.sleep(options.seconds)
            self._healed_at = await Nemesis(self._stage, self._faults).run(planned)
            stop.set()

    def _chosen(self, names: Sequence[str]) -> list[str]:
        targets = self._options.targets
        return [name for name in names if not targets or name.startswith(targets)]

    async def _settle(self) -> None:
        """Wait until every client is connected and nobody is told anything any more; if that never comes, go on."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(PATIENCE_SECONDS):
                while True:
                    states = await self._workers.ask("state")
                    quiet = max(state.changed_at for state in states) < CLOCK.now() - QUIET_MILLIS
                    if quiet and all(state.connected == state.clients for state in states):
                        return
                    await asyncio.sleep(LOOK_SECONDS)

    async def _read(self, clients: dict[int, str]) -> None:
        """Write down what projections say, how the clients stand, and the log."""
        with contextlib.suppress(TimeoutError):  # the checker says what is missing then
            for number in sorted(self._sender.unknown):
                self._done.write(Looked(number, await self._look(number)))
            await self._ask(clients)
        self._done.flush()
        self._faults.flush()
        await self._workers.end()
        log = Writer(self.history / "log.jsonl")
        async for record in self._log():
            log.write(record)
        log.close()
        options = msgspec.to_builtins(self._options)
        told = Run(self._options.seed, options, clients, self._healed_at, CLOCK.now())
        (self.history / "run.json").write_bytes(msgspec.json.encode(told))

    async def _look(self, number: str) -> int:
        try:
            reply = await self._patiently("command", "get", id=number)
        except RefusedError as error:
            if error.problem.code != "command.not_found":
                raise
            return 0
        return int(reply["command"]["position"])

    async def _ask(self, clients: dict[int, str]) -> None:
        answers = Writer(self.history / "answers.jsonl")
        reply = await self._patiently("node", "list", minPosition=await self._head())
        nodes = {row["nodeKey"]: row["id"] for row in reply["nodes"]}
        for key in [*clients.values()] * TRIES:
            netmap = await self._patiently("netmap", "get", node=nodes[key])
            answers.write(
                Told(
                    nodes[key],
                    tuple((peer["id"], peer["nodeKey"], peer["name"]) for peer in netmap["peers"]),
                    tuple(
                        (extra["id"], extra["ipv4MasqAddr"], extra["ipv6MasqAddr"])
                        for extra in netmap["wireguardOnlyPeers"]
                    ),
                )
            )
        answers.close()

    async def _patiently(self, resource: str, verb: str, **fields: object) -> dict[str, Any]:
        async with asyncio.timeout(ASKED_SECONDS):
            while True:
                with contextlib.suppress(BusFault):
                    return await self._operator.ask(resource, verb, **fields)
                await asyncio.sleep(LOOK_SECONDS)

    async def _head(self) -> int:
        last = 0
        async for record in self._log():
            last = record.position
        return last

    async def _log(self) -> AsyncIterator[Recorded]:
        """Everything in the log, by a reader that checks its chain."""
        reader = open_reader(self._stage.store, tailnet=DEFAULT_TAILNET)
        after = Position(0)
        while page := await reader.read(after):
            for record in page:
                yield record
            after = page[-1].position
        await reader.close()
