"""What an import of relays will do, before anything is done.

Rule 1: a peer is known by its key; one that is there already is left alone, whatever the list says otherwise.
Rule 2: which peers came of a list is kept in a tag of theirs, of the list's source; only those can be gone from it.
Rule 3: who is gone from the whole list, not only from what was chosen of it, is disabled; removed only with `prune`,
        and never while a node is connected.
Rule 4: a relay with a new key under its name gets it in place: the peer's id stays, and with it everybody's choice.
Rule 5: the label of a city says the relay's host name too, since today's apps list exits by city and show no name; its code
        is the host name then, or they would list one relay of each city.
"""

import ipaddress
from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

from frontends.farside.relaylist import Relay, RelayList

LABELS: Final = ("host", "city")
EVERYTHING: Final = ("0.0.0.0/0", "::/0")
"""Both, or clients do not take it for an exit."""
_Row = Mapping[str, Any]
_LONGEST: Final = 64
"""Characters of a city's label that the engine takes."""


class Filter(NamedTuple):
    """What is chosen of a list: of each kind anything, or one of those named (codes or names, of any case)."""

    countries: tuple[str, ...] = ()
    cities: tuple[str, ...] = ()
    providers: tuple[str, ...] = ()
    owned: bool = False

    def takes(self, relay: Relay) -> bool:
        """Return whether a relay is chosen; one that is not active never is."""
        return (
            relay.active
            and (relay.owned or not self.owned)
            and _one_of(self.countries, relay.country_code, relay.country)
            and _one_of(self.cities, relay.city_code, relay.city)
            and _one_of(self.providers, relay.provider)
        )


class Manner(NamedTuple):
    """How relays become peers."""

    source: str
    port: int
    label: str
    prune: bool = False
    provider: str | None = None
    """The provider of ours whose relays they are, if nodes are registered there."""

    @property
    def tag(self) -> str:
        """The tag of every peer that came of this source (rule 2)."""
        return f"tag:relays-{self.source}"


class Choice(NamedTuple):
    """A relay, and what becomes of it: `register`, `known`, or `rekey` (rule 4)."""

    name: str
    what: str
    relay: Relay
    id: int | None = None
    differences: tuple[str, ...] = ()
    joins: bool = False
    """Whether a known one becomes a relay of the provider."""


class Gone(NamedTuple):
    """A peer that is not in its source's list any more: `disable`, `remove`, or `disabled` already."""

    id: int
    name: str
    what: str
    connected: tuple[str, ...] = ()


class Plan(NamedTuple):
    """Both, in the order of names."""

    relays: tuple[Choice, ...]
    gone: tuple[Gone, ...]


def plan(found: RelayList, chosen: Filter, manner: Manner, peers: Sequence[_Row]) -> Plan:
    """Return what to do about each chosen relay, and about each peer of the source that is gone from the list."""
    keys = {relay.key for relay in found.relays}
    names = {relay.hostname for relay in found.relays}
    absent = [row for row in peers if manner.tag in _tags(row) and row["publicKeyBase64"] not in keys]
    former = {str(row["name"]): row for row in absent if row["name"] in names}
    by_key = {str(row["publicKeyBase64"]): row for row in peers}
    choices = (_choice(relay, by_key, former, manner) for relay in found.relays if chosen.takes(relay))
    gone = (_gone(row, manner) for row in absent if row["name"] not in former)
    return Plan(tuple(choices), tuple(sorted(gone, key=lambda one: one.name)))


def endpoints(relay: Relay, port: int) -> tuple[str, ...]:
    """Return where a relay is, on a port."""
    return tuple(f"[{one}]:{port}" if ":" in one else f"{one}:{port}" for one in relay.addresses)


def extra_config(relay: Relay, found: RelayList, manner: Manner) -> dict[str, object]:
    """Return a relay's extra config: an exit that is suggested, by place and priority."""
    return {
        "exitNodeDNSResolvers": [found.resolver],
        "suggestExitNode": True,
        "tags": [manner.tag],
        "location": {
            "country": relay.country,
            "countryCode": relay.country_code,
            "city": city_label(relay, manner.label),
            "cityCode": city_code(relay, manner.label),
            "latitude": relay.latitude,
            "longitude": relay.longitude,
            "priority": relay.weight,
        },
    }


def city_label(relay: Relay, label: str) -> str:
    """Return a city as apps show it: with the host name (rule 5), unless that is too long or not wanted."""
    whole = f"{relay.city} ({relay.hostname})"
    return whole if label == "host" and len(whole) <= _LONGEST else relay.city


def city_code(relay: Relay, label: str) -> str:
    """Return the code that goes with `city_label`: lists show one exit for each code (tailscale cmd/tailscale/cli/exitnode.go)."""
    return relay.city_code if city_label(relay, label) == relay.city else relay.hostname.upper()


def _choice(relay: Relay, by_key: Mapping[str, _Row], former: Mapping[str, _Row], manner: Manner) -> Choice:
    row = by_key.get(relay.key)
    if row is not None:
        joins = manner.provider is not None and row.get("provider") != manner.provider
        return Choice(relay.hostname, "known", relay, int(row["id"]), _differences(relay, row, manner), joins)
    old = former.get(relay.hostname)
    if old is not None:
        return Choice(relay.hostname, "rekey", relay, int(old["id"]))
    return Choice(relay.hostname, "register", relay)


def _differences(relay: Relay, row: _Row, manner: Manner) -> tuple[str, ...]:
    has, wanted = sorted(row.get("endpoints") or ()), sorted(map(_canonical, endpoints(relay, manner.port)))
    pairs = (
        ("name", str(row.get("name")), relay.hostname),
        ("endpoints", ", ".join(has), ", ".join(wanted)),
        ("state", "disabled" if row.get("disabled") else "enabled", "enabled"),
    )
    return tuple(f"{name}: {old}; the list has {new}" for name, old, new in pairs if old != new)


def _canonical(endpoint: str) -> str:
    host, _, port = endpoint.rpartition(":")
    try:
        address = ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        return endpoint
    return f"[{address}]:{port}" if ":" in host else f"{address}:{port}"


def _gone(row: _Row, manner: Manner) -> Gone:
    connected = tuple(map(str, row.get("connectedNodes") or ()))
    parked = "disabled" if row.get("disabled") else "disable"
    what = "remove" if manner.prune and not connected else parked
    return Gone(int(row["id"]), str(row["name"]), what, connected)


def _tags(row: _Row) -> Sequence[str]:
    tags = (row.get("extraConfig") or {}).get("tags") or ()
    return list(tags)


def _one_of(wanted: tuple[str, ...], *names: str) -> bool:
    return not wanted or bool({one.casefold() for one in wanted} & {name.casefold() for name in names})
