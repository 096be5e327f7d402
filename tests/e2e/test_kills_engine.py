"""An engine killed at any moment under load: what it said is so, once, and what it refused never happened (L1, L2, L3).

Many senders keep commands in flight over NATS, each under an id of its own, resent under the same id until it is
answered. Every answer is kept and held against the log.
"""

import asyncio
import base64
import hashlib
import random
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec
import pytest

from engine.adapters.store.opening import open_reader
from engine.contracts.requests import Accepted
from engine.domain.events import tag_of
from engine.domain.values import Position
from tests.kit import postgres
from tests.kit.cluster import Cluster
from tests.kit.operator import Operator, operator, problem_in

pytestmark = pytest.mark.real
SENDERS: Final = 16
MOST_ANSWERS: Final = 60
"""Answers between an engine's first one and its end, at most."""
PATIENCE: Final = 4
LIMIT: Final = 200.0
"""Seconds for all kills of one store together."""
LONGEST: Final = 0.02
"""Seconds from the last of these to its end, at most."""
EFFECTS: Final[Mapping[str, tuple[str, ...]]] = {
    "user.create": ("UserCreated.v1", "CommandHandled.v1"),
    "authkey.create": ("AuthKeyCreated.v1", "CommandHandled.v1"),
    "peer.register": ("PeerRegistered.v1", "CommandHandled.v1"),
}


class Told(NamedTuple):
    """What the sender of a command heard in the end: the position of its last event, or that it was refused (0)."""

    key: str
    name: str
    position: int


class Entry(NamedTuple):
    """An event in the log."""

    position: int
    key: str
    type: str


def complaints(sent: set[str], told: Sequence[Told], log: Sequence[Entry]) -> list[str]:
    """Say what is wrong with a history; nothing if it is as promised."""
    events: dict[str, list[Entry]] = {}
    for entry in log:
        events.setdefault(entry.key, []).append(entry)
    found = [f"{key} is in the log and was never sent" for key in events if key not in sent]
    found += [f"{key} was never answered" for key in sent - {answer.key for answer in told}]
    for answer in told:
        own = events.get(answer.key, [])
        types = tuple(entry.type for entry in own)
        if not answer.position:
            found += [f"{answer.key} was refused and is in the log"] if own else []
        elif not own:
            found.append(f"{answer.key} was acknowledged and is lost")
        elif types != EFFECTS[answer.name]:
            found.append(f"{answer.key} was acknowledged and has the effects {types}")
        elif own[-1].position != answer.position:
            found.append(f"{answer.key} is at {own[-1].position} and not at {answer.position}")
    return found


class Load:
    """The senders, and what they heard; `answered` is set anew with each answer."""

    def __init__(self, sender: Operator, seed: int) -> None:
        self.sent: set[str] = set()
        self.told: list[Told] = []
        self._sender = sender
        self._chance = random.Random(seed)
        self._stopping = False
        self._answered = asyncio.Event()

    async def reach(self, count: int) -> None:
        """Wait until so many commands have been answered."""
        while len(self.told) < count:
            self._answered.clear()
            await self._answered.wait()

    def has_hit(self, unheard: set[str], kills: int) -> bool:
        """Return whether so many kills have left enough senders without an answer to what was done.

        What is told between a kill and the look at the log is not unheard: whoever waited in vain is.
        """
        return len(unheard & self._sender.unknown) >= kills // 5

    def stop(self) -> None:
        """Let every sender end with its present command."""
        self._stopping = True

    async def send(self, number: int) -> None:
        """Be one of the senders."""
        turn = 0
        while not self._stopping:
            key, turn = f"s{number}-{turn}", turn + 1
            name, body = self._any(key)
            self.sent.add(key)
            reply = await self._sender.answer(name, body, key)
            problem = problem_in(reply)
            if problem is None:
                position = msgspec.json.decode(reply.data, type=Accepted).position
                self.told.append(Told(key, name, position))
            else:
                assert problem.code == "user.taken", problem
                self.told.append(Told(key, name, 0))
            self._answered.set()
            if self._chance.random() < 0.1:
                again = await self._sender.answer(name, body, key)
                assert again.data == reply.data, "a resend has another answer"

    def _any(self, key: str) -> tuple[str, dict[str, Any]]:
        dice = self._chance.random()
        if dice < 0.6:
            return "user.create", {"name": f"u-{key}"}
        if dice < 0.75:
            return "user.create", {"name": "ann"}
        if dice < 0.9:
            return "authkey.create", {"user": "ann"}
        public = bytearray(hashlib.sha256(key.encode()).digest())
        public[0] |= 1  # does not look like a private key
        return "peer.register", {
            "name": f"p-{key}",
            "user": "ann",
            "publicKey": base64.b64encode(public).decode(),
            "allowedIps": ["10.9.0.0/16"],
            "endpoints": ["192.0.2.1:51820"],
        }


