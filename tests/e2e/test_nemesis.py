"""Whatever dies, stops or is cut off, no frame is ever wrong and no command lost or done twice; the checker would have found it.

The short form of `make soak-short` (docs/soak.md): the whole topology, fewer clients, three minutes. Times are printed, not judged:
the machine has other work to do.
"""

from pathlib import Path
from typing import Final

import pytest

from tests.soak.broken import PROGRAM
from tests.soak.report import Verdict, judge, table
from tests.soak.run import Options, Soak
from tests.soak.stage import SMALL, WHOLE

pytestmark = pytest.mark.real
PATIENCE_SECONDS: Final = 60.0
"""In which everybody must have come round; far more than it takes."""
SHORT: Final = Options(seconds=130, clients=100, groups=10, rate=25, lanes=5, workers=1, topology=WHOLE)
CONTROL: Final = Options(
    seconds=8, every=60, clients=12, groups=3, rate=25, lanes=3, workers=1, topology=SMALL, program=PROGRAM
)


async def played(folder: Path, options: Options) -> Verdict:
    soak = Soak(folder, options)
    await soak.run()
    verdict = judge(soak.history, within=PATIENCE_SECONDS)
    print(table(verdict))  # noqa: T201 (shown when it fails, or with -s)
    return verdict


async def test_a_whole_deployment_under_faults_shows_no_wrong_frame_and_loses_nothing(tmp_path: Path) -> None:
    verdict = await played(tmp_path, SHORT)
    assert verdict.findings == []
    assert verdict.frames > SHORT.clients * 10
    assert verdict.sessions > SHORT.clients, "nobody ever had to come back"
    assert len(verdict.faults) > 3
    assert verdict.commands["accepted"] > SHORT.seconds * SHORT.rate / 4


async def test_a_frontend_that_takes_nothing_away_is_found(tmp_path: Path) -> None:
    verdict = await played(tmp_path, CONTROL)
    rules = {finding.rule for finding in verdict.findings}
    assert {"frame.wrong", "end.differs"} <= rules
    assert not {rule for rule in rules if rule.startswith(("command", "join", "log", "answer"))}
