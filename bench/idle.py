"""Thousands of connected clients on one frontend to whom nothing happens: the memory of each, and processor time.

n nodes, 20 of each person, under a policy by which everybody sees the own nodes and no others: in a full mesh the simulated
clients would need more than the machine has. Each has a Noise connection of its own, an HTTP/2 connection in it and a map session.

* memory: what the frontend's process has resident with all of them, less what it had with the same tailnet and no client;
* processor time: of the frontend alone, from when everything is quiet. A keep-alive comes 50 to 60 s after the last frame: the
  whole form looks for 60 s, so that each client gets its one; the short form has none in it.

Ratio: of memory over a bare connection with one cipher in the same event loop.
"""

import asyncio
import time
from collections.abc import Mapping
from typing import Final, NamedTuple

from bench import floors, site
from bench.fleet import launched, raise_files
from bench.forms import Form, within
from bench.profiled import Profiles
from bench.report import Budget, Report, Row

OF_EACH: Final = 20
KIB: Final = 1_024
MEMORY: Final = Budget(40.0)
CPU: Final = Budget(5.0)
"""Budgets of docs/budgets.md: KiB of each connection, per cent of a core."""
MEASURED: Final = 5_000
RESTS: Final = 3
"""Rests after the last octet: what comes of it in the frontend is over."""


class Size(NamedTuple):
    """How many clients there are, and for how long they are looked at, in seconds."""

    clients: int
    seconds: float


SIZES: Final[Mapping[Form, Size]] = {
    Form.FULL: Size(5_000, 60.0),
    Form.SHORT: Size(1_000, 5.0),
    Form.TINY: Size(20, 0.2),
}


async def run(report: Report, form: Form = Form.FULL, profiles: Profiles | None = None) -> None:
    """Measure memory, then processor time."""
    size = SIZES[form]
    raise_files(size.clients)
    users = max(1, size.clients // OF_EACH)
    async with (
        site.inhabited(size.clients, users=users, profiles=profiles) as (place, found, _),
        launched(place.folder, form) as fleet,
    ):
        await site.policy(place, site.circles())
        await asyncio.sleep(fleet.rest * RESTS)
        async with report.watched() as rows:
            floor = await floors.held(place.folder, size.clients)
            before, began = place.resident()["f1"], time.perf_counter()
            await fleet.board(found, list(place.ports.values()), await place.server_key())
            took = time.perf_counter() - began
            await fleet.quiet()
            after = place.resident()["f1"]
            each = (after - before) / size.clients
            rows.append(
                Row(
                    benchmark="idle",
                    what=f"{size.clients:,} clients, memory of each",
                    measured=each / KIB,
                    unit="KiB",
                    budget=within(MEMORY, applies=size.clients >= MEASURED),
                    ratio=each / floor if floor else None,
                    against=f"× a bare connection's {floor / KIB:.1f} KiB",
                    note=f"frontend {before / KIB**2:.0f} → {after / KIB**2:.0f} MiB; {OF_EACH} nodes of each person; "
                    f"connected in {took:.1f} s",
                )
            )
        async with report.watched() as rows:
            await asyncio.sleep(fleet.rest * RESTS)
            used, octets, began = place.cpu(), (await fleet.stand()).octets, time.perf_counter()
            await asyncio.sleep(size.seconds)
            seconds, now = time.perf_counter() - began, place.cpu()
            shares = {name: (now[name] - used[name]) / seconds * 100 for name in now}
            standing = await fleet.stand()
            rows.append(
                Row(
                    benchmark="idle",
                    what=f"{size.clients:,} clients, processor time of the frontend",
                    measured=shares["f1"],
                    unit="%",
                    budget=within(CPU, applies=size.clients >= MEASURED),
                    note=f"over {seconds:.0f} s, {standing.octets - octets:,} octets sent to all; {standing.open:,} still there; "
                    + ", ".join(f"{name} {share:.1f} %" for name, share in shares.items()),
                )
            )
