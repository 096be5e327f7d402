"""What goes wrong, and when: a schedule from a seed, and the one who carries it out.

Rule 1: one fault begins every so many seconds, whatever the earlier ones do: they overlap. What is down already is left alone.
Rule 2: every fault ends by itself: what was killed is started, what was stopped goes on, what was cut is joined.
"""

import asyncio
import random
import signal
from collections.abc import Sequence
from typing import Final, Protocol

import msgspec

from tests.soak.client import CLOCK
from tests.soak.records import Fault, Writer

STOP_SECONDS: Final = (1.0, 12.0)
DOWN_SECONDS: Final = (0.2, 3.0)
"""How long what was killed stays down."""
CUT_SECONDS: Final = (1.0, 8.0)
STALL_SECONDS: Final = (1.0, 12.0)
HOP_SHARES: Final = (0.1, 0.5)
KINDS: Final = ("kill",) * 5 + ("stop",) * 4 + ("cut",) * 2 + ("stall",) * 2 + ("wipe", "hop")


class Planned(msgspec.Struct, frozen=True):
    """A fault to come: when, from the beginning, in seconds; of what, and for how long, or for `hop` of what share."""

    at: float
    kind: str
    target: str
    size: float


class Subject(Protocol):
    """What faults happen to."""

    def down(self, role: str) -> None:
        """Kill a process; the PostgreSQL server is shut down as by a power cut."""
        ...

    async def up(self, role: str) -> None:
        """Start it again."""
        ...

    def signal(self, role: str, number: int) -> None:
        """Send a signal to a process, and to all that belong to it."""
        ...

    def wipe(self, role: str) -> None:
        """Take away the data of a broker that is down."""
        ...

    def link(self, name: str, state: str) -> None:
        """`cut`, `stall` or `open` the connections between a process and the broker."""
        ...

    async def hop(self, share: float) -> None:
        """Let a share of the clients drop their connections."""
        ...


def schedule(
    seed: int, seconds: float, every: float, roles: Sequence[str], links: Sequence[str]
) -> list[Planned]:
    """The faults of a run, all of them from the seed; kinds that nothing is there for are left out."""
    chance = random.Random(seed)
    brokers = [role for role in roles if role.startswith("nats")]
    needs = {"cut": links, "stall": links, "wipe": brokers, "kill": roles, "stop": roles}
    kinds = [kind for kind in KINDS if needs.get(kind, roles)]
    found = []
    for number in range(1, int(seconds / every) + 1):
        kind = chance.choice(kinds)
        match kind:
            case "kill":
                target, size = chance.choice(roles), chance.uniform(*DOWN_SECONDS)
            case "stop":
                target, size = chance.choice(roles), chance.uniform(*STOP_SECONDS)
            case "wipe":
                target, size = chance.choice(brokers), chance.uniform(*DOWN_SECONDS)
            case "cut":
                target, size = chance.choice(links), chance.uniform(*CUT_SECONDS)
            case "stall":
                target, size = chance.choice(links), chance.uniform(*STALL_SECONDS)
            case _:
                target, size = "clients", chance.uniform(*HOP_SHARES)
        found.append(Planned(number * every, kind, target, round(size, 3)))
    return found


class Nemesis:
    """Carries a schedule out on a subject, and writes down what it did."""

    def __init__(self, subject: Subject, writer: Writer) -> None:
        self._subject = subject
        self._writer = writer
        self._busy: set[str] = set()

    async def run(self, planned: Sequence[Planned]) -> int:
        """Do it all; return the time at which the last fault was over."""
        loop = asyncio.get_running_loop()
        start = loop.time()
        async with asyncio.TaskGroup() as group:
            for fault in planned:
                await asyncio.sleep(start + fault.at - loop.time())
                if fault.target not in self._busy:
                    self._busy.add(fault.target)
                    group.create_task(self._one(fault))
        return CLOCK.now()

    async def _one(self, fault: Planned) -> None:
        began = CLOCK.now()
        try:
            await self._do(fault)
        finally:
            self._busy.discard(fault.target)
        self._writer.write(Fault(fault.kind, fault.target, began, CLOCK.now()))
        self._writer.flush()

    async def _do(self, fault: Planned) -> None:
        subject = self._subject
        match fault.kind:
            case "kill" | "wipe":
                subject.down(fault.target)
                if fault.kind == "wipe":
                    subject.wipe(fault.target)
                await asyncio.sleep(fault.size)
                await subject.up(fault.target)
            case "stop":
                subject.signal(fault.target, signal.SIGSTOP)
                await asyncio.sleep(fault.size)
                subject.signal(fault.target, signal.SIGCONT)
            case "cut" | "stall":
                subject.link(fault.target, fault.kind)
                await asyncio.sleep(fault.size)
                subject.link(fault.target, "open")
            case _:
                await subject.hop(fault.size)
