"""Sets of classes as the replica has them: which classes a viewer of some sets sees, which sets a class is in; pure.

Rule 1: a set that the replica does not hold has no classes; a class may be in a set before it has nodes.
Rule 2: equal scopes are one object, so that what was made for one is found for the other.
"""

from collections.abc import Iterable, Mapping
from typing import Final
from weakref import WeakValueDictionary

from engine.contracts.netmap import ClassSetObject
from engine.domain.values import NodeId
from frontends.control.fragment import Fragment
from frontends.control.replica import Replica, Touched

Routes = Mapping[NodeId, tuple[str, ...]]
"""For each router the prefixes that lead to it."""


class Scope:
    """The classes whose nodes somebody sees, and the routes that they show."""

    __slots__ = ("__weakref__", "classes", "routes")

    def __init__(self, classes: frozenset[str], routes: Routes) -> None:
        self.classes: Final = classes
        self.routes: Final = routes

    def fragment(self, number: NodeId, fragment: Fragment) -> Fragment:
        """Return a node's fragment as it is shown here: with the routes that lead to it."""
        routes = self.routes.get(number)
        return fragment if routes is None else fragment.wearing(routes)


class Sets:
    """A replica's sets of classes; `update` follows the replica, everything else reads."""

    def __init__(self, replica: Replica) -> None:
        self._replica: Final = replica
        self._classes: Final[dict[str, frozenset[str]]] = {}
        self._of: Final[dict[str, tuple[str, ...]]] = {}
        """For each class that is in any set, the ids of its sets, sorted."""
        self._named: Final[set[str]] = set()
        """The sets that filters name."""
        self._scopes: Final[WeakValueDictionary[object, Scope]] = WeakValueDictionary()
        self._made: Final[dict[tuple[tuple[str, ...], int], tuple[Routes, Scope]]] = {}
        """The scopes of the sets as they are now, by the sets and the routes' identity; the routes are held, so that no
        others get that identity."""

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

    def named_of(self, class_id: str) -> tuple[str, ...]:
        """Return the ids of those sets that a class is in and that filters name, sorted."""
        return tuple(name for name in self.of(class_id) if name in self._named)

    def classes(self, sets: Iterable[str]) -> frozenset[str]:
        """Return the classes that are in any of these sets."""
        return frozenset().union(*(self._classes.get(name, frozenset()) for name in sets))

    def scope(self, sets: tuple[str, ...], routes: Routes) -> Scope:
        """Return what a viewer of these sets sees to whom these routes are shown; equal routes are one object."""
        key = (sets, id(routes))
        known = self._made.get(key)
        if known is not None:
            return known[1]
        classes = self.classes(sets)
        same = (classes, tuple(routes.items()))
        made = self._scopes.get(same) or Scope(classes, routes)
        self._scopes[same] = made
        self._made[key] = (routes, made)
        return made

    def outdate(self) -> None:
        """Take it that routes are shown otherwise."""
        self._made.clear()

    def _replace(self, name: str) -> frozenset[str]:
        value = self._replica.get(f"set/{name}")
        before = self._classes.pop(name, frozenset())
        now = frozenset(value.classes) if isinstance(value, ClassSetObject) else frozenset()
        was_named = name in self._named
        self._named.discard(name)
        if isinstance(value, ClassSetObject) and value.is_source:
            self._named.add(name)
        if now:
            self._classes[name] = now
        for class_id in before - now:
            left = tuple(other for other in self._of.pop(class_id) if other != name)
            if left:
                self._of[class_id] = left
        for class_id in now - before:
            self._of[class_id] = tuple(sorted((*self.of(class_id), name)))
        return before ^ now if was_named is (name in self._named) else before | now
