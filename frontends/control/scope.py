"""Sets of classes as the replica has them: which classes a viewer of some sets sees, which sets a class is in; pure.

Rule 1: a set that the replica does not hold has no classes; a class may be in a set before it has nodes.
Rule 2: equal scopes are one object, so that what was made for one is found for the other.
"""

from collections.abc import Iterable
from typing import Final
from weakref import WeakValueDictionary

from engine.contracts.netmap import ClassSetObject
from frontends.control.replica import Replica, Touched


class Scope:
    """The classes whose nodes somebody sees."""

    __slots__ = ("__weakref__", "classes")

    def __init__(self, classes: frozenset[str]) -> None:
        self.classes: Final = classes


class Sets:
    """A replica's sets of classes; `update` follows the replica, everything else reads."""

    def __init__(self, replica: Replica) -> None:
        self._replica: Final = replica
        self._classes: Final[dict[str, frozenset[str]]] = {}
        self._of: Final[dict[str, tuple[str, ...]]] = {}
        """For each class that is in any set, the ids of its sets, sorted."""
        self._scopes: Final[WeakValueDictionary[frozenset[str], Scope]] = WeakValueDictionary()
        self._made: Final[dict[tuple[str, ...], Scope]] = {}
        """The scopes of the sets as they are now."""

    def update(self, touched: Touched) -> set[str]:
        """Take over what the replica says of the touched sets; return the classes that came into one or left one."""
        moved: set[str] = set()
        for key in touched:
            if key.startswith("set/"):
                moved |= self._replace(key.removeprefix("set/"))
        if any(key.startswith(("set/", "class/")) for key in touched):
            self._made.clear()
        return moved

    def of(self, class_id: str) -> tuple[str, ...]:
        """Return the ids of the sets that a class is in, sorted."""
        return self._of.get(class_id, ())

    def classes(self, sets: Iterable[str]) -> frozenset[str]:
        """Return the classes that are in any of these sets."""
        return frozenset().union(*(self._classes.get(name, frozenset()) for name in sets))

    def scope(self, sets: tuple[str, ...]) -> Scope:
        """Return what a viewer of these sets sees."""
        made = self._made.get(sets)
        if made is None:
            classes = self.classes(sets)
            made = self._scopes.get(classes) or Scope(classes)
            self._scopes[classes] = self._made[sets] = made
        return made

    def _replace(self, name: str) -> frozenset[str]:
        value = self._replica.get(f"set/{name}")
        before = self._classes.pop(name, frozenset())
        now = frozenset(value.classes) if isinstance(value, ClassSetObject) else frozenset()
        if now:
            self._classes[name] = now
        for class_id in before - now:
            left = tuple(other for other in self._of.pop(class_id) if other != name)
            if left:
                self._of[class_id] = left
        for class_id in now - before:
            self._of[class_id] = tuple(sorted((*self.of(class_id), name)))
        return before ^ now
