"""Changes a tailnet at a steady rate while everything dies: each command once, under an id of its own, resent until answered.

Rule 1: a lane knows what it has made and nobody else touches it, so nothing that it asks for may be refused, but for what
        it asks for wrongly on purpose. Lanes run side by side: a command that waits for an engine holds up its lane alone.
Rule 2: a command has one id for all its tries; now and then one is sent again although it was answered.
Rule 3: the same seed makes the same choices in each lane; how lanes meet is the machine's.
"""

import asyncio
import hashlib
import itertools
import json
import os
import random
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final

import msgspec

from engine.contracts.requests import Accepted
from engine.domain.values import FIRST_PEER_ID
from engine.ports import Fault, TimedOut
from frontends.wire.noise import PrivateKey
from tests.kit.control_client import new_key
from tests.kit.driver import peer_key
from tests.kit.operator import PAUSE_SECONDS, Operator, problem_in
from tests.soak.client import CLOCK, Place, join
from tests.soak.ledger import MARK
from tests.soak.records import Answered, Joined, Sent, Writer

Json = dict[str, Any]
AGAIN: Final = 0.05
"""The share of commands that are sent again although they were answered."""
WRONG: Final = 0.03
"""The share of what is asked for that must be refused."""
MOST_NODES: Final = 6
"""Beside the clients', in each lane."""
MOST_PEERS: Final = 6
MOST_BEHIND: Final = 2.0
"""Seconds of its rate that a lane which was held up makes good for."""
TAGS: Final = (["tag:a"], ["tag:b"], ["tag:a", "tag:b"])


def policies(groups: int) -> list[str]:
    """Policies by which people see their own nodes, and a few see some of another group; one by which nobody sees anybody."""
    own = {"src": ["autogroup:member"], "dst": ["autogroup:self"], "ip": ["*"]}
    tags = {"src": ["tag:a"], "dst": ["tag:b"], "ip": ["tcp:22"]}
    found = [[own], [own, tags]]
    for group in range(min(groups - 1, 6)):
        found.append([own, tags, {"src": [f"g{group}@"], "dst": [f"g{group + 1}@"], "ip": ["*"]}])
        found.append([own, {"src": [f"g{group}@"], "dst": ["tag:a", "tag:b"], "ip": ["tcp:443"]}])
    without = [f"g{group}@" for group in range(1, groups)]
    found.append([{"src": without, "dst": ["autogroup:self"], "ip": ["*"]}] if without else [])
    owners: Json = {"tagOwners": {"tag:a": [], "tag:b": []}}
    return [json.dumps({**owners, "grants": grants}) for grants in found] + [
        json.dumps({**owners, "acls": []})
    ]


class Sender:
    """Sends commands and writes down what becomes of them; `unknown` are those of which a try had no answer in time."""

    def __init__(self, operator: Operator, writer: Writer, chance: random.Random) -> None:
        self.accepted = 0
        self.refused = 0
        self.unknown: Final[set[str]] = set()
        self._operator = operator
        self._writer = writer
        self._chance = chance

    async def command(self, number: str, name: str, body: Json, *, may: bool = True) -> Accepted | None:
        """Send until there is an answer; return what was accepted, None for a refusal that is due."""
        self._writer.write(Sent(number, CLOCK.now(), name))
        answer = await self._answer(number, name, body)
        while self._chance.random() < AGAIN:
            await self._answer(number, name, body)
        if isinstance(answer, str):
            assert not may, f"{name} {body}: {answer}"
            self.refused += 1
            return None
        assert may, f"{name} {body} was accepted"
        self.accepted += 1
        return answer

    async def _answer(self, number: str, name: str, body: Json) -> Accepted | str:
        while True:
            try:
                reply = await self._operator.once(name, body, number)
            except TimedOut:
                self.unknown.add(number)
            except Fault:
                pass  # not sent
            else:
                problem = problem_in(reply)
                octets = hashlib.sha256(reply.data).hexdigest()[:16]
                if problem is None:
                    accepted = msgspec.json.decode(reply.data, type=Accepted)
                    self._writer.write(Answered(number, CLOCK.now(), octets, position=accepted.position))
                    return accepted
                if not problem.retryable:
                    self._writer.write(Answered(number, CLOCK.now(), octets, refused=problem.code))
                    return problem.code
            await asyncio.sleep(PAUSE_SECONDS)


