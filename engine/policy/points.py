"""All devices of a tailnet, and some places beside them, as bits of a number: whom a selector speaks of is one number.

Rule 1: a point is a device, one of its addresses, or an address of nobody. Bit n of a mask is point n.
Rule 2: as a source `*` is the tailnet and every approved route; as a destination it is everything (policy-semantics §3.1).
Rule 3: sources with a posture are devices, never places.
"""

from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final, NamedTuple

from engine.policy.document import ALL_PORTS, Document, Kind, Ports, Selector
from engine.policy.matching import PEOPLE, names
from engine.policy.ranges import INTERNET, TAILNET, Span, span_of
from engine.policy.subjects import Device, Person

_ANY: Final = Selector(kind=Kind.ANY)


class Point(NamedTuple):
    """A device with all or one of its addresses, or, without a device, a place; addresses are (version, number)."""

    device: Device | None
    addresses: tuple[tuple[int, int], ...]


class Allowance(NamedTuple):
    """One protocol of one rule; `postures` are those that count, `ports` are empty for capabilities."""

    sources: tuple[Selector, ...]
    postures: tuple[str, ...]
    destinations: tuple[tuple[Selector, Ports], ...]
    protocol: int | None
    via: tuple[str, ...]
    line: int


def allowances(document: Document) -> Iterator[Allowance]:
    """Yield what the policy's rules allow: grants, then acls; without both everybody may do everything."""
    default = document.default_postures
    if document.acls is None and document.grants is None:
        yield Allowance((_ANY,), default, ((_ANY, ALL_PORTS),), None, (), 0)
    for grant in document.grants or ():
        postures = grant.postures or default
        for traffic in grant.traffic:
            targets = tuple((selector, traffic.ports) for selector in grant.destinations)
            yield Allowance(grant.sources, postures, targets, traffic.protocol, grant.via, grant.line)
    for acl in document.acls or ():
        postures = acl.postures or default
        yield Allowance(acl.sources, postures, acl.destinations, acl.protocol, (), acl.line)


class Points:
    """Points and the people behind them; `devices` are those points that are one, `places` the others."""

    def __init__(self, people: Iterable[Person], points: Sequence[Point], routes: Iterable[str] = ()) -> None:
        self.points: Final = tuple(points)
        self.people: Final = {person.id: person for person in people}
        self.of_user: Final[dict[int, int]] = defaultdict(int)
        self.of_tag: Final[dict[str, int]] = defaultdict(int)
        self.tagged = 0
        self.places = 0
        self.all: Final = (1 << len(self.points)) - 1
        numbers: dict[int, list[tuple[int, int]]] = {4: [], 6: []}
        for bit, point in enumerate(self.points):
            for version, number in point.addresses:
                numbers[version].append((number, bit))
            self._file(bit, point.device)
        self.devices: Final = self.all & ~self.places
        self.members: Final = self.devices & ~self.tagged
        self._sorted: Final = {version: sorted(found) for version, found in numbers.items()}
        spans = [span_of(text) for text in (*TAILNET, *routes)]
        self.tailnet: Final = self.devices | self._union(spans)
        """What `*` is as a source."""
        self.internet: Final = self._union([span_of(text) for text in INTERNET])

    def _file(self, bit: int, device: Device | None) -> None:
        if device is None:
            self.places |= 1 << bit
        elif device.user is None:
            self.tagged |= 1 << bit
            for tag in device.tags:
                self.of_tag[tag] |= 1 << bit
        else:
            self.of_user[device.user] |= 1 << bit

    def within(self, span: Span) -> int:
        """Return the points with an address in the span."""
        version, first, last = span
        found = self._sorted[version]
        low, high = bisect_left(found, (first, 0)), bisect_right(found, (last, len(self.points)))
        mask = 0
        for _, bit in found[low:high]:
            mask |= 1 << bit
        return mask

    def _union(self, spans: Iterable[Span]) -> int:
        mask = 0
        for span in spans:
            mask |= self.within(span)
        return mask

    def users_in(self, mask: int) -> Iterator[tuple[int, int]]:
        """Yield each user with devices in the mask, and that part of the mask."""
        rest = mask & self.members
        while rest:
            device = self.points[lowest(rest)].device
            if device is None or device.user is None:
                raise AssertionError("members have users")
            own = self.of_user[device.user]
            yield device.user, rest & own
            rest &= ~own


class Masks:
    """What the selectors of one document stand for among some points."""

    def __init__(self, document: Document, points: Points) -> None:
        self.document: Final = document
        self.points: Final = points
        self._known: Final[dict[Selector, int]] = {}
        self._users_by_login: Final[dict[str, list[int]]] = defaultdict(list)
        for person in points.people.values():
            for login in person.logins:
                self._users_by_login[login].append(person.id)

    def devices(self, selector: Selector) -> int:
        """Return the devices and places of which the selector speaks; `*` is every device."""
        known = self._known.get(selector)
        if known is None:
            known = self._known[selector] = self._find(selector)
        return known

    def source(self, selector: Selector) -> int:
        """Return the points that a source selector has."""
        match selector.kind:
            case Kind.ANY:
                return self.points.tailnet
            case Kind.DANGER_ALL:
                return self.points.all
            case _:
                return self.devices(selector)

    def destination(self, selector: Selector) -> int:
        """Return the points that a destination selector has; none for `autogroup:self`."""
        match selector.kind:
            case Kind.ANY | Kind.DANGER_ALL:
                return self.points.all
            case Kind.INTERNET:
                return self.points.internet & self.points.places
            case _:
                return self.devices(selector)

    def sources(
        self, selectors: Iterable[Selector], postures: tuple[str, ...], holding: Mapping[str, int]
    ) -> int:
        """Return the points that a rule has as sources; `holding` says which devices fulfil which posture."""
        mask = 0
        for selector in selectors:
            mask |= self.source(selector)
        if not postures:
            return mask
        able = 0
        for name in postures:
            able |= holding.get(name, 0)
        return mask & able & self.points.devices

    def _find(self, selector: Selector) -> int:
        points = self.points
        match selector.kind:
            case Kind.ANY | Kind.DANGER_ALL:
                return points.devices
            case Kind.RANGE:
                return points.within((selector.version, selector.first, selector.last))
            case Kind.TAG:
                return points.of_tag.get(selector.value, 0)
            case Kind.TAGGED:
                return points.tagged
            case Kind.MEMBER:
                return points.members
            case kind if kind in PEOPLE:
                return self._of_people(selector)
            case _:
                return 0

    def _of_people(self, selector: Selector) -> int:
        if selector.kind in {Kind.USER, Kind.GROUP}:
            logins = (
                (selector.value,)
                if selector.kind is Kind.USER
                else self.document.groups.get(selector.value, ())
            )
            ids = {number for login in logins for number in self._users_by_login.get(login, ())}
        else:
            people = self.points.people.values()
            ids = {person.id for person in people if names(self.document, selector, person)}
        mask = 0
        for number in ids:
            mask |= self.points.of_user.get(number, 0)
        return mask


def lowest(mask: int) -> int:
    """Return the number of the lowest bit that is set."""
    return (mask & -mask).bit_length() - 1


def bits(mask: int) -> Iterator[int]:
    """Yield the numbers of the bits that are set, upwards."""
    while mask:
        low = mask & -mask
        yield low.bit_length() - 1
        mask ^= low
