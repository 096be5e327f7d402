"""One node joins a tailnet of n connected clients: when each has been told, and what it costs.

n nodes of 20 people, all with a map session on one frontend; all see all. On the way there, n clients that come at once are
a reconnect storm: from their connecting until each has its whole map (and everybody is told of everybody coming online).

Then one client after the other joins as a real one does, twice the same cost for the viewers:

* registered: it registers by a pre-auth key over its Noise connection. The clock runs from the write of that request until
  the last octet of the frame with the new node has come to a viewer; in between are the engine's commit, the
  projection's fold, the delta, and one frame to each viewer;
* online: on a second connection it opens its map session, and everybody is told its endpoints, and that it is online.

Every viewer's frames are opened afterwards, and a viewer that was not told counts as an error. Processor time is that of
nats-server, engine, projection and frontend together, over `SETTLE_SECONDS` from the request on, less what they use
when nothing happens; octets are those that came on the viewers' sockets.

Ratio: over one small encrypted write to each of n connections on loopback.
"""

import asyncio
import time
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Final, NamedTuple, Self

from msgspec.structs import replace

from bench import floors, machine, site
from bench.forms import Form, within
from bench.profiled import Profiles
from bench.report import Budget, Report, Row
from bench.site import Machine, Site
from bench.viewer import Viewer, connect, map_request, register_request, text_of


class Size(NamedTuple):
    """How many viewers there are, one number after the other, and how many clients join them."""

    viewers: tuple[int, ...]
    joins: int


SIZES: Final[Mapping[Form, Size]] = {
    Form.FULL: Size((200, 1_000), 8),
    Form.SHORT: Size((1_000,), 4),
    Form.TINY: Size((6,), 1),
}
MEASURED: Final = 1_000
"""The viewers that the budgets are for."""
SETTLE_SECONDS: Final = 0.8
"""From a request on, all of its consequences are over."""
QUIET_SECONDS: Final = 1.0
"""Without any octets to anybody, the storm is over."""
PATIENCE_SECONDS: Final = 60.0
IDLE_SECONDS: Final = 2.0
FRAME: Final = 400
"""Octets of the floor's write: a compressed frame with one peer."""
STORM: Final = Budget(8_000.0)
TOLD: Final = Budget(100.0)
ONLINE: Final = Budget(50.0)
CPU: Final = Budget(0.1)
SENT: Final = Budget(1.0)
"""Budgets of docs/budgets.md for n = 1,000: milliseconds, seconds, megabytes."""


class Round(NamedTuple):
    """What one change cost."""

    told: list[float]
    """For each viewer, seconds until it was told."""
    missing: int
    cpu: dict[str, float]
    """Seconds of processor time, for each process."""
    octets: int


async def run(report: Report, form: Form = Form.FULL, profiles: Profiles | None = None) -> None:
    """Measure every size."""
    for viewing in SIZES[form].viewers:
        async with site.inhabited(viewing, profiles=profiles) as (place, found, keys):
            viewers = await _storm(report, place, found)
            try:
                await _joins(report, place, viewers, keys[0], SIZES[form].joins)
            finally:
                for viewer in viewers:
                    viewer.close()


async def _storm(report: Report, place: Site, found: Sequence[Machine]) -> list[Viewer]:
    key = await place.server_key()
    async with report.watched() as rows:
        used, began = place.cpu(), time.perf_counter()
        made = await asyncio.gather(*(_enter(place, client, key) for client in found))
        served = [viewer.whole.result() - began for viewer in made]
        await _quiet(made)
        quiet, cpu = time.perf_counter() - began - QUIET_SECONDS, _less(place.cpu(), used)
        said = f"{_spread(served)}; all quiet after {quiet:.1f} s; CPU seconds: {_each(cpu, 1)}"
        row = _row(len(found), "reconnect storm, all served", max(served) * 1_000, "ms", STORM)
        rows.append(_noted(row, said))
    return list(made)


async def _enter(place: Site, client: Machine, key: bytes) -> Viewer:
    async with asyncio.timeout(PATIENCE_SECONDS):
        viewer = await connect(place.port, client.key, key)
        viewer.ask(map_request(client.node_key, client.disco))
        await viewer.whole
        return viewer


async def _quiet(viewers: Sequence[Viewer]) -> None:
    async with asyncio.timeout(PATIENCE_SECONDS):
        before = -1
        while (now := sum(viewer.octets for viewer in viewers)) != before:
            before = now
            await asyncio.sleep(QUIET_SECONDS)


