"""What is taken away is gone: from the moment that an operator takes it until the last client has been told.

n nodes of 20 people, all with map sessions, spread over two frontends; all see all. Three ways to cut somebody off:

* a node is removed: every viewer is told that it is gone, and its own session ends;
* the policy is edited so that one person's nodes and all others no longer see each other: each side is told;
* a connection to a WireGuard-only peer is removed: the node is told (the other side is no client: nobody can tell it).

The clock runs from the write of the command, so that decision, commit, fold and delta are all in it; how long it took from the
operator's answer is in the note, and may be nothing. A viewer that is not told is an error.

Ratio: over one small encrypted write to each of n connections on loopback.
"""

import asyncio
import os
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple

from bench import floors, machine, site
from bench.fleet import EVERYBODY, Fleet, launched, raise_files
from bench.forms import Form
from bench.orders import Ends, Removes, Seen
from bench.profiled import Profiles
from bench.report import Budget, Report, Row
from bench.site import USERS
from tests.kit.operator import Operator, operator

FRONTENDS: Final = 2
FRAME: Final = 400
"""Octets of the floor's write: a compressed frame with one peer."""
P99: Final = Budget(100.0)
MOST: Final = Budget(1_000.0)
"""Budgets of docs/budgets.md, in milliseconds, for any number of viewers up to 1,000."""
LATE: Final = 10
"""How often is looked again for who has not been told when nothing comes any more, before that counts as not told."""
EVERYBODY_SEES: Final[dict[str, Any]] = {"acls": [{"action": "accept", "src": ["*"], "dst": ["*:*"]}]}


class Size(NamedTuple):
    """How many viewers there are, and how often each kind of thing is taken away."""

    viewers: int
    rounds: int


SIZES: Final[Mapping[Form, Size]] = {
    Form.FULL: Size(1_000, 10),
    Form.SHORT: Size(1_000, 3),
    Form.TINY: Size(24, 1),
}


class Cut(NamedTuple):
    """One thing taken away: seconds from the command and from its answer until each viewer was told."""

    told: list[float]
    since_answer: list[float]
    missing: int


async def run(report: Report, form: Form = Form.FULL, profiles: Profiles | None = None) -> None:
    """Measure the three."""
    size = SIZES[form]
    raise_files(size.viewers)
    async with (
        site.inhabited(size.viewers, frontends=FRONTENDS, profiles=profiles) as (place, found, _),
        launched(place.folder, form) as fleet,
        operator(place.directory) as op,
    ):
        scene = _Scene(fleet, op, size)
        await site.policy(place, EVERYBODY_SEES)
        await fleet.board(found, list(place.ports.values()), await place.server_key(), at_once=EVERYBODY)
        await fleet.quiet()
        for what, cuts in (
            ("a connection is removed", scene.connections),
            ("a policy edit cuts one of 20 people off", scene.edits),
            ("a node is removed", scene.deletions),
        ):
            async with report.watched() as rows:
                floor = await floors.written(place.folder, size.viewers, FRAME)
                rows.extend(_rows(size.viewers, what, await cuts(), floor))


