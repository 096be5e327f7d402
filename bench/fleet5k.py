"""Five thousand connected clients on one machine, over four frontends: memory, idle, and what single changes cost.

20 nodes of each person, under a policy by which everybody sees the own nodes and no others: a full mesh of 5,000 is 25 million
entries of peers, more than the clients' side of this machine can hold. Beside it a full mesh of as many as can be.

* memory and processor time of all frontends together, when nothing happens;
* one node registers and comes online: told are the 20 of its person, and nobody else;
* one policy edit that concerns everybody: the ports of the one rule, so each client gets a new filter;
* one frontend is killed, and the policy is edited at the same moment: until every client is back, and has the edit.

Every frame of `JUDGED` clients is judged afterwards.

Ratio: of a policy edit over one small encrypted write to each of n connections.
"""

import asyncio
import os
import time
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from msgspec.structs import replace

from bench import floors, machine, scale, site
from bench.fleet import EVERYBODY, Fleet, launched, raise_files
from bench.forms import Form
from bench.orders import Says
from bench.profiled import Profiles
from bench.report import Budget, Report, Row
from bench.revocation import EVERYBODY_SEES
from bench.site import Machine, Site
from bench.viewer import connect, map_request, register_request
from engine.config import Settings
from tests.kit.operator import operator

FRONTENDS: Final = 4
OF_EACH: Final = 20
MIB: Final = 1 << 20
FRAME: Final = 400
FIRST_PORT: Final = 4_001
"""A port that stands in nothing else: the sign of an edited policy."""
PATIENCE: Final = 30
JUDGED: Final = 1_000
"""Clients whose frames are judged; with all of 5,000 that takes longer than everything else together."""
NOTHING_WRONG: Final = Budget(0.0)


class Size(NamedTuple):
    """Clients, seconds for which they are looked at when nothing happens, joins, edits, clients of the full mesh."""

    clients: int
    seconds: float
    joins: int
    edits: int
    mesh: int


SIZES: Final[Mapping[Form, Size]] = {
    Form.FULL: Size(5_000, 10.0, 5, 3, 2_000),
    Form.SHORT: Size(1_000, 3.0, 2, 1, 400),
    Form.TINY: Size(20, 0.2, 1, 1, 8),
}


