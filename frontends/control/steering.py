"""Which of a prefix's routers carries its traffic now, and what each viewer is told of it; pure.

Rule 1: the primary router is the first to have joined of those that are online; if none is, the first.
Rule 2: a viewer in one of a prefix's sets is told of it on the primary; any other on the router that it is steered to, if any
        (policy-semantics §3.8).
Rule 3: equal routes are one object, for all viewers of equal sets.
"""

from collections.abc import Iterable
from typing import Final

from engine.contracts.netmap import RouteObject
from engine.domain.values import NodeId
from frontends.control.replica import Replica, Touched
from frontends.control.scope import Routes

_ROUTE: Final = "route/"
NO_ROUTES: Final[Routes] = {}


class Steering:
    """The prefixes of a replica; `update` follows it, everything else reads."""

    def __init__(self, replica: Replica) -> None:
        self._replica: Final = replica
        self._routes: Final[dict[str, RouteObject]] = {}
        self._of: Final[dict[NodeId, set[str]]] = {}
        """For each router its prefixes."""
        self._there: Final[dict[NodeId, bool]] = {}
        """For each router whether it was online when that was looked at last."""
        self._primary: Final[dict[str, NodeId]] = {}
        self._shown: Final[dict[tuple[str, ...], Routes]] = {}
        self.prefixes: tuple[str, ...] = ()
        """All approved prefixes that are no exit routes, sorted as texts."""

    def update(self, touched: Touched) -> set[NodeId] | None:
        """Take over what the replica says of the touched keys.

        Returns the routers that are primary for something else now, and None if nothing is routed otherwise.
        """
        flipped = [
            number for key in touched if (number := self._router_of(key)) is not None and self._flips(number)
        ]
        moved = [key.removeprefix(_ROUTE) for key in touched if key.startswith(_ROUTE)]
        for prefix in moved:
            self._replace(prefix)
        if moved:
            self.prefixes = tuple(sorted(self._routes))
        stirred = {prefix for number in flipped for prefix in self._of[number]}
        if not moved and not stirred:
            return None
        changed = {number for prefix in stirred.union(moved) for number in self._elect(prefix)}
        self._shown.clear()
        return changed

    def primaries(self, node: NodeId) -> tuple[str, ...]:
        """Return the prefixes for which the node is the primary router, sorted as texts."""
        return tuple(sorted(prefix for prefix in self._of.get(node, ()) if self._primary[prefix] == node))

    def shown(self, sets: tuple[str, ...]) -> Routes:
        """Return what a viewer whose class is in these sets is told."""
        if not self._routes:
            return NO_ROUTES
        known = self._shown.get(sets)
        if known is None:
            found = self._make(frozenset(sets))
            equal = (one for one in self._shown.values() if one == found)
            known = self._shown[sets] = next(equal, found)
        return known

    def _make(self, mine: frozenset[str]) -> Routes:
        found: dict[NodeId, tuple[str, ...]] = {}
        for prefix in self.prefixes:
            router = self._router(self._routes[prefix], mine)
            if router is not None:
                found[router] = (*found.get(router, ()), prefix)
        return dict(sorted(found.items()))

    def _router(self, route: RouteObject, mine: frozenset[str]) -> NodeId | None:
        if not mine.isdisjoint(route.sets):
            return self._primary[route.prefix]
        fitting = (one.routers for one in route.steered if not mine.isdisjoint(one.sets))
        return next((self._first(routers) for routers in fitting), None)

    def _replace(self, prefix: str) -> None:
        before, value = self._routes.pop(prefix, None), self._replica.get(f"{_ROUTE}{prefix}")
        now = value if isinstance(value, RouteObject) else None
        for number in () if before is None else before.routers:
            self._of[number].discard(prefix)
        if now is not None:
            self._routes[prefix] = now
            for number in now.routers:
                if not self._of.get(number):
                    self._there[number] = self._is_online(number)
                self._of.setdefault(number, set()).add(prefix)

    def _router_of(self, key: str) -> NodeId | None:
        number = NodeId(int(key[5:])) if key.startswith("node/") else None
        return number if number in self._of else None

    def _flips(self, number: NodeId) -> bool:
        is_online = self._is_online(number)
        before, self._there[number] = self._there.get(number), is_online
        return before is not is_online

    def _elect(self, prefix: str) -> set[NodeId]:
        route, before = self._routes.get(prefix), self._primary.pop(prefix, None)
        now = None if route is None else self._first(route.routers)
        if now is not None:
            self._primary[prefix] = now
        return {number for number in (before, now) if number is not None and before != now}

    def _first(self, routers: Iterable[NodeId]) -> NodeId:
        known = tuple(routers)
        return next((number for number in known if self._is_online(number)), known[0])

    def _is_online(self, number: NodeId) -> bool:
        fact = self._replica.fact(number)
        return fact is not None and fact.online
