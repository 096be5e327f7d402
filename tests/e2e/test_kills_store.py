"""A writer killed at any moment loses nothing that it acknowledged, doubles nothing, halves nothing (L1, L2, L5)."""

import asyncio
import random
import select
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import pytest

from engine.adapters.store.opening import open_reader, open_store
from engine.domain.values import Position
from engine.ports import Recorded
from tests.kit import postgres

pytestmark = pytest.mark.real

ROOT = Path(__file__).parents[2]
START = 30.0
"""Seconds in which a writer must have acknowledged something."""
LONGEST = 0.08
"""Seconds from a writer's first acknowledgement to its end, at most."""
STRIDE = 1_000_000
"""Numbers of one round: none is used twice by right."""


class Batch(NamedTuple):
    """What was appended in one transaction."""

    first: int
    size: int


class Seen(NamedTuple):
    """An event in the log."""

    number: int
    batch: Batch


def complaints(acknowledged: Sequence[Batch], log: Sequence[Seen], kills: int) -> list[str]:
    """Say what is wrong with a history; nothing if it is as promised.

    A batch may be in the log without having been acknowledged: the last one of each killed writer.
    """
    counts = Counter(seen.number for seen in log)
    found = [f"{number} is there {count} times" for number, count in counts.items() if count > 1]
    present = Counter(seen.batch for seen in log)
    found += [f"{batch} is there in part" for batch, count in present.items() if count < batch.size]
    found += [f"{batch} was acknowledged and is lost" for batch in acknowledged if batch not in present]
    unsure = len(present.keys() - set(acknowledged))
    if unsure > kills:
        found.append(f"{unsure} batches were never acknowledged, by {kills} killed writers")
    order = [seen.number for seen in log]
    if order != sorted(order):
        found.append("out of order")
    return found


def run_and_kill(url: str, first: int, patience: float) -> list[Batch]:
    """Start a writer, kill it `patience` seconds after its first word; return what it acknowledged."""
    command = [sys.executable, "-m", "tests.kit.store_writer", url, str(first)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE) as writer:
        assert writer.stdout is not None
        try:
            ready, _, _ = select.select([writer.stdout], [], [], START)
            assert ready, "the writer said nothing"
            with pytest.raises(subprocess.TimeoutExpired):
                writer.wait(patience)
        finally:
            writer.send_signal(signal.SIGKILL)
        said = writer.stdout.read().decode()
    assert said, "the writer ended by itself"
    return [Batch(*map(int, line.split())) for line in said.splitlines(keepends=True) if line.endswith("\n")]


async def read_all(url: str) -> list[Recorded]:
    """Everything in the log, by a reader that checks the chain."""
    reader = open_reader(url, tailnet="default")
    records: list[Recorded] = []
    while page := await reader.read(records[-1].position if records else Position(0)):
        records.extend(page)
    await reader.close()
    return records


def seen(records: Sequence[Recorded]) -> list[Seen]:
    found = []
    for record in records:
        first, size = map(int, record.envelope.reason.split())
        found.append(Seen(int(record.envelope.command_id[1:]), Batch(first, size)))
    return found


async def reopen(url: str) -> Position:
    """Open the log as the next engine would; return where it ends."""
    store = open_store(url, tailnet="default")
    async with asyncio.timeout(START):
        await store.open()
    await store.close()
    return store.head.position


async def survive(url: str, kills: int, seed: int) -> None:
    chance = random.Random(seed)
    acknowledged: list[Batch] = []
    for number in range(kills):
        acknowledged += await asyncio.to_thread(
            run_and_kill, url, number * STRIDE + 1, chance.random() * LONGEST
        )
    end = await reopen(url)
    records = await read_all(url)
    assert complaints(acknowledged, seen(records), kills) == []
    assert len(acknowledged) > kills
    assert records[-1].position == end


async def test_thirty_kills_of_a_writer_on_sqlite(tmp_path: Path) -> None:
    await survive(f"sqlite://{tmp_path}/events.db", 30, seed=1)


async def test_ten_kills_of_a_writer_on_postgresql() -> None:
    await survive(postgres.shared().fresh(), 10, seed=2)


def whole(*batches: Batch) -> list[Seen]:
    return [
        Seen(number, batch) for batch in batches for number in range(batch.first, batch.first + batch.size)
    ]


A, B, C = Batch(1, 1), Batch(2, 2), Batch(4, 3)


def test_a_good_history_has_no_complaints() -> None:
    assert complaints([A, B], whole(A, B), 0) == []
    assert complaints([A, B], whole(A, B, C), 1) == []


@pytest.mark.parametrize(
    ("log", "complaint"),
    [
        (whole(A, C), "acknowledged and is lost"),
        (whole(A, B)[:-1], "in part"),
        (whole(A, B, B), "2 times"),
        (whole(B, A), "out of order"),
        (whole(A, B, C, Batch(7, 1)), "never acknowledged"),
        ([], "acknowledged and is lost"),
    ],
)
def test_a_bad_history_is_complained_about(log: Sequence[Seen], complaint: str) -> None:
    assert complaint in " ".join(complaints([A, B], log, 1))
