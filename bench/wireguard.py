"""A provider's 670 relays, all connected to each of 50 nodes: what they cost to get there, to show, and to change.

The relays are imported from a list as an operator does it, then connected one by one through NATS: 33,500 connections, each
node with one masquerade address at all relays, as providers give them. Then each node's client opens a map session.

* first map: as in `first_map.py`, one client after the other; each has 670 WireGuard-only peers and 49 nodes in it;
* one change: another masquerade address of one connection, another endpoint of one relay. The clock runs from the write of
  the command until a viewer has the frame; octets are those that came on every viewer's socket.

Ratio: of a first map over the time that orjson and zstd take for it; of the fold over reading and hashing the rows.
"""

import asyncio
import secrets
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec

from bench import floors, machine, site
from bench.asker import connected
from bench.forms import Form, within
from bench.profiled import Profiles
from bench.replay import bare
from bench.report import Budget, Report, Row
from bench.site import Machine, Site
from bench.viewer import Viewer, connect, map_request, text_of
from engine.adapters.clock import SystemClock
from engine.adapters.store.opening import open_reader
from engine.config import Settings
from engine.contracts import subjects
from engine.domain.values import DEFAULT_TAILNET, FIRST_PEER_ID, Position
from projections.live import Live
from tests.kit import relays
from tests.kit.operator import Operator, operator


class Size(NamedTuple):
    """Nodes, relays that each of them is connected to, and how many connections change."""

    nodes: int
    relays: int
    changes: int

    @property
    def pairs(self) -> int:
        """How many connections there are."""
        return self.nodes * self.relays


SIZES: Final[Mapping[Form, Size]] = {
    Form.FULL: Size(50, 670, 20),
    Form.SHORT: Size(10, 670, 10),
    Form.TINY: Size(3, 10, 2),
}
MEASURED: Final = SIZES[Form.FULL]
"""What the budgets of the fold and of memory are for; the others are for this many relays and any number of nodes."""
REST_SECONDS: Final = 0.05
SETTLE_SECONDS: Final = 0.4
"""From a command on, all of its consequences are over."""
IN_FLIGHT: Final = 64
PORTION: Final = 500
"""Commands that are waited for together."""
MAP_MILLIS: Final = Budget(25.0)
PEER_OCTETS: Final = Budget(1_000.0)
"""About 1 kB of JSON for each (reference: WireGuard-only peers, N33)."""
FRAME_OCTETS: Final = Budget(2_000.0)
TOLD_MILLIS: Final = Budget(50.0)
FOLD_SECONDS: Final = Budget(2.0)
MEMORY_MB: Final = Budget(400.0)


async def run(report: Report, form: Form = Form.FULL, profiles: Profiles | None = None) -> None:
    """Measure the whole of it."""
    size = SIZES[form]
    async with site.inhabited(size.nodes, profiles=profiles) as (place, found, _):
        async with report.watched() as rows:
            rows.append(await _imported(place, size))
        async with report.watched() as rows:
            rows.append(await _connected(place, size))
        async with report.watched() as rows:
            rows.append(await _folded(place, size))
        viewers: list[Viewer] = []
        async with report.watched() as rows:
            rows.extend(await _maps(place, size, found, viewers))
        async with report.watched() as rows:
            rows.append(_memory(place, size))
        async with report.watched() as rows:
            rows.extend(await _changes(place, size, viewers))
        for viewer in viewers:
            viewer.close()


async def _imported(place: Site, size: Size) -> Row:
    path = place.folder / "relays.json"
    path.write_text(relays.text(relays.listed(relays.relay(number) for number in range(size.relays))))
    began = time.perf_counter()
    await asyncio.to_thread(place.cli, "wg", "import-relays", str(path), "--user", "user0", timeout=120.0)
    seconds = time.perf_counter() - began
    return _row(size, "a list of them imported", seconds, "s", note="the command line's start included")


async def _connected(place: Site, size: Size) -> Row:
    subject = subjects.command(DEFAULT_TAILNET, "connection", "add")

    def question(number: int) -> tuple[str, bytes]:
        node, peer = number % size.nodes + 1, FIRST_PEER_ID + number // size.nodes
        return subject, msgspec.json.encode({"node": node, "peer": peer, "ipv4MasqAddr": f"10.66.0.{node}"})

    began = time.perf_counter()
    async with connected(place.directory, "operator", keyed=True) as asker:
        for done in range(0, size.pairs, PORTION):  # `asker` counts on
            answers = await asker.all(min(PORTION, size.pairs - done), IN_FLIGHT, question, b'"ok":true')
            if answers.errors:
                raise RuntimeError(f"{answers.errors} connections failed: {answers.first_error}")
    seconds = time.perf_counter() - began
    return _row(
        size, f"{size.pairs:,} connections added", seconds, "s", note=f"{size.pairs / seconds:,.0f}/s"
    )


async def _folded(place: Site, size: Size) -> Row:
    """Read the log in this process, as a projection does at its start."""
    url = Settings(directory=str(place.directory)).store_url()
    floor = await asyncio.to_thread(bare, Path(url.removeprefix("sqlite://")))
    reader = open_reader(url, tailnet=DEFAULT_TAILNET)
    live, count, began = Live(reader, SystemClock()), 0, time.perf_counter()
    while records := await reader.read(live.state.position):
        live.take(records)
        count += len(records)
    seconds = time.perf_counter() - began
    await reader.close()
    assert live.state.position > Position(0)
    row = _row(
        size,
        "the log read and folded",
        seconds,
        "s",
        within(FOLD_SECONDS, applies=size == MEASURED),
        note=f"{count:,} records",
    )
    return msgspec.structs.replace(row, ratio=seconds / floor, against="× reading and hashing")


