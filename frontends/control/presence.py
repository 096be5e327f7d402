"""Says what this frontend knows of its clients, and hears what the others know of theirs.

Rule 1: a session's generation is newer than every one that this frontend knows of for its node. Whose node gets a
        newer one elsewhere has lost its client, and ends the session (F5).
Rule 2: a session that ends leaves its node online for `GRACE_SECONDS`: clients come back, perhaps to another frontend.
        Then the node is offline, unless a newer generation speaks for it (P6).
Rule 3: a frontend that is silent for the lease has no sessions; one that is heard again has those that it had.
Rule 4: what was said lately is said again with each heartbeat, so that a message lost on the way costs no more than
        a heartbeat; after a longer silence everybody says everything (`rejoin`).
Rule 5: a frontend that starts asks the others for all that they know. What an earlier life of its own said to be
        online goes offline after the grace, unless its client comes back.
Rule 6: what a client offers to route is no soft state: it goes to the engine (`offers.py`).
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from typing import Final

import msgspec
import structlog

from engine.contracts import subjects
from engine.contracts.soft import HEARTBEAT_MILLIS, LEASE_MILLIS, Hello, SoftFact, SoftState, is_own_word
from engine.domain.values import Millis, NodeId, TailnetName
from engine.ports import Bus, Clock, Fault, Message
from frontends.control import facts
from frontends.control.offers import Offers
from frontends.control.replica import NOTHING, Replica, Touched
from frontends.wire.tailcfg.map import MapRequest

GRACE_SECONDS: Final = 10.0
"""As headscale (hscontrol/poll.go): a client that lost its connection is back well before."""
COALESCE_SECONDS: Final = 0.01
"""Facts of so short a time go into one message."""
MAX_OCTETS: Final = 256 * 1024
"""Octets of facts in a message: well below NATS' max_payload of 1 MiB."""
SWEEP_SECONDS: Final = 1.0

_log = structlog.get_logger(__name__)
_STATE: Final = msgspec.json.Decoder(SoftState)


