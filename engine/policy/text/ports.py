"""Ports and protocols as acls and grants write them; pure.

Rule 1: a port is 1 to 65535, and `*` is all with 0 among them; `1-65535` stays what it says.
Rule 2: a grant's `ip` item is `*`, ports, or `protocol:ports`: a number alone is a port, never a protocol.
"""

import re
from collections.abc import Collection, Iterable
from typing import Final

from engine.policy.document import ALL_PORTS, Ports, Traffic
from engine.policy.faults import PolicyFault
from engine.policy.text.fields import fault, suggestion, too_many
from engine.policy.text.hujson import Text, shown

MAX_PORTS: Final = 1_000
"""Ports and ranges in one list."""
PROTOCOLS: Final = {
    "icmp": 1,
    "igmp": 2,
    "ipv4": 4,
    "ip-in-ip": 4,
    "tcp": 6,
    "egp": 8,
    "igp": 9,
    "udp": 17,
    "dccp": 33,
    "gre": 47,
    "esp": 50,
    "ah": 51,
    "ipv6-icmp": 58,
    "sctp": 132,
    "fc": 133,
}
WITH_PORTS: Final = frozenset({None, 6, 17, 132})
"""Protocols whose packets have ports; clients let others through by rules for all ports only."""
_MAX_PROTOCOL: Final = 255
_MAX_PORT: Final = 65_535
_DIGITS: Final = re.compile(r"0*([0-9]{1,5})")
_HINT: Final = "write a port (22), a range (80-90), a list (80,443) or *"


def protocol_of(text: str, place: Text) -> int | None:
    """Return the number of a protocol, None for any.

    Raises:
        PolicyFault: `bad-protocol`.
    """
    name = text.strip().lower()
    if name in ("", "*"):
        return None
    if name in PROTOCOLS:
        return PROTOCOLS[name]
    number = _number(name)
    if number is None or not 1 <= number <= _MAX_PROTOCOL:
        hint = (
            suggestion(name, PROTOCOLS)
            or f"write a number up to {_MAX_PROTOCOL} or one of {', '.join(PROTOCOLS)}"
        )
        raise fault("bad-protocol", place, f"{shown(text)} is no protocol", hint)
    return number


def ports_of(text: str, place: Text) -> Ports:
    """Return the ports of a list such as `80,443,8000-8100`.

    Raises:
        PolicyFault: `bad-port`, `too-many`.
    """
    if text.strip() == "*":
        return ALL_PORTS
    parts = text.split(",", MAX_PORTS)
    if len(parts) > MAX_PORTS:
        raise too_many(place, f"more than {MAX_PORTS:,} ports in one list")
    return tuple(_range(part.strip(), place) for part in parts)


def traffic_of(items: Iterable[Text]) -> tuple[Traffic, ...]:
    """Return a grant's `ip` items gathered by protocol, in the order in which each first appears.

    Raises:
        PolicyFault: `bad-port`, `bad-protocol`, `too-many`.
    """
    gathered: dict[int | None, list[tuple[int, int]]] = {}
    count = 0
    for item in items:
        protocol, colon, ports = item.value.strip().rpartition(":")
        found = ports_of(ports, item)
        count += len(found)
        if count > MAX_PORTS:
            raise too_many(item, f"a grant has more than {MAX_PORTS:,} ports")
        gathered.setdefault(protocol_of(protocol, item) if colon else None, []).extend(found)
    return tuple(Traffic(protocol=protocol, ports=tuple(ports)) for protocol, ports in gathered.items())


def are_useless(protocol: int | None, ports: Collection[tuple[int, int]]) -> bool:
    """Return whether ports are asked for of a protocol that has none."""
    return protocol not in WITH_PORTS and any(ports_range != ALL_PORTS[0] for ports_range in ports)


def _range(text: str, place: Text) -> tuple[int, int]:
    if text == "*":
        return ALL_PORTS[0]
    low, hyphen, high = text.partition("-")
    first = _port(low.strip(), text, place)
    last = _port(high.strip(), text, place) if hyphen else first
    if last < first:
        raise fault("bad-port", place, f"the range {shown(text)} ends before it begins", _HINT)
    return first, last


def _port(text: str, whole: str, place: Text) -> int:
    number = _number(text)
    if number is None:
        raise _no_port(text, whole, place)
    if number == 0:
        raise fault("bad-port", place, f"{shown(whole)}: there is no port 0", "write * for all ports")
    if number > _MAX_PORT:
        raise fault("bad-port", place, f"{shown(whole)}: ports end at {_MAX_PORT}", _HINT)
    return number


def _number(text: str) -> int | None:
    found = _DIGITS.fullmatch(text)
    return None if found is None else int(found.group(1))


def _no_port(text: str, whole: str, place: Text) -> PolicyFault:
    hint = _HINT
    if text.lower() in PROTOCOLS:
        hint = f'write "{text.lower()}:*" for a whole protocol'
    elif place.value.strip().startswith("autogroup:"):
        hint = f"write {shown(f'{place.value.strip()}:*')}: in acls a destination ends with its ports"
    return fault("bad-port", place, f"{shown(place.value)}: {shown(whole)} is no port", hint)