async def _maps(place: Site, size: Size, found: Sequence[Machine], viewers: list[Viewer]) -> list[Row]:
    key, took = await place.server_key(), []
    for client in found:
        viewer = await connect(place.port, client.key, key)
        viewers.append(viewer)
        await asyncio.sleep(REST_SECONDS)
        began = time.perf_counter()
        viewer.ask(map_request(client.node_key, client.disco))
        took.append(await viewer.whole - began)
    text = text_of(viewers[-1].first)
    floor, shown = floors.encoded(text), text.count(b'"IsWireGuardOnly":true')
    if shown != size.relays:
        raise RuntimeError(f"{shown} relays are in a map")
    only = sum(len(msgspec.json.encode(peer)) for peer in _relays(text))
    p50, p99 = (machine.percentile(took, share) * 1_000 for share in (0.5, 0.99))
    whole = f"a whole map {len(text):,} octets, {len(viewers[-1].first):,} compressed"
    note = f"cold {took[0] * 1_000:.1f}, p99 {p99:.1f} ms"
    time_row = _row(size, "first map, p50", p50, "ms", MAP_MILLIS, note=note)
    return [
        _row(size, "JSON of a relay in a map", only / size.relays, "octets", PEER_OCTETS, note=whole),
        msgspec.structs.replace(time_row, ratio=p50 / 1_000 / floor, against="× orjson + zstd"),
    ]


def _relays(text: bytes) -> list[Any]:
    return [peer for peer in msgspec.json.decode(text)["Peers"] if peer.get("IsWireGuardOnly")]


def _memory(place: Site, size: Size) -> Row:
    """What the frontend's process holds with all sessions open."""
    resident = machine.resident(place.procs["f1"].pid)
    note = f"{resident / size.pairs:,.0f} octets for each connection, everything else of the process in it"
    limit = within(MEMORY_MB, applies=size == MEASURED)
    return _row(size, "memory of the frontend", resident / 1024**2, "MB", limit, note=note)


async def _changes(place: Site, size: Size, viewers: Sequence[Viewer]) -> list[Row]:
    await asyncio.sleep(2.0)  # everybody has been told that everybody is online
    async with operator(place.directory) as op:
        one = [
            await _told(op, viewers, "connection.update", _masquerade(size, n), _sign(n))
            for n in range(size.changes)
        ]
        body = {"peer": int(FIRST_PEER_ID), "endpoints": ["198.18.99.1:51820"]}
        used = place.cpu()
        everybody = await _told(op, viewers, "peer.update", body, b"198.18.99.1:51820")
        cpu = sum(place.cpu().values()) - sum(used.values())
    told = [at for changed in one for at in changed[0]]
    nodes = max(changed[1] for changed in one)
    octets = machine.percentile([changed[2] for changed in one], 0.5)
    took = machine.percentile(told, 0.99) * 1_000
    return [
        _row(size, "one connection changes, nodes that are sent anything", nodes, "nodes", Budget(1.0)),
        _row(size, "… octets in all, p50", octets, "octets", FRAME_OCTETS),
        _row(size, "… told, p99", took, "ms", TOLD_MILLIS, note=f"n = {len(told)}"),
        _row(
            size,
            "one relay has another endpoint, told, max",
            max(everybody[0]) * 1_000,
            "ms",
            TOLD_MILLIS,
            note=f"{everybody[1]} nodes, {everybody[2] / max(1, everybody[1]):,.0f} octets each, {cpu * 1_000:.0f} ms CPU",
        ),
    ]


def _masquerade(size: Size, number: int) -> dict[str, Any]:
    peer = int(FIRST_PEER_ID) + number * 31 % size.relays
    return {"node": number % size.nodes + 1, "peer": peer, "ipv4MasqAddr": f"10.67.0.{number + 1}"}


def _sign(number: int) -> bytes:
    return f'"10.67.0.{number + 1}"'.encode()


async def _told(
    op: Operator, viewers: Sequence[Viewer], name: str, body: dict[str, Any], sign: bytes
) -> tuple[list[float], int, int]:
    """Send a command; return when viewers had it, how many were sent anything, and how many octets in all."""
    for viewer in viewers:
        viewer.forget()
    began = time.perf_counter()
    await op.command(name, body, key=secrets.token_hex(8))
    await asyncio.sleep(SETTLE_SECONDS)
    told = []
    for viewer in viewers:
        viewer.unpack()
        told += [at - began for at, frame in viewer.frames if sign in text_of(frame)][:1]
    if not told:
        raise RuntimeError(f"nobody was told of {name}")
    return told, sum(1 for viewer in viewers if viewer.octets), sum(viewer.octets for viewer in viewers)


def _row(
    size: Size, what: str, measured: float, unit: str, budget: Budget | None = None, *, note: str = ""
) -> Row:
    return Row(
        benchmark="wireguard",
        what=f"{size.relays} relays, {size.nodes} nodes: {what}",
        measured=measured,
        unit=unit,
        budget=budget,
        note=note,
    )
