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
from collections.abc import Mapping
from pathlib import Path
from typing import Final, NamedTuple

import uvloop

from bench import replay
from bench.forms import Form, within
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


class Size(NamedTuple):
    """The log, and how many moments of it are asked for."""

    log: replay.Size
    drawn: int


SIZES: Final[Mapping[Form, Size]] = {
    Form.FULL: Size(replay.Size(1_000_000, 1_000, 500), 200),
    Form.SHORT: Size(replay.Size(50_000, 1_000, 500), 60),
    Form.TINY: Size(replay.Size(8_000, 20, 5), 4),
}
AT: Final = Budget(300.0)
START: Final = Budget(2.0)


async def run(report: Report, form: Form = Form.FULL, _profiles: Profiles | None = None) -> None:
    """Measure three starts of one log, the last of which looks back."""
    size = SIZES[form]
    records, applies = size.log.records, size.log.records == replay.MEASURED
    with tempfile.TemporaryDirectory(prefix="netmap-bench-") as folder:
        path = Path(folder) / "events.db"
        await replay.write(path, size.log)
        cold, _ = await _process("start", path, size)
        async with report.watched() as rows:
            seconds, octets = await _process("start", path, size)
            files = [file.stat().st_size for file in (Path(folder) / "moments").iterdir()]
            note = f"cold, keeping moments: {cold:.1f} s; {len(files)} moments, {sum(files) / 1e6:,.0f} MB; {octets / 1e6:,.0f} MB resident"
            what = f"start at {records:,} records from a kept moment"
            start = within(START, applies=applies)
            rows.append(Row(benchmark="past", what=what, measured=seconds, unit="s", budget=start, note=note))
        async with report.watched() as rows:
            median, p95, worst, busy, floor = await _process("look", path, size)
            rows.append(
                Row(
                    benchmark="past",
                    what=f"--at among {records:,} records, p95",
                    measured=p95,
                    unit="ms",
                    budget=within(AT, applies=applies),
                    ratio=p95 / floor,
                    against=f"× reading {EVERY:,} records: {floor:.0f} ms",
                    note=f"median {median:.0f}, worst {worst:.0f} of {size.drawn}; processor time p95 {busy:.0f} ms; {size.log.nodes:,} nodes",
                )
            )


async def _process(role: str, path: Path, size: Size) -> list[float]:
    argv = [sys.executable, "-m", "bench.past", role, str(path), str(size.log.records), str(size.drawn)]
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


async def _start(path: Path, _records: int, _drawn: int) -> None:
    began = time.perf_counter()
    await _started(path)
    print(time.perf_counter() - began, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1_024)


async def _look(path: Path, records: int, drawn: int) -> None:
    projection = await _started(path)
    past, reader = Past(projection.live, projection.moments), projection.live.reader
    dice = random.Random(1)
    took, busy = [], []
    for number in range(drawn):
        at = dice.randrange(1, records)
        moment: Moment = (
            AtTime(Millis(replay.START + at // 2 * 1_000)) if number % 2 else AtPosition(Position(at))
        )
        began, used = time.perf_counter(), time.process_time()
        await past.then(moment)
        took.append((time.perf_counter() - began) * 1_000)
        busy.append((time.process_time() - used) * 1_000)
    began = time.perf_counter()
    after = Position(records // 2)
    while found := await reader.read(after, 500):
        after = found[-1].position
        if after >= records // 2 + EVERY:
            break
    floor = (time.perf_counter() - began) * 1_000
    took.sort()
    busy.sort()
    print(took[drawn // 2], took[drawn * 95 // 100], took[-1], busy[drawn * 95 // 100], floor)


def main() -> None:
    """Be one of the processes; say on the last line what was measured."""
    role, path, records, drawn = sys.argv[1:]
    log.configure("error")
    uvloop.run({"start": _start, "look": _look}[role](Path(path), int(records), int(drawn)))


if __name__ == "__main__":
    main()
