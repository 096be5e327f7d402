"""A tailnet of 10,000 nodes and 1,000 changes a second for a minute, without frontends: does the projection keep up?

All roles are processes of their own (nats-server, engine on SQLite, one projection); half the changes are renames of nodes, half
connections that come and go, sent at a fixed rate whether answers come or not. Once a second it is looked at how far the
projection is behind what was acknowledged. In mid-load a second projection begins, in a folder of its own without kept moments.

After it: a moment that was kept is started from, and a second time the log is read from its beginning; a snapshot of everything is
built, and its chunks are put together again as a frontend does.

Ratio: of the processor time of the projection to that of the engine.
"""

import asyncio
import contextlib
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec
import uvloop

from bench import machine
from bench.asker import Answers, connected
from bench.forms import Form
from bench.profiled import Profiles
from bench.report import Budget, Report, Row
from bench.site import Site, machines, people, register
from engine.adapters import log
from engine.adapters.bus.memory import MemoryBus
from engine.adapters.clock import SystemClock
from engine.adapters.shelf import FileShelf, MemoryShelf
from engine.adapters.store.opening import open_reader
from engine.contracts import chunks, subjects
from engine.domain.values import DEFAULT_TAILNET, FIRST_PEER_ID
from frontends.control.replica import Replica
from projections.moments import SUFFIX
from projections.netmap.state import snapshot_of
from projections.runner import Projection
from tests.kit import cluster
from tests.kit.driver import register_peer
from tests.kit.lab.net import ROOT
from tests.kit.operator import Operator, operator


class Size(NamedTuple):
    """Nodes, changes a second, and for how many seconds."""

    nodes: int
    rate: int
    seconds: float


SIZES: Final[Mapping[Form, Size]] = {
    Form.FULL: Size(10_000, 1_000, 60.0),
    Form.SHORT: Size(2_000, 1_000, 15.0),
    Form.TINY: Size(30, 50, 3.0),
}
PEERS: Final = 20
APART: Final = 100
"""Connections that are made between one and its end: answers to what is asked at once come in any order."""
TOGETHER: Final = 250
"""Nodes that register at a time."""
FIRST, SECOND = "projection1", "projection2"
LAG: Final = Budget(1.0)
START: Final = Budget(2.0)


async def run(report: Report, form: Form = Form.FULL, profiles: Profiles | None = None) -> None:
    """Measure the load, then the starts."""
    size = SIZES[form]
    with _running(profiles) as site:
        keys = await people(site)
        began = time.perf_counter()
        for start in range(0, size.nodes, TOGETHER):
            await register(site, machines(min(TOGETHER, size.nodes - start)), keys)
        registered = time.perf_counter() - began
        async with operator(site.directory) as op:
            for _ in range(1_000):
                op.fresh()  # `people` has used the first ones
            await op.command("user.create", {"name": "ann"})
            for number in range(PEERS):
                await register_peer(op, f"exit{number}", number)
            async with report.watched() as rows:
                rows.extend(await _load(site, op, size, registered))
        site.stop()
        async with report.watched() as rows:
            rows.extend(await _starts(site, size))


@contextlib.contextmanager
def _running(profiles: Profiles | None) -> Iterator[Site]:
    """Run the roles that there are without clients; the second projection is still to come."""
    with tempfile.TemporaryDirectory(prefix="netmap-bench-") as folder:
        site = Site(Path(folder), size=cluster.Size(projections=2))
        site.profiles = profiles
        try:
            site.start("nats", "engine", FIRST)
            yield site
        finally:
            site.stop()
            site.close()


# The load ---------------------------------------------------------------------------------------------------------


def _change(nodes: int, number: int) -> tuple[str, bytes]:
    """Return the n-th change: every other one a new name; of the others one connects a node, the next disconnects an earlier one."""
    pair, turn = number // 4, number % 4
    if turn == 2 and pair >= APART:
        pair -= APART
        return _said("connection", "remove", _pair(nodes, pair))
    if turn == 0:
        body = _pair(nodes, pair)
        node = body["node"]
        masq = f"172.{16 + node // 62_500}.{node // 250 % 250}.{node % 250 + 1}"
        return _said("connection", "add", body | {"ipv4MasqAddr": masq})
    node = number * 7 % nodes + 1
    return _said("node", "rename", {"node": node, "name": f"m{node}-{number}"})


def _pair(nodes: int, pair: int) -> dict[str, Any]:
    return {"node": pair * 7 % nodes + 1, "peer": FIRST_PEER_ID + pair % PEERS}


def _said(entity: str, verb: str, body: dict[str, Any]) -> tuple[str, bytes]:
    return subjects.command(DEFAULT_TAILNET, entity, verb), msgspec.json.encode(body)


