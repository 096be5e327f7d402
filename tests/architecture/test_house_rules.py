"""The rules of the house that no linter knows: budgets, docstrings, records, packaging."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).parents[2]
PACKAGES: Final = ("engine", "projections", "frontends")
BUDGET: Final = 400
FUNCTION_BUDGET: Final = 50
ALLOWED_OVER: Final[dict[str, str]] = {}


def modules() -> Iterator[Path]:
    for package in PACKAGES:
        yield from sorted((ROOT / package).rglob("*.py"))


def over_budget(source: str) -> bool:
    return source.count("\n") > BUDGET


def long_functions(source: str) -> list[str]:
    """Name the functions longer than the budget, not counting their docstrings."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        body = node.body
        if ast.get_docstring(node) and len(body) > 1:
            body = body[1:]
        if (body[-1].end_lineno or 0) - body[0].lineno + 1 > FUNCTION_BUDGET:
            found.append(node.name)
    return found


@pytest.mark.parametrize("path", list(modules()), ids=lambda p: str(p.relative_to(ROOT)))
def test_a_module_says_what_it_is_and_keeps_its_budgets(path: Path) -> None:
    source = path.read_text()
    assert ast.get_docstring(ast.parse(source)), "no module docstring"
    assert not long_functions(source)
    if str(path.relative_to(ROOT)) not in ALLOWED_OVER:
        assert not over_budget(source)


def test_the_budgets_can_be_missed() -> None:
    assert over_budget("\n" * (BUDGET + 1))
    assert long_functions("def long():\n" + "    pass\n" * (FUNCTION_BUDGET + 1)) == ["long"]


@pytest.mark.parametrize("path", list(modules()), ids=lambda p: str(p.relative_to(ROOT)))
def test_a_package_initialiser_holds_only_its_docstring(path: Path) -> None:
    if path.name == "__init__.py":
        assert len(ast.parse(path.read_text()).body) <= 1


def test_the_index_of_decision_records_lists_them_all() -> None:
    folder = ROOT / "docs/adr"
    index = (folder / "README.md").read_text()
    for record in folder.glob("0*.md"):
        assert f"({record.name})" in index
        assert (folder / record.name).read_text().startswith(f"# {int(record.name[:4])}. ")


def test_every_file_that_the_readme_names_exists() -> None:
    named = re.findall(r"`((?:engine|projections|frontends|docs)/[\w./]+)`", (ROOT / "README.md").read_text())
    assert len(named) > 10
    for name in named:
        assert (ROOT / name).exists(), name


def test_no_file_names_the_host_of_a_package_registry() -> None:
    host = re.compile(r"https?://\S*(?:pypi|pythonhosted|proxy\.golang|registry\.npmjs|crates\.io)")
    for name in ("requirements.lock", "pyproject.toml", "Makefile", "deploy/Dockerfile"):
        path = ROOT / name
        if path.exists():
            assert not host.search(path.read_text()), name
    assert host.search("https://pypi.org/simple")
