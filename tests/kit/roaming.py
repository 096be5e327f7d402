"""A model client that stays: it keeps a map session open, tells its endpoints, and comes back after every end.

Rule 1: it believes what `ClientView` believes; each session begins with nothing.
Rule 2: it waits before it comes back: n² · 10 ms, give or take a half, at most 30 s; 120 s of silence are an end
        (reference: reliability-security §1.9).
Rule 3: every frame becomes a `Sight`; nothing is judged here.
"""

import asyncio
import contextlib
import os
import random
from collections.abc import Callable
from typing import Any, Final

from engine.adapters.clock import SystemClock
from engine.domain.values import FIRST_PEER_ID, Position
from frontends.wire.keytext import Kind
from frontends.wire.noise import PrivateKey
from tests.kit.client_view import ClientView
from tests.kit.control_client import ControlClient, Gone, MapFrame, Refused, connect, new_key
from tests.kit.go_json import Rejected
from tests.kit.sights import Extra, Held, Sight

Json = dict[str, Any]
Address = tuple[str, int]
SILENCE_SECONDS: Final = 120.0
UPDATE_SECONDS: Final = 0.5
"""Between two changes of the endpoints."""
MOST_BACK_OFF: Final = 30.0
CLOCK: Final = SystemClock()


class Roamer:
    """One client; `run` is its life.

    Args:
        name: its host name.
        address: where the frontends are reached.
        public: the control server's Noise key.
        acknowledged: the position up to which changes have been acknowledged to somebody.
    """

    def __init__(
        self, name: str, address: Address, public: bytes, acknowledged: Callable[[], Position]
    ) -> None:
        self.name: Final = name
        self.node_key: Final = new_key()
        self.sights: Final[list[Sight]] = []
        self.rejected: Final[list[str]] = []
        """What a real client would have rejected, or could not work with."""
        self.watchwords: tuple[str, ...] = ()
        self.view = ClientView()
        """The view of the last session."""
        self._address = address
        self._public = public
        self._acknowledged = acknowledged
        self._machine = PrivateKey(os.urandom(32))
        self._disco = new_key(Kind.DISCO)
        self._tries = 0
        self._patience: asyncio.Timeout | None = None

    @property
    def held(self) -> Held | None:
        """What it holds."""
        return self.sights[-1].held if self.sights else None

    async def join(self, auth_key: str) -> None:
        """Register; as often as it takes."""
        answer: Json = {}
        while not answer.get("MachineAuthorized"):
            with contextlib.suppress(OSError, Gone, Refused, TimeoutError):
                async with connect(*self._address, self._machine, public=self._public) as client:
                    answer = await client.register(
                        self.node_key, auth_key=auth_key, hostinfo={"Hostname": self.name}
                    )
            assert not answer.get("Error"), answer
            if not answer:
                await self._back_off()
        self._tries = 0

    async def run(self) -> None:
        """Keep a map session open until cancelled."""
        while True:
            with contextlib.suppress(OSError, Gone, Refused, TimeoutError):
                async with connect(*self._address, self._machine, public=self._public) as client:
                    await self._session(client)
            await self._back_off()

    def hop(self) -> None:
        """Drop the connection, as if the network had changed."""
        if self._patience is not None:
            self._patience.reschedule(0)

    async def _back_off(self) -> None:
        self._tries += 1
        most = min(self._tries**2 * 0.01, MOST_BACK_OFF)
        await asyncio.sleep(most * random.uniform(0.5, 1.5))

    async def _session(self, client: ControlClient) -> None:
        floor = self._acknowledged()
        stream = await client.map_stream(self.node_key, DiscoKey=self._disco)
        self.view = stream.view
        loop = asyncio.get_running_loop()
        telling = asyncio.create_task(self._tell(client))
        try:
            async with asyncio.timeout(SILENCE_SECONDS) as self._patience:
                before: frozenset[int] = frozenset()
                async for frame in stream:
                    self._patience.reschedule(loop.time() + SILENCE_SECONDS)
                    self._tries = 0
                    self._see(frame, floor, before)
                    floor, before = Position(0), frozenset(self.view.peers)
        except Rejected as error:
            self.rejected.append(str(error))
        finally:
            self._patience = None
            telling.cancel()

    async def _tell(self, client: ControlClient) -> None:
        """Tell new endpoints again and again, in lite updates beside the long poll."""
        with contextlib.suppress(OSError, Gone, Refused, TimeoutError):
            while True:
                endpoint = f"192.0.2.{random.randint(1, 254)}:{random.randint(1_024, 65_535)}"
                await client.map_lite(self.node_key, DiscoKey=self._disco, Endpoints=[endpoint])
                await asyncio.sleep(UPDATE_SECONDS * random.uniform(0.5, 1.5))

    def _see(self, frame: MapFrame, floor: Position, before: frozenset[int]) -> None:
        if frame.json.get("KeepAlive"):
            return
        text = frame.raw.decode()
        sight = Sight(
            at=CLOCK.now(),
            floor=floor,
            held=held(self.view),
            told=told_of(frame.json),
            strangers=frozenset(frame.json.get("PeersRemoved") or ()) - before,
            watchwords=tuple(word for word in self.watchwords if word in text),
        )
        self.sights.append(sight)
        self.rejected.extend(self.view.complaints())


def held(view: ClientView) -> Held:
    """What a view's client holds."""
    return Held(
        peers=frozenset(
            (number, peer["Key"], peer["Name"].partition(".")[0])
            for number, peer in view.peers.items()
            if number < FIRST_PEER_ID
        ),
        wireguard=frozenset(
            Extra(
                id=number,
                key=peer["Key"],
                is_expired=peer.get("Expired", False),
                ipv4_masq=peer.get("SelfNodeV4MasqAddrForThisPeer", ""),
                ipv6_masq=peer.get("SelfNodeV6MasqAddrForThisPeer", ""),
            )
            for number, peer in view.peers.items()
            if number >= FIRST_PEER_ID
        ),
    )


def told_of(frame: Json) -> frozenset[int]:
    """The peers that a frame says something about."""
    whole = [*(frame.get("Peers") or ()), *(frame.get("PeersChanged") or ())]
    return frozenset(
        {
            *(peer["ID"] for peer in whole),
            *(patch["NodeID"] for patch in frame.get("PeersChangedPatch") or ()),
            *(int(number) for name in ("OnlineChange", "PeerSeenChange") for number in frame.get(name) or ()),
        }
    )
