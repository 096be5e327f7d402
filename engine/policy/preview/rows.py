"""From blocks of points to rows for people: whose devices, towards whose, gain and lose what; pure.

Rule 1: a row is about a user, some tags, a range or everybody; `devices` says which, when it is not all of them.
Rule 2: blocks that change in the same way are put together first, so that rows are few.
Rule 3: work is bounded: once `MAX_CELLS` pairs of parties were looked at, what else changes is only counted, in blocks.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import Final, Literal, NamedTuple

import msgspec

from engine.policy.points import bits, lowest
from engine.policy.preview.effects import NOTHING, Change
from engine.policy.preview.scene import Scene
from engine.policy.subjects import Device

MAX_CELLS: Final = 10_000
"""Pairs of parties that are looked at one by one, for each kind of rows."""
MAX_ROWS_HELD: Final = 100_000
LISTED: Final = 50
"""Devices that a row names."""

Kind = Literal["traffic", "ssh", "app", "route", "sees"]
PartyKind = Literal["everybody", "user", "tags", "range", "internet", "route"]
KINDS: Final[tuple[Kind, ...]] = ("traffic", "ssh", "app", "route", "sees")
_RANKS: Final[tuple[PartyKind, ...]] = ("everybody", "user", "tags", "range", "internet", "route")


class Party(msgspec.Struct, frozen=True, kw_only=True, order=True):
    """Who: everybody's devices, a user's, those with some tags, addresses, the internet by an exit node, or a route.

    `devices` are ids: those that are concerned when it is not all of them; exit nodes; whoever carries the route.
    """

    kind: PartyKind
    name: str
    devices: tuple[int, ...] = ()
    more: int = 0
    """Devices beyond those listed."""


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """What one party gains and loses at another."""

    kind: Kind
    subject: Party
    target: Party
    gains: tuple[str, ...] = ()
    loses: tuple[str, ...] = ()


class Area(NamedTuple):
    """All of these sources have this change at all of these targets."""

    sources: int
    targets: int
    change: Change


class _Side(NamedTuple):
    """A party, the points of it that are concerned, and all that it has."""

    kind: PartyKind
    name: str
    part: int
    whole: int


class _Owners:
    """Which party each device belongs to."""

    def __init__(self, scene: Scene) -> None:
        self._parties: Final[list[tuple[PartyKind, str]]] = []
        self._whole: Final[list[int]] = []
        self._of_bit: Final[list[int]] = []
        known: dict[tuple[object, ...], int] = {}
        for bit, device in enumerate(scene.devices):
            number = known.setdefault((device.user, device.tags), len(known))
            if number == len(self._whole):
                self._parties.append(_party(scene, device))
                self._whole.append(0)
            self._of_bit.append(number)
            self._whole[number] |= 1 << bit

    def __len__(self) -> int:
        return len(self._parties)

    def of(self, mask: int) -> Iterator[_Side]:
        """Yield each party with devices in the mask."""
        while mask:
            number = self._of_bit[lowest(mask)]
            whole = self._whole[number]
            yield _Side(*self._parties[number], mask & whole, whole)
            mask &= ~whole


class Rows:
    """Collects areas and gives rows."""

    def __init__(self, scene: Scene, listed: int = LISTED) -> None:
        self._scene: Final = scene
        self._listed: Final = listed
        self._owners: Final = _Owners(scene)
        self._exits: Final = sum(1 << bit for bit in scene.exits)
        self._rows: Final[list[Row]] = []
        self._cells = 0
        self._unseen = 0
        self._gain = self._lose = 0

    @property
    def gain(self) -> int:
        """How many parties gain access to anything."""
        return sum(1 for _ in self._sides(self._gain))

    @property
    def lose(self) -> int:
        """How many parties lose access to anything."""
        return sum(1 for _ in self._sides(self._lose))

    def take(self, limit: int) -> tuple[tuple[Row, ...], int]:
        """Return the first rows in order, and how many more there are, at least."""
        rows = sorted(self._rows, key=_order)
        return tuple(rows[:limit]), len(rows[limit:]) + self._unseen

    def add(self, kind: Kind, areas: Iterable[Area], *, exits: bool = False) -> None:
        """Take in what changes; with `exits` the targets are exit nodes, or `Scene.internet`."""
        cells: dict[tuple[str, ...], dict[Change, list[tuple[_Side, _Side]]]] = {}
        self._cells = 0
        for area in _merged(areas):
            if kind in {"traffic", "ssh", "app"}:
                self._gain |= area.sources if area.change.gains else 0
                self._lose |= area.sources if area.change.loses else 0
            if self._cells >= MAX_CELLS:
                self._unseen += 1
                continue
            targets = tuple(self._exit_sides(area.targets) if exits else self._grouped(area.targets))
            for source in self._grouped(area.sources):
                self._cells += len(targets)
                for target in targets:
                    changes = cells.setdefault((*source[:2], *target[:2]), {})
                    changes.setdefault(area.change, []).append((source, target))
        for changes in cells.values():
            for change, parts in changes.items():
                self._rows.extend(self._rows_of(kind, change, parts))

    def add_route(self, viewers: int, route: str, carriers: tuple[int, ...], change: Change) -> None:
        """Take in that some devices are told of a route by these routers, or no longer."""
        if len(self._rows) >= MAX_ROWS_HELD:
            self._unseen += 1
            return
        for source in self._grouped(viewers):
            target = Party(kind="route", name=route, devices=carriers)
            self._rows.append(_row("route", self._told(source, source.part), target, change))

    def _rows_of(self, kind: Kind, change: Change, parts: list[tuple[_Side, _Side]]) -> Iterator[Row]:
        source, target = parts[0]
        found = sum(_pairs(one.part, other.part) for one, other in parts)
        if not found:
            return
        if found == _pairs(source.whole, target.whole):
            yield _row(kind, self._told(source, source.whole), self._told(target, target.whole), change)
            return
        for sources, targets in _together((one.part, other.part) for one, other in parts):
            if _pairs(sources, targets):
                yield _row(kind, self._told(source, sources), self._told(target, targets), change)

    def _grouped(self, mask: int) -> Iterator[_Side]:
        """Yield the parties of a mask; all devices together are everybody."""
        everybody = self._scene.points.devices
        if mask & everybody == everybody and len(self._owners) > 1:
            yield _Side("everybody", "", everybody, everybody)
            mask &= ~everybody
        yield from self._sides(mask)

    def _sides(self, mask: int) -> Iterator[_Side]:
        yield from self._owners.of(mask & self._scene.points.devices)
        for text, part in self._scene.labels(mask & self._scene.points.places):
            yield _Side("range", text, part, part)

    def _exit_sides(self, mask: int) -> Iterator[_Side]:
        if not mask & self._scene.points.all or mask == self._exits:
            yield _Side("internet", "", mask, mask)
            return
        for side in self._owners.of(mask):
            yield _Side("internet", side.name, side.part, side.whole & self._exits)

    def _told(self, side: _Side, part: int) -> Party:
        if part == side.whole:
            return Party(kind=side.kind, name=side.name)
        ids = [self._scene.devices[bit].id for bit in bits(part)]
        shown = tuple(ids[: self._listed])
        return Party(kind=side.kind, name=side.name, devices=shown, more=len(ids) - len(shown))


def _party(scene: Scene, device: Device) -> tuple[PartyKind, str]:
    if device.user is None:
        return "tags", ",".join(device.tags)
    person = scene.points.people.get(device.user)
    return "user", person.logins[0] if person is not None else f"user {device.user}"


def _row(kind: Kind, subject: Party, target: Party, change: Change) -> Row:
    return Row(kind=kind, subject=subject, target=target, gains=change.gains, loses=change.loses)


def _order(row: Row) -> tuple[object, ...]:
    sides = ((_RANKS.index(party.kind), party) for party in (row.subject, row.target))
    return (KINDS.index(row.kind), *sides, row.gains, row.loses)


def _pairs(sources: int, targets: int) -> int:
    """Return how many pairs of different points there are."""
    return sources.bit_count() * targets.bit_count() - (sources & targets).bit_count()


def _merged(areas: Iterable[Area]) -> Iterator[Area]:
    """Yield areas of the same change together."""
    by_change: dict[Change, list[tuple[int, int]]] = defaultdict(list)
    for area in areas:
        if area.change != NOTHING and _pairs(area.sources, area.targets):
            by_change[area.change].append((area.sources, area.targets))
    for change, parts in by_change.items():
        for sources, targets in _together(parts):
            yield Area(sources, targets, change)


def _together(parts: Iterable[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """Yield (sources, targets) put together where either is the same."""
    by_targets: dict[int, int] = defaultdict(int)
    for sources, targets in parts:
        by_targets[targets] |= sources
    by_sources: dict[int, int] = defaultdict(int)
    for targets, sources in by_targets.items():
        by_sources[sources] |= targets
    yield from by_sources.items()
