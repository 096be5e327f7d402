"""What another policy would change: who gains and who loses access to what; pure.

    documents ──arrows──► where they differ ──effects──► areas ──► rows

Rule 1: what counts is what all rules allow together: a rule that another one covers changes nothing.
Rule 2: the devices are as they are: their routes stay approved, whatever `autoApprovers` say, and every router is there.
Rule 3: rows are sorted and bounded; `more` says how many are not shown.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Final

import msgspec

from engine.policy.document import Document
from engine.policy.points import bits, lowest
from engine.policy.preview.arrows import PLAIN, Arrows
from engine.policy.preview.effects import LOCALPART, NOTHING, Change, apps, packets, shells
from engine.policy.preview.relation import Arrow, Block, differing
from engine.policy.preview.rows import LISTED, Area, Row, Rows
from engine.policy.preview.scene import Scene
from engine.policy.subjects import Device, Person

MAX_ROWS: Final = 1_000
_SEEN: Final = Change(gains=("sees",))
_HIDDEN: Final = Change(loses=("sees",))
_TOLD: Final = Change(gains=("route",))
_UNTOLD: Final = Change(loses=("route",))


class Preview(msgspec.Struct, frozen=True, kw_only=True):
    """What would change. `gain` and `lose` count the users, sets of tags and ranges that gain or lose access."""

    rows: tuple[Row, ...] = ()
    more: int = 0
    """Rows that are not shown, at least."""
    gain: int = 0
    lose: int = 0


def preview(
    before: Document,
    after: Document,
    people: Iterable[Person],
    devices: Iterable[Device],
    *,
    limit: int = MAX_ROWS,
    listed: int = LISTED,
) -> Preview:
    """Return what changes from one policy to the other; at most `limit` rows that name `listed` devices each."""
    if before == after:
        return Preview()
    comparison = _Comparison(before, after, people, tuple(devices), listed)
    rows, more = comparison.rows.take(limit)
    return Preview(rows=rows, more=more, gain=comparison.rows.gain, lose=comparison.rows.lose)


class _Comparison:
    """Two documents among the same devices."""

    def __init__(
        self,
        before: Document,
        after: Document,
        people: Iterable[Person],
        devices: Sequence[Device],
        listed: int,
    ) -> None:
        scene = Scene((before, after), people, devices)
        self._scene: Final = scene
        self._shells_by_user: Final = any(
            name.startswith(LOCALPART)
            for document in (before, after)
            for rule in document.ssh
            for name in rule.users
        )
        self.rows: Final = Rows(scene, listed)
        was, will = Arrows(before, scene), Arrows(after, scene)
        self.rows.add("traffic", self._areas(was.packets(), will.packets(), packets))
        self.rows.add("traffic", self._areas(was.exits(), will.exits(), packets), exits=True)
        self.rows.add("app", self._areas(was.apps(), will.apps(), apps))
        self.rows.add("ssh", self._shells(was, will))
        self.rows.add("sees", self._areas(was.sights(), will.sights(), _sight))
        self._routes(was, will)

    def _areas(
        self,
        before: Iterable[Arrow],
        after: Iterable[Arrow],
        change_of: Callable[[frozenset[Any], frozenset[Any]], Change],
    ) -> Iterator[Area]:
        known: dict[tuple[frozenset[Any], frozenset[Any]], Change] = {}
        for block in differing(before, after, self._scene.points, self._scene.worth):
            key = (block.before, block.after)
            change = known.get(key)
            if change is None:
                change = known[key] = change_of(*key)
            yield Area(block.sources, block.targets, change)

    def _shells(self, was: Arrows, will: Arrows) -> Iterator[Area]:
        points = self._scene.points
        by_user = self._shells_by_user
        for block in differing(was.shells(), will.shells(), points, self._scene.worth, by_user=by_user):
            device = self._scene.devices[lowest(block.sources)]
            person = None if device.user is None or not by_user else points.people.get(device.user)
            yield Area(block.sources, block.targets, shells(block.before, block.after, person))

    def _routes(self, was: Arrows, will: Arrows) -> None:
        scene = self._scene
        every = (1 << len(scene.routes)) - 1
        found: dict[tuple[int, tuple[int, ...], Change], int] = {}
        for block in differing(was.routes(), will.routes(), scene.points, scene.points.devices | every):
            for place in bits(block.targets):
                for carriers, change in self._carried(place, block):
                    key = (place, carriers, change)
                    found[key] = found.get(key, 0) | block.sources & scene.points.devices
        for (place, carriers, change), viewers in found.items():
            route = scene.routes[place]
            own = sum(1 << bit for bit, device in enumerate(scene.devices) if route in device.routes)
            self.rows.add_route(viewers & ~own, route, carriers, change)

    def _carried(self, place: int, block: Block) -> Iterator[tuple[tuple[int, ...], Change]]:
        """Yield the routers that a route newly has for the block's sources, and those that it no longer has."""
        was, will = (self._carriers(place, effects) for effects in (block.before, block.after))
        gained, lost = tuple(sorted(will - was)), tuple(sorted(was - will))
        if gained:
            yield gained, _TOLD
        if lost:
            yield lost, _UNTOLD

    def _carriers(self, place: int, effects: frozenset[Any]) -> set[int]:
        """Return the router by which a route goes: the oldest, or the oldest of the first `via` that has one (§3.8)."""
        route = self._scene.routes[place]
        routers = [device for device in self._scene.devices if route in device.routes]
        if PLAIN in effects:
            return {min(device.id for device in routers)}
        for _, via in sorted(effects):
            tagged = [device.id for device in routers if set(via) & set(device.tags)]
            if tagged:
                return {min(tagged)}
        return set()


def _sight(before: frozenset[Any], after: frozenset[Any]) -> Change:
    if bool(before) == bool(after):
        return NOTHING
    return _SEEN if after else _HIDDEN
