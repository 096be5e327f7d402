"""How the nodes that a scope shows differ between two versions; made once, told to all who stand alike.

Rule 1: a change that fits into a patch is a patch, any other is the whole node; a node that went is removed.
Rule 2: no id stands in two lists: clients lose a peer that one frame both removes and changes.
Rule 3: the profile of every user that may be new to the viewer comes with the node that brings it.
"""

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Final, Generic, TypeVar

import msgspec

from engine.domain.values import NodeId, UserId
from frontends.control.fragment import Fragment
from frontends.control.render import patch
from frontends.wire.codec import fragment

T = TypeVar("T")
Pairs = dict[NodeId, tuple[Fragment | None, Fragment | None]]
"""For each node the fragment that the viewer has, and the one that it is to have; None is none."""

PATCHES: Final = 4_096
"""As many as the journal has steps; each keeps two fragments."""


class Difference:
    """Pieces of a frame, for any viewer of the scope; each viewer leaves itself out."""

    def __init__(self, pairs: Pairs, users: set[UserId], profile: Callable[[UserId], bytes]) -> None:
        self._removed: Final[_Pieces[NodeId]] = _Pieces()
        self._changed: Final[_Pieces[msgspec.Raw]] = _Pieces()
        self._patched: Final[_Pieces[msgspec.Raw]] = _Pieces()
        self._numbers: Final = pairs.keys()
        self.text: tuple[str, bytes | None] | None = None
        """A time, and what a frame of that time tells whom this concerns as a viewer only; whoever made it leaves it here."""
        for number in sorted(pairs):
            before, after = pairs[number]
            if after is None:
                self._removed.add(number, number)
                continue
            if before is None or before.node.user != after.node.user:
                users.add(UserId(after.node.user))
            self._add(number, before, after)
        self.profiles: Final = tuple(msgspec.Raw(profile(user)) for user in sorted(users) if profile(user))

    def _add(self, number: NodeId, before: Fragment | None, after: Fragment) -> None:
        if before is not None and before.data == after.data:
            return
        change = None if before is None else patched(before, after)
        if change is None:
            self._changed.add(number, msgspec.Raw(after.data))
        else:
            self._patched.add(number, change)

    def __bool__(self) -> bool:
        return bool(self._removed or self._changed or self._patched or self.profiles)

    def concerns(self, viewer: NodeId) -> bool:
        """Return whether the viewer itself is among the nodes: then its frame leaves something out."""
        return viewer in self._numbers

    def removed(self, viewer: NodeId) -> Sequence[NodeId]:
        """Return the nodes that went, without the viewer."""
        return self._removed.without(viewer)

    def changed(self, viewer: NodeId) -> Sequence[msgspec.Raw]:
        """Return the nodes that came or changed as a whole, without the viewer, sorted by id."""
        return self._changed.without(viewer)

    def patched(self, viewer: NodeId) -> Sequence[msgspec.Raw]:
        """Return the patches, without the viewer's."""
        return self._patched.without(viewer)


class _Pieces(Generic[T]):
    """What is told of each node, sorted by id; a policy's edit has a thousand, and a thousand viewers who leave out one."""

    def __init__(self) -> None:
        self._pieces: Final[list[T]] = []
        self._places: Final[dict[NodeId, int]] = {}

    def __bool__(self) -> bool:
        return bool(self._pieces)

    def add(self, number: NodeId, piece: T) -> None:
        self._places[number] = len(self._pieces)
        self._pieces.append(piece)

    def without(self, viewer: NodeId) -> Sequence[T]:
        place = self._places.get(viewer)
        return self._pieces if place is None else [*self._pieces[:place], *self._pieces[place + 1 :]]


@lru_cache(maxsize=PATCHES)
def patched(before: Fragment, after: Fragment) -> msgspec.Raw | None:
    """Return a change as a patch, if it is one; in a storm a thousand differences have the same ones."""
    change = patch(before.node, after.node)
    return None if change is None else fragment(change)
