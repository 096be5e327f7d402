"""Who is inside, and how many are still at the threshold: strangers cost memory until their handshake is done.

Rule 1: at most `PENDING` at a time, and `PENDING_PER_ADDRESS` from one address. Loopback is exempt from the latter: a
        reverse proxy, or a test, brings everybody from there.
"""

import asyncio
import ipaddress
from collections import Counter
from typing import Final, Protocol

PENDING: Final = 2_000
PENDING_PER_ADDRESS: Final = 100
"""Reference: reliability-security §4.5."""


class Guest(Protocol):
    """A connection."""

    def sweep(self, now: float) -> None:
        """Look after itself."""
        ...

    def drain(self) -> None:
        """Close in good order."""
        ...

    def abort(self) -> None:
        """Close at once."""
        ...


class Door:
    """Every open connection of a frontend."""

    def __init__(self) -> None:
        self.guests: Final[set[Guest]] = set()
        self.empty: Final = asyncio.Event()
        """Set while nobody is inside."""
        self.empty.set()
        self._pending: Final[Counter[str]] = Counter()
        self._total = 0

    def enter(self, guest: Guest, address: str) -> bool:
        """Let a connection in; return False if there are too many at the threshold."""
        if self._total >= PENDING:
            return False
        if self._pending[address] >= PENDING_PER_ADDRESS and not _is_loopback(address):
            return False
        self._pending[address] += 1
        self._total += 1
        self.guests.add(guest)
        self.empty.clear()
        return True

    def passed(self, address: str) -> None:
        """Take note that a connection has done its handshake, or will never do it."""
        self._total -= 1
        self._pending[address] -= 1
        if not self._pending[address]:
            del self._pending[address]

    def leave(self, guest: Guest) -> None:
        """Forget a connection."""
        self.guests.discard(guest)
        if not self.guests:
            self.empty.set()


def _is_loopback(address: str) -> bool:
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return True  # a socket without addresses
