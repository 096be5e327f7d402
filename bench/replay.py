"""A long log into the engine's ledger, and into a projection's fold: how long a cold start takes.

The log is one of a million records as an engine leaves it: a receipt after each event; 5,000 nodes of 20 people and 500
WireGuard-only peers, and then logins with new keys, expiries, renames and connections that come and go. It is written through
the store's own codec and chain, in large transactions; times are for reading it through the store (every record
decoded, its hash checked) and taking it in. The file is in the page cache; the process is a new one.

Ratio: over reading the same rows with bare sqlite3 and hashing their states, nothing else.
"""

import asyncio
import contextlib
import cProfile
import hashlib
import resource
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final, NamedTuple

import msgspec
import uvloop

from bench.forms import Form, within
from bench.profiled import Profiles
from bench.report import Budget, Report, Row
from engine.adapters import log
from engine.adapters.bus.memory import MemoryBus
from engine.adapters.clock import SystemClock
from engine.adapters.ids import RandomIds
from engine.adapters.keyring import FileKeyRing
from engine.adapters.store.opening import open_reader, open_store
from engine.application.engine import Engine
from engine.domain import events as e
from engine.domain.values import (
    DEFAULT_TAILNET,
    FIRST_PEER_ID,
    CommandId,
    Epoch,
    MachineKey,
    Millis,
    NodeId,
    NodeKey,
    PeerId,
    StableId,
    UserId,
)
from engine.ports import Envelope, Pending
from projections.runner import Projection
from tests.kit.lab.net import ROOT


class Size(NamedTuple):
    """How many records there are, of which half are receipts, and how many nodes and WireGuard-only peers they tell of."""

    records: int
    nodes: int
    peers: int


SIZES: Final[Mapping[Form, Size]] = {
    Form.FULL: Size(1_000_000, 5_000, 500),
    Form.SHORT: Size(100_000, 5_000, 500),
    Form.TINY: Size(1_000, 20, 5),
}
MEASURED: Final = 1_000_000
"""The records that the budget is for."""
USERS: Final = 20
BATCH: Final = 10_000
START: Final = 1_700_000_000_000
RESULT: Final = msgspec.Raw(b"{}")
BUDGET: Final = Budget(15.0)


async def run(report: Report, form: Form = Form.FULL, profiles: Profiles | None = None) -> None:
    """Measure both readers of one log."""
    given = SIZES[form]
    with tempfile.TemporaryDirectory(prefix="netmap-bench-") as folder:
        path = Path(folder) / "events.db"
        began = time.perf_counter()
        await write(path, given)
        size = path.stat().st_size / 1e6
        wrote = f"log of {size:,.0f} MB, written in {time.perf_counter() - began:.0f} s"
        for role in ("ledger", "projection"):
            async with report.watched() as rows:
                floor = await asyncio.to_thread(bare, path)
                argv = [sys.executable, "-m", "bench.replay", role, str(path)]
                if profiles is not None:
                    argv += [str(profiles.folder / f"0-replay-{role}.prof")]
                said = await asyncio.to_thread(
                    subprocess.run, argv, cwd=ROOT, check=True, capture_output=True
                )
                seconds, octets = (float(word) for word in said.stdout.split()[-2:])
                rows.append(
                    _row(given.records, role, seconds, floor, f"{octets / 1e6:,.0f} MB resident; {wrote}")
                )


def _row(records: int, role: str, seconds: float, floor: float, note: str) -> Row:
    return Row(
        benchmark="replay",
        what=f"{records:,} records into the {'engine’s ledger' if role == 'ledger' else 'projection’s fold'}",
        measured=seconds,
        unit="s",
        budget=within(BUDGET, applies=records == MEASURED),
        ratio=seconds / floor,
        against=f"× reading and hashing: {floor:.1f} s",
        note=f"{records / seconds:,.0f}/s; {note}",
    )


def bare(path: Path) -> float:
    """Return the seconds that it takes to read and hash all rows without any of our code."""
    began = time.perf_counter()
    with contextlib.closing(sqlite3.connect(path)) as connection:
        for row in connection.execute(
            "SELECT rowid, originator_id, topic, state FROM stored_events ORDER BY rowid"
        ):
            hashlib.sha256(row[3]).digest()
    return time.perf_counter() - began


# The log ----------------------------------------------------------------------------------------------------------


async def write(path: Path, size: Size) -> None:
    """Write the log."""
    store = open_store(f"sqlite://{path}", tailnet="default")
    await store.open()
    try:
        batch: list[Pending] = []
        versions: dict[str, int] = {}
        for number, event in enumerate(_told(size)):
            command = CommandId(f"0192f0c1-{number:012x}")
            stream = e.stream_of(event, command)
            versions[stream] = versions.get(stream, 0) + 1
            batch.append(_pending(event, stream, versions[stream], number))
            receipt = e.CommandHandled(name="node.rename", digest=f"{number:064x}", result=RESULT)
            batch.append(_pending(receipt, f"receipt/{command}", 1, number))
            if len(batch) >= BATCH:
                await store.append(batch)
                batch = []
        await store.append(batch)
    finally:
        await store.close()


