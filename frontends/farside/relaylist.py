"""A provider's list of relays, whatever its shape was; `relays.py` reads it.

Rule 1: nothing heavy is imported here: the help of the command line needs these types.
"""

from typing import NamedTuple


class ListFault(Exception):  # noqa: N818 (it is what is wrong with the list)
    """Why a list cannot be read, with the path to the value."""


class Relay(NamedTuple):
    """A relay, whatever the shape of its list."""

    hostname: str
    key: str
    addresses: tuple[str, ...]
    country: str
    country_code: str
    city: str
    city_code: str
    latitude: float
    longitude: float
    active: bool
    owned: bool
    provider: str
    weight: int


class RelayList(NamedTuple):
    """A list's relays by host name, its resolver, and the ports that its relays listen on (none: not said)."""

    relays: tuple[Relay, ...]
    resolver: str
    ports: tuple[tuple[int, int], ...]

    def listens_on(self, port: int) -> bool:
        """Return whether relays listen on the port, as far as the list says."""
        return not self.ports or any(low <= port <= high for low, high in self.ports)
