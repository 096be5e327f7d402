"""A model client of the soak: it joins, keeps a map session open, comes back after every end, and writes down every frame.

Rule 1: it believes what `ClientView` believes; each session begins with nothing.
Rule 2: it waits before it comes back: n² · 10 ms, give or take a half, at most 30 s; 120 s of silence are an end
        (reference: reliability-security §1.9).
Rule 3: nothing is judged here.
"""

import asyncio
import contextlib
import os
import random
from typing import Any, Final

import msgspec

from engine.adapters.clock import SystemClock
from frontends.wire.keytext import Kind
from frontends.wire.noise import PrivateKey
from tests.kit.control_client import ControlClient, Gone, Refused, connect, new_key
from tests.kit.go_json import Rejected
from tests.soak.hand import Hand
from tests.soak.records import Closed, Ended, Framed, Joined, Opened, Writer

Json = dict[str, Any]
Address = tuple[str, int]
SILENCE_SECONDS: Final = 120.0
MOST_BACK_OFF: Final = 30.0
ENDS: Final = (OSError, Gone, Refused, TimeoutError, StopAsyncIteration)
"""What ends a session or a try, and is no fault of anybody's."""
CLOCK: Final = SystemClock()


class Place(msgspec.Struct, frozen=True):
    """Where clients go, and what must never be said to them."""

    address: Address
    public: bytes
    """The control server's Noise key."""
    watchwords: tuple[str, ...] = ()


async def join(place: Place, name: str, node_key: str, auth_key: str, machine: PrivateKey) -> None:
    """Register a node; as often as it takes."""
    tries = 0
    while True:
        with contextlib.suppress(*ENDS):
            async with connect(*place.address, machine, public=place.public) as client:
                answer = await client.register(node_key, auth_key=auth_key, hostinfo={"Hostname": name})
            if answer.get("MachineAuthorized"):
                return
            assert not answer.get("Error"), answer
        tries += 1
        await back_off(tries)


async def back_off(tries: int) -> None:
    most = min(tries**2 * 0.01, MOST_BACK_OFF)
    await asyncio.sleep(most * random.uniform(0.5, 1.5))


class Client:
    """One client; `run` is its life.

    Args:
        number: its number in the run.
        place: where it goes.
        writer: takes its lines.
        version: its capability version.
    """

    def __init__(self, number: int, place: Place, writer: Writer, version: int) -> None:
        self.number: Final = number
        self.name: Final = f"c{number}"
        self.node_key: Final = new_key()
        self.is_connected = False
        self.changed_at = 0
        """When it last held something else than before."""
        self._place = place
        self._writer = writer
        self._version = version
        self._machine = PrivateKey(os.urandom(32))
        self._disco = new_key(Kind.DISCO)
        self._tries = 0
        self._patience: asyncio.Timeout | None = None
        self._peers: dict[int, Json] = {}

    async def join(self, auth_key: str, writer: Writer) -> None:
        """Register; as often as it takes."""
        writer.write(Joined(self.node_key, CLOCK.now()))
        await join(self._place, self.name, self.node_key, auth_key, self._machine)
        writer.write(Joined(self.node_key, CLOCK.now(), is_in=True))

    async def run(self) -> None:
        """Keep a map session open until cancelled."""
        while True:
            asked = Opened(self.number, CLOCK.now())
            self._writer.write(asked)
            why, rejected = "", ""
            try:
                address, version = self._place.address, self._version
                async with connect(
                    *address, self._machine, public=self._place.public, version=version
                ) as client:
                    await self._session(client)
            except ENDS as error:
                why = f"{type(error).__name__}: {error}"[:80]
            except Rejected as error:
                rejected = str(error) or "rejected"
            finally:
                was_connected, self.is_connected = self.is_connected, False
            if was_connected or rejected:
                self._writer.write(Closed(self.number, CLOCK.now(), why, rejected))
            self._tries += 1
            await back_off(self._tries)

    def hop(self) -> None:
        """Drop the connection, as if the network had changed."""
        if self._patience is not None and not self._patience.expired():
            self._patience.reschedule(0)

    def end(self) -> None:
        """Write down how it stands."""
        offline = tuple(sorted(number for number, peer in self._peers.items() if not peer.get("Online")))
        self._writer.write(Ended(self.number, CLOCK.now(), self.is_connected, offline))

    async def _session(self, client: ControlClient) -> None:
        stream = await client.map_stream(self.node_key, DiscoKey=self._disco)
        hand = Hand(self.number, self._place.watchwords)
        loop = asyncio.get_running_loop()
        telling = asyncio.create_task(self._tell(client))
        try:
            async with asyncio.timeout(SILENCE_SECONDS) as self._patience:
                async for frame in stream:
                    self._patience.reschedule(loop.time() + SILENCE_SECONDS)
                    if frame.json.get("KeepAlive"):
                        continue
                    line = hand.take(stream.view, frame.raw, frame.json, CLOCK.now())
                    self._take(line, stream.view.peers)
        finally:
            self._patience = None
            telling.cancel()

    def _take(self, line: Framed, peers: dict[int, Json]) -> None:
        self._writer.write(line)
        self._tries, self.is_connected = 0, True
        if line.put or line.gone:
            self.changed_at = line.at
        self._peers = peers

    async def _tell(self, client: ControlClient) -> None:
        """Tell an endpoint, in a lite update beside the long poll."""
        endpoint = f"192.0.2.{random.randint(1, 254)}:{random.randint(1_024, 65_535)}"
        with contextlib.suppress(*ENDS):
            await client.map_lite(self.node_key, DiscoKey=self._disco, Endpoints=[endpoint])
