"""Every scenario of the reference is shown by a test."""

import ast
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

import pytest

from tests.scenarios.table import ELSEWHERE, SCENARIOS, named_in

ROOT: Final = Path(__file__).parents[2]
FOLDERS: Final = ("scenarios", "unit", "property", "e2e", "contract")


def inside(path: Path) -> Iterator[str]:
    """The names of the tests that a file has, in classes too."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_"):
            yield node.name


def collected() -> dict[str, list[str]]:
    """For each scenario, the tests that have it in their names."""
    found: dict[str, list[str]] = {scenario: [] for scenario in SCENARIOS}
    for folder in FOLDERS:
        for path in sorted((ROOT / "tests" / folder).rglob("test_*.py")):
            for test in inside(path):
                for scenario in named_in(test):
                    found[scenario].append(f"{path.relative_to(ROOT)}::{test}")
    return found


NAMED: Final = collected()


def is_shown(scenario: str, named: Mapping[str, list[str]], elsewhere: Mapping[str, object]) -> bool:
    """Whether any test shows a scenario."""
    return bool(named[scenario]) or scenario in elsewhere


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_a_scenario_is_shown_by_a_test(scenario: str) -> None:
    assert is_shown(scenario, NAMED, ELSEWHERE)


@pytest.mark.parametrize("scenario", ELSEWHERE)
def test_what_is_shown_elsewhere_is_there(scenario: str) -> None:
    assert scenario in SCENARIOS
    for test in ELSEWHERE[scenario]:
        path, _, name = test.partition("::")
        assert name in set(inside(ROOT / path)), test


def test_a_missing_scenario_is_found() -> None:
    assert not is_shown("n1", {"n1": []}, {})
    assert is_shown("n1", {"n1": ["t"]}, {})
    assert is_shown("n1", {"n1": []}, {"n1": "t"})


def test_names_are_read_as_words_and_ranges() -> None:
    assert named_in("test_f6c_to_f6e_and_n1x_of_n10") == {"f6c", "f6d", "f6e", "n10"}
    assert named_in("test_e18_to_e20_with_our_own") == {"e18", "e19", "e20"}
    assert named_in("test_from_one_to_another") == frozenset()
