"""Ephemeral nodes that have gone quiet, as commands to delete them.

Rule 1: what frontends say of `online` is soft state; it is heard here and nowhere else in the engine.
Rule 2: a node's time runs from when it was last heard online, and anew from the engine's start.
Rule 3: while no frontend is heard at all nobody's time runs: a bus that is cut must not empty the tailnet.
Rule 4: a node's command has an id that follows from the node: sent again it has no second effect.
"""

import asyncio
from collections.abc import AsyncIterator
from typing import Final

import msgspec
import structlog

from engine.application.answers import digest_of
from engine.application.engine import Engine
from engine.application.ledger import Order
from engine.contracts import subjects
from engine.contracts.soft import LEASE_MILLIS, SoftFact, SoftState, is_own_word, newer
from engine.domain.commands import DeleteNode
from engine.domain.errors import Refusal
from engine.domain.values import CommandId, NodeId, TailnetName
from engine.ports import Bus, Clock, Fault, Message

_LOG: Final = structlog.get_logger()
_DECODER: Final = msgspec.json.Decoder(SoftState)
TICK_SECONDS: Final = 5.0
LEASE_SECONDS: Final = LEASE_MILLIS / 1_000
ACTOR: Final = "engine"


class Quiet:
    """The timer of ephemeral nodes; one that was not online for `after` seconds is deleted."""

    def __init__(self, engine: Engine, clock: Clock, after: float) -> None:
        self._engine = engine
        self._clock = clock
        self._after = after
        self._facts: dict[NodeId, SoftFact] = {}
        self._heard: dict[str, float] = {}
        self._seen: dict[NodeId, float] = {}

    async def run(self, bus: Bus, tailnet: TailnetName, stop: asyncio.Event) -> None:
        """Listen, and delete what has been quiet for too long, until `stop`."""
        messages = await bus.subscribe(subjects.soft(tailnet, "*", "state"))
        listening = asyncio.create_task(self._listen(messages))
        try:
            while not stop.is_set():
                await self.tick()
                try:
                    await asyncio.wait_for(stop.wait(), min(TICK_SECONDS, self._after))
                except TimeoutError:
                    continue
        finally:
            listening.cancel()
            await asyncio.gather(listening, return_exceptions=True)

    def hear(self, message: Message) -> None:
        """Take in what a frontend says; what cannot be read, or is said in another's name, is nobody's word."""
        try:
            state = _DECODER.decode(message.data)
        except msgspec.MsgspecError:
            return
        if not is_own_word(state, message.subject):
            return
        self._heard[state.origin] = self._clock.monotonic()
        nodes = self._engine.tailnet.nodes
        for fact in state.facts:
            node = nodes.get(fact.node)
            if node is not None and node.ephemeral and newer(fact, self._facts.get(fact.node)):
                self._facts[fact.node] = msgspec.structs.replace(fact, hostinfo=msgspec.Raw(b"{}"))

    async def tick(self) -> None:
        """Delete the nodes whose time has come."""
        now = self._clock.monotonic()
        ephemeral = {node.id for node in self._engine.tailnet.nodes.values() if node.ephemeral}
        for gone in self._seen.keys() - ephemeral:
            del self._seen[gone]
            self._facts.pop(gone, None)
        if not any(self._is_alive(origin, now) for origin in self._heard):
            self._seen = dict.fromkeys(ephemeral, now)
            return
        for node in ephemeral:
            fact = self._facts.get(node)
            if node not in self._seen or (fact and fact.online and self._is_alive(fact.origin, now)):
                self._seen[node] = now
            elif now - self._seen[node] >= self._after:
                await self._delete(node)

    async def _listen(self, messages: AsyncIterator[Message]) -> None:
        async for message in messages:
            self.hear(message)

    def _is_alive(self, origin: str, now: float) -> bool:
        return now - self._heard.get(origin, -LEASE_SECONDS) < LEASE_SECONDS

    async def _delete(self, node: NodeId) -> None:
        key = f"ephemeral-{node}"
        order = Order(
            command=DeleteNode(node=node),
            name="node.remove",
            command_id=CommandId(key),
            actor=ACTOR,
            digest=digest_of(ACTOR, "node.remove", key.encode()),
            cause="ephemeral",
            reason=f"not online for {self._after:g} s",
        )
        try:
            await self._engine.handle(order)
        except Refusal as refusal:
            _LOG.warning("ephemeral.refused", node=node, code=refusal.code)
        except Fault as fault:
            _LOG.warning("ephemeral.later", node=node, fault=fault.code)