def _pending(event: e.Event, stream: str, version: int, number: int) -> Pending:
    envelope = Envelope(
        stream=stream,
        version=version,
        at=Millis(START + number * 1_000),
        actor="operator",
        command_id=CommandId(f"0192f0c1-{number:012x}"),
    )
    return Pending(envelope=envelope, event=event)


def _told(size: Size) -> Iterator[e.Event]:
    """Yield half as many events as there are records: the other half are receipts."""
    yield e.LogStarted(epoch=Epoch("bench"))
    for number in range(1, USERS + 1):
        yield e.UserCreated(user=UserId(number), name=f"user{number}")
    for number in range(1, size.nodes + 1):
        yield _node(number)
    for number in range(size.peers):
        yield _peer(number)
    connected: set[tuple[NodeId, PeerId]] = set()
    for step in range(size.records // 2 - 1 - USERS - size.nodes - size.peers):
        yield _life(step, size, connected)


def _life(step: int, size: Size, connected: set[tuple[NodeId, PeerId]]) -> e.Event:
    """Return what happens at a step: a login in half of all, else expiries, names, connections."""
    node, kind = NodeId(step * 7 % size.nodes + 1), step % 10
    if kind < 5:
        return e.NodeReregistered(
            node=node,
            node_key=NodeKey(f"nodekey:{step + size.nodes:064x}"),
            expiry=Millis(START + step),
            os="linux",
            capver=142,
        )
    if kind == 5:
        return e.NodeExpirySet(node=node, expiry=Millis(START + step))
    if kind == 6:
        return e.NodeRenamed(node=node, name=f"machine{node}-{step}")
    pair = (node, PeerId(FIRST_PEER_ID + step * 13 % size.peers))
    masq = f"10.64.{node // 250}.{node % 250 + 1}"
    if pair not in connected:
        connected.add(pair)
        return e.ConnectionAdded(node=pair[0], peer=pair[1], ipv4_masq=masq)
    if kind == 7:
        return e.ConnectionUpdated(node=pair[0], peer=pair[1], ipv4_masq=masq)
    connected.discard(pair)
    return e.ConnectionRemoved(node=pair[0], peer=pair[1])


def _node(number: int) -> e.NodeRegistered:
    return e.NodeRegistered(
        node=NodeId(number),
        stable_id=StableId(f"n{number}"),
        machine_key=MachineKey(f"mkey:{number:064x}"),
        node_key=NodeKey(f"nodekey:{number:064x}"),
        user=UserId(number % USERS + 1),
        name=f"machine{number}",
        hostname=f"machine{number}",
        ipv4=f"100.64.{number // 250}.{number % 250 + 1}",
        ipv6=f"fd7a:115c:a1e0:1::{number:x}",
        os="linux",
        capver=142,
    )


def _peer(number: int) -> e.PeerRegistered:
    return e.PeerRegistered(
        peer=PeerId(FIRST_PEER_ID + number),
        stable_id=StableId(f"w{number}"),
        name=f"exit{number}",
        user=UserId(1),
        public_key=NodeKey(f"nodekey:{number + (1 << 64):064x}"),
        allowed_ips=("0.0.0.0/0", "::/0"),
        endpoints=(f"198.51.{number // 250}.{number % 250 + 1}:51820",),
        ipv4=f"100.96.{number // 250}.{number % 250 + 1}",
        ipv6=f"fd7a:115c:a1e0:2::{number + 1:x}",
    )


# The readers ------------------------------------------------------------------------------------------------------


async def _ledger(url: str) -> None:
    store = open_store(url, tailnet="default")
    clock = SystemClock()
    with tempfile.TemporaryDirectory() as folder:
        await Engine(store, clock, RandomIds(clock), FileKeyRing(Path(folder))).start()
        await store.close()


async def _projection(url: str) -> None:
    reader, stop = open_reader(url, tailnet="default"), asyncio.Event()
    projection = Projection(MemoryBus(), reader, DEFAULT_TAILNET, SystemClock())
    running = asyncio.create_task(projection.run(stop))
    await projection.ready.wait()
    stop.set()
    await running
    await reader.close()


def main() -> None:
    """Take in a log in a process of its own; say how many seconds it took, and the octets that are resident."""
    role, path, *out = sys.argv[1:]
    log.configure("error")
    read = {"ledger": _ledger, "projection": _projection}[role]
    profile = cProfile.Profile() if out else None
    began = time.perf_counter()
    if profile is None:
        uvloop.run(read(f"sqlite://{path}"))
    else:
        profile.runcall(uvloop.run, read(f"sqlite://{path}"))
        profile.dump_stats(out[0])
    seconds = time.perf_counter() - began
    print(seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1_024)


if __name__ == "__main__":
    main()