class Lane:
    """One stream of changes, to nodes and WireGuard-only peers of its own.

    Args:
        number: from 0; lane 0 alone sets policies.
        sender: sends its commands.
        clients: the names of its clients' nodes, which must stay.
        texts: the policies to choose from.
        join: registers a node under a host name.
        seed: of its choices.
    """

    def __init__(
        self,
        number: int,
        sender: Sender,
        clients: Sequence[str],
        texts: Sequence[str],
        *,
        join: Callable[[str], Awaitable[None]],
        seed: int,
    ) -> None:
        self.done = 0
        self._number = number
        self._sender = sender
        self._join_one = join
        self._texts = texts
        self._chance = random.Random(seed * 1_000 + number)
        self._nodes = dict(enumerate(clients))
        """Present names, by a number of our own."""
        self._clients: Final = frozenset(self._nodes)
        self._peers: list[str] = []
        self._parked: set[str] = set()
        self._pairs: list[tuple[int, str]] = []
        self._numbers = itertools.count(len(clients) + 1)
        self._ids = itertools.count(1)
        kinds = [self._connect] * 5 + [self._disconnect] * 3 + [self._update] * 3 + [self._rename] * 4
        kinds += [self._join, self._delete, self._register, self._remove, self._switch, self._switch]
        self._kinds = kinds + [self._tag] * 2 + ([self._rule] * 6 if number == 0 else [])

    async def run(self, stop: asyncio.Event, per_second: float) -> None:
        """Change something at the rate, until `stop` is set."""
        loop = asyncio.get_running_loop()
        due = loop.time() + self._chance.random() / per_second
        while not stop.is_set():
            await self.change()
            due = max(due + 1 / per_second, loop.time() - MOST_BEHIND)
            await asyncio.sleep(due - loop.time())

    async def change(self) -> None:
        """Change one thing, or ask for something that must be refused."""
        if self._chance.random() < WRONG:
            await self._sender.command(self._id(), "node.remove", {"node": "nobody"}, may=False)
        else:
            while not await self._chance.choice(self._kinds)():
                pass
        self.done += 1

    def _id(self) -> str:
        return f"{MARK}{self._number}-{next(self._ids)}"

    async def _send(self, name: str, body: Json) -> None:
        await self._sender.command(self._id(), name, body)

    async def _connect(self) -> bool:
        peers = [peer for peer in self._peers if peer not in self._parked]
        if not peers:
            return False
        pair = (self._chance.choice(sorted(self._nodes)), self._chance.choice(peers))
        if pair in self._pairs:
            return False
        await self._send("connection.add", {**self._pair(pair), **self._masquerade()})
        self._pairs.append(pair)
        return True

    async def _update(self) -> bool:
        if not self._pairs:
            return False
        pair = self._chance.choice(self._pairs)
        await self._send("connection.update", {**self._pair(pair), **self._masquerade()})
        return True

    async def _disconnect(self) -> bool:
        if not self._pairs:
            return False
        pair = self._chance.choice(self._pairs)
        await self._send("connection.remove", self._pair(pair))
        self._pairs.remove(pair)
        return True

    async def _rename(self) -> bool:
        node = self._chance.choice(sorted(self._nodes))
        name = f"r{self._number}-{next(self._numbers)}"
        await self._send("node.rename", {"node": self._nodes[node], "name": name})
        self._nodes[node] = name
        return True

    async def _join(self) -> bool:
        if len(self._nodes) - len(self._clients) >= MOST_NODES:
            return False
        number = next(self._numbers)
        name = f"x{self._number}-{number}"
        await self._join_one(name)
        self._nodes[number] = name
        return True

    async def _delete(self) -> bool:
        found = sorted(self._nodes.keys() - self._clients)
        if not found:
            return False
        node = self._chance.choice(found)
        await self._send("node.remove", {"node": self._nodes[node]})
        del self._nodes[node]
        self._pairs = [pair for pair in self._pairs if pair[0] != node]
        return True

    async def _register(self) -> bool:
        if len(self._peers) >= MOST_PEERS:
            return False
        number = next(self._numbers)
        name = f"p{self._number}-{number}"
        await self._send("peer.register", relay(name, "g0", self._number, number))
        self._peers.append(name)
        return True

    async def _remove(self) -> bool:
        taken = {peer for _, peer in self._pairs}
        lonely = [peer for peer in self._peers if peer not in taken]
        if not lonely:
            return False
        peer = self._chance.choice(lonely)
        await self._send("peer.remove", {"peer": peer})
        self._peers.remove(peer)
        self._parked.discard(peer)
        return True

    async def _switch(self) -> bool:
        """Park a WireGuard-only peer, let it expire, or bring it back; what is so already is accepted too."""
        if not self._peers:
            return False
        verb = self._chance.choice(("disable", "expire", "enable", "enable"))
        peer = self._chance.choice(self._peers)
        await self._send(f"peer.{verb}", {"peer": peer})
        if verb == "disable":
            self._parked.add(peer)
        elif verb == "enable":
            self._parked.discard(peer)
        return True

    async def _rule(self) -> bool:
        """Set another policy; the one in force is accepted too."""
        await self._send("policy.set", {"text": self._chance.choice(self._texts)})
        return True

    async def _tag(self) -> bool:
        """Give a node that is no client's other tags; it belongs to nobody from then on."""
        found = sorted(self._nodes.keys() - self._clients)
        if not found:
            return False
        node = self._chance.choice(found)
        await self._send("node.tag", {"node": self._nodes[node], "tags": self._chance.choice(TAGS)})
        return True

    def _pair(self, pair: tuple[int, str]) -> Json:
        return {"node": self._nodes[pair[0]], "peer": pair[1]}

    def _masquerade(self) -> Json:
        number = next(self._numbers) % 65_536
        return {"ipv4MasqAddr": f"172.{16 + self._number}.{number // 256}.{number % 256}"}


def relay(name: str, user: str, lane: int, number: int) -> Json:
    """The body that registers a WireGuard-only peer with a prefix and endpoint of its own."""
    return {
        "name": name,
        "user": user,
        "publicKey": peer_key(name),
        "allowedIps": [f"10.{lane + 1}.{number % 256}.0/24"],
        "endpoints": [f"192.0.2.1:{10_000 + number % 50_000}"],
    }


def watchwords(canary: Accepted, name: str) -> tuple[str, ...]:
    """What must be in no frame if nobody is connected to that WireGuard-only peer."""
    number = int(str(canary.id))
    assert number >= FIRST_PEER_ID
    return (name, peer_key(name), f'"{canary.result["ipv4"]}/32"', f'"wg{number}"')


async def join_and_tell(place: Place, writer: Writer, name: str, auth_key: str) -> None:
    """Register a node that is no client's, and write that down."""
    key = new_key()
    writer.write(Joined(key, CLOCK.now()))
    await join(place, name, key, auth_key, PrivateKey(os.urandom(32)))
    writer.write(Joined(key, CLOCK.now(), is_in=True))
