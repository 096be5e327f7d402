"""What changed in the peers that this frontend shows, version by version, for as long as anybody is likely to ask.

Rule 1: a version is a number of this process; every batch of changes makes the next one.
Rule 2: `since` is exact: for each node how it was shown then, and how it is shown now. What was only in between does
        not exist (invariant S1).
Rule 3: the journal forgets the oldest batches beyond `limit` steps; whoever stands there gets None and starts afresh.
"""

from collections import deque
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from engine.domain.values import NodeId
from frontends.control.fragment import Fragment

LIMIT: Final = 4_096
"""Steps that are kept: a step is two references; what it refers to is at most about 4 KiB."""


class Shown(NamedTuple):
    """How a node is shown: to viewers that see its class, as this fragment."""

    class_id: str
    fragment: Fragment


class Step(NamedTuple):
    """One node in one batch; None means that it was not there, or is no more."""

    node: NodeId
    before: Shown | None
    after: Shown | None


Pair = tuple[Shown | None, Shown | None]


class Journal:
    """The last batches of steps; `version` is that of the newest."""

    def __init__(self, limit: int = LIMIT) -> None:
        self.version = 0
        self._limit = limit
        self._floor = 0
        self._batches: deque[tuple[int, Sequence[Step]]] = deque()
        self._size = 0
        self._merged: dict[int, Mapping[NodeId, Pair]] = {}

    def add(self, steps: Sequence[Step]) -> None:
        """Begin the next version; it may have no steps at all."""
        self.version += 1
        self._merged.clear()
        if not steps:
            return
        self._batches.append((self.version, steps))
        self._size += len(steps)
        while self._size > self._limit and len(self._batches) > 1:
            self._floor, oldest = self._batches.popleft()
            self._size -= len(oldest)

    def forget(self) -> None:
        """Begin the next version, from which nobody finds the way back."""
        self.version += 1
        self._merged.clear()
        self._batches.clear()
        self._size = 0
        self._floor = self.version

    def since(self, version: int) -> Mapping[NodeId, Pair] | None:
        """Return the nodes that may differ between the version and now, or None if that is forgotten."""
        if version < self._floor:
            return None
        merged = self._merged.get(version)
        if merged is None:
            merged = self._merged[version] = self._merge(version)
        return merged

    def _merge(self, version: int) -> Mapping[NodeId, Pair]:
        merged: dict[NodeId, Pair] = {}
        for number, steps in reversed(self._batches):
            if number <= version:
                break
            for step in steps:
                later = merged.get(step.node)
                merged[step.node] = (step.before, step.after if later is None else later[1])
        return merged
