"""How much of a benchmark is run.

Rule 1: a budget is said of the size that it is for; what is measured of another size has none, and nothing of the tiny form.
Rule 2: rows of different sizes have different names: a history never compares them.
"""

from enum import StrEnum

from bench.report import Budget


class Form(StrEnum):
    """The whole, a short form of a few minutes for all, and one so small that it shows only that it runs."""

    FULL = "full"
    SHORT = "short"
    TINY = "tiny"


def within(budget: Budget, *, applies: bool) -> Budget | None:
    """Return the budget where it applies (rule 1)."""
    return budget if applies else None
