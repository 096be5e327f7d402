"""How often a machine may ask: a token bucket for each machine key.

Rule 1: pure: the time is passed in, in seconds that never go back.
Rule 2: a full bucket is as good as none and is dropped. When more than `MOST` machines ask within the time that a
        bucket takes to fill, the one that has not asked for longest is forgotten all the same: a reconnect storm of a
        large tailnet must not be shut out, and who has that many machine keys is not held by a rate per key.
"""

from typing import Final

from engine.domain.values import MachineKey

BURST: Final = 40
"""Requests at once: a real client that is refused asks about 12 times within 7 s (measured), one that has
joined asks three times (register, map, lite update), and a person may restart it a few times."""
PER_SECOND: Final = 2.0
"""Requests that may go on for ever: a client's own back-off is slower, and its lite updates are far apart."""
FULL_SECONDS: Final = BURST / PER_SECOND
"""After which every bucket is full."""
MOST: Final = 10_000
"""Machines that are remembered: about 2 MB."""


class Rates:
    """The buckets of all machines that have asked lately."""

    def __init__(self) -> None:
        self._buckets: dict[MachineKey, tuple[float, float]] = {}
        """What was left and when that was, in the order of the last request."""

    def __len__(self) -> int:
        return len(self._buckets)

    def spend(self, machine: MachineKey, now: float) -> float:
        """Take one request of the machine's; return 0 if it may ask, else the seconds until it may.

        A request that is turned away costs nothing.
        """
        left, since = self._buckets.pop(machine, (float(BURST), now))
        left = min(BURST, left + (now - since) * PER_SECOND)
        granted = left >= 1
        self._buckets[machine] = (left - 1 if granted else left, now)
        self._forget(now - FULL_SECONDS)
        return 0.0 if granted else (1 - left) / PER_SECOND

    def _forget(self, full: float) -> None:
        while self._buckets:
            oldest = next(iter(self._buckets))
            if len(self._buckets) <= MOST and self._buckets[oldest][1] > full:
                return
            del self._buckets[oldest]
