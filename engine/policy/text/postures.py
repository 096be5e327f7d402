"""Postures: what a device must report of itself for a rule to count it among its sources; pure.

    "posture:recent": ["node:os == 'macos'", "node:tsVersion >= '1.60'", "node:tsReleaseTrack IN ['stable', 'unstable']"]

Rule 1: a condition is an attribute, an operator, and a value or a list of them in square brackets; text stands in quotes.
Rule 2: what an attribute is called is not checked here: other namespaces than `node:` may be filled by others. A `node:`
        attribute that no client reports is warned of.
"""

import re
from typing import Final

from engine.policy.document import Condition
from engine.policy.faults import PolicyFault
from engine.policy.text.fields import fault, members_of, suggestion, texts_of, too_many
from engine.policy.text.hujson import Node, Text, shown
from engine.policy.text.selectors import Scope

MAX_CONDITIONS: Final = 100
"""Of one posture."""
MAX_VALUES: Final = 1_000
"""Of one condition."""
_NAME: Final = re.compile(r"posture:[A-Za-z0-9][A-Za-z0-9._-]*")
_REPORTED: Final = frozenset({"node:os", "node:osVersion", "node:tsVersion", "node:tsReleaseTrack"})
_CONDITION: Final = re.compile(
    r"(?P<attribute>[A-Za-z][A-Za-z0-9]*:[A-Za-z0-9_./-]+)\s*"
    r"(?P<operator>==|!=|<=|>=|<|>|\bNOT\s+IN\b|\bIN\b|\bIS\s+SET\b|\bNOT\s+SET\b)\s*(?P<rest>.*)",
    re.DOTALL,
)
_VALUE: Final = re.compile(r"(?:'(?P<single>[^']*)'|\"(?P<double>[^\"]*)\"|(?P<bare>[A-Za-z0-9_.+-]+))")
_ITEM: Final = re.compile(rf"\s*{_VALUE.pattern}\s*(?:,\s*|$)")
_NUMBER: Final = re.compile(r"[+-]?[0-9]{1,15}(?:\.[0-9]{1,15})?")
_HINT: Final = (
    "write node:os == 'macos', node:tsVersion >= '1.60', node:os IN ['macos', 'linux'] or custom:tier IS SET"
)

Value = str | float | bool


def read_postures(scope: Scope, node: Node | None) -> dict[str, tuple[Condition, ...]]:
    """Return the postures, and put their names into the scope.

    Raises:
        PolicyFault: `posture-name`, `bad-posture`, `too-many`.
    """
    found: dict[str, tuple[Condition, ...]] = {}
    for key, value in members_of(node, "postures"):
        if not _NAME.fullmatch(key.value):
            hint = "write posture: and a name of a-z, 0-9, ., _ and -"
            raise fault("posture-name", key, f"{shown(key.value)} cannot be the name of a posture", hint)
        conditions = tuple(_condition(scope, text) for text in texts_of(value, key.value, MAX_CONDITIONS))
        if not conditions:
            raise fault("bad-posture", value, f"{shown(key.value)} has no condition", _HINT)
        found[key.value] = conditions
    scope.postures.update(found)
    return found


def postures_of(scope: Scope, node: Node | None, name: str) -> tuple[str, ...]:
    """Return the postures that a rule names.

    Raises:
        PolicyFault: `unknown-posture`, `wrong-type`, `too-many`.
    """
    texts = texts_of(node, name, MAX_CONDITIONS)
    for text in texts:
        if text.value.strip() not in scope.postures:
            hint = suggestion(text.value.strip(), sorted(scope.postures)) or "define it under postures"
            raise fault("unknown-posture", text, f"posture not found: {shown(text.value)}", hint)
    return tuple(text.value.strip() for text in texts)


def _condition(scope: Scope, text: Text) -> Condition:
    found = _CONDITION.fullmatch(text.value.strip())
    if found is None:
        raise _bad(text)
    attribute, rest = found["attribute"], found["rest"].strip()
    operator = " ".join(found["operator"].split())
    if operator.endswith("SET"):
        if rest:
            raise _bad(text)
        values: tuple[Value, ...] = ()
    elif operator.endswith("IN"):
        values = _list(rest, text)
    else:
        values = (_one(rest, text),)
    if attribute.startswith("node:") and attribute not in _REPORTED:
        guess = suggestion(attribute, sorted(_REPORTED))
        scope.warn(
            text, f"no client reports {attribute}, so it is never set" + (f"; {guess}" if guess else "")
        )
    return Condition(attribute=attribute, operator=operator, values=values)


def _list(rest: str, text: Text) -> tuple[Value, ...]:
    if not (rest.startswith("[") and rest.endswith("]")):
        raise _bad(text)
    values: list[Value] = []
    at, end = 1, len(rest) - 1
    while found := _ITEM.match(rest, at, end):
        if len(values) == MAX_VALUES:
            raise too_many(text, f"a condition has more than {MAX_VALUES:,} values")
        values.append(_decoded(found, text))
        at = found.end()
    if not values or at != end:
        raise _bad(text)
    return tuple(values)


def _one(rest: str, text: Text) -> Value:
    found = _VALUE.fullmatch(rest)
    if found is None:
        raise _bad(text)
    return _decoded(found, text)


def _decoded(found: re.Match[str], text: Text) -> Value:
    for quoted in (found["single"], found["double"]):
        if quoted is not None:
            return quoted
    bare = found["bare"]
    if bare in ("true", "false"):
        return bare == "true"
    if not _NUMBER.fullmatch(bare):
        raise _bad(text)
    return float(bare)


def _bad(text: Text) -> PolicyFault:
    return fault("bad-posture", text, f"{shown(text.value)} is no condition", _HINT)
