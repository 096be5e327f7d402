"""Several projections of one tailnet: one is killed, one is stopped for a while, and nobody misses or is told anything that is not so."""

import asyncio
import contextlib
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import msgspec
import pytest

from engine.contracts import subjects
from engine.contracts.chunks import assemble
from engine.contracts.digest import StateDigest
from engine.contracts.netmap import Delta, SnapshotChunk, Verdict
from engine.ports import TimedOut
from tests.kit.cluster import Cluster, Size
from tests.kit.holder import Holder
from tests.kit.operator import Operator, T, operator, problem_in

pytestmark = pytest.mark.real
WITHIN_SECONDS: Final = 20.0
STOPPED_SECONDS: Final = 4.0
"""Longer than a projection may not have seen the log's end (`projections/live.py`)."""
LOOK_SECONDS: Final = 0.5
QUESTIONS: Final = 24
ROLES: Final = ("nats", "engine", "projection1", "projection2")


class Follower(Holder):
    """Somebody who holds what the projections tell, as a frontend does."""

    def __init__(self, sender: Operator) -> None:
        super().__init__()
        self.sender = sender

    async def fetch(self) -> None:
        reply = await self.sender.bus.request(subjects.query(T, "snapshot", "get"), b"{}", timeout=5)
        if problem_in(reply) is None:
            self.load(assemble([msgspec.json.decode(reply.data, type=SnapshotChunk)]))

    async def run(self) -> None:
        deltas = await self.sender.bus.subscribe(subjects.map_delta(T))
        await self.fetch()
        async for message in deltas:
            delta = msgspec.json.decode(message.data, type=Delta)
            if self.receive(delta) is Verdict.RESYNC:
                await self.fetch()
            if delta.digest and (delta.epoch, delta.cur) == (self.epoch, self.position):
                assert delta.digest == self.digest(), delta

    def digest(self) -> str:
        digest = StateDigest()
        for key in self.objects:
            digest.touch(key)
        return digest.text(lambda key: self.objects[key].value)


async def until(holds: Callable[[list[dict[str, Any]]], bool], sender: Operator) -> list[dict[str, Any]]:
    """Wait until it holds for what is said of the projections."""
    async with asyncio.timeout(WITHIN_SECONDS):
        while True:
            rows: list[dict[str, Any]] = (await sender.ask("projection", "list"))["projections"]
            if holds(rows):
                return rows
            await asyncio.sleep(0.1)


async def change(sender: Operator, count: int) -> int:
    """Change something so many times; return the last position."""
    position = 0
    for _ in range(count):
        made = await sender.command("user.create", {"name": f"u{next(_numbers)}"})
        position = made.position
    return position


_numbers: Final = iter(range(1, 1_000_000))


async def test_one_projection_dies_another_sleeps_and_nothing_is_missed_or_old(tmp_path: Path) -> None:
    with Cluster(tmp_path, size=Size(projections=2)) as cluster:
        cluster.start(*ROLES)
        cluster.wait_answers()
        async with operator(cluster.directory) as sender:
            held = Follower(sender)
            following = asyncio.create_task(held.run())
            await change(sender, 20)
            rows = await until(lambda rows: len(rows) == 2 and all(row["compared"] for row in rows), sender)
            assert len({row["name"] for row in rows}) == 2
            assert [row["disagreements"] for row in rows] == [0, 0]

            cluster.kill("projection1")
            head = await change(sender, 20)
            reply = await sender.ask("user", "list", minPosition=head)
            assert len(reply["users"]) == 40
            await asyncio.to_thread(cluster.start, "projection1")
            await until(lambda rows: sum(row["state"] == "ready" for row in rows) == 2, sender)

            await asleep(cluster, sender)

            head = await change(sender, 5)
            rows = await until(
                lambda rows: (
                    [row["position"] >= head for row in rows] == [True, True]
                    and len({row["digest"] for row in rows}) == 1
                ),
                sender,
            )
            async with asyncio.timeout(WITHIN_SECONDS):
                while held.position < head:
                    await asyncio.sleep(0.05)
            assert held.digest() == rows[0]["digest"]
            assert not following.done()
            following.cancel()
            done = await asyncio.to_thread(cluster.ask, "projection", "verify")
            assert [row["check"]["difference"] for row in done] == [None, None]


async def level(sender: Operator, head: int) -> None:
    """Wait until the one that is awake has read so far; a question that went to the other one is not waited for."""
    subject = subjects.query(T, "head", "get")
    async with asyncio.timeout(WITHIN_SECONDS):
        while True:
            with contextlib.suppress(TimedOut):
                reply = await sender.bus.request(subject, b"{}", timeout=LOOK_SECONDS)
                if problem_in(reply) is None and msgspec.json.decode(reply.data)["position"] >= head:
                    return


async def asleep(cluster: Cluster, sender: Operator) -> None:
    """Stop one for a while, with questions in its socket when it wakes: what it answers is not from before they were asked."""
    sleeper = cluster.procs["projection2"]
    sleeper.signal(signal.SIGSTOP)
    try:
        await asyncio.sleep(STOPPED_SECONDS)
        head = await change(sender, 20)
        await level(sender, head)
        subject = subjects.query(T, "user", "list")
        asking = [
            asyncio.create_task(sender.bus.request(subject, b"{}", timeout=WITHIN_SECONDS))
            for _ in range(QUESTIONS)
        ]
        done, waiting = await asyncio.wait(asking, timeout=1)
        assert done, "the other one answers meanwhile"
        assert waiting, "some wait for the one that sleeps"
    finally:
        sleeper.signal(signal.SIGCONT)
    for reply in await asyncio.gather(*asking):
        problem = problem_in(reply)
        if problem is None:
            assert msgspec.json.decode(reply.data)["position"] >= head
        else:
            assert problem.code == "query.behind"
