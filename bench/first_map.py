"""A client's first map in a tailnet of 1,000 nodes: from its map request to the last octet.

20 people with 50 nodes each, registered by commands; every node is online with endpoints and a Hostinfo, as another frontend
would say. Under a policy of 41 rules all see all. A client connects, shakes hands,
waits, and asks; the clock runs from the write of its request until the octet that makes the first map frame whole has
come, the question for the log's head included. The client opens records, and does not look into the map.

* cold: the very first one, when nothing is compressed yet;
* one at a time: each makes its own node read differently, as real ones do;
* 50 at once.

Ratio: over the time that orjson and zstd take for that map.
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Final, NamedTuple

from msgspec.structs import replace

from bench import floors, machine, site
from bench.forms import Form, within
from bench.profiled import Profiles
from bench.report import Budget, Report, Row
from bench.site import Machine, Site
from bench.viewer import Viewer, connect, map_request, text_of


class Size(NamedTuple):
    """Nodes of the tailnet, maps that are asked for one after the other, and together."""

    nodes: int
    alone: int
    together: int


SIZES: Final[Mapping[Form, Size]] = {
    Form.FULL: Size(1_000, 40, 50),
    Form.SHORT: Size(1_000, 20, 50),
    Form.TINY: Size(12, 2, 4),
}
MEASURED: Final = 1_000
"""The nodes that the budget is for."""
RULES: Final = 41
BUDGET: Final = Budget(25.0)
REST_SECONDS: Final = 0.05
"""Between two single ones: what the one before caused is over."""
READY_SECONDS: Final = 3.0
"""After which the frontend has taken in what it was told, and has collected its garbage."""


async def run(report: Report, form: Form = Form.FULL, profiles: Profiles | None = None) -> None:
    """Measure all three."""
    size = SIZES[form]
    async with site.inhabited(size.nodes, profiles=profiles) as (place, found, _), _told(place, found):
        await site.rule(place, RULES)
        await asyncio.sleep(READY_SECONDS)
        key = await place.server_key()
        viewers: list[Viewer] = []
        async with report.watched() as rows:
            cold = await _one(place, found[0], key, viewers)
            text = text_of(viewers[0].first)
            floor = floors.encoded(text)
            note = f"{len(text):,} octets, {len(viewers[0].first):,} compressed; orjson + zstd {floor * 1_000:.1f} ms"
            rows.append(_row(size, "one client, cold", cold, floor, note))
        async with report.watched() as rows:
            alone = [await _one(place, client, key, viewers) for client in found[1 : size.alone + 1]]
            rows.append(_row(size, "one client, p50", machine.percentile(alone, 0.5), floor, _spread(alone)))
        async with report.watched() as rows:
            others = found[size.alone + 1 : size.alone + 1 + size.together]
            together = await _together(place, others, key, viewers)
            row = _row(
                size,
                f"{size.together} clients at once, p99",
                machine.percentile(together, 0.99),
                floor,
                _spread(together),
            )
            rows.append(replace(row, budget=None))
        for viewer in viewers:
            viewer.close()


@contextlib.asynccontextmanager
async def _told(place: Site, found: Sequence[Machine]) -> AsyncIterator[None]:
    """Say of the clients that they are online, again and again, so that it stays true."""

    async def say() -> None:
        while True:
            await site.tell(place, found)
            await asyncio.sleep(site.HEARTBEAT_SECONDS)

    saying = asyncio.create_task(say())
    try:
        yield
    finally:
        saying.cancel()
        await asyncio.gather(saying, return_exceptions=True)


async def _one(place: Site, client: Machine, key: bytes, viewers: list[Viewer]) -> float:
    viewer = await connect(place.port, client.key, key)
    viewers.append(viewer)
    await asyncio.sleep(REST_SECONDS)
    return await _asked(viewer, client)


async def _together(
    place: Site, clients: Sequence[Machine], key: bytes, viewers: list[Viewer]
) -> list[float]:
    made = [await connect(place.port, client.key, key) for client in clients]
    viewers += made
    await asyncio.sleep(REST_SECONDS)
    return list(await asyncio.gather(*map(_asked, made, clients)))


async def _asked(viewer: Viewer, client: Machine) -> float:
    question = map_request(client.node_key, client.disco)
    began = time.perf_counter()
    viewer.ask(question)
    return await viewer.whole - began


def _row(size: Size, what: str, seconds: float, floor: float, note: str) -> Row:
    return Row(
        benchmark="first_map",
        what=f"{size.nodes:,} nodes, {RULES} rules, {what}",
        measured=seconds * 1_000,
        unit="ms",
        budget=within(BUDGET, applies=size.nodes == MEASURED),
        ratio=seconds / floor,
        against="× orjson + zstd",
        note=note,
    )


def _spread(found: Sequence[float]) -> str:
    p50, p99, most = (machine.percentile(found, share) * 1_000 for share in (0.5, 0.99, 1.0))
    return f"p50 {p50:.1f}, p99 {p99:.1f}, max {most:.1f} ms; n = {len(found)}"
