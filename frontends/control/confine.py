"""What a viewer's visible nodes own, and ranges cut to that; pure.

Rule 1: what is left of a range is owned by a visible node: an address of it, or a part of a route that leads to it in this view.
        Packets from there come through that node or not at all, since clients believe the narrowest owner of an address.
Rule 2: what a WireGuard-only peer that may call the viewer has is a source only where a rule names a range that it lies in; of
        what such a peer has too, no route is left by anything else: it could be the peer that sends.
"""

from collections.abc import Iterable, Iterator
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, summarize_address_range
from typing import Final

from engine.policy.ranges import Span, overlap, span_of

_EVERYTHING: Final = "*"
_IPV4: Final = 4


class Owned:
    """Addresses and routes of nodes, and prefixes of WireGuard-only peers that may call."""

    def __init__(self, addresses: Iterable[str], routes: Iterable[str], callers: Iterable[str] = ()) -> None:
        self._addresses: Final = tuple(sorted(addresses))
        self._callers: Final = tuple(sorted(set(callers)))
        self._routes: Final = tuple(sorted(_without(set(routes), self._callers)))

    @staticmethod
    def of_addresses(addresses: Iterable[str]) -> "Owned":
        """Return what somebody owns who has these addresses and no routes."""
        return Owned(addresses, ())

    def cut(self, texts: Iterable[str]) -> tuple[str, ...]:
        """Return what nodes own of these addresses, prefixes and ranges, without repetition."""
        found: dict[str, None] = {}
        for text in texts:
            if text == _EVERYTHING:
                found.update(dict.fromkeys((*self._addresses, *self._routes)))
                continue
            version, first, last = span_of(text)
            found.update(dict.fromkeys(self.between(version, first, last)))
            for route in self._routes:
                found.update(dict.fromkeys(_common(span_of(route), (version, first, last))))
        return tuple(found)

    def named(self, texts: Iterable[str]) -> tuple[str, ...]:
        """Return what nodes and callers own of the addresses, prefixes and ranges that a rule names, without repetition."""
        asked = tuple(texts)
        found = dict.fromkeys(self.cut(asked))
        for text in asked:
            for caller in self._callers:
                found.update(dict.fromkeys(_common(span_of(caller), span_of(text))))
        return tuple(found)

    def between(self, version: int, first: int, last: int) -> Iterator[str]:
        """Yield the addresses in a range, sorted as texts."""
        wanted = (version, first, last)
        return (address for address in self._addresses if overlap(_span(address), wanted))


@lru_cache(maxsize=65_536)
def _span(address: str) -> Span:
    return span_of(address)


def _without(routes: Iterable[str], others: Iterable[str]) -> Iterator[str]:
    """Yield what is left of the routes without the others."""
    taken = [span_of(other) for other in others]
    for route in routes:
        if any(overlap(span_of(route), span) for span in taken):
            yield from _left(span_of(route), taken)
        else:
            yield route


def _left(whole: Span, taken: Iterable[Span]) -> Iterator[str]:
    version, first, last = whole
    for _, low, high in sorted(span for span in taken if overlap(span, whole)):
        if first < low:
            yield from _common((version, first, low - 1), whole)
        first = max(first, high + 1)
    if first <= last:
        yield from _common((version, first, last), whole)


def _common(one: Span, other: Span) -> Iterator[str]:
    if not overlap(one, other):
        return
    first, last = max(one[1], other[1]), min(one[2], other[2])
    kind = IPv4Address if one[0] == _IPV4 else IPv6Address
    yield from map(str, summarize_address_range(kind(first), kind(last)))
