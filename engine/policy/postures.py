"""Whether a device fulfils a posture: a list of conditions on what its client reports; pure.

Rule 1: all conditions of a posture must hold.
Rule 2: an attribute that is not reported makes every condition false but `NOT SET`.
Rule 3: versions (`node:tsVersion`, `node:osVersion`) are compared number by number, anything else as what it is; values of
        different types are unequal and in no order.
"""

import operator
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from engine.policy.document import Condition

Value = str | float | bool
_VERSIONS: Final = frozenset({"node:tsVersion", "node:osVersion"})
_COMPARE: Final[Mapping[str, Callable[[Any, Any], bool]]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


def fulfilled(postures: Mapping[str, tuple[Condition, ...]], facts: Mapping[str, Value]) -> Iterator[str]:
    """Yield the names of the postures that hold for such a device."""
    for name, conditions in postures.items():
        if all(holds(condition, facts.get(condition.attribute)) for condition in conditions):
            yield name


def holds(condition: Condition, value: Value | None) -> bool:
    """Return whether the condition holds for a value; None is not set."""
    match condition.operator:
        case "IS SET":
            return value is not None
        case "NOT SET":
            return value is None
        case _ if value is None:
            return False
        case "==" | "IN":
            return any(_equal(value, other) for other in condition.values)
        case "!=" | "NOT IN":
            return not any(_equal(value, other) for other in condition.values)
        case order:
            return all(_compare(condition.attribute, order, value, other) for other in condition.values)


def _equal(value: Value, other: Value) -> bool:
    return isinstance(value, bool) == isinstance(other, bool) and value == other


def _compare(attribute: str, order: str, value: Value, other: Value) -> bool:
    if attribute in _VERSIONS:
        left, right = _numbers(str(value)), _numbers(str(other))
        width = max(len(left), len(right))
        return _COMPARE[order](_filled(left, width), _filled(right, width))
    if isinstance(value, str) != isinstance(other, str):
        return False
    return _COMPARE[order](value, other)


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(digits[:9]) for digits in re.findall(r"[0-9]+", version.partition("-")[0])[:8])


def _filled(numbers: tuple[int, ...], width: int) -> tuple[int, ...]:
    return numbers + (0,) * (width - len(numbers))
