"""Which fields a declarative file has, of which kind, and what they mean; its JSON schema is made of the same table.

Rule 1: names are those of the commands' JSON bodies.
"""

from collections.abc import Mapping
from typing import Final, NamedTuple

TEXT: Final = "text"
TRUTH: Final = "truth"
NUMBER: Final = "number"
INTEGER: Final = "integer"
TEXTS: Final = "texts"
"""A list of texts, or one text with commas."""
SCHEMA: Final = "https://json-schema.org/draft/2020-12/schema"

Shape = Mapping[str, "Field"]


class Field(NamedTuple):
    """A field: its kind, or the shape of the object that it is; `many` objects in a list; whether it must be there."""

    kind: "str | Shape"
    about: str
    needed: bool = False
    many: bool = False


LOCATION: Final[Shape] = {
    "country": Field(TEXT, "Sweden", needed=True),
    "countryCode": Field(TEXT, "SE", needed=True),
    "city": Field(TEXT, "Stockholm", needed=True),
    "cityCode": Field(TEXT, "STO", needed=True),
    "latitude": Field(NUMBER, "Degrees.", needed=True),
    "longitude": Field(NUMBER, "Degrees.", needed=True),
    "priority": Field(INTEGER, "Of several near each other, the highest is suggested.", needed=True),
}
EXTRA: Final[Shape] = {
    "exitNodeDNSResolvers": Field(TEXTS, "DNS servers to use while this peer is the exit."),
    "suggestExitNode": Field(TRUTH, "Whether clients may suggest it."),
    "location": Field(LOCATION, "Where it is; all of it, or nothing."),
}
POOL: Final[Shape] = {
    "ipv4": Field(TEXT, "A prefix: 10.64.0.0/24."),
    "ipv6": Field(TEXT, "A prefix: fd00:64::/64."),
}
PEER: Final[Shape] = {
    "name": Field(TEXT, "Its name in MagicDNS.", needed=True),
    "user": Field(TEXT, "The owner: name or id.", needed=True),
    "publicKey": Field(TEXT, "Its WireGuard key: base64, nodekey: and hex, or hex.", needed=True),
    "allowedIps": Field(TEXTS, "What it may route.", needed=True),
    "endpoints": Field(TEXTS, "Where it is: 1.2.3.4:51820.", needed=True),
    "extraConfig": Field(EXTRA, "What clients show and suggest."),
    "tags": Field(TEXTS, "Its tags."),
    "masqPool": Field(POOL, "From where connections get masquerade addresses."),
    "disabled": Field(TRUTH, "Whether it is cut off; not said: as it is."),
    "drained": Field(TRUTH, "Whether clients with auto:any leave it; not said: as it is."),
}
CONNECTION: Final[Shape] = {
    "node": Field(TEXTS, "The node, or a list: names or ids.", needed=True),
    "peer": Field(TEXTS, "The peer, or a list: names or ids.", needed=True),
    "ipv4MasqAddr": Field(TEXT, "Neither given: the peer's pool gives them."),
    "ipv6MasqAddr": Field(TEXT, "Neither given: the peer's pool gives them."),
    "allowedIps": Field(TEXTS, "What the node gets of the peer's; not given: all."),
    "jailed": Field(TRUTH, "Whether the far side may only answer; not given: it may only answer."),
}
SELECTOR: Final[Shape] = {
    "selector": Field(TEXT, "tag:…, group:…, or a user.", needed=True),
    "peer": Field(TEXT, "The peer: name or id.", needed=True),
    "allowedIps": Field(TEXTS, "What nodes get of the peer's; not given: all."),
    "jailed": Field(TRUTH, "Whether the far side may only answer; not given: it may only answer."),
}
FILE: Final[Shape] = {
    "managedBy": Field(TEXT, "The mark of the peers that these files keep; --prune removes only those."),
    "peers": Field(PEER, "WireGuard-only peers.", many=True),
    "connections": Field(CONNECTION, "Who may use which peer.", many=True),
    "selectors": Field(SELECTOR, "Who may use which peer because of what it is.", many=True),
}
_JSON: Final[Mapping[str, Mapping[str, object]]] = {
    TEXT: {"type": ["string", "integer"]},
    TRUTH: {"type": "boolean"},
    NUMBER: {"type": "number"},
    INTEGER: {"type": "integer"},
    TEXTS: {
        "anyOf": [
            {"type": ["string", "integer"]},
            {"type": "array", "items": {"type": ["string", "integer"]}},
        ]
    },
}


def json_schema() -> dict[str, object]:
    """Return the JSON schema of a file."""
    return {"$schema": SCHEMA, "title": "netmap: WireGuard-only peers", **_object(FILE)}


def _object(shape: Shape) -> dict[str, object]:
    found: dict[str, object] = {
        "type": "object",
        "additionalProperties": False,
        "properties": {name: _property(field) for name, field in shape.items()},
    }
    needed = [name for name, field in shape.items() if field.needed]
    return found | ({"required": needed} if needed else {})


def _property(field: Field) -> dict[str, object]:
    inner = dict(_JSON[field.kind]) if isinstance(field.kind, str) else _object(field.kind)
    about = {"description": field.about}
    return {"type": "array", "items": inner, **about} if field.many else {**inner, **about}
