"""Where events come from: which commands may have them as a result, and since which version they exist.

Rule 1: read off the decisions themselves: what a command's decision constructs, and whatever that calls.
Rule 2: what the three follow-ups of every decision construct is a consequence of others.
"""

import ast
import functools
import inspect
import textwrap
from collections.abc import Iterator, Mapping
from types import FunctionType, ModuleType
from typing import Any, Final

from engine.domain import decide
from engine.domain.commands import COMMANDS, REGISTRATION
from engine.domain.events import EVENTS
from engine.schemas.kinds import tag_of_kind

FOLLOW_UPS: Final = ("with_stale", "kept_in_step", "followed_up")
"""What `decide` adds to every decision."""
CONSEQUENCE: Final = "a consequence of other events"
ENGINE: Final = "the engine"
NEXT_VERSION: Final = "0.3.0"
"""What is in no golden log comes with this version."""
SINCE: Final[Mapping[str, str]] = {
    **dict.fromkeys(
        [
            "AuthKeyCreated",
            "AuthKeyExpired",
            "AuthKeyUsed",
            "BaseDomainSet",
            "CommandHandled",
            "ConnectionAdded",
            "ConnectionRemoved",
            "ConnectionUpdated",
            "DerpMapSet",
            "LogStarted",
            "NodeDeleted",
            "NodeExpired",
            "NodeExpirySet",
            "NodeRegistered",
            "NodeRenamed",
            "NodeReregistered",
            "PeerDisabled",
            "PeerEnabled",
            "PeerExpired",
            "PeerRegistered",
            "PeerRemoved",
            "PoolsSet",
            "UserCreated",
        ],
        "0.1.0",
    ),
    **dict.fromkeys(
        [
            "AutoUpdatesSet",
            "DomainsSet",
            "NodeRoutesAdvertised",
            "NodeRoutesApproved",
            "NodeTagged",
            "PeerDrained",
            "PeerMoved",
            "PeerPoolSet",
            "PeerRenamed",
            "PeerTagged",
            "PeerUndrained",
            "PeerUpdated",
            "PolicySet",
            "SelectorAdded",
            "SelectorRemoved",
            "UserRoleSet",
            "WireGuardModeSet",
        ],
        "0.2.0",
    ),
}
"""The version whose golden log (`tests/golden/logs`) first has the event, up to the one before `NEXT_VERSION`."""
_PURE: Final = "engine.domain."
_FOLDS: Final = ("engine.domain.evolve", "engine.domain.state", "engine.domain.events")
"""What constructs nothing that happens."""


def since(tag: str) -> str:
    """Return the version in which the event first came."""
    name, _, version = tag.partition(".")
    return SINCE.get(name, NEXT_VERSION) if version == "v1" else NEXT_VERSION


@functools.cache
def emitters() -> Mapping[str, tuple[str, ...]]:
    """Return, by tag, the commands that may result in the event, as `peer.register`, and in words who else."""
    names = {kind.__name__: ".".join(key) for key, kind in (*COMMANDS.items(), *REGISTRATION.items())}
    found: dict[str, list[str]] = {tag_of_kind(kind): [] for kind in EVENTS}
    for command, function in _arms():
        for tag in sorted(_made(function, set())):
            if (name := names.get(command, ENGINE)) not in found[tag]:
                found[tag].append(name)
    for name in FOLLOW_UPS:
        for tag in _made(getattr(decide, name), set()):
            if CONSEQUENCE not in found[tag]:
                found[tag].append(CONSEQUENCE)
    return {tag: tuple(who) or (ENGINE,) for tag, who in found.items()}


def _arms() -> Iterator[tuple[str, FunctionType]]:
    """Yield the name of each command's type and the function that decides it."""
    for node in ast.walk(ast.parse(inspect.getsource(decide))):
        match node:
            case ast.match_case(
                pattern=ast.MatchClass(cls=ast.Name(id=command)),
                body=[ast.Return(value=ast.Call(func=ast.Name(id=function)))],
            ):
                yield command, getattr(decide, function)
            case _:
                pass


def _made(function: FunctionType, seen: set[FunctionType]) -> set[str]:
    """Return the tags of the events that a function, or one that it speaks of, constructs."""
    if function in seen:
        return set()
    seen.add(function)
    found: set[str] = set()
    for node in ast.walk(ast.parse(textwrap.dedent(inspect.getsource(function)))):
        value = _value(node, function.__globals__)
        if isinstance(value, FunctionType) and _decides(value):
            found |= _made(value, seen)
        if isinstance(node, ast.Call):
            made = _value(node.func, function.__globals__)
            if isinstance(made, type) and made in EVENTS:
                found.add(tag_of_kind(made))
    return found


def _decides(function: FunctionType) -> bool:
    return function.__module__.startswith(_PURE) and function.__module__ not in _FOLDS


def _value(node: ast.AST, names: Mapping[str, Any]) -> object:
    match node:
        case ast.Name(id=name):
            return names.get(name)
        case ast.Attribute(value=ast.Name(id=module), attr=name) if isinstance(names.get(module), ModuleType):
            return getattr(names[module], name, None)
        case _:
            return None
