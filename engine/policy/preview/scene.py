"""What a preview is made over: every device, and the ranges and routes that two policies can tell apart; pure.

Rule 1: ranges are cut where any range, any route, the tailnet or the internet begins or ends: a piece is in a range
        altogether or not at all, and stands for all of its addresses.
Rule 2: addresses of the tailnet are devices, never pieces.
Rule 3: a piece is worth a word if a route leads there; any other only to a rule that names it.
"""

import ipaddress
import itertools
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from engine.policy.document import Document, Kind, Selector
from engine.policy.matching import addresses_of
from engine.policy.points import Point, Points, bits
from engine.policy.ranges import INTERNET, Span, span_of
from engine.policy.subjects import Device, Person

_TAILNET: Final = tuple(map(span_of, ("100.64.0.0/10", "fd7a:115c:a1e0::/48")))
_EDGES: Final = (*_TAILNET, *map(span_of, INTERNET))


class Scene:
    """Points of two documents: devices first, then pieces; masks are as in `Points`."""

    def __init__(
        self, documents: Iterable[Document], people: Iterable[Person], devices: Sequence[Device]
    ) -> None:
        self.devices: Final = tuple(devices)
        self.routes: Final = tuple(sorted({route for device in devices for route in device.routes}))
        named = {s.value: (s.version, s.first, s.last) for document in documents for s in _ranges(document)}
        spans = named | {route: span_of(route) for route in self.routes}
        self.pieces: Final = tuple(_pieces(spans.values()))
        points = [
            Point(device, tuple(span_of(text)[:2] for text in addresses_of(device))) for device in devices
        ]
        points += [Point(None, ((version, first),)) for version, first, _ in self.pieces]
        self.points: Final = Points(people, points, self.routes)
        places = self.points.places
        self._by_size: Final = sorted(
            ((self.points.within(span) & places, text) for text, span in spans.items()),
            key=lambda item: (-item[0].bit_count(), item[1]),
        )
        self.along: Final = {route: self.points.within(span_of(route)) & places for route in self.routes}
        """For each route its pieces."""
        self.behind: Final[dict[int, int]] = {
            bit: self._union(device.routes) for bit, device in enumerate(devices) if device.routes
        }
        """For each router's bit the pieces of its routes."""
        self.worth: Final = self.points.devices | self._union(self.routes)
        self.exits: Final = tuple(bit for bit, device in enumerate(devices) if device.is_exit)
        self.internet: Final = len(self.points.points)
        """The bit that stands for the internet while there is no exit node."""

    def routers(self, pieces: int) -> int:
        """Return the devices with a route that has one of the pieces."""
        mask = 0
        for bit, behind in self.behind.items():
            if behind & pieces:
                mask |= 1 << bit
        return mask

    def labels(self, pieces: int) -> Iterator[tuple[str, int]]:
        """Yield texts for some pieces, each with its pieces: ranges and routes as they were written, as far as it goes."""
        for mask, text in self._by_size:
            if mask and mask & pieces == mask:
                yield text, mask
                pieces &= ~mask
        for bit in bits(pieces):
            yield _text(self.pieces[bit - len(self.devices)]), 1 << bit

    def _union(self, routes: Iterable[str]) -> int:
        mask = 0
        for route in routes:
            mask |= self.along[route]
        return mask


def _ranges(document: Document) -> Iterator[Selector]:
    for grant in document.grants or ():
        yield from (s for s in (*grant.sources, *grant.destinations) if s.kind is Kind.RANGE)
    for acl in document.acls or ():
        yield from (s for s in acl.sources if s.kind is Kind.RANGE)
        yield from (s for s, _ in acl.destinations if s.kind is Kind.RANGE)


def _pieces(spans: Iterable[Span]) -> Iterator[Span]:
    """Yield the pieces of the spans outside the tailnet, in order."""
    for version in (4, 6):
        opens: dict[int, int] = defaultdict(int)
        shuts: dict[int, int] = defaultdict(int)
        for its, first, last in _EDGES:
            if its == version:
                opens[first] += 0
                opens[last + 1] += 0
        for depths, some in ((opens, spans), (shuts, _TAILNET)):
            for its, first, last in some:
                if its == version:
                    depths[first] += 1
                    depths[last + 1] -= 1
        edges = sorted(opens.keys() | shuts.keys())
        depth = shut = 0
        for edge, following in itertools.pairwise(edges):
            depth += opens.get(edge, 0)
            shut += shuts.get(edge, 0)
            if depth and not shut:
                yield version, edge, following - 1


def _text(span: Span) -> str:
    version, first, last = span
    kind = ipaddress.IPv4Address if version == 4 else ipaddress.IPv6Address  # noqa: PLR2004
    if first == last:
        return str(kind(first))
    return f"{kind(first)}-{kind(last)}"
