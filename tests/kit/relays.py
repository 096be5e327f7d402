"""Generated lists of relays, in the shapes of the provider's: nothing in them is anybody's.

1. `relay(n)` is always the same; keys differ by `era`, as after a change of keys.
2. Addresses are of the documentation's ranges and of one private one (RFC 5737, RFC 3849, RFC 2544).
"""

import base64
import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

PLACES: Sequence[tuple[str, str, str, str, float, float]] = (
    ("se", "Sweden", "got", "Gothenburg", 57.70887, 11.97456),
    ("se", "Sweden", "sto", "Stockholm", 59.3289, 18.0649),
    ("de", "Germany", "ber", "Berlin", 52.520008, 13.404954),
    ("us", "USA", "nyc", "New York, NY", 40.73061, -73.935242),
    ("jp", "Japan", "tyo", "Tokyo", 35.685, 139.751389),
)
PROVIDERS = ("31173", "M247", "Datacamp")


def relay(number: int, era: str = "") -> dict[str, Any]:
    """A relay of the application's list, without its place."""
    country, _, city, *_ = PLACES[number % len(PLACES)]
    return {
        "hostname": f"{country}-{city}-wg-{number:03}",
        "active": True,
        "owned": number % 2 == 0,
        "provider": PROVIDERS[number % len(PROVIDERS)],
        "ipv4_addr_in": f"198.18.{number // 250}.{number % 250 + 1}",
        "ipv6_addr_in": f"2001:db8::{number + 1:x}",
        "include_in_country": True,
        "weight": 100 + number % 7,
        "public_key": base64.b64encode(hashlib.sha256(f"relay {number} {era}".encode()).digest()).decode(),
    }


def listed(relays: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """The list that the application downloads."""
    places = {
        f"{code}-{city}": {"country": country, "city": name, "latitude": latitude, "longitude": longitude}
        for code, country, city, name, latitude, longitude in PLACES
    }
    wireguard = {
        "relays": [{**one, "location": one["hostname"][:6]} for one in relays],
        "port_ranges": [[53, 53], [4000, 33433], [33565, 51820], [52000, 60000]],
        "ipv4_gateway": "10.64.0.1",
        "ipv6_gateway": "fc00:bbbb:bbbb:bb01::1",
    }
    return {"locations": places, "wireguard": wireguard, "openvpn": {"relays": []}, "bridge": {"relays": []}}


def public(relays: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """The older public list: countries, cities, relays with few fields."""
    fields = ("hostname", "ipv4_addr_in", "ipv6_addr_in", "public_key")
    kept = [{**{name: one[name] for name in fields}, "multihop_port": 3001} for one in relays]
    return {"countries": _countries(kept)}


def cache(relays: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """The application's cache: the same tree, the key in `endpoint_data`, relays of other kinds among them."""
    kept: list[dict[str, Any]] = []
    for one in relays:
        others = {name: value for name, value in one.items() if name != "public_key"}
        kept.append({**others, "endpoint_data": {"wireguard": {"public_key": one["public_key"]}}})
        bridge = one["hostname"].replace("-wg-", "-br-")
        kept.append({**others, "hostname": bridge, "endpoint_data": "bridge"})
    wireguard = {"port_ranges": [[53, 53], [4000, 60000]], "ipv4_gateway": "10.64.0.1"}
    return {"etag": '"1"', "countries": _countries(kept), "wireguard": wireguard}


def text(document: Mapping[str, Any]) -> str:
    """The list as a file has it."""
    return json.dumps(document)


def _countries(relays: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    countries: dict[str, dict[str, Any]] = {}
    for code, country, city, name, latitude, longitude in PLACES:
        here = [one for one in relays if one["hostname"].startswith(f"{code}-{city}-")]
        made = {"name": name, "code": city, "latitude": latitude, "longitude": longitude, "relays": here}
        countries.setdefault(code, {"name": country, "code": code, "cities": []})["cities"].append(made)
    return list(countries.values())
