"""One process of a fleet: `python -m bench.crew <number>`; orders come on stdin, answers go to stdout.

Rule 1: every crew connects from loopback addresses of its own, so that no number of clients runs out of ports.
Rule 2: a client that lost its session comes back after n² × 10 ms, ± 50 %, n the number of tries: at another port each time.
"""

import asyncio
import contextlib
import gc
import random
import resource
import sys
import time
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, Final, cast

import msgspec
import uvloop

from bench import judge, orders
from bench.orders import Answer, Board, Ends, Order, Says, Seat, Sign
from bench.viewer import Viewer, connect, map_request, text_of
from frontends.wire.noise import PrivateKey

MOST_BACK_OFF: Final = 10.0
ADDRESSES: Final = 250
THRESHOLD: Final = 100_000
"""Allocations between two collections: what thousands of clients hold is no garbage."""


class Client:
    """One client over all of its sessions."""

    def __init__(self, crew: int, seat: Seat, given: Board) -> None:
        self.seat: Final = seat
        self.viewer: Viewer | None = None
        self.sessions: list[list[judge.Frame]] = []
        """What came in each session, if it is kept."""
        self.since: list[judge.Frame] = []
        """What came since `forget`; a frame that begins a session is among it."""
        self.ended: list[float] = []
        self.back: list[float] = []
        self._given: Final = given
        self._key: Final = PrivateKey(seat.private)
        self._from: Final = f"127.1.{crew + 1}.{seat.number % ADDRESSES + 1}"
        self._question: Final = map_request(seat.node_key, seat.disco)
        self._task: asyncio.Task[None] | None = None

    async def board(self) -> float:
        """Open the first session, as often as it takes; return when its map was there."""
        async with asyncio.timeout(self._given.patience):
            viewer = await self._come(0)
        if self._given.returns:
            self._task = asyncio.create_task(self._stay())
        return viewer.whole.result()

    def forget(self) -> None:
        """Forget what came so far, or put it where it is kept."""
        self.collect()
        self.since.clear()
        self.ended.clear()
        self.back.clear()
        if self.viewer is not None:
            self.viewer.octets = 0

    def collect(self) -> None:
        """Take over what the viewer has noted."""
        viewer = self.viewer
        if viewer is None:
            return
        viewer.unpack()
        found = [judge.Frame(at, frame) for at, frame in viewer.frames]
        viewer.frames.clear()
        self._take(found)

    def leave(self) -> None:
        """Hang up, and do not come back."""
        if self._task is not None:
            self._task.cancel()
        if self.viewer is not None:
            self.viewer.close()

    def _take(self, found: Sequence[judge.Frame]) -> None:
        self.since += found
        if self._given.keeps:
            self.sessions[-1] += found

    async def _come(self, tries: int) -> Viewer:
        while True:
            if tries:
                most = min(tries**2 * 0.01, MOST_BACK_OFF)
                await asyncio.sleep(most * random.uniform(0.5, 1.5))
            with contextlib.suppress(OSError):
                return await self._open(tries)
            tries += 1

    async def _open(self, tries: int) -> Viewer:
        port = self._given.ports[(self.seat.first + tries) % len(self._given.ports)]
        viewer = await connect(port, self._key, self._given.server, source=self._from)
        try:
            viewer.ask(self._question)
            await viewer.whole
        except BaseException:
            viewer.close()
            raise
        self.viewer = viewer
        if self._given.keeps:
            self.sessions.append([])
        self._take([judge.Frame(viewer.whole.result(), viewer.first)])
        viewer.first = b""
        return viewer

    async def _stay(self) -> None:
        while True:
            viewer = cast("Viewer", self.viewer)
            self.ended.append(await viewer.gone)
            self.collect()
            viewer.close()
            self.viewer = None
            self.back.append((await self._come(1)).whole.result())