async def kill_again_and_again(
    cluster: Cluster, load: Load, url: str, kills: int, chance: random.Random
) -> set[str]:
    """Kill and start again; return the commands that were done at a kill and of which nobody had heard.

    What a kill hits is chance: so it goes on, up to `PATIENCE` times as often, until enough have waited in vain.
    """
    unheard: set[str] = set()
    count = 0
    async with asyncio.TaskGroup() as group:
        senders = [group.create_task(load.send(number)) for number in range(SENDERS)]
        while count < kills or (count < PATIENCE * kills and not load.has_hit(unheard, kills)):
            count += 1
            await load.reach(len(load.told) + chance.randint(1, MOST_ANSWERS))
            ended, _ = await asyncio.wait(senders, timeout=chance.uniform(0, LONGEST))
            assert not ended
            cluster.kill("engine")
            unheard |= {entry.key for entry in await entries(url)} - {answer.key for answer in load.told}
            cluster.start("engine")
        await load.reach(len(load.told) + SENDERS)
        load.stop()
    return unheard


async def entries(url: str) -> list[Entry]:
    """The whole log, by a reader that checks its chain."""
    reader = open_reader(url, tailnet="default")
    found: list[Entry] = []
    while page := await reader.read(Position(found[-1].position if found else 0)):
        found += [Entry(r.position, r.envelope.command_id, tag_of(r.event)) for r in page]
    await reader.close()
    return found


async def survive(cluster: Cluster, url: str, kills: int, seed: int) -> None:
    cluster.start("nats", "engine")
    async with operator(cluster.directory) as sender:
        await sender.command("user.create", {"name": "ann"}, "ann")
        before = await entries(url)
        load = Load(sender, seed)
        async with asyncio.timeout(LIMIT):
            unheard = await kill_again_and_again(cluster, load, url, kills, random.Random(seed))
    cluster.stop()
    log = (await entries(url))[len(before) :]
    assert complaints(load.sent, load.told, log) == []
    assert {0} < {answer.position for answer in load.told}, "nothing was refused, or all"
    assert load.has_hit(unheard, kills), "the kills hit too little"


async def test_thirty_kills_of_an_engine_on_sqlite(tmp_path: Path) -> None:
    url = f"sqlite://{tmp_path}/events.db"
    with Cluster(tmp_path, store=url) as cluster:
        await survive(cluster, url, 30, seed=3)


async def test_ten_kills_of_an_engine_on_postgresql(tmp_path: Path) -> None:
    url = postgres.shared().fresh()
    with Cluster(tmp_path, store=url) as cluster:
        await survive(cluster, url, 10, seed=4)


def done(position: int, key: str, name: str = "user.create") -> list[Entry]:
    """The events of a command that was done, the last of them at the position."""
    types = EFFECTS[name]
    return [Entry(position - len(types) + n, key, kind) for n, kind in enumerate(types, 1)]


TOLD: Final = [Told("a", "user.create", 2), Told("b", "peer.register", 4), Told("c", "user.create", 0)]
GOOD: Final = [*done(2, "a"), *done(4, "b", "peer.register")]


def test_a_good_history_has_no_complaints() -> None:
    assert complaints({"a", "b", "c"}, TOLD, GOOD) == []


@pytest.mark.parametrize(
    ("log", "complaint"),
    [
        (GOOD[:2], "b was acknowledged and is lost"),
        (GOOD[:3], "b was acknowledged and has the effects"),
        ([*GOOD, *done(6, "a")], "a was acknowledged and has the effects"),
        ([*GOOD, Entry(5, "a", "CommandHandled.v1")], "a was acknowledged and has the effects"),
        ([*GOOD, *done(6, "c")], "c was refused and is in the log"),
        ([*GOOD, *done(6, "d")], "d is in the log and was never sent"),
        ([*done(3, "a"), *GOOD[2:]], "a is at 3 and not at 2"),
    ],
)
def test_a_bad_history_is_complained_about(log: Sequence[Entry], complaint: str) -> None:
    assert complaint in " ".join(complaints({"a", "b", "c"}, TOLD, log))


def test_a_command_without_an_answer_is_complained_about() -> None:
    assert complaints({"a", "b", "c", "d"}, TOLD, GOOD) == ["d was never answered"]
