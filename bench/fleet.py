"""A simulated fleet: thousands of clients with real Noise and HTTP/2, in a few processes of their own.

    async with launched(folder) as fleet:
        await fleet.board(machines, ports, key)     every client has a map session
        await fleet.forget()
        …                                           something happens
        await fleet.look(Says(b"…"))                when the frames of it came, to whom they did not
        await fleet.judge(store, circles)           every frame was what the log entitled its client to

Rule 1: clients are spread over the processes and over the ports, one after the other.
Rule 2: what comes is stamped and counted as it comes, and looked into afterwards: a client that understood every frame
        at once would be what is measured.
Rule 3: a crew's processor time is told beside every number that it could be part of.
"""

import asyncio
import contextlib
import os
import resource
import sys
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Final, TypeVar

import msgspec

from bench import orders
from bench.forms import Form
from bench.orders import Answer, Board, Boarded, Judge, Order, Seat, Seen, Sign, Standing, Verdict
from bench.site import Machine
from tests.kit.lab.net import ROOT

CREWS: Final = 2
QUIET_SECONDS: Final = 1.0
"""Without any octets to anybody, all is told."""
TINY_REST: Final = 0.15
PATIENCE_SECONDS: Final = 120.0
AT_ONCE: Final = 100
"""Clients of each crew that shake hands at a time, where it is no storm that is wanted."""
EVERYBODY: Final = 1 << 20
_SPARE: Final = 256
"""Open files beside the connections."""

A = TypeVar("A", bound=Answer)


class Fleet:
    """All crews together; made by `launched`. `rest` is how long nothing must come for all to be told, in seconds."""

    def __init__(self, crews: Sequence["asyncio.subprocess.Process"], rest: float) -> None:
        self._crews: Final = crews
        self.rest: Final = rest

    async def board(
        self,
        clients: Sequence[Machine],
        ports: Sequence[int],
        server: bytes,
        *,
        at_once: int = AT_ONCE,
        returns: bool = False,
        keeps: bool = False,
    ) -> list[float]:
        """Connect clients, the nodes 1 … n; return when each had its map.

        Raises:
            RuntimeError: some could not.
        """
        order = Board(
            seats=[], ports=list(ports), server=server, at_once=at_once, patience=PATIENCE_SECONDS,
            returns=returns, keeps=keeps,
        )  # fmt: skip
        seats = [
            Seat(
                number=number,
                private=client.private,
                node_key=client.node_key,
                disco=client.disco,
                first=number % len(ports),
            )
            for number, client in enumerate(clients, start=1)
        ]
        parts = [seats[crew :: len(self._crews)] for crew in range(len(self._crews))]
        found = await self._all([msgspec.structs.replace(order, seats=part) for part in parts], Boarded)
        if failed := [why for one in found for why in one.failed]:
            raise RuntimeError(f"{len(failed)} of {len(clients)} clients have no map: {failed[0]}")
        return [at for one in found for at in one.whole]

    async def forget(self) -> None:
        """Forget what came so far."""
        await self._each(orders.Forget(), orders.Done)

    async def look(self, sign: Sign, only: frozenset[int] | None = None) -> Seen:
        """Return when a sign came to each client, or to these nodes."""
        found = await self._each(orders.Look(sign, only), Seen)
        return Seen(
            {node: at for one in found for node, at in one.at.items()},
            [n for one in found for n in one.missing],
        )

    async def stand(self) -> Standing:
        """Return how things stand with all of them."""
        found = await self._each(orders.Stand(), Standing)
        return Standing(
            open=sum(one.open for one in found),
            octets=sum(one.octets for one in found),
            lost=sum(one.lost for one in found),
            back=[at for one in found for at in one.back],
            cpu=sum(one.cpu for one in found),
            resident=sum(one.resident for one in found),
        )

    async def quiet(self) -> None:
        """Wait until nothing comes any more.

        Raises:
            TimeoutError: it does not end.
        """
        async with asyncio.timeout(PATIENCE_SECONDS):
            before = -1
            while (now := (await self.stand()).octets) != before:
                before = now
                await asyncio.sleep(self.rest)

    async def judge(self, store: str, circles: Sequence[Sequence[int]] = (), every: int = 1) -> Verdict:
        """Hold what was kept of every frame against the log."""
        order = Judge(store=store, circles=[list(circle) for circle in circles], every=every)
        found = await self._each(order, Verdict)
        return Verdict(
            [what for one in found for what in one.complaints],
            sum(one.clients for one in found),
            sum(one.frames for one in found),
        )

    async def leave(self) -> None:
        """Hang up with everybody."""
        await self._each(orders.Leave(), orders.Done)

    async def _each(self, order: Order, kind: type[A]) -> list[A]:
        return await self._all([order] * len(self._crews), kind)

    async def _all(self, given: Sequence[Order], kind: type[A]) -> list[A]:
        return list(
            await asyncio.gather(
                *(_told(crew, order, kind) for crew, order in zip(self._crews, given, strict=True))
            )
        )


async def _told(crew: asyncio.subprocess.Process, order: Order, kind: type[A]) -> A:
    assert crew.stdin is not None
    assert crew.stdout is not None
    crew.stdin.write(orders.packed(order))
    await crew.stdin.drain()
    data = await orders.receive(crew.stdout)
    if data is None:
        raise RuntimeError(f"a crew died of {type(order).__name__}: see its log")
    answer = orders.ANSWERS.decode(data)
    assert isinstance(answer, kind), answer
    return answer


@contextlib.asynccontextmanager
async def launched(folder: Path, form: Form = Form.FULL, crews: int = CREWS) -> AsyncIterator[Fleet]:
    """Start so many processes of clients, ready for orders; end them afterwards."""
    stack = contextlib.ExitStack()
    with stack:
        procs = []
        for number in range(crews):
            log = stack.enter_context((folder / f"crew{number}.log").open("wb"))
            procs.append(
                await asyncio.create_subprocess_exec(
                    sys.executable, "-m", "bench.crew", str(number),
                    stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=log, cwd=ROOT,
                )
            )  # fmt: skip
        try:
            fleet = Fleet(procs, TINY_REST if form is Form.TINY else QUIET_SECONDS)
            await fleet.stand()  # it has started
            yield fleet
        finally:
            for proc in procs:
                with contextlib.suppress(ProcessLookupError):
                    proc.kill()
                await proc.wait()


def raise_files(connections: int) -> None:
    """Let this process and its children open as many files as so many connections need.

    Raises:
        RuntimeError: the machine does not allow it.
    """
    needed = connections + _SPARE
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < needed:
        if os.geteuid():
            raise RuntimeError(f"{needed:,} open files are needed, {hard:,} are allowed: raise `ulimit -Hn`")
        hard = needed
    if soft != resource.RLIM_INFINITY and soft < needed:
        resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))
