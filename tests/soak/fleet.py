"""Many clients in one process: `python -m tests.soak.fleet PLAN`, told what to do by lines on stdin, answering by lines.

up             join, open the sessions, and answer when every client has its first frame
hop SHARE      every so-manieth client drops its connection
state          answer how many are connected, and when one last held something else
end            write down how each stands, answer, and go
"""

import asyncio
import gc
import random
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final

import msgspec
import uvloop

from tests.soak.client import CLOCK, Client, Place
from tests.soak.records import Late, Writer

JOINING: Final = 16
"""How many join at a time."""
VERSIONS: Final = (142, 142, 142, 131, 142, 115, 142, 106)
"""The capability versions of clients, in turn: their frames differ, and what they may hold does not."""
FLUSH_SECONDS: Final = 1.0
LATE_SECONDS: Final = 0.1
"""Less is not worth a line."""
LOOK_SECONDS: Final = 0.1


class Plan(msgspec.Struct, frozen=True):
    """What one process is to do; `keys` has the auth key of each client by number."""

    place: Place
    keys: dict[int, str]
    seed: int
    frames: str
    """The file that its clients' lines go to."""
    joins: str


class State(msgspec.Struct, frozen=True):
    """How a process's clients stand."""

    clients: int
    connected: int
    changed_at: int
    nodes: dict[int, str] = {}
    """The node key of each client; said once, when all are up."""


class Fleet:
    """The clients of a plan."""

    def __init__(self, plan: Plan) -> None:
        self._frames = Writer(Path(plan.frames))
        self._joins = Writer(Path(plan.joins))
        self._plan = plan
        self._chance = random.Random(plan.seed)
        self.running: list[asyncio.Task[None]] = []
        self.clients = [
            Client(number, plan.place, self._frames, VERSIONS[number % len(VERSIONS)]) for number in plan.keys
        ]

    async def up(self) -> None:
        """Join, open the sessions, and return when every client has its first frame."""
        turn = asyncio.Semaphore(JOINING)

        async def one(client: Client) -> None:
            async with turn:
                await client.join(self._plan.keys[client.number], self._joins)
            self.running.append(asyncio.create_task(client.run()))

        await asyncio.gather(*map(one, self.clients))
        while self.state().connected < len(self.clients):
            await asyncio.sleep(LOOK_SECONDS)
        gc.freeze()

    def hop(self, share: float) -> None:
        """Let a share of the clients drop their connections."""
        for client in self._chance.sample(self.clients, int(share * len(self.clients))):
            client.hop()

    def state(self) -> State:
        return State(
            clients=len(self.clients),
            connected=sum(client.is_connected for client in self.clients),
            changed_at=max((client.changed_at for client in self.clients), default=0),
        )

    def end(self) -> None:
        for client in self.clients:
            client.end()
        self.flush()

    def late(self, seconds: float) -> None:
        """Write down by how much the process was late for something."""
        if seconds >= LATE_SECONDS:
            self._frames.write(Late(CLOCK.now(), int(seconds * 1_000)))

    def flush(self) -> None:
        self._frames.flush()
        self._joins.flush()


async def _lines() -> AsyncIterator[list[str]]:
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), sys.stdin
    )
    while line := await reader.readline():
        yield line.decode().split()


def _answer(state: State) -> None:
    print(msgspec.json.encode(state).decode(), flush=True)  # noqa: T201 (the answer to who started this)


async def _flushed(fleet: Fleet) -> None:
    loop = asyncio.get_running_loop()
    while True:
        due = loop.time() + FLUSH_SECONDS
        await asyncio.sleep(FLUSH_SECONDS)
        fleet.late(loop.time() - due)
        fleet.flush()


async def serve(plan: Plan) -> None:
    """Do as told until `end`, or until nobody is there to tell."""
    fleet = Fleet(plan)
    fleet.running.append(asyncio.create_task(_flushed(fleet)))
    async for words in _lines():
        match words:
            case ["up"]:
                await fleet.up()
                keys = {client.number: client.node_key for client in fleet.clients}
                _answer(msgspec.structs.replace(fleet.state(), nodes=keys))
            case ["hop", share]:
                fleet.hop(float(share))
            case ["state"]:
                for task in fleet.running:
                    assert not task.done(), task
                _answer(fleet.state())
            case _:
                break
    fleet.end()
    _answer(fleet.state())
    for task in fleet.running:
        task.cancel()
    await asyncio.gather(*fleet.running, return_exceptions=True)


if __name__ == "__main__":
    uvloop.run(serve(msgspec.json.decode(Path(sys.argv[1]).read_bytes(), type=Plan)))
