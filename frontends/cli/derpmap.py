"""DERP maps as people have them: a file or an address, JSON or YAML, in the wire's or in Headscale's spelling.

Rule 1: nothing is fetched unless a person gave an address.
Rule 2: this only reads; whether the map can be served is the engine's to say.
"""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from frontends.cli.failure import Exit, Failure, Trouble, usage

FETCH_SECONDS: Final = 10.0
MAX_OCTETS: Final = 1_048_576 // 2
"""A command's body cannot be larger (`engine.contracts.requests.MAX_BODY`)."""

_NAMES: Final = (
    "Regions",
    "RegionID",
    "RegionCode",
    "RegionName",
    "Latitude",
    "Longitude",
    "Avoid",
    "NoMeasureNoHome",
    "Nodes",
    "Name",
    "HostName",
    "CertName",
    "IPv4",
    "IPv6",
    "STUNPort",
    "STUNOnly",
    "DERPPort",
    "InsecureForTests",
    "STUNTestIP",
    "CanPort80",
    "HomeParams",
    "RegionScore",
    "omitDefaultRegions",
)
"""The fields of a DERP map on the wire (reference: control-protocol §8.1); YAML files have them in lower case."""
_SPELLING: Final[Mapping[str, str]] = {name.lower(): name for name in _NAMES}


def read(source: str) -> dict[str, object]:
    """Return the map at a path, at an address, or on stdin (`-`).

    Raises:
        Failure: it cannot be read (exit 1), or it is no map (exit 2).
    """
    import yaml

    try:
        found = yaml.safe_load(_text(source))  # JSON is YAML
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise usage(f"{source} is neither JSON nor YAML: {type(error).__name__}") from None
    spelled = _spell(found)
    if not isinstance(spelled, dict) or not isinstance(spelled.get("Regions"), dict):
        raise usage(f"{source} has no Regions: it is not a DERP map")
    return spelled


def _text(source: str) -> str:
    try:
        if source == "-":
            return sys.stdin.read(MAX_OCTETS)
        if source.startswith(("http://", "https://")):
            return _fetched(source)
        return Path(source).read_text()
    except OSError as error:
        why = error.strerror or type(error).__name__
        raise Failure(Exit.FAILED, Trouble("file", f"{source}: {why}", "source")) from None


def _fetched(url: str) -> str:
    from urllib.request import urlopen

    with urlopen(url, timeout=FETCH_SECONDS) as reply:  # noqa: S310 (http and https only, by a person's word)
        data: bytes = reply.read(MAX_OCTETS)
    return data.decode()


def _spell(value: Any) -> Any:
    match value:
        case dict():
            return {_SPELLING.get(str(key).lower(), str(key)): _spell(inner) for key, inner in value.items()}
        case list():
            return [_spell(inner) for inner in value]
        case _:
            return value
