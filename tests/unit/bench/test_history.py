"""The history of benchmarks: what is appended is read; two runs are found and compared, ratios first."""

import io
from pathlib import Path

import pytest
from rich.console import Console

from bench import history
from bench.history import Line, UnknownRun
from bench.report import Budget, Report, Row
from engine.domain.values import Millis

DAY = 86_400_000


def row(measured: float, ratio: float | None = None, *, at_least: bool = False, what: str = "a thing") -> Row:
    limit = Budget(100.0, at_least=at_least)
    return Row(benchmark="b", what=what, measured=measured, unit="ms", budget=limit, ratio=ratio)


def run(day: int, *rows: Row, form: str = "full") -> list[Line]:
    return history.lines(rows, Millis(1_800_000_000_000 + day * DAY), form)


def kept(file: Path, *runs: list[Line]) -> dict[str, list[Line]]:
    for one in runs:
        history.append(one, file)
    return history.read(file)


def shown(before: list[Line], after: list[Line]) -> str:
    console = Console(width=200, file=io.StringIO(), record=True)
    console.print(history.compared(before, after))
    return console.export_text()


def test_what_is_appended_is_read_again_in_the_order_of_time(tmp_path: Path) -> None:
    late, early = run(2, row(2.0, 1.0)), run(1, row(1.0), row(3.0, what="another"))
    runs = kept(tmp_path / "of" / "runs.jsonl", late, early)
    assert list(runs.values()) == [early, late]


def test_a_line_names_commit_and_machine_but_no_host(tmp_path: Path) -> None:
    kept(tmp_path / "runs.jsonl", run(1, row(1.0)))
    text = (tmp_path / "runs.jsonl").read_text()
    assert '"cores":' in text
    assert '"commit":"' in text
    assert Path("/etc/hostname").read_text().strip() not in text
    assert str(Path.home()) not in text


def test_without_names_the_last_run_is_compared_with_the_one_of_its_form_before(tmp_path: Path) -> None:
    whole, short, last = run(1, row(1.0)), run(2, row(2.0), form="short"), run(3, row(3.0))
    runs = kept(tmp_path / "runs.jsonl", whole, short, last)
    assert history.pick(runs, []) == (whole, last)


def test_runs_are_named_by_the_beginning_of_their_time_or_commit(tmp_path: Path) -> None:
    first, second, third = run(1, row(1.0)), run(2, row(2.0)), run(3, row(3.0))
    runs = kept(tmp_path / "runs.jsonl", first, second, third)
    assert history.pick(runs, [first[0].run[:10]]) == (first, third)
    assert history.pick(runs, [first[0].run, second[0].run]) == (first, second)


@pytest.mark.parametrize("which", [[], ["never"]])
def test_a_run_that_is_not_there_is_said(tmp_path: Path, which: list[str]) -> None:
    runs = kept(tmp_path / "runs.jsonl", run(1, row(1.0)))
    with pytest.raises(UnknownRun):
        history.pick(runs, which)
    with pytest.raises(UnknownRun, match="empty"):
        history.pick({}, which)


def test_ratios_come_before_values_and_only_what_both_runs_have_is_compared() -> None:
    text = shown(run(1, row(50.0, 4.0), row(1.0, what="gone")), run(2, row(150.0, 4.1), row(1.0, what="new")))
    [line] = [line for line in text.splitlines() if "a thing" in line]
    assert line.index("4.00 → 4.10") < line.index("50 → 150 ms")
    assert "ok → missed" in line
    assert "gone" not in text
    assert "new" not in text


@pytest.mark.parametrize(
    ("after", "is_more_good", "colour"),
    [(150, False, "red"), (150, True, "green"), (50, False, "green"), (50, True, "red"), (105, False, "dim")],
)
def test_a_change_is_for_the_worse_or_for_the_better_or_noise(
    after: float,
    is_more_good: bool,  # noqa: FBT001 (a parameter of the test)
    colour: str,
) -> None:
    assert history.change(100.0, after, is_more_good=is_more_good).startswith(f"[{colour}]")


async def test_a_report_that_does_not_judge_has_no_budgets() -> None:
    for judges, verdict in ((True, "missed"), (False, "")):
        report = Report(judges=judges)
        async with report.watched() as rows:
            rows.append(row(150.0))
        assert [found.verdict for found in report.rows] == [verdict]
