"""One, two, four frontends: how many sessions and maps a second, and what the death of one costs.

n clients, 20 of each person, come all at once, spread over the frontends, each time to new processes:

* sessions: under a policy by which everybody sees the own nodes: a handshake and a small map;
* maps: everybody sees everybody: a map of n peers for each, and everybody is told of everybody.

On a machine with fewer cores than processes (the clients are on the same ones) a rate cannot grow with the frontends. What can be
seen is whether the work does not: the processor time of all frontends together, and of the busiest one. From that comes a second
rate, "a core for each": n over the busiest frontend's processor time. It leaves out what cores do not share well: the
kernel, and caches.

Then one of four is killed while 50 changes a second come: its clients come back elsewhere, every frame of all of
them is judged against the log, and everybody must end where the head is.

Ratio: of a rate over that of one frontend.
"""

import asyncio
import os
import time
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from bench import site
from bench.fleet import EVERYBODY, Fleet, launched, raise_files
from bench.forms import Form
from bench.profiled import Profiles
from bench.report import Budget, Report, Row
from bench.revocation import EVERYBODY_SEES
from bench.site import Machine, Site
from engine.config import Settings
from tests.kit.operator import operator

OF_EACH: Final = 20
CHANGES_A_SECOND: Final = 50
NOTHING_WRONG: Final = Budget(0.0)
PATIENCE_SECONDS: Final = 60.0
POLL_SECONDS: Final = 0.1


class Size(NamedTuple):
    """Frontends, one number after the other; clients; seconds of changes, in the middle of which a frontend is killed."""

    frontends: tuple[int, ...]
    clients: int
    seconds: float


SIZES: Final[Mapping[Form, Size]] = {
    Form.FULL: Size((1, 2, 4), 1_000, 10.0),
    Form.SHORT: Size((1, 4), 400, 3.0),
    Form.TINY: Size((1, 2), 20, 0.4),
}


class Rush(NamedTuple):
    """Clients that came at once: seconds until all had their maps, and processor time of each frontend until all was told."""

    seconds: float
    told: float
    cpu: dict[str, float]
    clients: int

    @property
    def rate(self) -> float:
        """Clients a second."""
        return self.clients / self.seconds

    @property
    def rate_of_cores(self) -> float:
        """Clients a second if each frontend had a core."""
        return self.clients / max(self.cpu.values())


async def run(report: Report, form: Form = Form.FULL, profiles: Profiles | None = None) -> None:
    """Measure each number of frontends, then the death of one."""
    size = SIZES[form]
    raise_files(size.clients)
    users = max(1, size.clients // OF_EACH)
    first: dict[str, Rush] = {}
    for count in size.frontends:
        async with site.inhabited(size.clients, users=users, frontends=count, profiles=profiles) as (
            place,
            found,
            _,
        ):
            for kind, policy in (("sessions", site.circles()), ("maps of all", EVERYBODY_SEES)):
                async with report.watched() as rows, launched(place.folder, form) as fleet:
                    await site.policy(place, policy)
                    rush = await _rushed(place, fleet, found)
                    rows.extend(_rows(count, kind, rush, first.setdefault(kind, rush)))
            if count == size.frontends[-1]:
                async with report.watched() as rows, launched(place.folder, form) as fleet:
                    await site.policy(place, site.circles())
                    rows.extend(await _killed(place, fleet, found, size))


async def _rushed(place: Site, fleet: Fleet, found: Sequence[Machine]) -> Rush:
    await asyncio.sleep(fleet.rest)
    ports, key = list(place.ports.values()), await place.server_key()
    used, began = place.cpu(), time.perf_counter()
    whole = await fleet.board(found, ports, key, at_once=EVERYBODY)
    await fleet.quiet()
    now = place.cpu()
    cpu = {name: now[name] - used[name] for name in place.frontends}
    return Rush(max(whole) - began, time.perf_counter() - began - fleet.rest, cpu, len(found))


def _rows(count: int, kind: str, rush: Rush, one: Rush) -> list[Row]:
    said = (
        f"all told after {rush.told:.1f} s; frontends' processor time {sum(rush.cpu.values()):.2f} s, "
        f"the busiest {max(rush.cpu.values()):.2f} s"
    )
    name = f"{rush.clients:,} clients at once, {count} frontend{'s' if count > 1 else ''}, {kind}"
    return [
        Row(
            benchmark="scale", what=name, measured=rush.rate, unit="/s", ratio=rush.rate / one.rate,
            against="× one frontend", note=said,
        ),
        Row(
            benchmark="scale", what=f"{name}, a core for each", measured=rush.rate_of_cores, unit="/s",
            ratio=rush.rate_of_cores / one.rate_of_cores, against="× one frontend",
        ),
    ]  # fmt: skip


async def _killed(place: Site, fleet: Fleet, found: Sequence[Machine], size: Size) -> list[Row]:
    ports, key = list(place.ports.values()), await place.server_key()
    await fleet.board(found, ports, key, returns=True, keeps=True)
    await fleet.quiet()
    await fleet.forget()
    changing = asyncio.create_task(_change(place, len(found), size.seconds))
    await asyncio.sleep(size.seconds / 2)
    died = time.perf_counter()
    place.kill(place.frontends[-1])
    changes = await changing
    back = await everybody_back(fleet, len(found), died)
    await fleet.quiet()
    verdict = await fleet.judge(
        Settings(directory=str(place.directory)).store_url(), [[n] for n in range(1, len(found))]
    )
    wrong = f"; first: {verdict.complaints[0]}" if verdict.complaints else ""
    name = f"one of {size.frontends[-1]} frontends killed at {CHANGES_A_SECOND} changes/s"
    return [
        Row(
            benchmark="scale", what=f"{name}: clients with a wrong frame or a lost change", unit="clients",
            measured=len({what.partition(":")[0] for what in verdict.complaints}), budget=NOTHING_WRONG,
            note=f"{verdict.frames:,} frames of {verdict.clients:,} clients judged; {changes:,} changes{wrong}",
        ),
        Row(benchmark="scale", what=f"{name}: everybody is back after", measured=back[0], unit="s", note=f"{back[1]:,} came back"),
    ]  # fmt: skip


async def everybody_back(fleet: Fleet, clients: int, since: float) -> tuple[float, int]:
    """Wait until so many sessions are open again; return seconds until the last one was, and how many had been lost.

    Raises:
        TimeoutError: they do not come.
    """
    async with asyncio.timeout(PATIENCE_SECONDS):
        while (now := await fleet.stand()).open < clients or len(now.back) < now.lost:
            await asyncio.sleep(POLL_SECONDS)
    return max(now.back, default=since) - since, now.lost


async def _change(place: Site, nodes: int, seconds: float) -> int:
    """Rename nodes, so many a second; return how many."""
    began, count = time.perf_counter(), 0
    async with operator(place.directory) as op:
        while (now := time.perf_counter() - began) < seconds:
            while count < now * CHANGES_A_SECOND:
                body = {"node": count % nodes + 1, "name": f"changed{count}"}
                await op.command("node.rename", body, key=os.urandom(8).hex())
                count += 1
            await asyncio.sleep(1 / CHANGES_A_SECOND)
    return count
