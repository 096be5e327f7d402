"""The commands that undo what one command did, where there are such commands; pure.

Rule 1: what was set is set again as it was before; what was made is ended; what was taken away is made again if it can be the
        same, with its id. What cannot, is said, with the way that remains.
Rule 2: what has been set otherwise since is an obstacle: to set it back would undo more than was asked for.
Rule 3: what followed by itself (connections of selectors, stale marks) follows again, and has no command here.
Rule 4: a command that did several things is undone from the last to the first.
"""

from collections.abc import Iterable, Iterator

import msgspec

from engine.domain import events as e
from projections.history.undo import UNDO, Ends, Held, Step, Undo


class Undoing(msgspec.Struct, frozen=True, kw_only=True):
    """Commands in their order; why some of it cannot be undone; what stands in the way."""

    steps: tuple[Step, ...]
    lasting: tuple[str, ...]
    """What no command undoes, in words."""
    obstacles: tuple[str, ...]
    """What is not any more as the command left it, in words."""


def undoing(events: Iterable[e.Event], ends: Ends) -> Undoing:
    """Return what undoes the events of one command."""
    steps: list[Step] = []
    lasting: dict[str, None] = {}
    obstacles: dict[str, None] = {}
    for event in reversed([*events]):
        for undo in _undo(event, ends):
            step = _set_back(undo, ends, obstacles) if isinstance(undo, Held) else undo
            if isinstance(step, str):
                lasting[step] = None
            elif step is not None and step not in steps:
                steps.append(step)
    return Undoing(steps=tuple(steps), lasting=tuple(lasting), obstacles=tuple(obstacles))


def _set_back(thing: Held, ends: Ends, obstacles: dict[str, None]) -> Step | str | None:
    before, after, now = (thing.read(end) for end in ends)
    if now is None:
        return f"{thing.what}: it is not there any more"
    if before is None or now == before:
        return None
    if now != after:
        obstacles[f"{thing.what} has been set otherwise since"] = None
    return thing.set(before) or f"{thing.what}: no command sets it to what it was"


def _undo(event: e.Event, ends: Ends) -> Iterator[Undo]:
    made = UNDO.get(type(event))
    if made is None:
        yield f"{_words(event)} cannot be undone"
        return
    yield from made(event, ends)


def _words(event: e.Event) -> str:
    return e.tag_of(event).partition(".")[0]
