"""The extra config of a WireGuard-only peer, from a JSON object.

Rule 1: fields are named as the user's document names them, or as the wire does (`Country`, `CountryCode`, …).
Rule 2: a wrong type or value is refused, with the path to its field; an unknown field is a warning.
Rule 3: a location is all or nothing: the client's list of exit nodes crashes on half a one.
Rule 4: codes are upper case; the user's document writes "sto" itself, so they are changed, visibly.
"""

import difflib
import math
import re
from collections.abc import Mapping
from typing import Final
from urllib.parse import urlsplit

from engine.domain.endpoints import parse_address, zone_of
from engine.domain.errors import Invalid
from engine.domain.events import ExtraConfig, Location

FIELD: Final = "extraConfig"
_FIELDS: Final = ("exitNodeDNSResolvers", "suggestExitNode", "tags", "location")
_ATTRIBUTES: Final[Mapping[str, str]] = {
    "exitNodeDNSResolvers": "exit_node_dns_resolvers",
    "suggestExitNode": "suggest_exit_node",
    "tags": "tags",
    "location": "location",
}
_PLACE: Final = ("country", "countryCode", "city", "cityCode", "latitude", "longitude", "priority")
_TAG: Final = re.compile(r"tag:[a-z][a-z0-9-]*")
_COUNTRY: Final = re.compile(r"[A-Za-z]{2}")
"""Android makes a flag of the two letters, and crashes on fewer (tailscale-android Flag.kt)."""
_SECRET: Final = re.compile(r"private|preshared|secret|psk", re.IGNORECASE)
_WITH_PORT: Final = re.compile(r"(?:\[(?P<v6>[^\[\]]+)\]|(?P<v4>[0-9.]+)):(?P<port>[0-9]{1,5})")
_LAST_PORT: Final = 65_535
_MAX_NAME: Final = 64
"""Characters of a country or a city; longer ones are cut by every client's list."""


def parse_extra(given: Mapping[str, object]) -> tuple[ExtraConfig, list[str]]:
    """Return the extra config, and warnings.

    Raises:
        Invalid: `extra.type`, `extra.twice`, `extra.secret`, `extra.resolver`, `tag.syntax`, `location.partial`,
            `location.range`, `location.code`.
    """
    warnings: list[str] = []
    fields = _fields(given, _FIELDS, FIELD, warnings)
    tags, doubts = parse_tags(_texts(fields, "tags"), field=f"{FIELD}.tags")
    warnings.extend(doubts)
    suggest = fields.get("suggestExitNode")
    suggest = False if suggest is None else suggest
    if not isinstance(suggest, bool):
        raise _wrong_type("suggestExitNode", "true or false")
    place = fields.get("location")
    if place is not None and not isinstance(place, Mapping):
        raise _wrong_type("location", "an object")
    extra = ExtraConfig(
        exit_node_dns_resolvers=tuple(
            parse_resolver(text, code="extra.resolver", field=f"{FIELD}.exitNodeDNSResolvers")
            for text in _texts(fields, "exitNodeDNSResolvers")
        ),
        suggest_exit_node=suggest,
        tags=tags,
        location=None if place is None else _location(place, warnings),
    )
    return extra, warnings


def given_fields(given: Mapping[str, object]) -> tuple[str, ...]:
    """Return the fields of `ExtraConfig`, by their names there, that the object gives."""
    found = _fields(given, _FIELDS, FIELD, [])
    return tuple(_ATTRIBUTES[name] for name in found)


def parse_tags(texts: tuple[str, ...], *, field: str) -> tuple[tuple[str, ...], list[str]]:
    """Return the tags without repetitions, in the order given, and warnings.

    Raises:
        Invalid: `tag.syntax`.
    """
    warnings: list[str] = []
    found: dict[str, None] = {}
    for text in texts:
        if not _TAG.fullmatch(text):
            raise Invalid(
                "tag.syntax",
                f"{text[:80]!r} is not a tag: write tag: and a lower-case letter, then a-z, 0-9 and -",
                field=field,
                hint="" if text.startswith("tag:") else f"tag:{text[:80]}",
            )
        if text in found:
            warnings.append(f"tag.duplicate: {text} is given more than once")
        found[text] = None
    return tuple(found), warnings


def _fields(
    given: Mapping[str, object], known: tuple[str, ...], path: str, warnings: list[str]
) -> dict[str, object]:
    """Return the known fields by their proper names; warn of the others."""
    proper = {name: name for name in known} | {name[0].upper() + name[1:]: name for name in known}
    found: dict[str, object] = {}
    for key, value in given.items():
        name = proper.get(key)
        if name is None:
            warnings.append(_unknown(key, known, path))
        elif name in found:
            raise Invalid("extra.twice", f"{path}.{name} is given twice", field=f"{path}.{name}")
        else:
            found[name] = value
    return found


