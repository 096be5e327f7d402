"""Every benchmark runs, in a form of a few clients: what it measures is worth nothing, that it measures is all."""

import importlib

import pytest

from bench.__main__ import NAMES
from bench.forms import Form
from bench.report import Report

pytestmark = pytest.mark.real
WRONG = "a wrong frame"


@pytest.mark.parametrize("name", NAMES)
async def test_a_benchmark_runs(name: str) -> None:
    report = Report(judges=False)
    await importlib.import_module(f"bench.{name}").run(report, Form.TINY, None)
    assert report.rows
    for row in report.rows:
        assert row.benchmark == name
        assert row.measured < float("inf"), row
        assert "NOT TOLD" not in row.note
        assert " errors (" not in row.note
        if WRONG in row.what:
            assert row.measured == 0, row.note