class Presence:
    """This frontend's part of the soft state; `on_change` hears which nodes read differently.

    `on_superseded` hears of own sessions whose client has gone to another frontend.
    """

    def __init__(self, bus: Bus, clock: Clock, tailnet: TailnetName, frontend: str, replica: Replica) -> None:
        self.on_change: Callable[[Touched], None] = lambda _: None
        self.on_superseded: Callable[[NodeId], None] = lambda _: None
        self._bus = bus
        self._clock = clock
        self._tailnet = tailnet
        self._me: Final = frontend
        self._replica = replica
        self._sequence = 0
        self._open: dict[NodeId, int] = {}
        self._leaving: dict[NodeId, tuple[int, float, Millis]] = {}
        """Nodes whose session has ended: its generation, when the grace ends, when the client was last there."""
        self._dirty: dict[NodeId, SoftFact] = {}
        self._recent: dict[NodeId, tuple[float, SoftFact]] = {}
        self._heard: dict[str, tuple[float, Millis]] = {}
        self._lapsed: set[str] = set()
        self._wake = asyncio.Event()
        self._offers = Offers(bus, clock, tailnet, frontend)

    # What the endpoints say -------------------------------------------------------------------------------------

    def opened(self, node: NodeId, request: MapRequest) -> int:
        """Take note of a new map session; return its generation.

        Raises:
            RemoteProtocolError: the request's Hostinfo is not one that may be relayed.
        """
        held = self._replica.held(node)
        generation = max(self._clock.now(), (held.generation if held else 0) + 1)
        fact = facts.seeded(held, node, request, self._mark(held, generation))
        self._open[node] = generation
        self._leaving.pop(node, None)
        self._say(fact)
        self._offer(node, request)
        return generation

    def closed(self, node: NodeId, generation: int) -> None:
        """Take note that a map session ended."""
        if self._open.get(node) != generation:
            return
        del self._open[node]
        self._leave(node, generation)

    def told(self, node: NodeId, request: MapRequest) -> None:
        """Take over a lite update.

        Raises:
            RemoteProtocolError: the request's Hostinfo is not one that may be relayed.
        """
        held = self._replica.held(node)
        ours = held is not None and held.origin == self._me
        generation = (
            held.generation
            if held is not None and ours
            else max(self._clock.now(), (held.generation if held else 0) + 1)
        )
        fact = facts.told(held, node, request, self._mark(held, generation))
        self._offer(node, request)
        if held is not None and _same(fact, held):
            return
        if not fact.online:  # clients take a disco key of an offline peer only with a newer time
            fact = msgspec.structs.replace(fact, last_seen=self._clock.now())
        self._say(fact)
        if fact.online and node not in self._open:
            self._leave(node, generation)

    def _offer(self, node: NodeId, request: MapRequest) -> None:
        known = self._replica.node(node)
        if known is not None:
            self._offers.heard(known, request.hostinfo)

    def _mark(self, held: SoftFact | None, generation: int) -> facts.Mark:
        self._sequence = max(self._sequence, held.sequence if held else 0) + 1
        return facts.Mark(self._me, generation, self._sequence)

    def _leave(self, node: NodeId, generation: int) -> None:
        self._leaving[node] = (generation, self._clock.monotonic() + GRACE_SECONDS, self._clock.now())

    def _say(self, fact: SoftFact) -> None:
        touched = self._replica.merge((fact,))
        self._dirty[fact.node] = fact
        self._wake.set()
        if touched:
            self.on_change(touched)

    # Tasks ------------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Speak and listen until cancelled."""
        states = await self._bus.subscribe(subjects.soft(self._tailnet, "*", "state"))
        hellos = await self._bus.subscribe(subjects.soft(self._tailnet, "*", "hello"))
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._hear_states(states))
            tasks.create_task(self._hear_hellos(hellos))
            tasks.create_task(self._speak())
            tasks.create_task(self._beat())
            tasks.create_task(self._sweep())
            tasks.create_task(self._offers.run())
            await self._greet()

    async def rejoin(self) -> None:
        """Say everything, and ask for everything: messages may have been lost."""
        await self._greet()
        await self._publish(self._replica.facts(), full=True)

    async def _greet(self) -> None:
        hello = Hello(origin=self._me, epoch=self._replica.epoch or None)
        await self._send("hello", msgspec.json.encode(hello))

    async def _hear_states(self, messages: AsyncIterator[Message]) -> None:
        async for message in messages:
            try:
                state = _STATE.decode(message.data)
            except msgspec.MsgspecError:
                _log.warning("soft state cannot be read", octets=len(message.data))
                continue
            if not is_own_word(state, message.subject):
                _log.warning("soft state in another frontend's name", subject=message.subject)
            elif state.origin != self._me:
                self.hear(state)

    async def _hear_hellos(self, messages: AsyncIterator[Message]) -> None:
        async for message in messages:
            if message.subject != subjects.soft(self._tailnet, self._me, "hello"):
                await self._publish(self._replica.facts(), full=True)

    async def _speak(self) -> None:
        while True:
            await self._wake.wait()
            await asyncio.sleep(COALESCE_SECONDS)
            self._wake.clear()
            await self.flush()

    async def flush(self) -> None:
        """Say now what was not said yet."""
        said, self._dirty = self._dirty, {}
        now = self._clock.monotonic()
        self._recent |= {node: (now, fact) for node, fact in said.items()}
        if said:
            await self._publish(said.values())

    async def _beat(self) -> None:
        while True:
            since = self._clock.monotonic() - LEASE_MILLIS / 1_000
            self._recent = {node: said for node, said in self._recent.items() if said[0] > since}
            await self._publish([fact for _, fact in self._recent.values()])
            await asyncio.sleep(HEARTBEAT_MILLIS / 1_000)

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(SWEEP_SECONDS)
            self.sweep()

    # What follows -----------------------------------------------------------------------------------------------

    def hear(self, state: SoftState) -> None:
        """Take over what another frontend says."""
        now, at = self._clock.monotonic(), self._clock.now()
        self._heard[state.origin] = (now, at)
        self._lapsed.discard(state.origin)
        touched = self._replica.revive(state.origin)
        for fact in state.facts:
            self._heard.setdefault(fact.origin, (now, at))
        touched |= self._replica.merge(state.facts)
        for fact in state.facts:
            self._judge(fact)
        if touched:
            self.on_change(touched)

    def _judge(self, fact: SoftFact) -> None:
        own = self._open.get(fact.node)
        if own is not None and (fact.generation, fact.origin) > (own, self._me):
            del self._open[fact.node]
            self.on_superseded(fact.node)
        elif own is None and fact.origin == self._me and fact.online and fact.node not in self._leaving:
            self._leave(fact.node, fact.generation)

    def sweep(self) -> None:
        """Let go of what has been gone for too long: own clients after the grace, frontends after the lease."""
        now = self._clock.monotonic()
        for node, (generation, until, at) in list(self._leaving.items()):
            if now < until:
                continue
            del self._leaving[node]
            held = self._replica.held(node)
            if held is not None and held.online and (held.origin, held.generation) == (self._me, generation):
                self._say(facts.gone(held, self._mark(held, generation), at))
        touched = NOTHING
        for origin, (heard, at) in self._heard.items():
            if origin not in self._lapsed and origin != self._me and now - heard > LEASE_MILLIS / 1_000:
                self._lapsed.add(origin)
                touched |= self._replica.lapse(origin, at)
        if touched:
            self.on_change(touched)

    async def _publish(self, found: Iterable[SoftFact], *, full: bool = False) -> None:
        for part in _parts(found):
            state = SoftState(origin=self._me, at=self._clock.now(), facts=part, full=full)
            await self._send("state", msgspec.json.encode(state))

    async def _send(self, kind: str, data: bytes) -> None:
        try:
            await self._bus.publish(subjects.soft(self._tailnet, self._me, kind), data)
        except Fault as fault:
            _log.warning("soft state was not published", kind=kind, fault=type(fault).__name__)


def _same(fact: SoftFact, held: SoftFact) -> bool:
    return msgspec.structs.replace(fact, generation=held.generation, sequence=held.sequence) == held


def _parts(found: Iterable[SoftFact]) -> Iterator[tuple[SoftFact, ...]]:
    """Yield the facts in parts that fit into messages; at least one, perhaps empty."""
    part: list[SoftFact] = []
    size = 0
    for fact in found:
        weight = len(bytes(fact.hostinfo)) + 1_024 + 64 * len(fact.endpoints)
        if part and size + weight > MAX_OCTETS:
            yield tuple(part)
            part, size = [], 0
        part.append(fact)
        size += weight
    yield tuple(part)