async def _load(site: Site, op: Operator, size: Size, registered: float) -> list[Row]:
    before, lags, stop = site.cpu(), list[float](), asyncio.Event()
    looking = asyncio.create_task(_look(op, lags, stop))
    second = asyncio.create_task(_second(site, op, size.seconds / 2))
    async with connected(site.directory, "operator", keyed=True) as asker:
        answers: Answers = await asker.open(
            size.rate, size.seconds, partial(_change, size.nodes), b'"position"'
        )
    head = (await op.ask("stream", "get"))["position"]
    began = time.perf_counter()
    while (await op.ask("head", "get"))["position"] < head:
        await asyncio.sleep(0.01)
    behind = time.perf_counter() - began
    stop.set()
    await looking
    took, late = await second
    used = {name: (cpu - before.get(name, 0.0)) / size.seconds for name, cpu in site.cpu().items()}
    memory = machine.resident(site.procs[FIRST].pid) / 1e6
    lags.sort()
    what = f"{size.nodes:,} nodes, {size.rate:,} changes a second for {size.seconds:.0f} s"
    note = f"{answers.rate:,.0f}/s answered, {answers.errors} errors {answers.first_error}, {answers.unanswered} unanswered"
    share = used[FIRST] / max(used["engine"], 1e-9)
    return [
        Row(
            benchmark="churn",
            what=f"{what}: the projection behind, worst",
            measured=max(lags, default=behind),
            unit="s",
            budget=LAG,
            ratio=share,
            against=f"× the engine's processor time, {used['engine']:.2f} s a second",
            note=f"median {lags[len(lags) // 2] if lags else 0:.3f} s; at the end {behind:.2f} s; {used[FIRST]:.2f} s of processor time a second; {memory:,.0f} MB resident; {note}; registered in {registered:.0f} s",
        ),
        Row(
            benchmark="churn",
            what=f"{what}: a second projection comes in the middle, ready and level after",
            measured=took,
            unit="s",
            budget=None,
            note=f"it is {late} positions behind then",
        ),
    ]


async def _look(op: Operator, lags: list[float], stop: asyncio.Event) -> None:
    """Once a second, wait until a projection is where the engine was when it was asked."""
    while not stop.is_set():
        head = (await op.ask("stream", "get"))["position"]
        began = time.perf_counter()
        await op.ask("projection", "list", minPosition=head)
        lags.append(time.perf_counter() - began)
        await asyncio.sleep(1)


async def _second(site: Site, op: Operator, after: float) -> tuple[float, int]:
    await asyncio.sleep(after)
    began = time.perf_counter()
    await asyncio.to_thread(site.start, SECOND)
    while True:
        rows = (await op.ask("projection", "list"))["projections"]
        ready = [row for row in rows if row["state"] == "ready"]
        if len(ready) > 1 and max(row["lagSeconds"] for row in ready) < 1:
            return time.perf_counter() - began, max(row["lag"] for row in ready)
        await asyncio.sleep(0.1)


# The starts -------------------------------------------------------------------------------------------------------


async def _starts(site: Site, size: Size) -> list[Row]:
    rows = []
    for role in ("kept", "cold", "snapshot"):
        argv = [sys.executable, "-m", "bench.churn", role, str(site.directory), str(site.directory / FIRST)]
        said = await asyncio.to_thread(subprocess.run, argv, cwd=ROOT, check=True, capture_output=True)
        seconds, octets, records, cpu = (float(word) for word in said.stdout.split()[-4:])
        what = {
            "kept": f"a projection of {size.nodes:,} nodes starts from a kept moment",
            "cold": "the same from the beginning of its log",
            "snapshot": "a snapshot of it is built, and taken in by a frontend",
        }[role]
        note = f"{octets / 1e6:,.1f} MB {'packed' if role == 'snapshot' else 'resident'}; {records:,.0f} {'objects' if role == 'snapshot' else 'positions'}; processor time {cpu:.2f} s"
        budget = START if role == "kept" else None
        rows.append(Row(benchmark="churn", what=what, measured=seconds, unit="s", budget=budget, note=note))
    return rows


async def _started(directory: Path, own: Path, *, kept: bool) -> tuple[Projection, float]:
    reader, stop = open_reader(f"sqlite://{directory}/events.db", tailnet="default"), asyncio.Event()
    shelf = FileShelf(own / "moments" / "default", SUFFIX) if kept else MemoryShelf()
    began = time.perf_counter()
    projection = Projection(MemoryBus(), reader, DEFAULT_TAILNET, SystemClock(), shelf)
    task = asyncio.create_task(projection.run(stop))
    await projection.ready.wait()
    seconds = time.perf_counter() - began
    stop.set()
    await task
    await reader.close()
    return projection, seconds


async def _start(role: str, directory: Path, own: Path) -> None:
    used = time.process_time()
    projection, seconds = await _started(directory, own, kept=role != "cold")
    state = projection.live.state
    octets = float(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1_024)
    if role != "snapshot":
        print(seconds, octets, state.position, time.process_time() - used)
        return
    began, used = time.perf_counter(), time.process_time()
    parts = chunks.split(snapshot_of(state))
    Replica().load(chunks.assemble(parts))
    took = time.perf_counter() - began
    octets = sum(len(part.data) for part in parts)
    print(took, octets, len(state.objects), time.process_time() - used)


def main() -> None:
    """Be one of the processes; say on the last line what was measured."""
    role, directory, own = sys.argv[1:]
    log.configure("error")
    uvloop.run(_start(role, Path(directory), Path(own)))


if __name__ == "__main__":
    main()
