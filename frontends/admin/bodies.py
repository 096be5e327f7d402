"""Headscale's JSON of what somebody wants, as commands; pure.

Rule 1: a body is JSON whatever it is labelled as, since some tools send it as text; members that nobody knows are
        passed over, as Headscale's gateway did.
Rule 2: names are camelCase or snake_case, ids numbers or text.
Rule 3: `extraConfig` is text that holds JSON, or an object. A location without a priority has 0, Go's zero value, which
        headscale-mullvad counts on.
"""

import re
from collections.abc import Mapping
from typing import Any, Final

import msgspec

from engine.domain.commands import AddConnection, RegisterPeer
from frontends.admin.errors import Refused, no

MAX_REF: Final = 253
_UPPER: Final = re.compile(r"(?<=[a-z0-9])([A-Z])")

Body = Mapping[str, Any]


def object_in(data: bytes) -> Body:
    """Return the body's object; nothing is an empty one.

    Raises:
        Refused: `body.not_json`.
    """
    try:
        found = msgspec.json.decode(data or b"{}")
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        found = None
    if not isinstance(found, dict):
        raise no(400, "body.not_json", "the body is not a JSON object")
    return found


def registration(body: Body) -> RegisterPeer:
    """Return the command of `POST wireguard-only-peer/register`.

    Raises:
        Refused: `body.missing_field`, `body.wrong_type`.
    """
    return RegisterPeer(
        name=_text(body, "name"),
        user=_ref(body, "userId", "user"),
        public_key=_text(body, "publicKey"),
        allowed_ips=_texts(body, "allowedIps"),
        endpoints=_texts(body, "endpoints"),
        extra_config=_extra(body),
    )


def connection(body: Body) -> AddConnection:
    """Return the command of `POST wireguard/connection`; an address may be empty.

    Raises:
        Refused: `body.missing_field`, `body.wrong_type`.
    """
    return AddConnection(
        node=_ref(body, "nodeId"),
        peer=_ref(body, "wgPeerId"),
        ipv4_masq_addr=_text(body, "ipv4MasqAddr", default=""),
        ipv6_masq_addr=_text(body, "ipv6MasqAddr", default=""),
    )


def number_in(text: str) -> int | None:
    """Return the id in a path, or None when it is none."""
    return int(text) if re.fullmatch(r"[0-9]{1,18}", text) else None


def _member(body: Body, name: str) -> Any:
    found = body.get(name)
    return body.get(_UPPER.sub(lambda upper: f"_{upper[1].lower()}", name)) if found is None else found


def _ref(body: Body, *names: str) -> int | str:
    value = next((found for name in names if (found := _member(body, name)) is not None), None)
    if isinstance(value, str) and 1 <= len(value) <= MAX_REF:
        number = number_in(value)
        return value if number is None else number
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    raise _wrong(names[0], value, "an id or a name")


def _text(body: Body, name: str, *, default: str | None = None) -> str:
    value = _member(body, name)
    if isinstance(value, str):
        return value
    if value is None and default is not None:
        return default
    raise _wrong(name, value, "a text")


def _texts(body: Body, name: str) -> tuple[str, ...]:
    value = _member(body, name)
    if isinstance(value, list) and all(isinstance(one, str) for one in value):
        return tuple(value)
    raise _wrong(name, value, "a list of texts")


def _extra(body: Body) -> dict[str, object]:
    value = _member(body, "extraConfig")
    if isinstance(value, str) and value.strip():
        try:
            value = msgspec.json.decode(value)
        except (msgspec.DecodeError, RecursionError):
            raise _wrong("extraConfig", value, "text that holds a JSON object") from None
    if value is None or value == "":
        return {}
    if not isinstance(value, dict):
        raise _wrong("extraConfig", value, "text that holds a JSON object")
    return {
        key: _with_priority(inner) if key.lower() == "location" else inner for key, inner in value.items()
    }


def _with_priority(place: object) -> object:
    if not isinstance(place, dict) or {"priority", "Priority"} & place.keys():
        return place
    return {**place, "priority": 0}


def _wrong(name: str, value: object, wanted: str) -> Refused:
    if value is None:
        return no(400, "body.missing_field", f"the field '{name}' is missing", field=name)
    return no(400, "body.wrong_type", f"the field '{name}' must be {wanted}", field=name)
