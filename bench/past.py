"""A million records, and any moment of them: what `--at` costs, and a start from the newest moment that is kept.

The log is that of `bench/replay.py`, with 1,000 nodes. One process reads it from its beginning and keeps moments; each further
one starts from the newest. Moments of the past are drawn evenly over the log, half by position and half by time, and none is asked
for twice: every answer loads, rebuilds and replays. The files are in the page cache.

Ratio: over reading as many records as lie between two kept moments, decoded, and nothing else.
"""

import asyncio
import random
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Final

import uvloop

from bench import replay
from bench.profiled import Profiles
from bench.report import Budget, Report, Row
from engine.adapters import log
from engine.adapters.bus.memory import MemoryBus
from engine.adapters.clock import SystemClock
from engine.adapters.shelf import FileShelf
from engine.adapters.store.opening import open_reader
from engine.domain.values import DEFAULT_TAILNET, Millis, Position
from projections.history.moment import AtPosition, AtTime, Moment
from projections.moments import EVERY, SUFFIX
from projections.past import Past
from projections.runner import Projection
from tests.kit.lab.net import ROOT

NODES: Final = 1_000
DRAWN: Final = 200
AT: Final = Budget(300.0)
START: Final = Budget(2.0)


async def run(report: Report, _profiles: Profiles | None = None) -> None:
    """Measure three starts of one log, the last of which looks back."""
    with tempfile.TemporaryDirectory(prefix="netmap-bench-") as folder:
        path = Path(folder) / "events.db"
        await replay.write(path, nodes=NODES)
        cold, _ = await _process("start", path)
        async with report.watched() as rows:
            seconds, octets = await _process("start", path)
            files = [file.stat().st_size for file in (Path(folder) / "moments").iterdir()]
            note = f"cold, keeping moments: {cold:.1f} s; {len(files)} moments, {sum(files) / 1e6:,.0f} MB; {octets / 1e6:,.0f} MB resident"
            what = f"start at {replay.EVENTS:,} records from a kept moment"
            rows.append(Row(benchmark="past", what=what, measured=seconds, unit="s", budget=START, note=note))
        async with report.watched() as rows:
            median, p95, worst, busy, floor = await _process("look", path)
            rows.append(
                Row(
                    benchmark="past",
                    what=f"--at among {replay.EVENTS:,} records, p95",
                    measured=p95,
                    unit="ms",
                    budget=AT,
                    ratio=p95 / floor,
                    against=f"× reading {EVERY:,} records: {floor:.0f} ms",
                    note=f"median {median:.0f}, worst {worst:.0f} of {DRAWN}; processor time p95 {busy:.0f} ms; {NODES:,} nodes",
                )
            )


async def _process(role: str, path: Path) -> list[float]:
    argv = [sys.executable, "-m", "bench.past", role, str(path)]
    said = await asyncio.to_thread(subprocess.run, argv, cwd=ROOT, check=True, capture_output=True)
    return [float(word) for word in said.stdout.splitlines()[-1].split()]


async def _started(path: Path) -> Projection:
    reader, stop = open_reader(f"sqlite://{path}", tailnet="default"), asyncio.Event()
    shelf = FileShelf(path.parent / "moments", SUFFIX)
    projection = Projection(MemoryBus(), reader, DEFAULT_TAILNET, SystemClock(), shelf)
    running = asyncio.create_task(projection.run(stop))
    await projection.ready.wait()
    stop.set()
    await running
    return projection


async def _start(path: Path) -> None:
    began = time.perf_counter()
    await _started(path)
    print(time.perf_counter() - began, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1_024)


async def _look(path: Path) -> None:
    projection = await _started(path)
    past, head, reader = Past(projection.live, projection.moments), replay.EVENTS, projection.live.reader
    drawn = random.Random(1)
    took, busy = [], []
    for number in range(DRAWN):
        at = drawn.randrange(1, head)
        moment: Moment = (
            AtTime(Millis(replay.START + at // 2 * 1_000)) if number % 2 else AtPosition(Position(at))
        )
        began, used = time.perf_counter(), time.process_time()
        await past.then(moment)
        took.append((time.perf_counter() - began) * 1_000)
        busy.append((time.process_time() - used) * 1_000)
    began = time.perf_counter()
    after = Position(head // 2)
    while after < head // 2 + EVERY:
        after = (await reader.read(after, 500))[-1].position
    floor = (time.perf_counter() - began) * 1_000
    took.sort()
    busy.sort()
    print(took[DRAWN // 2], took[DRAWN * 95 // 100], took[-1], busy[DRAWN * 95 // 100], floor)


def main() -> None:
    """Be one of the processes; say on the last line what was measured."""
    role, path = sys.argv[1:]
    log.configure("error")
    uvloop.run({"start": _start, "look": _look}[role](Path(path)))


if __name__ == "__main__":
    main()