class _Scene:
    def __init__(self, fleet: Fleet, op: Operator, size: Size) -> None:
        self._fleet = fleet
        self._op = op
        self._size = size
        self._nodes = frozenset(range(1, size.viewers + 1))

    async def connections(self) -> list[Cut]:
        """Connect a node and disconnect it, each time another one."""
        found = []
        for number in range(1, self._size.rounds + 1):
            body = {
                "name": f"cut{number}",
                "user": "user0",
                "publicKey": f"nodekey:{os.urandom(32).hex()}",
                "allowedIps": ["0.0.0.0/0"],
                "endpoints": [f"198.51.100.{number}:51820"],
            }
            peer = int((await self._do("peer.register", body))[0]["id"])
            pair = {"node": number, "peer": peer}
            await self._do("connection.add", pair | {"ipv4MasqAddr": f"10.66.0.{number}"})
            found.append(await self._cut("connection.remove", pair, [(Removes(frozenset({peer})), {number})]))
        return found

    async def edits(self) -> list[Cut]:
        """Cut the first person off, and let everybody see everybody again."""
        alone = {node for node in self._nodes if (node - 1) % USERS == 0}
        others = self._nodes - alone
        logins = [
            [f"user{number}@" for number in range(USERS)][:1],
            [f"user{number}@" for number in range(1, USERS)],
        ]
        edited = _policy([_rule(side) for side in logins])
        open_to_all = _policy([EVERYBODY_SEES["acls"][0]])
        found = []
        for _ in range(self._size.rounds):
            signs = [(Removes(frozenset(alone)), others), (Removes(frozenset(others)), alone)]
            found.append(await self._cut("policy.set", edited, signs))
            await self._do("policy.set", open_to_all)
            await self._fleet.quiet()
        return found

    async def deletions(self) -> list[Cut]:
        """Delete a node, each time another one, the last first."""
        found = []
        for number in range(self._size.rounds):
            node = self._size.viewers - number
            viewers = self._nodes - {node}
            signs: list[tuple[Removes | Ends, Iterable[int]]] = [
                (Removes(frozenset({node})), viewers),
                (Ends(), {node}),
            ]
            found.append(await self._cut("node.remove", {"node": node}, signs))
            self._nodes = viewers
        return found

    async def _do(self, name: str, body: Mapping[str, Any]) -> tuple[Any, float]:
        accepted = await self._op.command(name, body, key=os.urandom(8).hex())
        return accepted.result, time.perf_counter()

    async def _cut(
        self, name: str, body: Mapping[str, Any], signs: Sequence[tuple[Removes | Ends, Iterable[int]]]
    ) -> Cut:
        await asyncio.sleep(self._fleet.rest)
        await self._fleet.forget()
        began = time.perf_counter()
        _, answered = await self._do(name, body)
        await asyncio.sleep(self._fleet.rest)
        seen = await self._seen(signs)
        for _ in range(LATE):
            if not any(one.missing for one in seen):
                break
            await asyncio.sleep(self._fleet.rest)
            seen = await self._seen(signs)
        at = [stamp for one in seen for stamp in one.at.values()]
        missing = sum(len(one.missing) for one in seen)
        return Cut([stamp - began for stamp in at], [max(0.0, stamp - answered) for stamp in at], missing)

    async def _seen(self, signs: Sequence[tuple[Removes | Ends, Iterable[int]]]) -> list[Seen]:
        return [await self._fleet.look(sign, frozenset(nodes)) for sign, nodes in signs]


def _rule(people: Sequence[str]) -> dict[str, Any]:
    return {"action": "accept", "src": people, "dst": [f"{one}:*" for one in people]}


def _policy(rules: Sequence[dict[str, Any]]) -> dict[str, str]:
    return {"text": site.text_of({"acls": rules})}


def _rows(viewers: int, what: str, cuts: Sequence[Cut], floor: float) -> list[Row]:
    told = [seconds for one in cuts for seconds in one.told]
    since = [seconds for one in cuts for seconds in one.since_answer]
    missing = sum(one.missing for one in cuts)
    p50, p99, most = (machine.percentile(told, share) * 1_000 for share in (0.5, 0.99, 1.0))
    after = machine.percentile(since, 0.99) * 1_000
    said = f"p50 {p50:.1f}; from the answer on p99 {after:.1f} ms; {len(told):,} told in {len(cuts)} rounds"
    name = f"{viewers:,} viewers on {FRONTENDS} frontends, {what}"
    lost = f"; {missing} NOT TOLD" if missing else ""
    first = Row(
        benchmark="revocation",
        what=f"{name}, told p99",
        measured=p99,
        unit="ms",
        budget=P99,
        ratio=p99 / 1_000 / floor,
        against=f"× bare writes' {floor * 1_000:.1f} ms",
        note=said + lost,
    )
    most_of_all = float("inf") if missing else most
    last = Row(
        benchmark="revocation", what=f"{name}, the last told", measured=most_of_all, unit="ms", budget=MOST
    )
    return [first, last]
