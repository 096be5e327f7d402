"""The machine under a benchmark: how busy it is, what processes have used of it; and what to say of many numbers.

Rule 1: Linux only: the kernel's own counters, in nanoseconds where it has them, so that one join can be seen.
"""

import asyncio
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Final

SAMPLE_SECONDS: Final = 0.2
_TICKS: Final = os.sysconf("SC_CLK_TCK")
_IDLE: Final = slice(3, 5)
"""Idle and I/O wait among the fields of the `cpu` line (proc_stat(5))."""


async def busy() -> float:
    """Return how many cores the whole machine kept busy over `SAMPLE_SECONDS`."""
    before = _counters()
    await asyncio.sleep(SAMPLE_SECONDS)
    after = _counters()
    total, idle = after[0] - before[0], after[1] - before[1]
    return (os.cpu_count() or 1) * (1 - idle / total) if total else 0.0


def cpu_seconds(pid: int) -> float:
    """Return the processor time of all threads of a process that still live, in seconds."""
    tasks = Path(f"/proc/{pid}/task")
    try:
        return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks.iterdir()) / 1e9
    except FileNotFoundError:  # a kernel without schedstat: ticks of 10 ms
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / _TICKS


def resident(pid: int) -> int:
    """Return the octets of memory that a process has resident."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS:")) * 1_024


def percentile(values: Sequence[float], share: float) -> float:
    """Return the smallest value that at least `share` of the values do not exceed; 0 of none."""
    if not values:
        return 0.0
    return sorted(values)[min(int(len(values) * share), len(values) - 1)]


def _counters() -> tuple[int, int]:
    fields = [int(field) for field in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]]
    return sum(fields), sum(fields[_IDLE])
