"""Whom a change may concern, so that nobody else is looked at; pure.

Rule 1: in doubt everybody. Only changes of nodes as they are shown, and of what is single nodes' own, are known not to concern
        others: the former concern who sees a class that such a node is or was in, the latter those nodes.
Rule 2: what is known of the last `LIMIT` versions is kept; who stands before those may be concerned.
"""

from collections import deque
from typing import Final, NamedTuple

from engine.domain.values import NodeId

LIMIT: Final = 64


class Concern(NamedTuple):
    """Who may be concerned: who sees one of these classes, and these nodes."""

    classes: frozenset[str]
    nodes: frozenset[NodeId]


class Concerns:
    """What each of the last versions concerned; None stands for everybody."""

    def __init__(self) -> None:
        self._version = 0
        self._kept: Final[deque[Concern | None]] = deque(maxlen=LIMIT)
        self._since: Final[dict[int, Concern | None]] = {}

    def add(self, version: int, concern: Concern | None) -> None:
        """Take note of the newest version; they follow one another without holes."""
        self._version = version
        self._kept.append(concern)
        self._since.clear()

    def since(self, version: int) -> Concern | None:
        """Return whom all that came after a version may concern."""
        if version not in self._since:
            self._since[version] = self._merged(self._version - version)
        return self._since[version]

    def _merged(self, count: int) -> Concern | None:
        if count > len(self._kept):
            return None
        classes: set[str] = set()
        nodes: set[NodeId] = set()
        for back in range(1, count + 1):
            concern = self._kept[-back]
            if concern is None:
                return None
            classes |= concern.classes
            nodes |= concern.nodes
        return Concern(frozenset(classes), frozenset(nodes))