def _unknown(key: str, known: tuple[str, ...], path: str) -> str:
    if _SECRET.search(key):
        raise Invalid(
            "extra.secret",
            f"{path} has a field that is named like a secret; a WireGuard-only peer needs none here",
            field=path,
            hint="if it was a private key, treat it as known to others",
        )
    near = difflib.get_close_matches(key[:_MAX_NAME], known, n=1, cutoff=0.5)
    advice = f"did you mean {near[0]}?" if near else f"known are {', '.join(known)}"
    return f"extra.unknown: {path} has no field {key[:_MAX_NAME]!r}, it is ignored; {advice}"


def _texts(fields: Mapping[str, object], name: str) -> tuple[str, ...]:
    value = fields.get(name)
    if value is None:
        return ()
    if not isinstance(value, list | tuple):
        raise _wrong_type(name, "an array of strings")
    texts = tuple(item for item in value if isinstance(item, str))
    if len(texts) != len(value):
        raise _wrong_type(name, "an array of strings")
    return texts


def parse_resolver(text: str, *, code: str, field: str) -> str:
    """Return a resolver in canonical text: an IP address, `ip:port`, or an https URL.

    Raises:
        Invalid: `code`.
    """
    shape = _WITH_PORT.fullmatch(text)
    host = (shape["v6"] or shape["v4"]) if shape else text
    address = parse_address(host)
    if address is not None and not zone_of(address):
        if shape is None:
            return str(address)
        if 1 <= int(shape["port"]) <= _LAST_PORT:
            return f"{address}:{shape['port']}" if shape["v4"] else f"[{address}]:{shape['port']}"
    if text.startswith("https://") and _is_url(text):
        return text
    raise Invalid(
        code,
        f"{text[:80]!r} is not a DNS resolver: it must be an IP address, ip:port, or an https:// URL",
        field=field,
    )


def _is_url(text: str) -> bool:
    try:
        parts = urlsplit(text)
        return bool(parts.hostname) and parts.port != 0 and text.isprintable() and " " not in text
    except ValueError:
        return False


def _location(given: Mapping[str, object], warnings: list[str]) -> Location:
    path = f"{FIELD}.location"
    fields = _fields(given, _PLACE, path, warnings)
    missing = [name for name in _PLACE if fields.get(name) in (None, "")]
    if missing:
        raise Invalid(
            "location.partial",
            f"a location needs all of its fields; missing: {', '.join(missing)}",
            field=path,
            hint="clients crash on half a location: give all fields, or no location",
        )
    country_code = _place_text(fields, "countryCode")
    if not _COUNTRY.fullmatch(country_code):
        raise Invalid(
            "location.code",
            f"countryCode {country_code[:80]!r} must be two letters (ISO 3166-1 alpha-2)",
            field=f"{path}.countryCode",
        )
    return Location(
        country=_place_text(fields, "country"),
        country_code=_upper("countryCode", country_code, warnings),
        city=_place_text(fields, "city"),
        city_code=_upper("cityCode", _place_text(fields, "cityCode"), warnings),
        latitude=_degrees(fields, "latitude", 90),
        longitude=_degrees(fields, "longitude", 180),
        priority=_priority(fields["priority"]),
    )


def _place_text(fields: Mapping[str, object], name: str) -> str:
    value = fields[name]
    if not isinstance(value, str):
        raise _wrong_type(f"location.{name}", "a string")
    text = value.strip()
    if not 1 <= len(text) <= _MAX_NAME or not text.isprintable():
        raise Invalid(
            "location.range",
            f"location.{name} must be 1 to {_MAX_NAME} printable characters",
            field=f"{FIELD}.location.{name}",
        )
    return text


def _upper(name: str, code: str, warnings: list[str]) -> str:
    if code != code.upper():
        warnings.append(f"location.case: {name} {code!r} is kept as {code.upper()!r}")
    return code.upper()


def _degrees(fields: Mapping[str, object], name: str, limit: int) -> float:
    value = fields[name]
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise _wrong_type(f"location.{name}", "a number of degrees")
    if not (math.isfinite(value) and -limit <= value <= limit):
        raise Invalid(
            "location.range",
            f"location.{name} must be between -{limit} and {limit} degrees",
            field=f"{FIELD}.location.{name}",
        )
    return float(value)


def _priority(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise _wrong_type("location.priority", "an integer")
    if not 0 <= value < 2**31:
        raise Invalid(
            "location.range",
            f"location.priority {value} must be 0 or more, and fit in 31 bits",
            field=f"{FIELD}.location.priority",
        )
    return value


def _wrong_type(name: str, wanted: str) -> Invalid:
    return Invalid("extra.type", f"{FIELD}.{name} must be {wanted}", field=f"{FIELD}.{name}")
