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
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import msgspec

from bench import floors, machine, site
from bench.asker import connected
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

NODES: Final = 50
RELAYS: Final = 670
PAIRS: Final = NODES * RELAYS
CHANGES: Final = 20
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


async def run(report: Report, profiles: Profiles | None = None) -> None:
    """Measure the whole of it."""
    async with site.inhabited(NODES, profiles=profiles) as (place, found, _):
        async with report.watched() as rows:
            rows.append(await _imported(place))
        async with report.watched() as rows:
            rows.append(await _connected(place))
        async with report.watched() as rows:
            rows.append(await _folded(place))
        viewers: list[Viewer] = []
        async with report.watched() as rows:
            rows.extend(await _maps(place, found, viewers))
        async with report.watched() as rows:
            rows.append(_memory(place))
        async with report.watched() as rows:
            rows.extend(await _changes(place, viewers))
        for viewer in viewers:
            viewer.close()


async def _imported(place: Site) -> Row:
    path = place.folder / "relays.json"
    path.write_text(relays.text(relays.listed(relays.relay(number) for number in range(RELAYS))))
    began = time.perf_counter()
    await asyncio.to_thread(place.cli, "wg", "import-relays", str(path), "--user", "user0", timeout=120.0)
    return _row(
        "a list of them imported", time.perf_counter() - began, "s", note="the command line's start included"
    )


async def _connected(place: Site) -> Row:
    subject = subjects.command(DEFAULT_TAILNET, "connection", "add")

    def question(number: int) -> tuple[str, bytes]:
        node, peer = number % NODES + 1, FIRST_PEER_ID + number // NODES
        return subject, msgspec.json.encode({"node": node, "peer": peer, "ipv4MasqAddr": f"10.66.0.{node}"})

    began = time.perf_counter()
    async with connected(place.directory, "operator", keyed=True) as asker:
        for _ in range(0, PAIRS, PORTION):  # `asker` counts on
            answers = await asker.all(PORTION, IN_FLIGHT, question, b'"ok":true')
            if answers.errors:
                raise RuntimeError(f"{answers.errors} connections failed: {answers.first_error}")
    seconds = time.perf_counter() - began
    return _row(f"{PAIRS:,} connections added", seconds, "s", note=f"{PAIRS / seconds:,.0f}/s")


async def _folded(place: Site) -> Row:
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
    row = _row("the log read and folded", seconds, "s", FOLD_SECONDS, note=f"{count:,} records")
    return msgspec.structs.replace(row, ratio=seconds / floor, against="× reading and hashing")


async def _maps(place: Site, found: Sequence[Machine], viewers: list[Viewer]) -> list[Row]:
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
    if shown != RELAYS:
        raise RuntimeError(f"{shown} relays are in a map")
    only = sum(len(msgspec.json.encode(peer)) for peer in _relays(text))
    p50, p99 = (machine.percentile(took, share) * 1_000 for share in (0.5, 0.99))
    size = f"a whole map {len(text):,} octets, {len(viewers[-1].first):,} compressed"
    time_row = _row(
        "first map, p50", p50, "ms", MAP_MILLIS, note=f"cold {took[0] * 1_000:.1f}, p99 {p99:.1f} ms"
    )
    return [
        _row("JSON of a relay in a map", only / RELAYS, "octets", PEER_OCTETS, note=size),
        msgspec.structs.replace(time_row, ratio=p50 / 1_000 / floor, against="× orjson + zstd"),
    ]


def _relays(text: bytes) -> list[Any]:
    return [peer for peer in msgspec.json.decode(text)["Peers"] if peer.get("IsWireGuardOnly")]


def _memory(place: Site) -> Row:
    """What the frontend's process holds with all sessions open."""
    lines = Path(f"/proc/{place.procs['f1'].pid}/status").read_text().splitlines()
    resident = next(int(line.split()[1]) for line in lines if line.startswith("VmRSS:"))
    note = f"{resident * 1_024 / PAIRS:,.0f} octets for each connection, everything else of the process in it"
    return _row("memory of the frontend", resident / 1_024, "MB", MEMORY_MB, note=note)


async def _changes(place: Site, viewers: Sequence[Viewer]) -> list[Row]:
    await asyncio.sleep(2.0)  # everybody has been told that everybody is online
    async with operator(place.directory) as op:
        one = [
            await _told(op, viewers, "connection.update", _masquerade(n), _sign(n)) for n in range(CHANGES)
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
        _row("one connection changes, nodes that are sent anything", nodes, "nodes", Budget(1.0)),
        _row("… octets in all, p50", octets, "octets", FRAME_OCTETS),
        _row("… told, p99", took, "ms", TOLD_MILLIS, note=f"n = {len(told)}"),
        _row(
            "one relay has another endpoint, told, max",
            max(everybody[0]) * 1_000,
            "ms",
            TOLD_MILLIS,
            note=f"{everybody[1]} nodes, {everybody[2] / max(1, everybody[1]):,.0f} octets each, {cpu * 1_000:.0f} ms CPU",
        ),
    ]


def _masquerade(number: int) -> dict[str, Any]:
    peer = int(FIRST_PEER_ID) + number * 31 % RELAYS
    return {"node": number % NODES + 1, "peer": peer, "ipv4MasqAddr": f"10.67.0.{number + 1}"}


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


def _row(what: str, measured: float, unit: str, budget: Budget | None = None, *, note: str = "") -> Row:
    return Row(
        benchmark="wireguard",
        what=f"{RELAYS} relays, {NODES} nodes: {what}",
        measured=measured,
        unit=unit,
        budget=budget,
        note=note,
    )
