"""Whether what is stored under a tag may still be read by who knew it before.

Rule 1: allowed: a new field with a default, other words, a default where there was none.
Rule 2: refused: a field that is gone, has another type or another default, is new and required, or became required;
        what a field refers to follows the same rule.
Rule 3: what is refused needs a new tag and an upcaster in the codec.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from engine.schemas.kinds import Schema

_WORDS: Final = ("description", "title")


def broken(recorded: Schema, today: Schema) -> list[str]:
    """Return what of a recorded schema today's breaks, in words; nothing: it may be released."""
    old, new = dict(recorded.get("$defs", {})), dict(today.get("$defs", {}))
    found = list(_broken("", recorded, today))
    for name, before in old.items():
        if name not in new:
            found.append(f"{name}: gone")
        else:
            found += _broken(f"{name}.", before, new[name])
    return found


def _broken(where: str, recorded: Schema, today: Schema) -> Iterator[str]:
    before, now = recorded.get("properties", {}), today.get("properties", {})
    must_before, must_now = set(recorded.get("required", ())), set(today.get("required", ()))
    for name in before:
        if name not in now:
            yield f"{where}{name}: gone"
        elif (was := _shape(before[name])) != (is_ := _shape(now[name])):
            yield f"{where}{name}: was {was}, is {is_}"
        elif name in must_now - must_before:
            yield f"{where}{name}: is required now"
        elif name not in must_before and before[name].get("default") != now[name].get("default"):
            yield f"{where}{name}: another default: old records mean something else"
    for name in now:
        if name not in before and name in must_now:
            yield f"{where}{name}: new and required"
    if _shape(recorded, ("properties", "required", "$defs")) != _shape(
        today, ("properties", "required", "$defs")
    ):
        yield f"{where}: is another kind of thing"


def _shape(schema: Any, without: tuple[str, ...] = ("default",)) -> Any:
    """Return the part of a schema that says what is valid."""
    match schema:
        case Mapping():
            return {key: _shape(value, ()) for key, value in schema.items() if key not in (*_WORDS, *without)}
        case list() | tuple():
            return [_shape(value, ()) for value in schema]
        case _:
            return schema
