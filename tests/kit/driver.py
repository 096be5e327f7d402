"""Changes a tailnet at random, as an operator and as nodes that join: every change once, whatever dies meanwhile.

Rule 1: it knows what it has made, so nothing it asks for may be refused: a refusal means that something happened
        twice, or not at all.
Rule 2: one change after the other, at `PACE_SECONDS`; the same seed makes the same choices.
"""

import asyncio
import itertools
import json
import random
from collections.abc import Awaitable, Callable
from typing import Any, Final

from engine.contracts.requests import Accepted
from engine.domain.values import Position
from tests.kit.operator import Operator
from tests.kit.scenario import octets

PACE_SECONDS: Final = 0.04
MOST_NODES: Final = 10
"""Beside the clients'."""
MOST_PEERS: Final = 8

Json = dict[str, Any]
TAGS: Final = (["tag:a"], ["tag:b"], ["tag:a", "tag:b"])
OWNERS: Final[Json] = {"tagOwners": {"tag:a": [], "tag:b": []}}
POLICIES: Final[tuple[Json, ...]] = (
    {"acls": [{"action": "accept", "src": ["*"], "dst": ["*:*"]}]},
    {"grants": [{"src": ["tag:a"], "dst": ["tag:b"], "ip": ["tcp:22"]}]},
    {"grants": [{"src": ["autogroup:member"], "dst": ["tag:a", "autogroup:self"], "ip": ["*"]}]},
    {"acls": []},
)
"""Everybody; some see some; people see their own; nobody sees anybody."""

Join = Callable[[str], Awaitable[None]]


class Driver:
    """See the module's rules; `done` counts changes, `acknowledged` is the last position that it was told.

    Args:
        sender: the operator.
        join: registers a node under a host name.
        clients: the names of nodes that must stay.
        seed: of the choices.
    """

    def __init__(self, sender: Operator, join: Join, clients: list[str], seed: int) -> None:
        self.acknowledged = Position(0)
        self.done = 0
        self._sender = sender
        self._join = join
        self._chance = random.Random(seed)
        self._nodes = dict(enumerate(clients))
        """Present names, by a number of our own."""
        self._clients: Final = frozenset(self._nodes)
        self._peers: set[str] = set()
        self._parked: set[str] = set()
        self._pairs: set[tuple[int, str]] = set()
        self._numbers = itertools.count(len(clients) + 1)
        self._moved = asyncio.Event()

    async def reach(self, more: int) -> None:
        """Wait until so many more changes have been made."""
        wanted = self.done + more
        while self.done < wanted:
            self._moved.clear()
            await self._moved.wait()

    async def run(self, stop: asyncio.Event) -> None:
        """Change something again and again, until `stop` is set."""
        while not stop.is_set():
            await self.change()
            await asyncio.sleep(PACE_SECONDS)

    async def change(self) -> None:
        """Change one thing."""
        kinds = [self._connect] * 4 + [self._disconnect] * 2 + [self._update] * 2 + [self._rename] * 2
        kinds += [self._rule, self._tag]
        kinds += [self._join_one, self._delete, self._register, self._remove, self._switch, self._switch]
        while not await self._chance.choice(kinds)():
            pass
        self.done += 1
        self._moved.set()

    def acknowledge(self, accepted: Accepted) -> None:
        """Take note of a change that was made."""
        self.acknowledged = Position(max(self.acknowledged, accepted.position))

    async def _send(self, name: str, body: Json) -> Accepted:
        accepted = await self._sender.command(name, body)
        self.acknowledge(accepted)
        return accepted

    async def _connect(self) -> bool:
        peers = sorted(self._peers - self._parked)
        free = [(n, p) for n in self._nodes for p in peers if (n, p) not in self._pairs]
        if not free:
            return False
        node, peer = self._chance.choice(free)
        await self._send("connection.add", {**self._pair(node, peer), **self._masquerade()})
        self._pairs.add((node, peer))
        return True

    async def _update(self) -> bool:
        if not self._pairs:
            return False
        node, peer = self._chance.choice(sorted(self._pairs))
        await self._send("connection.update", {**self._pair(node, peer), **self._masquerade()})
        return True

    async def _disconnect(self) -> bool:
        if not self._pairs:
            return False
        node, peer = self._chance.choice(sorted(self._pairs))
        await self._send("connection.remove", self._pair(node, peer))
        self._pairs.discard((node, peer))
        return True

    async def _rename(self) -> bool:
        node = self._chance.choice(sorted(self._nodes))
        name = f"r{next(self._numbers)}"
        await self._send("node.rename", {"node": self._nodes[node], "name": name})
        self._nodes[node] = name
        return True

    async def _join_one(self) -> bool:
        if len(self._nodes) - len(self._clients) >= MOST_NODES:
            return False
        number = next(self._numbers)
        await self._join(f"x{number}")
        self._nodes[number] = f"x{number}"
        return True

    async def _delete(self) -> bool:
        found = sorted(self._nodes.keys() - self._clients)
        if not found:
            return False
        node = self._chance.choice(found)
        await self._send("node.remove", {"node": self._nodes[node]})
        del self._nodes[node]
        self._pairs = {pair for pair in self._pairs if pair[0] != node}
        return True

    async def _register(self) -> bool:
        if len(self._peers) >= MOST_PEERS:
            return False
        number = next(self._numbers)
        self.acknowledge(await register_peer(self._sender, f"p{number}", number))
        self._peers.add(f"p{number}")
        return True

    async def _remove(self) -> bool:
        lonely = sorted(self._peers - {peer for _, peer in self._pairs})
        if not lonely:
            return False
        peer = self._chance.choice(lonely)
        await self._send("peer.remove", {"peer": peer})
        self._peers.discard(peer)
        self._parked.discard(peer)
        return True

    async def _switch(self) -> bool:
        """Park a WireGuard-only peer, let it expire, or bring it back; what is so already is accepted too."""
        if not self._peers:
            return False
        verb = self._chance.choice(("disable", "expire", "enable", "enable"))
        peer = self._chance.choice(sorted(self._peers))
        await self._send(f"peer.{verb}", {"peer": peer})
        if verb == "disable":
            self._parked.add(peer)
        elif verb == "enable":
            self._parked.discard(peer)
        return True

    async def _rule(self) -> bool:
        """Set another policy; the one in force is accepted too."""
        policy = self._chance.choice(POLICIES)
        await self._send("policy.set", {"text": json.dumps({**OWNERS, **policy})})
        return True

    async def _tag(self) -> bool:
        """Give a node other tags; it belongs to nobody from then on."""
        node = self._chance.choice(sorted(self._nodes))
        await self._send("node.tag", {"node": self._nodes[node], "tags": self._chance.choice(TAGS)})
        return True

    def _pair(self, node: int, peer: str) -> Json:
        return {"node": self._nodes[node], "peer": peer}

    def _masquerade(self) -> Json:
        number = next(self._numbers)
        return {"ipv4MasqAddr": f"172.16.{number // 256}.{number % 256}"}


async def register_peer(sender: Operator, name: str, number: int) -> Accepted:
    """Register a WireGuard-only peer for ann, with prefix and endpoint of its own."""
    body = {
        "name": name,
        "user": "ann",
        "publicKey": peer_key(name),
        "allowedIps": [f"10.{number // 256}.{number % 256}.0/24"],
        "endpoints": [f"192.0.2.1:{10_000 + number}"],
    }
    return await sender.command("peer.register", body)


def peer_key(name: str) -> str:
    """The key of that peer, as 64 hex digits."""
    return octets(f"peer {name}")
