"""A plan for people, and as a document for programs.

Rule 1: `+` is made, `~` is changed, `-` is removed; all steps of one thing stand together.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

import msgspec

from frontends.cli.declared.steps import Plan, Step

SIGNS: Final[Mapping[str, str]] = {"create": "+", "change": "~", "remove": "-"}


def lines(plan: Plan) -> Iterator[str]:
    """Yield the lines of a plan."""
    things: dict[tuple[str, str], list[Step]] = {}
    for step in plan.steps:
        things.setdefault((step.kind, step.name), []).append(step)
    for (kind, name), steps in things.items():
        yield f"{SIGNS[steps[0].what]} {kind} {name}"
        for step in steps:
            for change in step.changes:
                arrow = f"{change.old or 'nothing'} → " if step.what == "change" else ""
                yield f"    {change.field}: {arrow}{change.new or 'nothing'}"


def summary(plan: Plan) -> str:
    """Return how many things are made, changed and removed."""
    first: dict[tuple[str, str], str] = {}
    for step in plan.steps:
        first.setdefault((step.kind, step.name), step.what)
    counts = [list(first.values()).count(what) for what in SIGNS]
    return "{} to make, {} to change, {} to remove".format(*counts)


def document(plan: Plan) -> dict[str, object]:
    """Return a plan as JSON has it."""
    return {"steps": described(plan.steps), "left": list(plan.left)}


def described(steps: Sequence[Step]) -> list[dict[str, object]]:
    """Return the steps as JSON has them."""
    return [
        {
            "what": step.what,
            "kind": step.kind,
            "name": step.name,
            "changes": [change._asdict() for change in step.changes],
            "command": type(step.command).__name__,
            "body": msgspec.to_builtins(step.command),
        }
        for step in steps
    ]
