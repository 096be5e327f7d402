"""Host names of WireGuard-only peers, looked up again and again, as commands that say what was found.

Rule 1: an answer holds as long as its server says, but for `shortest` seconds at least and `LONGEST_SECONDS` at most.
Rule 2: a name that fails is asked again after `shortest` seconds, then twice that, and so on. One failure of a name that
        has addresses is no news; a second one in a row is reported.
Rule 3: at most `AT_ONCE` names are asked at a time; a name is asked once for all peers that have it.
Rule 4: only the engine that decides looks up: it starts when the log is its own. What is known is in the log, so that a
        start changes nothing.
Rule 5: a command's id follows from what was found and from where the log is; the decision says whether it is news.
"""

import asyncio
import hashlib
from collections.abc import Sequence
from typing import Final

import structlog

from engine.application.answers import digest_of
from engine.application.engine import Engine
from engine.application.ledger import Order
from engine.domain.commands import ReportLookup
from engine.domain.errors import Refusal
from engine.domain.events import PeerBackendSet, PeerRegistered, PeerUpdated
from engine.domain.places import answer_for, hosts_of
from engine.domain.values import CommandId, PeerId
from engine.ports import Clock, Fault, LookupFailed, Recorded, Resolver

_LOG: Final = structlog.get_logger()
TICK_SECONDS: Final = 1.0
AT_ONCE: Final = 32
LONGEST_SECONDS: Final = 3_600.0
"""A name whose server says "a week" may still move: it is asked every hour."""
LONGEST_PAUSE: Final = 600.0
"""Seconds between two tries of a name that fails."""
_MAX_GIVEN: Final = 64
"""Addresses of one answer that are handed on; the decision keeps fewer still."""
NAME: Final = "peer.resolved"
ACTOR: Final = "engine"


class Lookups:
    """The timer of host names; `shortest` seconds lie between two lookups of one."""

    def __init__(self, engine: Engine, resolver: Resolver, clock: Clock, shortest: float) -> None:
        self._engine = engine
        self._resolver = resolver
        self._clock = clock
        self._shortest = shortest
        self._due: dict[str, float] = {}
        self._failures: dict[str, int] = {}
        engine.watch(self._on_commit)

    async def run(self, stop: asyncio.Event) -> None:
        """Look up what is due, until `stop`."""
        while not stop.is_set():
            await self.tick()
            try:
                await asyncio.wait_for(stop.wait(), TICK_SECONDS)
            except TimeoutError:
                continue

    async def tick(self) -> None:
        """Look up at most `AT_ONCE` names that are due now, those that wait longest first."""
        now = self._clock.monotonic()
        names = self._engine.tailnet.peers_by_host
        for gone in self._due.keys() - names.keys():
            del self._due[gone]
            self._failures.pop(gone, None)
        due = sorted((self._due.get(host, 0.0), host) for host in names if self._due.get(host, now) <= now)
        await asyncio.gather(*(self._look_up(host) for _, host in due[:AT_ONCE]))

    async def _look_up(self, host: str) -> None:
        try:
            found = await self._resolver.look_up(host)
        except LookupFailed as failed:
            await self._failed(host, str(failed))
            return
        self._failures.pop(host, None)
        self._ask_again(host, min(max(found.seconds, self._shortest), LONGEST_SECONDS))
        for peer in self._peers(host):
            await self._report(peer, host, found.addresses[:_MAX_GIVEN], "")

    async def _failed(self, host: str, failure: str) -> None:
        times = self._failures[host] = self._failures.get(host, 0) + 1
        self._ask_again(host, min(self._shortest * 2 ** min(times - 1, 16), LONGEST_PAUSE))
        if times & (times - 1) == 0:  # the first, the second, the fourth, and so on
            _LOG.warning("lookup.failed", host=host, times=times, why=failure)
        for peer in self._peers(host):
            if times > 1 or not self._is_known(peer, host):
                await self._report(peer, host, (), failure)

    def _ask_again(self, host: str, seconds: float) -> None:
        self._due[host] = self._clock.monotonic() + seconds

    def _peers(self, host: str) -> list[PeerId]:
        return sorted(self._engine.tailnet.peers_by_host.get(host, ()))

    def _is_known(self, number: PeerId, host: str) -> bool:
        peer = self._engine.tailnet.peers.get(number)
        held = None if peer is None else answer_for(peer, host)
        return held is not None and bool(held.addresses)

    async def _report(self, peer: PeerId, host: str, addresses: tuple[str, ...], failure: str) -> None:
        found = repr((peer, host, sorted(addresses), failure, self._engine.head().position))
        key = hashlib.sha256(found.encode()).hexdigest()[:32]
        order = Order(
            command=ReportLookup(peer=peer, host=host, addresses=addresses, failure=failure),
            name=NAME,
            command_id=CommandId(f"lookup-{key}"),
            actor=ACTOR,
            digest=digest_of(ACTOR, NAME, found.encode()),
            cause="lookup",
            receipt_always=False,
        )
        try:
            await self._engine.handle(order)
        except Refusal as refusal:
            _LOG.info("lookup.refused", peer=peer, code=refusal.code)
        except Fault as fault:
            _LOG.warning("lookup.later", peer=peer, fault=fault.code)
            self._ask_again(host, self._shortest)

    def _on_commit(self, records: Sequence[Recorded]) -> None:
        """Ask at once for the names of a peer that is new or has others."""
        for record in records:
            if isinstance(record.event, PeerRegistered | PeerUpdated | PeerBackendSet):
                peer = self._engine.tailnet.peers.get(record.event.peer)
                for host in () if peer is None else hosts_of(peer):
                    self._due.pop(host, None)