class Crew:
    """All clients of this process."""

    def __init__(self, number: int) -> None:
        self._number: Final = number
        self._clients: list[Client] = []

    async def on(self, order: Order) -> Answer:
        """Do what is ordered."""
        match order:
            case orders.Board():
                return await self._board(order)
            case orders.Forget():
                for client in self._clients:
                    client.forget()
                return orders.Done()
            case orders.Look(sign=sign, only=only):
                return self._look(sign, only)
            case orders.Stand():
                return self._stand()
            case orders.Judge():
                return await self._judge(order)
            case orders.Leave():
                for client in self._clients:
                    client.leave()
                self._clients.clear()
                return orders.Done()

    async def _board(self, order: Board) -> orders.Boarded:
        turn = asyncio.Semaphore(order.at_once)
        fresh = [Client(self._number, seat, order) for seat in order.seats]

        async def one(client: Client) -> float:
            async with turn:
                return await client.board()

        found = await asyncio.gather(*map(one, fresh), return_exceptions=True)
        self._clients += fresh
        gc.collect()
        gc.freeze()
        return orders.Boarded(
            [at for at in found if isinstance(at, float)],
            [f"{type(why).__name__}: {why}" for why in found if isinstance(why, BaseException)],
        )

    def _look(self, sign: Sign, only: frozenset[int] | None) -> orders.Seen:
        at: dict[int, float] = {}
        missing = []
        for client in self._clients:
            number = client.seat.number
            if only is not None and number not in only:
                continue
            client.collect()
            when = first_with(client, sign)
            if when is None:
                missing.append(number)
            else:
                at[number] = when
        return orders.Seen(at, missing)

    def _stand(self) -> orders.Standing:
        viewers = [client.viewer for client in self._clients if client.viewer is not None]
        return orders.Standing(
            open=sum(not viewer.gone.done() for viewer in viewers),
            octets=sum(viewer.octets for viewer in viewers),
            lost=sum(len(client.ended) for client in self._clients),
            back=[at for client in self._clients for at in client.back],
            cpu=time.process_time(),
            resident=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1_024,
        )

    async def _judge(self, order: orders.Judge) -> orders.Verdict:
        court = await judge.Court.of(order.store, order.circles)
        complaints: list[str] = []
        frames = clients = 0
        for client in self._clients:
            if client.seat.number % order.every:
                continue
            client.collect()
            clients += 1
            frames += sum(len(session) for session in client.sessions)
            is_there = client.viewer is not None and not client.viewer.gone.done()
            complaints += court.complaints(client.seat.number, client.sessions, is_there=is_there)
        return orders.Verdict(complaints[: judge.SHOWN], clients, frames)


def first_with(client: Client, sign: Sign) -> float | None:
    """Return when a sign came to a client."""
    if isinstance(sign, Ends):
        viewer = client.viewer
        ends = [*client.ended, *([viewer.gone.result()] if viewer is not None and viewer.gone.done() else ())]
        return min(ends, default=None)
    if isinstance(sign, Says):
        return next((at for at, frame in client.since if sign.octets in _text(frame)), None)
    left = set(sign.peers)
    for at, frame in client.since:
        whole, removed = _peers(frame)
        left = left & whole if whole is not None else left - removed
        if not left:
            return at
    return None


class _Frame(msgspec.Struct, rename="pascal"):
    peers: list[dict[str, Any]] | None = None
    peers_removed: list[int] | None = None


_FRAME: Final = msgspec.json.Decoder(_Frame)


@lru_cache(maxsize=256)
def _text(frame: bytes) -> bytes:
    """Return the text of a frame; all clients of a round have the same few."""
    return text_of(frame)


@lru_cache(maxsize=256)
def _peers(frame: bytes) -> tuple[frozenset[int] | None, frozenset[int]]:
    """Return all peers of a frame that begins a session, and those that a frame removes."""
    told = _FRAME.decode(_text(frame))
    whole = frozenset(peer["ID"] for peer in told.peers) if told.peers else None
    return whole, frozenset(told.peers_removed or ())


async def _serve(number: int) -> None:
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader(limit=1 << 24)
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    crew = Crew(number)
    while (data := await orders.receive(reader)) is not None:
        answer = await crew.on(orders.ORDERS.decode(data))
        await asyncio.to_thread(_answer, orders.packed(answer))


def _answer(data: bytes) -> None:
    sys.stdout.buffer.write(data)
    sys.stdout.buffer.flush()


if __name__ == "__main__":
    gc.set_threshold(THRESHOLD, 50, 100)
    uvloop.run(_serve(int(sys.argv[1])))
