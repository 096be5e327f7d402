"""Tells the engine what clients offer to route and which tags they ask for, when the log says otherwise.

Rule 1: nobody waits for it: a map request is answered whatever becomes of its offer.
Rule 2: of each node one question is on its way at most, and `PAUSE_SECONDS` lie between two; what the client said last
        is what is asked. So a client that flaps costs the log no more than that, and loses nothing.
Rule 3: a question that is not answered is asked again when the client speaks next; what the engine answers with
        `later` is asked again after the pause.
Rule 4: tags that the node has already are not asked for, however few of them the client names.
"""

import asyncio
from typing import Final, NamedTuple

import msgspec
import structlog

from engine.contracts import subjects
from engine.contracts.netmap import NodeObject
from engine.contracts.requests import ERROR_CODE, Accepted
from engine.domain.commands import AdvertiseNode
from engine.domain.routes import offered
from engine.domain.values import NodeId, TailnetName
from engine.ports import Bus, Clock, Fault
from frontends.wire.tailcfg.hostinfo import Hostinfo

PAUSE_SECONDS: Final = 1.0
"""As long as the engine takes no other offer of the node (`engine.domain.routes`)."""
ENGINE_SECONDS: Final = 5.0
MAX_TAGS: Final = 65
"""One more than a node can have: then the engine refuses them, and half of them are not granted."""
MAX_TAG: Final = 256

_log = structlog.get_logger(__name__)


class _Offer(NamedTuple):
    node: NodeObject
    routes: tuple[str, ...]
    tags: tuple[str, ...]


class Offers:
    """What this frontend's clients offer; `run` asks."""

    def __init__(self, bus: Bus, clock: Clock, tailnet: TailnetName, frontend: str) -> None:
        self._bus = bus
        self._clock = clock
        self._subject = subjects.registration(tailnet, frontend, "advertise")
        self._waiting: dict[NodeId, _Offer] = {}
        self._asked: dict[NodeId, float] = {}
        """When a node's last question was sent: lately, or it is on its way; the replica may not have the answer yet."""
        self._on_way: set[NodeId] = set()
        self._wake = asyncio.Event()

    def heard(self, node: NodeObject, host: Hostinfo | None) -> None:
        """Take note of what a client says of its host, if it says anything."""
        if host is None:
            return
        offer = _Offer(node, offered(host.routable_ips or ()), tags_of(host))
        is_known = offer.routes == node.advertised and set(offer.tags) <= set(node.tags)
        if is_known and node.id not in self._asked:  # else the log may have another word by now
            self._waiting.pop(node.id, None)
            return
        self._waiting[node.id] = offer
        self._wake.set()

    async def run(self) -> None:
        """Ask until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            while True:
                self._wake.clear()
                for offer in self.due():
                    tasks.create_task(self._ask(offer))
                try:
                    await asyncio.wait_for(self._wake.wait(), self.pause())
                except TimeoutError:
                    continue

    def due(self) -> list[_Offer]:
        """Take the offers that may be asked about now."""
        now = self._clock.monotonic()
        self._asked = {
            node: at for node, at in self._asked.items() if node in self._on_way or now - at < PAUSE_SECONDS
        }
        found = [offer for node, offer in self._waiting.items() if node not in self._asked]
        for offer in found:
            del self._waiting[offer.node.id]
            self._asked[offer.node.id] = now
            self._on_way.add(offer.node.id)
        return found

    def answered(self, node: NodeId) -> None:
        """Take note that the node's question is no longer on its way."""
        self._on_way.discard(node)
        self._wake.set()

    def pause(self) -> float | None:
        """Return how long nobody can be asked about; None: until somebody says something."""
        times = [self._asked[node] for node in self._waiting if node not in self._on_way]
        return max(0.0, min(times) + PAUSE_SECONDS - self._clock.monotonic()) if times else None

    async def _ask(self, offer: _Offer) -> None:
        node = offer.node
        command = AdvertiseNode(
            machine_key=node.machine_key, node_key=node.node_key, routes=offer.routes, request_tags=offer.tags
        )
        try:
            reply = await self._bus.request(
                self._subject, msgspec.json.encode(command), timeout=ENGINE_SECONDS
            )
            if ERROR_CODE not in reply.headers:
                answer = msgspec.json.decode(reply.data, type=Accepted)
                if answer.result.get("later"):
                    self._waiting.setdefault(node.id, offer)
        except (Fault, msgspec.MsgspecError) as error:
            _log.warning("an offer was not taken", node=node.id, error=type(error).__name__)
        finally:
            self.answered(node.id)


def tags_of(host: Hostinfo) -> tuple[str, ...]:
    """Return the tags that a client asks for: each once, as the engine is asked."""
    found = dict.fromkeys(tag[:MAX_TAG] for tag in host.request_tags or ())
    return tuple(found)[:MAX_TAGS]
