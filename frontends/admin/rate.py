"""How often an address may be turned away: a token bucket for each.

Rule 1: pure: the time is passed in, in seconds that never go back.
Rule 2: an IPv6 address counts as its /64: whoever has one has all of it.
Rule 3: a full bucket is as good as none and is dropped; beyond `MOST` the one that was used longest ago is forgotten.
"""

import ipaddress
from typing import Final

BURST: Final = 20
"""Wrong keys at once: a person who pastes a wrong one into a tool that asks for four lists, a few times."""
PER_SECOND: Final = 0.5
FULL_SECONDS: Final = BURST / PER_SECOND
MOST: Final = 10_000
"""Addresses that are remembered: about 2 MB."""


class Rates:
    """The buckets of all addresses that were turned away lately."""

    def __init__(self) -> None:
        self._buckets: dict[str, tuple[float, float]] = {}
        """What was left and when that was, in the order of the last use."""

    def spend(self, address: str, now: float) -> float:
        """Take one try of the address's; return 0 if it may try, else the seconds until it may."""
        place = _place(address)
        left, since = self._buckets.pop(place, (float(BURST), now))
        left = min(float(BURST), left + (now - since) * PER_SECOND)
        granted = left >= 1
        self._buckets[place] = (left - 1 if granted else left, now)
        self._forget(now - FULL_SECONDS)
        return 0.0 if granted else (1 - left) / PER_SECOND

    def refund(self, address: str, now: float) -> None:
        """Give back a try that was a good key."""
        place = _place(address)
        left, since = self._buckets.pop(place, (float(BURST), now))
        left = min(float(BURST), left + (now - since) * PER_SECOND + 1)
        if left < BURST:
            self._buckets[place] = (left, now)

    def __len__(self) -> int:
        return len(self._buckets)

    def _forget(self, full: float) -> None:
        while self._buckets:
            oldest = next(iter(self._buckets))
            if len(self._buckets) <= MOST and self._buckets[oldest][1] > full:
                return
            del self._buckets[oldest]


def _place(address: str) -> str:
    try:
        found = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    return address if found.version == 4 else str(ipaddress.ip_network((int(found), 64), strict=False))  # noqa: PLR2004
