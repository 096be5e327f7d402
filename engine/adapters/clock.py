"""The machine's clocks: the only place that reads them for decisions."""

import time

from engine.domain.values import Millis


class SystemClock:
    """A `Clock` over the system's."""

    def now(self) -> Millis:
        """Return Unix time in milliseconds; it may jump."""
        return Millis(time.time_ns() // 1_000_000)

    def monotonic(self) -> float:
        """Return seconds that never go back."""
        return time.monotonic()
