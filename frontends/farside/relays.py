"""Mullvad's lists of relays, in the three shapes that people have (reference: ecosystem §6.5).

Rule 1: the shape is told by the content: `locations` with `wireguard.relays` (what the application downloads), or
        `countries[].cities[].relays[]`: the older public list, and, with `endpoint_data`, the application's cache.
Rule 2: only what WireGuard can use is taken: relays of other kinds, and those without a key, are passed over.
Rule 3: what a list says of a relay is checked here only as to its type; the engine decides.
"""

import ipaddress
import itertools
from collections.abc import Iterator
from typing import Annotated, Any, Final

import msgspec

from frontends.farside.relaylist import ListFault, Relay, RelayList

GATEWAY: Final = "10.64.0.1"
"""The resolver inside Mullvad's tunnels, for lists that do not say it."""
_DEFAULT_WEIGHT: Final = 100

Port = Annotated[int, msgspec.Meta(ge=1, le=65_535)]


class _Relay(msgspec.Struct, frozen=True, kw_only=True):
    hostname: str
    ipv4_addr_in: str
    ipv6_addr_in: str | None = None
    public_key: str | None = None
    endpoint_data: Any = None
    tunnels: Any = None
    location: Any = None
    active: bool = True
    owned: bool = False
    provider: str = ""
    weight: int = _DEFAULT_WEIGHT


class _Place(msgspec.Struct, frozen=True, kw_only=True):
    country: str
    city: str
    latitude: float
    longitude: float


class _WireGuard(msgspec.Struct, frozen=True, kw_only=True):
    relays: tuple[_Relay, ...] = ()
    ipv4_gateway: str = GATEWAY
    port_ranges: tuple[tuple[Port, Port], ...] = ()


class _City(msgspec.Struct, frozen=True, kw_only=True):
    name: str
    code: str
    latitude: float
    longitude: float
    relays: tuple[_Relay, ...] = ()


class _Country(msgspec.Struct, frozen=True, kw_only=True):
    name: str
    code: str
    cities: tuple[_City, ...] = ()


class _List(msgspec.Struct, frozen=True, kw_only=True):
    locations: dict[str, _Place] | None = None
    countries: tuple[_Country, ...] | None = None
    wireguard: _WireGuard = _WireGuard()


def read(data: bytes | str) -> RelayList:
    """Return the relays of a list, by host name.

    Raises:
        ListFault: it is not JSON, has neither shape, has a wrong type in it, a relay twice, or no relay at all.
    """
    try:
        found = msgspec.json.decode(data, type=_List)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise ListFault(f"not a list of relays: {error}") from None
    if found.locations is None and found.countries is None:
        raise ListFault("not a list of relays: it has neither `locations` nor `countries`")
    relays = sorted([*_flat(found), *_tree(found.countries or ())])
    if not relays:
        raise ListFault("there is no WireGuard relay in this list; nothing is concluded from that")
    for one, other in itertools.pairwise(relays):
        if one.hostname == other.hostname:
            raise ListFault(f"{one.hostname!r} is in this list twice")
    return RelayList(tuple(relays), found.wireguard.ipv4_gateway, found.wireguard.port_ranges)


def _flat(found: _List) -> Iterator[Relay]:
    places = found.locations or {}
    for relay in found.wireguard.relays:
        code = relay.location
        if not isinstance(code, str) or code not in places or "-" not in code:
            raise ListFault(f"{relay.hostname!r} is at {code!r}, which is not one of the list's locations")
        country_code, _, city_code = code.partition("-")
        place = places[code]
        yield from _relay(
            relay,
            _City(name=place.city, code=city_code, latitude=place.latitude, longitude=place.longitude),
            _Country(name=place.country, code=country_code),
        )


def _tree(countries: tuple[_Country, ...]) -> Iterator[Relay]:
    for country in countries:
        for city in country.cities:
            for relay in city.relays:
                yield from _relay(relay, city, country)


def _relay(relay: _Relay, city: _City, country: _Country) -> Iterator[Relay]:
    """Yield the relay, if it is one of WireGuard (rule 2)."""
    key = relay.public_key or _nested_key(relay)
    if key is None:
        return
    yield Relay(
        hostname=relay.hostname,
        key=key,
        addresses=tuple(text for text in (relay.ipv4_addr_in, relay.ipv6_addr_in) if text and _reaches(text)),
        country=country.name,
        country_code=country.code.upper(),
        city=city.name,
        city_code=city.code.upper(),
        latitude=city.latitude,
        longitude=city.longitude,
        active=relay.active,
        owned=relay.owned,
        provider=relay.provider,
        weight=max(0, min(relay.weight, 2**31 - 1)),
    )


def _nested_key(relay: _Relay) -> str | None:
    """Return the key of a relay in the application's cache, of today or of before 2022."""
    match relay.endpoint_data, relay.tunnels:
        case {"wireguard": {"public_key": str(key)}}, _:
            return key
        case _, {"wireguard": [{"public_key": str(key)}, *_]}:
            return key
        case _:
            return None


def _reaches(text: str) -> bool:
    """Return whether the address is not the unspecified one, which lists have where there is none."""
    try:
        return not ipaddress.ip_address(text).is_unspecified
    except ValueError:
        return True  # the engine says what is wrong with it
