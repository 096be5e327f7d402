"""Three times the commands that can be done: how many are done all the same, and how soon all is as before.

The engine runs with a store in SQLite. First the peak: as many `peer.register` as it does with 256 in flight. Then three times
as many are sent each second, whether answers come or not; who is refused (`engine.overloaded`) does not come again. Goodput is
what was accepted within `PATIENCE_SECONDS` of being sent. Then half of the peak is sent in short stretches: recovered is the
machine in the first one whose p99 is within the budget of half load, or within twice what it was before.

Ratio: over the peak.
"""

import time
from collections.abc import Mapping
from typing import Final

from bench import machine
from bench.asker import Answers, connected
from bench.commands import GOOD, P99, peers
from bench.forms import Form
from bench.profiled import Profiles
from bench.report import Budget, Report, Row
from bench.site import people, running

SECONDS: Final[Mapping[Form, float]] = {Form.FULL: 4.0, Form.SHORT: 2.0, Form.TINY: 0.5}
STRETCH_SECONDS: Final = 0.5
STRETCHES: Final = 20
TIMES: Final = 3.0
SHARE: Final = 0.8
"""Of the peak that must be kept (reference: reliability-security §5.3)."""
PATIENCE_SECONDS: Final = 5.0


async def run(report: Report, form: Form = Form.FULL, profiles: Profiles | None = None) -> None:
    """Measure."""
    seconds = SECONDS[form]
    with running("nats", "engine", profiles=profiles) as site:
        await people(site, 1)
        question = peers()
        async with connected(site.directory, "operator", keyed=True) as asker:
            await asker.closed(256, seconds / 4, question, GOOD)
            peak = max(1.0, (await asker.closed(256, seconds, question, GOOD)).rate)
            before = _p99(await asker.open(peak / 2, 2 * STRETCH_SECONDS, question, GOOD))
            async with report.watched() as rows:
                found = await asker.open(TIMES * peak, seconds, question, GOOD)
                ended = time.perf_counter()
                rows.append(_goodput(found, peak))
            calm = Answers()
            for _ in range(STRETCHES):
                calm = await asker.open(peak / 2, STRETCH_SECONDS, question, GOOD)
                if _p99(calm) <= max(P99, 2 * before):
                    break
            took = time.perf_counter() - ended
    async with report.watched() as rows:
        rows.append(
            Row(
                benchmark="overload",
                what="after it, half of the peak is served as ever again",
                measured=took,
                unit="s",
                note=f"the last stretch of {STRETCH_SECONDS} s included; p99 {_p99(calm):.0f} ms, {before:.0f} before; {calm.errors} errors",
            )
        )


def _p99(found: Answers) -> float:
    """Return milliseconds; without any answer, for ever."""
    return machine.percentile(found.latencies, 0.99) * 1_000 if found.latencies else float("inf")


def _goodput(found: Answers, peak: float) -> Row:
    good = sum(latency <= PATIENCE_SECONDS for latency in found.latencies) / found.seconds
    p50, p99 = (machine.percentile(found.latencies, share) * 1_000 for share in (0.5, 0.99))
    return Row(
        benchmark="overload",
        what=f"accepted of {TIMES:g} times the peak",
        measured=good,
        unit="/s",
        budget=Budget(SHARE * peak, at_least=True),
        ratio=good / peak,
        against=f"of the peak, {peak:,.0f}/s",
        note=f"accepted p50 {p50:.0f}, p99 {p99:.0f} ms; {found.errors:,} refused, {found.unanswered:,} unanswered"
        f" ({found.first_error[:80]})",
    )
