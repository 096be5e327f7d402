"""Who is inside, how many are at the threshold, and how many strangers have passed it.

Rule 1: at most `PENDING` shake hands at a time, and `PENDING_PER_ADDRESS` from one address.
Rule 2: as many again may be inside whose machine has no node: a handshake costs a stranger nothing but a fresh key.
Rule 3: loopback is exempt from what holds for one address: a reverse proxy, or a test, brings everybody from there.
Rule 4: an IPv6 address counts as its /64: that is what one customer has.
Rule 5: balancers are exempt too, as the settings name them: everybody comes from there.
"""

import asyncio
import ipaddress
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Final, Protocol

from engine.ports import Fault
from frontends.control.admission import Admission

PENDING: Final = 2_000
PENDING_PER_ADDRESS: Final = 100
"""Reference: reliability-security §4.5."""
STRANGERS: Final = 2_000
STRANGERS_PER_ADDRESS: Final = 100
"""As at the threshold. Machines that wait for an approval are strangers, and a login queue holds 1,000 of them."""
ROUNDS: Final = 10
"""With a look every half second each connection is looked at every 5 s: it bounds times of 30 s and more."""
_PREFIX_V6: Final = 64
_Network = ipaddress.IPv4Network | ipaddress.IPv6Network


class Guest(Protocol):
    """A connection."""

    def sweep(self, now: float) -> None:
        """Look after itself."""
        ...

    def leave(self) -> None:
        """Close in good order: what was asked is answered first."""
        ...

    def abort(self) -> None:
        """Close at once."""
        ...


class Door:
    """Every open connection of a frontend; `balancers` are addresses and networks.

    Raises:
        Fault: one of them is neither.
    """

    def __init__(self, balancers: Iterable[str] = ()) -> None:
        exempt = tuple(_network(text) for text in balancers)
        self.guests: Final[set[Guest]] = set()
        self.empty: Final = asyncio.Event()
        """Set while nobody is inside."""
        self.empty.set()
        self._unswept: list[Guest] = []
        """Who has not had a turn in this round."""
        self.admission: Final = Admission()
        self._pending: Final = _Crowd(PENDING, PENDING_PER_ADDRESS, exempt)
        self._strangers: Final = _Crowd(STRANGERS, STRANGERS_PER_ADDRESS, exempt)

    def enter(self, guest: Guest, address: str) -> bool:
        """Let a connection in; return False if there are too many at the threshold."""
        if not self._pending.add(address):
            return False
        self.guests.add(guest)
        self.empty.clear()
        return True

    def passed(self, address: str) -> None:
        """Take note that a connection has done its handshake, or will never do it."""
        self._pending.remove(address)

    def admit(self, address: str) -> bool:
        """Let in a connection whose machine has no node; return False if there are too many of those."""
        return self._strangers.add(address)

    def known(self, address: str) -> None:
        """Take note that an admitted connection's machine has a node now, or that the connection is gone."""
        self._strangers.remove(address)

    def sweep(self, now: float) -> None:
        """Let a part of the connections look after themselves: each has its turn in `ROUNDS` of these."""
        if not self._unswept:
            self._unswept = list(self.guests)
        for _ in range(min(len(self._unswept), len(self.guests) // ROUNDS + 1)):
            guest = self._unswept.pop()
            if guest in self.guests:
                guest.sweep(now)

    def leave(self, guest: Guest) -> None:
        """Forget a connection."""
        self.guests.discard(guest)
        if not self.guests:
            self.empty.set()


class _Crowd:
    """So many in all, and so many from one place."""

    def __init__(self, most: int, most_of_place: int, exempt: Sequence[_Network]) -> None:
        self._exempt: Final = exempt
        self._most: Final = most
        self._most_of_place: Final = most_of_place
        self._places: Final[Counter[str]] = Counter()
        self._total = 0

    def add(self, address: str) -> bool:
        """Count one more; return False if there is no room."""
        place = place_of(address, self._exempt)
        if self._total >= self._most or (place and self._places[place] >= self._most_of_place):
            return False
        self._places[place] += 1
        self._total += 1
        return True

    def remove(self, address: str) -> None:
        """Count one less."""
        place = place_of(address, self._exempt)
        self._total -= 1
        self._places[place] -= 1
        if not self._places[place]:
            del self._places[place]


def _network(text: str) -> _Network:
    try:
        return ipaddress.ip_network(text.strip(), strict=False)
    except ValueError:
        raise Fault(
            f"the balancer {text!r} is no address or network, such as 10.0.0.5 or 10.0.0.0/24"
        ) from None


def place_of(address: str, exempt: Sequence[_Network] = ()) -> str:
    """Return what an address counts as: itself, its /64, or nothing if it is exempt."""
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return ""  # a socket without addresses
    if any(found in network for network in exempt):
        return ""
    if isinstance(found, ipaddress.IPv6Address):
        if found.ipv4_mapped is None:
            if found.is_loopback:
                return ""
            return str(ipaddress.IPv6Network((int(found), _PREFIX_V6), strict=False))
        return place_of(str(found.ipv4_mapped), exempt)
    return "" if found.is_loopback else str(found)
