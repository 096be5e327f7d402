"""Where a policy's tests are tried: every address of every device, and whatever else the tests name; pure.

Rule 1: a user, tag or group of a test that has no device gets one without an address, which only its own tests see.
Rule 2: a range as a source is tried at one address of each part that the policy can tell from the others.
"""

import ipaddress
import itertools
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from engine.policy.document import Document, Kind, Selector
from engine.policy.matching import addresses_of, names
from engine.policy.points import Masks, Point, Points, allowances, bits
from engine.policy.postures import Value, fulfilled
from engine.policy.ranges import TAILNET, Span, span_of
from engine.policy.subjects import Device, Person

_EVERYTHING: Final = ((4, 0, 2**32 - 1), (6, 0, 2**128 - 1))


class World:
    """The points of some tests, which are about these selectors."""

    def __init__(
        self,
        document: Document,
        people: Sequence[Person],
        devices: Sequence[Device],
        selectors: Iterable[Selector],
    ) -> None:
        routes = sorted({route for device in devices for route in device.routes})
        real = [point for device in devices for point in _points(device)]
        known = Masks(document, Points(people, real))
        named = dict.fromkeys(selectors)
        stand_ins = [
            Point(device, ())
            for selector in named
            if not known.devices(selector)
            for device in _stand_ins(document, selector, people)
        ]
        taken = {address for point in real for address in point.addresses}
        places = [Point(None, (address,)) for address in _places(document, named, routes, taken)]
        self.document: Final = document
        self.points: Final = Points(people, (*real, *places, *stand_ins), routes)
        self.masks: Final = Masks(document, self.points)
        self._real: Final = (1 << len(real) + len(places)) - 1
        self._whole: Final = tuple(_whole(self.points.points))

    def device(self, bit: int) -> int:
        """Return all points of the device that has this one."""
        return self._whole[bit]

    def meant(self, selector: Selector) -> int:
        """Return the points that a test means: real ones, and stand-ins only where there are none."""
        mask = self.masks.source(selector)
        return mask & self._real or mask

    def holding(self, facts: dict[str, Value]) -> dict[str, int]:
        """Return which devices fulfil which posture when all are such as the facts say."""
        return dict.fromkeys(fulfilled(self.document.postures, facts), self.points.devices)

    def describe(self, mask: int) -> str:
        """Return the first of the points for people: `bob@example.com (100.64.0.5)`."""
        point = self.points.points[next(bits(mask))]
        texts = [str(_address(*address)) for address in point.addresses]
        device = point.device
        if device is None:
            return texts[0]
        if device.user is None:
            whose = ", ".join(device.tags)
        else:
            whose = self.points.people[device.user].logins[0] if device.user in self.points.people else "?"
        return f"{whose} ({texts[0]})" if texts else whose


def _points(device: Device) -> Iterator[Point]:
    spans = [span_of(text) for text in addresses_of(device)]
    yield from (Point(device, ((version, number),)) for version, number, _ in spans)
    if not spans:
        yield Point(device, ())


def _whole(points: Sequence[Point]) -> Iterator[int]:
    """Yield for each point all that are of the same device; those stand beside each other."""
    for _, same in itertools.groupby(enumerate(points), lambda item: id(item[1].device or item[1])):
        found = [bit for bit, _ in same]
        yield from [sum(1 << bit for bit in found)] * len(found)


def _stand_ins(document: Document, selector: Selector, people: Sequence[Person]) -> Iterator[Device]:
    if selector.kind is Kind.TAG:
        yield Device(id=0, user=None, tags=(selector.value,))
    if selector.kind in {Kind.USER, Kind.GROUP}:
        for person in people:
            if names(document, selector, person):
                yield Device(id=0, user=person.id)


def _places(
    document: Document, selectors: Iterable[Selector], routes: Sequence[str], taken: set[tuple[int, int]]
) -> Iterator[tuple[int, int]]:
    cuts = [span_of(text) for text in (*TAILNET, *routes)]
    cuts += [(s.version, s.first, s.last) for s in _ranges(document)]
    found: set[tuple[int, int]] = set()
    for selector in selectors:
        for span in _spans(selector, routes):
            found.update(_one_of_each(span, cuts, taken))
    yield from sorted(found)


def _spans(selector: Selector, routes: Sequence[str]) -> Sequence[Span]:
    match selector.kind:
        case Kind.RANGE:
            return ((selector.version, selector.first, selector.last),)
        case Kind.ANY:
            return tuple(span_of(text) for text in (*TAILNET, *routes))
        case Kind.DANGER_ALL:
            return _EVERYTHING
        case _:
            return ()


def _one_of_each(span: Span, cuts: Iterable[Span], taken: set[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """Yield an address of nobody in each part of the span."""
    version, first, last = span
    edges = {edge for its, low, high in cuts if its == version for edge in (low, high + 1)}
    starts = sorted({first, *(edge for edge in edges if first < edge <= last)})
    for start, end in zip(starts, (*starts[1:], last + 1), strict=True):
        number = start
        while number < end and (version, number) in taken:
            number += 1
        if number < end:
            yield version, number


def _ranges(document: Document) -> Iterator[Selector]:
    for allowance in allowances(document):
        yield from (selector for selector in allowance.sources if selector.kind is Kind.RANGE)


def _address(version: int, number: int) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    return ipaddress.IPv4Address(number) if version == 4 else ipaddress.IPv6Address(number)  # noqa: PLR2004
