"""Bodies and headers of requests, strictly.

Rule 1: a body is at most `MAX_BODY` octets of JSON: no duplicate names, no NaN, no unknown field, no other type.
Rule 2: an error names the field by its path, and the nearest known name for an unknown one.
Rule 3: an unknown name is repeated only when it could be a name: 40 printable characters.
"""

import difflib
import json
import re
from collections.abc import Hashable, Mapping
from functools import lru_cache
from typing import Final, Never, TypeVar, cast

import msgspec

from engine.contracts.requests import (
    CAUSE,
    COMMAND_ID,
    DEADLINE,
    MAX_BODY,
    MAX_COMMAND_ID,
    MAX_REASON,
    REASON,
    STRICT,
)
from engine.domain.errors import Invalid
from engine.domain.values import CommandId, Millis
from engine.ports import Message

T = TypeVar("T")
_UNKNOWN: Final = re.compile(r"unknown field `(.*)`(?: - at `(.*)`)?\Z", re.DOTALL)
_MISSING: Final = re.compile(r"missing required field `(.*?)`(?: - at `(.*)`)?\Z")
_PATH: Final = re.compile(r" - at `(.*)`\Z", re.DOTALL)
_ID: Final = re.compile(rf"[!-)+-\-/-=?-~]{{1,{MAX_COMMAND_ID}}}\Z")
"""One token of a NATS subject: printable ASCII without space, `.`, `*` and `>`."""
_TRUTHS: Final[Mapping[str, bool]] = {"1": True, "true": True, "0": False, "false": False}
_SHOWN: Final = re.compile(r"[ -~]{1,40}\Z")


def decode(body: bytes, kind: type[T]) -> T:
    """Return the body as a struct.

    Raises:
        Invalid: `body.too_large`, `body.not_json`, `body.duplicate_field`, `body.unknown_field`,
            `body.missing_field`, `body.wrong_type`.
    """
    if len(body) > MAX_BODY:
        raise Invalid("body.too_large", f"a request's body is at most {MAX_BODY} octets")
    try:
        value = cast("T", _decoder(cast("Hashable", kind)).decode(body))  # a cached decoder forgets its type
        _DUPLICATES.decode(body.decode())
    except msgspec.ValidationError as error:
        _refuse(str(error), kind)
    except (msgspec.DecodeError, ValueError, RecursionError):
        raise Invalid(
            "body.not_json",
            "the body is not JSON",
            hint='a body is one object, as {"name": "…"}',
        ) from None
    return value


def command_id_of(message: Message) -> CommandId | None:
    """Return the command id of the headers, or None.

    Raises:
        Invalid: `command.id_malformed`.
    """
    text = message.headers.get(COMMAND_ID)
    if text is None:
        return None
    if not _ID.match(text):
        raise Invalid(
            "command.id_malformed",
            f"{COMMAND_ID} is one token of at most {MAX_COMMAND_ID} printable characters",
            field=COMMAND_ID,
            hint="without spaces and without . * >; a UUID is good",
        )
    return CommandId(text)


def reason_of(message: Message) -> str:
    """Return the sender's reason, or the empty string.

    Raises:
        Invalid: `command.reason_too_long`.
    """
    text = message.headers.get(REASON, "")
    if len(text) > MAX_REASON:
        raise Invalid(
            "command.reason_too_long", f"{REASON} has at most {MAX_REASON} characters", field=REASON
        )
    return text


def cause_of(message: Message) -> str:
    """Return because of what the command is sent, or the empty string.

    Raises:
        Invalid: `command.cause_malformed`.
    """
    text = message.headers.get(CAUSE, "")
    if text and not _ID.match(text):
        raise Invalid(
            "command.cause_malformed",
            f"{CAUSE} is one token of at most {MAX_COMMAND_ID} printable characters",
            field=CAUSE,
            hint="the id of the command that this one follows from",
        )
    return text


def deadline_of(message: Message) -> Millis:
    """Return the deadline in Unix milliseconds, or 0.

    Raises:
        Invalid: `command.deadline_malformed`.
    """
    text = message.headers.get(DEADLINE, "0")
    if not re.fullmatch(r"[0-9]{1,15}", text):
        raise Invalid(
            "command.deadline_malformed", f"{DEADLINE} is Unix time in milliseconds", field=DEADLINE
        )
    return Millis(int(text))


def strict_of(message: Message) -> bool:
    """Return whether the sender takes a warning for a no.

    Raises:
        Invalid: `command.strict_malformed`.
    """
    text = message.headers.get(STRICT, "0").lower()
    if text not in _TRUTHS:
        raise Invalid(
            "command.strict_malformed",
            f"{STRICT} is 1 or 0, true or false",
            field=STRICT,
            hint=f"{STRICT}: 1",
        )
    return _TRUTHS[text]


@lru_cache
def _decoder(kind: Hashable) -> msgspec.json.Decoder[object]:
    return msgspec.json.Decoder(cast("type", kind))


def _without_duplicates(pairs: list[tuple[str, object]]) -> Mapping[str, object]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise Invalid("body.duplicate_field", "the body names a field twice")
    return found


_DUPLICATES: Final = json.JSONDecoder(object_pairs_hook=_without_duplicates)


def _refuse(text: str, kind: type[object]) -> Never:
    if unknown := _UNKNOWN.search(text):
        name, path = unknown.groups()
        raise Invalid(
            "body.unknown_field",
            f"there is no field {name!r}" if _SHOWN.match(name) else "there is no such field",
            field=_field(path, name if _SHOWN.match(name) else ""),
            hint=_suggestion(name, kind),
        ) from None
    if missing := _MISSING.search(text):
        name, path = missing.groups()
        raise Invalid(
            "body.missing_field", f"the field {name!r} is missing", field=_field(path, name)
        ) from None
    found = _PATH.search(text)
    raise Invalid(
        "body.wrong_type",
        _PATH.sub("", text).replace("`", "")[:200],
        field=_field(found.group(1) if found else None, ""),
    ) from None


def _field(path: str | None, name: str) -> str:
    return ".".join(part for part in ((path or "").removeprefix("$").lstrip("."), name) if part)


def _suggestion(name: str, kind: type[object]) -> str:
    known = [field.encode_name for field in msgspec.structs.fields(kind)]  # type: ignore[arg-type]  # always a struct
    close = difflib.get_close_matches(name[:80], known, n=1)
    return f"perhaps {close[0]!r}?" if close else "known fields: " + ", ".join(known)