async def run(report: Report, form: Form = Form.FULL, profiles: Profiles | None = None) -> None:
    """Measure the many, then the full mesh."""
    size = SIZES[form]
    raise_files(size.clients)
    users = max(1, size.clients // OF_EACH)
    async with (
        site.inhabited(size.clients, users=users, frontends=FRONTENDS, profiles=profiles) as (
            place,
            found,
            keys,
        ),
        launched(place.folder, form) as fleet,
    ):
        scene = _Scene(report, place, fleet, found)
        await scene.connected(size)
        for number in range(size.joins):
            await scene.joins(keys[number % users], number)
        await scene.tell_joins()
        await scene.edits(size.edits)
        await scene.killed()
        await scene.judged(users)
    async with (
        site.inhabited(size.mesh, frontends=FRONTENDS, profiles=profiles) as (place, found, _),
        launched(place.folder, form) as fleet,
        report.watched() as rows,
    ):
        await site.policy(place, EVERYBODY_SEES)
        began = time.perf_counter()
        whole = await fleet.board(
            found, list(place.ports.values()), await place.server_key(), at_once=EVERYBODY
        )
        await fleet.quiet()
        note = f"all quiet after {time.perf_counter() - began - fleet.rest:.1f} s; {_memory(place)}"
        name = f"a full mesh of {size.mesh:,}, {FRONTENDS} frontends, all served"
        rows.append(Row(benchmark="fleet5k", what=name, measured=max(whole) - began, unit="s", note=note))


class _Scene:
    def __init__(self, report: Report, place: Site, fleet: Fleet, found: Sequence[Machine]) -> None:
        self._report = report
        self._place = place
        self._fleet = fleet
        self._found = found
        self._told: list[float] = []
        self._strangers = 0
        self._port = FIRST_PORT

    def _row(self, what: str, measured: float, unit: str, note: str, budget: Budget | None = None) -> Row:
        name = f"{len(self._found):,} clients, {FRONTENDS} frontends: {what}"
        return Row(benchmark="fleet5k", what=name, measured=measured, unit=unit, note=note, budget=budget)

    async def connected(self, size: Size) -> None:
        """Let everybody connect; then look at them."""
        place = self._place
        await site.policy(place, site.circles())
        await asyncio.sleep(self._fleet.rest)
        async with self._report.watched() as rows:
            ports, key, began = list(place.ports.values()), await place.server_key(), time.perf_counter()
            await self._fleet.board(self._found, ports, key, returns=True, keeps=True)
            took = time.perf_counter() - began
            await self._fleet.quiet()
            memory = sum(place.resident()[name] for name in place.frontends)
            note = f"connected in {took:.1f} s; {_memory(place)}"
            rows.append(self._row("memory of the frontends", memory / MIB, "MiB", note))
        async with self._report.watched() as rows:
            used, began = place.cpu(), time.perf_counter()
            await asyncio.sleep(size.seconds)
            seconds, now = time.perf_counter() - began, place.cpu()
            shares = {name: (now[name] - used[name]) / seconds * 100 for name in now}
            share = sum(shares[name] for name in place.frontends)
            note = (
                ", ".join(f"{name} {each:.1f}" for name, each in shares.items()) + f"; over {seconds:.0f} s"
            )
            rows.append(self._row("idle, processor time of the frontends", share, "%", note))

    async def joins(self, auth_key: str, number: int) -> None:
        """Let one more node register and come online, and leave again."""
        place, [client] = self._place, site.machines(1)
        key = await place.server_key()
        speaker, joiner = (
            await connect(place.port, client.key, key),
            await connect(place.port, client.key, key),
        )
        await self._fleet.forget()
        began = time.perf_counter()
        speaker.ask(register_request(client.node_key, auth_key, f"joiner{number}"))
        await asyncio.wait_for(speaker.whole, PATIENCE)
        joiner.ask(map_request(client.node_key, client.disco))
        await asyncio.wait_for(joiner.whole, PATIENCE)
        await asyncio.sleep(self._fleet.rest)
        seen = await self._fleet.look(Says(client.node_key.encode()))
        self._told += [at - began for at in seen.at.values()]
        self._strangers += max(0, len(seen.at) - OF_EACH)
        speaker.close()
        joiner.close()

    async def tell_joins(self) -> None:
        """Say how the joins went."""
        p50, p99 = (machine.percentile(self._told, share) * 1_000 for share in (0.5, 0.99))
        note = f"p50 {p50:.1f} ms; {len(self._told)} told, {self._strangers} too many"
        async with self._report.watched() as rows:
            rows.append(self._row("one registers, told p99", p99, "ms", note))

    async def edits(self, count: int) -> None:
        """Edit the one rule."""
        async with self._report.watched() as rows:
            floor = await floors.written(self._place.folder, len(self._found), FRAME)
            told, cpu = list[float](), list[float]()
            for _ in range(count):
                await self._fleet.forget()
                used, began = self._place.cpu(), time.perf_counter()
                await self._edit()
                told += [at - began for at in (await self._everybody()).values()]
                now = self._place.cpu()
                cpu.append(sum(now[name] - used[name] for name in now))
            p50, p99 = (machine.percentile(told, share) for share in (0.5, 0.99))
            note = f"p50 {p50 * 1_000:.0f} ms; {machine.percentile(cpu, 0.5):.2f} s of processor time in all"
            row = self._row("a policy edit that concerns everybody, told p99", p99 * 1_000, "ms", note)
            rows.append(_against(row, p99, floor))

    async def killed(self) -> None:
        """Kill a frontend and edit the rule."""
        async with self._report.watched() as rows:
            await self._fleet.forget()
            died = time.perf_counter()
            self._place.kill(self._place.frontends[-1])
            await self._edit()
            back, lost = await scale.everybody_back(self._fleet, len(self._found), died)
            current = max((await self._everybody()).values()) - died
            rows.append(self._row("one frontend killed, everybody back", back, "s", f"{lost:,} came back"))
            rows.append(self._row("one frontend killed, everybody has a change made then", current, "s", ""))

    async def judged(self, users: int) -> None:
        """Judge the frames of some."""
        async with self._report.watched() as rows:
            await self._fleet.quiet()
            store = Settings(directory=str(self._place.directory)).store_url()
            verdict = await self._fleet.judge(
                store, [[user] for user in range(1, users + 1)], max(1, len(self._found) // JUDGED)
            )
            wrong = f"; first: {verdict.complaints[0]}" if verdict.complaints else ""
            note = f"{verdict.frames:,} frames of {verdict.clients:,} clients judged{wrong}"
            count = len({what.partition(":")[0] for what in verdict.complaints})
            rows.append(
                self._row(
                    "clients with a wrong frame or a lost change", count, "clients", note, NOTHING_WRONG
                )
            )

    async def _edit(self) -> None:
        self._port += 1
        async with operator(self._place.directory) as op:
            body = {"text": site.text_of(site.circles(str(self._port)))}
            await op.command("policy.set", body, key=os.urandom(8).hex())

    async def _everybody(self) -> dict[int, float]:
        """Return when everybody had the present policy.

        Raises:
            RuntimeError: somebody has not.
        """
        sign = Says(f'"First":{self._port}'.encode())
        missing: list[int] = []
        for _ in range(PATIENCE):
            await asyncio.sleep(self._fleet.rest)
            seen = await self._fleet.look(sign)
            missing = seen.missing
            if not missing:
                return seen.at
        raise RuntimeError(f"{len(missing)} clients were not told of an edited policy, nodes {missing[:5]}")


def _against(row: Row, seconds: float, floor: float) -> Row:
    return replace(row, ratio=seconds / floor, against=f"× bare writes' {floor * 1_000:.1f} ms")


def _memory(place: Site) -> str:
    return "MiB: " + ", ".join(f"{name} {octets / MIB:.0f}" for name, octets in place.resident().items())
