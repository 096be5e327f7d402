"""Durable commands through NATS request–reply: how many a second, and how long each takes.

The engine runs with a store in SQLite, then with one in PostgreSQL (a real server, fsync on); nats-server is the bundled
one with its accounts. An operator sends commands, each under an id of its own: every one is decided, validated, hashed,
committed with its receipt and only then answered. Two kinds: `user.create`, which has little to decide, and
`peer.register`, which has the most (keys, prefixes, endpoints, addresses); all of them are different.

* throughput: 64 and 256 requests are in flight at any time, from one lean connection (`asker.py`; its own processor time is
  shown, to see that it is not the bottleneck);
* alone: one at a time, `peer.register`;
* at half load: half of the throughput of `peer.register` with 64 in flight, sent whether answers come or not.

Ratio: over the rate of the same requests to an echo behind the same server and accounts.
"""

import secrets
from collections.abc import Mapping
from typing import Final, NamedTuple

from msgspec.structs import replace

from bench import floors, machine
from bench.asker import Answers, Question, connected
from bench.forms import Form
from bench.profiled import Profiles
from bench.report import Budget, Report, Row
from bench.site import Site, people, running
from engine.contracts import subjects
from engine.domain.values import DEFAULT_TAILNET
from tests.kit import postgres


class Size(NamedTuple):
    """How long each part is measured, in seconds."""

    throughput: float
    warm: float
    alone: float


SIZES: Final[Mapping[Form, Size]] = {
    Form.FULL: Size(3.0, 1.0, 1.5),
    Form.SHORT: Size(1.5, 0.5, 0.7),
    Form.TINY: Size(0.1, 0.1, 0.1),
}
GOOD: Final = b'"ok":true'
RATES: Final = {"SQLite": 8_000.0, "PostgreSQL": 5_000.0}
ALONE: Final = {"SQLite": 2.0, "PostgreSQL": 4.0}
P99: Final = 50.0
"""Budgets of docs/budgets.md: commands a second, and milliseconds."""
CREATE: Final = subjects.command(DEFAULT_TAILNET, "user", "create")
REGISTER: Final = subjects.command(DEFAULT_TAILNET, "peer", "register")


async def run(report: Report, form: Form = Form.FULL, profiles: Profiles | None = None) -> None:
    """Measure both stores."""
    with running("nats", "engine", profiles=profiles) as site:
        await _store(report, site, "SQLite", SIZES[form])
    with (
        postgres.running() as server,
        running("nats", "engine", store=server.url(), profiles=profiles) as site,
    ):
        await _store(report, site, "PostgreSQL", SIZES[form])


async def _store(report: Report, site: Site, store: str, size: Size) -> None:
    await people(site, 1)
    users, register = _users(), peers()
    async with connected(site.directory, "operator", keyed=True) as asker, floors.echoing(site):
        await asker.closed(64, size.warm, register, GOOD)
        rate = 0.0
        for name, question, in_flight in (
            ("user.create", users, 64),
            ("user.create", users, 256),
            ("peer.register", register, 64),
        ):
            async with report.watched() as rows:
                bare = await floors.asked(site, in_flight, size.warm, question(0)[1])
                used = site.cpu()["engine"]
                found = await asker.closed(in_flight, size.throughput, question, GOOD)
                share = (site.cpu()["engine"] - used) / found.seconds
                rows.append(_throughput(f"{store}, {name}, {in_flight} in flight", found, bare, share))
                rate = found.rate
        async with report.watched() as rows:
            found = await asker.closed(1, size.alone, register, GOOD)
            rows.append(_latency(f"{store}, alone, p50", found, 0.5, ALONE[store]))
        async with report.watched() as rows:
            found = await asker.open(rate / 2, size.throughput, register, GOOD)
            row = _latency(f"{store}, at half load, p99", found, 0.99, P99)
            rows.append(replace(row, note=f"{rate / 2:,.0f}/s; {row.note}"))


def _throughput(what: str, found: Answers, bare: Answers, engine: float) -> Row:
    said = f"engine {engine:.2f} cores, asker {found.cpu / found.seconds:.2f}; {_spread(found)}"
    return Row(
        benchmark="commands",
        what=what,
        measured=found.rate,
        unit="/s",
        budget=Budget(RATES[what.split(",", maxsplit=1)[0]], at_least=True),
        ratio=found.rate / bare.rate,
        against=f"of an echo's {bare.rate:,.0f}/s",
        note=said,
    )


def _latency(what: str, found: Answers, share: float, limit: float) -> Row:
    return Row(
        benchmark="commands",
        what=what,
        measured=machine.percentile(found.latencies, share) * 1_000,
        unit="ms",
        budget=Budget(limit),
        note=_spread(found),
    )


def _spread(found: Answers) -> str:
    p50, p99, most = (machine.percentile(found.latencies, share) * 1_000 for share in (0.5, 0.99, 1.0))
    errors = f", {found.errors} errors ({found.first_error})" if found.errors else ""
    lost = f", {found.unanswered} unanswered" if found.unanswered else ""
    return f"p50 {p50:.1f}, p99 {p99:.1f}, max {most:.1f} ms; n = {len(found.latencies):,}{errors}{lost}"


def _users() -> Question:
    """Return users that are all different, also from those of every other call."""
    unique = secrets.token_hex(3).encode()
    return lambda number: (CREATE, b'{"name":"u%s-%d"}' % (unique, number))


def peers() -> Question:
    """Return WireGuard-only peers that are all different, also from those of every other call."""
    unique = secrets.token_hex(3)

    def question(number: int) -> tuple[str, bytes]:
        high, low = divmod(number, 50_000)
        body = (
            b'{"name":"p%s-%d","user":"user0","publicKey":"%s","allowedIps":["0.0.0.0/0","::/0"],'
            b'"endpoints":["198.51.%d.%d:%d"]}'
        )
        key = b"nodekey:" + secrets.token_hex(32).encode()
        return REGISTER, body % (unique.encode(), number, key, high // 250, high % 250 + 1, low + 10_000)

    return question
