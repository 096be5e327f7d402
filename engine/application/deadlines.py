"""Key expiries that come due, as commands to expire the node.

Rule 1: the heap has every expiry that was ever set; one that is no longer the node's is dropped when it comes due.
Rule 2: the wall clock must walk with the monotonic one: after a jump of more than `JUMP_MILLIS` nothing expires until it
        is back, or the engine is started again (a clock set to next year must not log everybody out).
Rule 3: commands have ids that follow from the node and the expiry: one that is sent again has no second effect.
"""

import asyncio
import heapq
from collections.abc import Sequence
from typing import Final

import structlog

from engine.application.answers import digest_of
from engine.application.engine import Engine
from engine.application.ledger import Order
from engine.domain.commands import ExpireNode
from engine.domain.errors import Refusal
from engine.domain.events import NodeExpirySet, NodeRegistered, NodeReregistered
from engine.domain.values import CommandId, Millis, NodeId
from engine.ports import Clock, Fault, Recorded

_LOG: Final = structlog.get_logger()
JUMP_MILLIS: Final = 60_000
TICK_SECONDS: Final = 1.0
RESCAN_TICKS: Final = 60
"""All nodes are looked at once a minute: what a commit that was found by recovery did not tell."""
AT_ONCE: Final = 100
"""Nodes expired in one tick: a mass expiry leaves room for other commands."""
ACTOR: Final = "engine"


class Deadlines:
    """The timer of key expiries."""

    def __init__(self, engine: Engine, clock: Clock) -> None:
        self._engine = engine
        self._clock = clock
        self._heap: list[tuple[Millis, NodeId]] = []
        self._wall, self._steady = clock.now(), clock.monotonic()
        self._jumped = False
        engine.watch(self._on_commit)

    async def run(self, stop: asyncio.Event) -> None:
        """Expire what comes due, until `stop`."""
        ticks = 0
        while not stop.is_set():
            if ticks % RESCAN_TICKS == 0:
                self.rescan()
            ticks += 1
            await self.tick()
            try:
                await asyncio.wait_for(stop.wait(), TICK_SECONDS)
            except TimeoutError:
                continue

    def rescan(self) -> None:
        """Take all expiries from the tailnet anew."""
        nodes = self._engine.tailnet.nodes.values()
        self._heap = [(node.expiry, node.id) for node in nodes if node.expiry and not node.expired]
        heapq.heapify(self._heap)

    async def tick(self) -> None:
        """Expire at most `AT_ONCE` nodes that are due now."""
        now = self._clock.now()
        if self._has_jumped(now):
            return
        due: list[tuple[Millis, NodeId]] = []
        while self._heap and self._heap[0][0] <= now and len(due) < AT_ONCE:
            entry = heapq.heappop(self._heap)
            node = self._engine.tailnet.nodes.get(entry[1])
            if node is not None and node.expiry == entry[0] and not node.expired:
                due.append(entry)
        await asyncio.gather(*(self._expire(expiry, node) for expiry, node in due))

    async def _expire(self, expiry: Millis, node: NodeId) -> None:
        name = "node.expire"
        key = f"deadline-{node}-{expiry}"
        order = Order(
            command=ExpireNode(node=node, because="deadline"),
            name=name,
            command_id=CommandId(key),
            actor=ACTOR,
            digest=digest_of(ACTOR, name, key.encode()),
            cause="deadline",
        )
        try:
            await self._engine.handle(order)
        except Refusal as refusal:
            _LOG.warning("deadline.refused", node=node, code=refusal.code)
        except Fault as fault:
            _LOG.warning("deadline.later", node=node, fault=fault.code)
            heapq.heappush(self._heap, (expiry, node))

    def _has_jumped(self, now: Millis) -> bool:
        expected = self._wall + (self._clock.monotonic() - self._steady) * 1_000
        jumped = abs(now - expected) > JUMP_MILLIS
        if jumped != self._jumped:
            self._jumped = jumped
            _LOG.error("clock.jumped" if jumped else "clock.back", milliseconds=int(now - expected))
        if not jumped:  # a slow drift is the clock being disciplined
            self._wall, self._steady = now, self._clock.monotonic()
        return jumped

    def _on_commit(self, records: Sequence[Recorded]) -> None:
        for record in records:
            match record.event:
                case (
                    NodeRegistered(node=node, expiry=expiry)
                    | NodeReregistered(node=node, expiry=expiry)
                    | NodeExpirySet(node=node, expiry=expiry)
                ) if expiry:
                    heapq.heappush(self._heap, (expiry, node))
                case _:
                    pass
