"""What a plan is made of: steps, each of which is one command, in an order that is safe.

Rule 1: first who may call a node no longer may; then what is in the way of others goes; then peers are made and changed;
        then nodes are connected; then those disconnected that nothing waits for; then peers disabled, and removed last.
"""

from enum import IntEnum
from typing import NamedTuple

from engine.domain.command import Command


class Phase(IntEnum):
    """When a step is taken (rule 1)."""

    JAIL = 0
    RELEASE = 1
    PEERS = 2
    CONNECT = 3
    SELECT = 4
    DISCONNECT = 5
    DISABLE = 6
    REMOVE = 7


class Change(NamedTuple):
    """A field that becomes something else; as text, an empty one where there is nothing."""

    field: str
    old: str
    new: str


class Step(NamedTuple):
    """One command: `what` is create, change or remove, `kind` peer, connection or selector."""

    phase: Phase
    what: str
    kind: str
    name: str
    changes: tuple[Change, ...]
    command: Command


class Plan(NamedTuple):
    """The steps, in order, and what only `--prune` would remove."""

    steps: tuple[Step, ...]
    left: tuple[str, ...]


def changed(field: str, old: object, new: object) -> list[Change]:
    """Return the change of a field, or nothing if it is none."""
    return [] if old == new else [Change(field, shown(old), shown(new))]


def shown(value: object) -> str:
    """Return a value as people read it."""
    match value:
        case None:
            return ""
        case bool():
            return "yes" if value else "no"
        case list() | tuple():
            return ", ".join(map(str, value))
        case _:
            return str(value)
