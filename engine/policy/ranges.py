"""Ranges of addresses: what they are as numbers, which of a policy's ranges have an address or overlap a route.

Rule 1: ranges are prefixes nearly always: those are found by one look-up for each length that the policy uses; only what is no
        prefix is tried one by one.
"""

import ipaddress
from collections.abc import Iterable
from functools import lru_cache
from typing import Final

from engine.policy.document import Selector

TAILNET: Final = ("100.64.0.0-100.115.91.255", "100.115.94.0-100.127.255.255", "fd7a:115c:a1e0::/48")
"""What `*` is as a source: the tailnet's addresses without those of ChromeOS (reference: policy-semantics §3.1)."""
INTERNET: Final = (
    "0.0.0.0-9.255.255.255",
    "11.0.0.0-100.63.255.255",
    "100.128.0.0-169.253.255.255",
    "169.255.0.0-172.15.255.255",
    "172.32.0.0-192.167.255.255",
    "192.169.0.0-255.255.255.255",
    "2000::-3fff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
)
"""What `autogroup:internet` is as a destination (reference: policy-semantics §3.3, 10)."""
EXIT_ROUTES: Final = ("0.0.0.0/0", "::/0")

Span = tuple[int, int, int]
"""IP version, first and last address as numbers."""


@lru_cache(maxsize=65_536)
def span_of(text: str) -> Span:
    """Return an address, prefix or `a-b` as numbers.

    Raises:
        ValueError: the text is none of these.
    """
    if "-" in text:
        low, _, high = text.partition("-")
        first, last = ipaddress.ip_address(low), ipaddress.ip_address(high)
        return first.version, int(first), int(last)
    network = ipaddress.ip_network(text, strict=False)
    return network.version, int(network.network_address), int(network.broadcast_address)


def overlap(one: Span, other: Span) -> bool:
    """Return whether the two have an address in common."""
    return one[0] == other[0] and one[1] <= other[2] and other[1] <= one[2]


class Ranges:
    """The ranges that a policy names."""

    def __init__(self, selectors: Iterable[Selector]) -> None:
        self._all: Final[dict[str, Span]] = {s.value: (s.version, s.first, s.last) for s in selectors}
        self._prefixes: Final[dict[int, dict[int, dict[int, str]]]] = {4: {}, 6: {}}
        """Texts by IP version, the bits that are free, and the bits before those."""
        self._others: Final[list[tuple[str, Span]]] = []
        for text, (version, first, last) in self._all.items():
            free = (last - first).bit_length()
            if last - first == (1 << free) - 1 and not first & (last - first):
                self._prefixes[version].setdefault(free, {})[first >> free] = text
            else:
                self._others.append((text, (version, first, last)))

    @property
    def spans(self) -> frozenset[Span]:
        """The ranges as numbers."""
        return frozenset(self._all.values())

    def having(self, address: str) -> Iterable[str]:
        """Return the ranges that have the address, by their texts."""
        version, number, _ = span_of(address)
        for free, texts in self._prefixes[version].items():
            text = texts.get(number >> free)
            if text is not None:
                yield text
        for text, span in self._others:
            if span[0] == version and span[1] <= number <= span[2]:
                yield text

    def overlapping(self, prefix: str) -> Iterable[str]:
        """Return the ranges that overlap the prefix, by their texts."""
        wanted = span_of(prefix)
        return (text for text, span in self._all.items() if overlap(span, wanted))