async def _joins(report: Report, place: Site, viewers: Sequence[Viewer], auth_key: str, joins: int) -> None:
    key = await place.server_key()
    registered, online, joiners = [], [], []
    async with report.watched() as rows:
        floor = await floors.written(place.folder, len(viewers), FRAME)
        audience = await _Audience.seated(place, viewers)
        for number, client in enumerate(site.machines(joins)):
            speaker = await connect(place.port, client.key, key)
            joiner = await connect(place.port, client.key, key)
            question = register_request(client.node_key, auth_key, f"joiner{number}")
            registered.append(await audience.hears(speaker, question, client.node_key))
            question = map_request(client.node_key, client.disco)
            online.append(await audience.hears(joiner, question, client.disco))
            speaker.close()
            joiners.append(joiner)  # one that left would be told of, ten seconds later
        rows.extend(_rows(len(viewers), "registers", registered, floor, TOLD))
        rows.extend(_rows(len(viewers), "comes online", online, floor, ONLINE))
    for joiner in joiners:
        joiner.close()


class _Audience:
    """All viewers of a site, and what the site uses when nothing happens, in cores."""

    def __init__(self, place: Site, viewers: Sequence[Viewer], idle: dict[str, float]) -> None:
        self._place = place
        self._viewers = viewers
        self._idle = idle

    @classmethod
    async def seated(cls, place: Site, viewers: Sequence[Viewer]) -> Self:
        """Look how much the site uses for a while."""
        used = place.cpu()
        await asyncio.sleep(IDLE_SECONDS)
        idle = {name: cpu / IDLE_SECONDS for name, cpu in _less(place.cpu(), used).items()}
        return cls(place, viewers, idle)

    async def hears(self, speaker: Viewer, question: bytes, sign: str) -> Round:
        """Let the speaker ask; return when each viewer had a frame with the sign in it."""
        for viewer in self._viewers:
            viewer.forget()
        used, began = self._place.cpu(), time.perf_counter()
        speaker.ask(question)
        await asyncio.sleep(SETTLE_SECONDS)
        seconds = time.perf_counter() - began
        cpu = {
            name: more - self._idle[name] * seconds for name, more in _less(self._place.cpu(), used).items()
        }
        octets = sum(viewer.octets for viewer in self._viewers)
        await asyncio.wait_for(speaker.whole, PATIENCE_SECONDS)
        told = [at - began for viewer in self._viewers if (at := _first_with(viewer, sign.encode()))]
        return Round(told, len(self._viewers) - len(told), cpu, octets)


def _first_with(viewer: Viewer, sign: bytes) -> float | None:
    viewer.unpack()
    return next((at for at, frame in viewer.frames if sign in _text(frame)), None)


@lru_cache(maxsize=64)
def _text(frame: bytes) -> bytes:
    """Return the text of a frame; all viewers of a round have the same few."""
    return text_of(frame)


def _rows(viewers: int, what: str, rounds: Sequence[Round], floor: float, limit: Budget) -> list[Row]:
    told = [seconds for one in rounds for seconds in one.told]
    missing = sum(one.missing for one in rounds)
    slowest = ", ".join(f"{machine.percentile(one.told, 0.99) * 1_000:.0f}" for one in rounds)
    said = f"{_spread(told)}; p99 of each round: {slowest}" + (f"; {missing} not told" if missing else "")
    p99 = machine.percentile(told, 0.99)
    each = {name: machine.percentile([one.cpu[name] for one in rounds], 0.5) for name in rounds[0].cpu}
    cpu = machine.percentile([sum(one.cpu.values()) for one in rounds], 0.5)
    octets = machine.percentile([one.octets for one in rounds], 0.5)
    first = Row(
        benchmark="join",
        what=f"{viewers:,} viewers, one {what}, told p99",
        measured=p99 * 1_000,
        unit="ms",
        budget=within(limit, applies=viewers == MEASURED),
        ratio=p99 / floor if floor else None,
        against=f"× bare writes' {floor * 1_000:.1f} ms",
        note=said,
    )
    return [
        first,
        _noted(
            _row(viewers, f"one {what}, CPU", cpu, "s", CPU),
            f"{cpu / viewers * 1e6:.0f} µs for each viewer; ms: {_each(each, 1_000)}",
        ),
        _noted(
            _row(viewers, f"one {what}, sent", octets / 1e6, "MB", SENT),
            f"{octets / viewers:,.0f} octets each",
        ),
    ]


def _less(now: dict[str, float], before: dict[str, float]) -> dict[str, float]:
    return {name: now[name] - before[name] for name in now}


def _each(cpu: dict[str, float], scale: float) -> str:
    return ", ".join(f"{name} {seconds * scale:.1f}" for name, seconds in cpu.items())


def _row(viewers: int, what: str, measured: float, unit: str, budget: Budget) -> Row:
    return Row(
        benchmark="join",
        what=f"{viewers:,} viewers, {what}",
        measured=measured,
        unit=unit,
        budget=within(budget, applies=viewers == MEASURED),
    )


def _noted(row: Row, note: str) -> Row:
    return replace(row, note=note)


def _spread(found: Sequence[float]) -> str:
    p50, p99, most = (machine.percentile(found, share) * 1_000 for share in (0.5, 0.99, 1.0))
    return f"p50 {p50:.1f}, p99 {p99:.1f}, max {most:.1f} ms"
