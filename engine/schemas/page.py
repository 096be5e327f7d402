"""`docs/events.md`: a section for each event, from the types themselves."""

from collections.abc import Iterator
from typing import Any, Final

import msgspec

from engine.domain.events import Event
from engine.schemas.asyncapi import NOT_TOLD
from engine.schemas.examples import example_of, subject_of_example
from engine.schemas.kinds import Schema, events, schema_of, summary_of
from engine.schemas.origins import emitters, since

_HEAD: Final = """# Events

Written by `python -m tests.golden.schemas` from `engine/domain`; do not edit. The JSON Schema of one: `netmap schema events NAME -o json`.
How other systems get them: [history.md](history.md#for-other-systems).
"""


def page() -> str:
    """Return the page."""
    sections = [_section(tag, kind) for tag, kind in events().items()]
    return "\n".join((_HEAD, *sections))


def _section(tag: str, kind: type[Event]) -> str:
    schema = schema_of(kind)
    example = example_of(kind)
    told = "not told to other systems" if kind in NOT_TOLD else f"`{subject_of_example(example)}`"
    lines = [
        f"## {tag}",
        "",
        summary_of(kind),
        "",
        f"Since {since(tag)}. By: {', '.join(_code(who) for who in emitters()[tag])}. Subject: {told}.",
        "",
        "| field | type | default | |",
        "|---|---|---|---|",
        *_rows("", schema),
    ]
    for name, inner in schema.get("$defs", {}).items():
        lines += _rows(f"{name}.", inner)
    lines += ["", "```json", msgspec.json.encode(example).decode(), "```", ""]
    return "\n".join(lines)


def _rows(prefix: str, schema: Schema) -> Iterator[str]:
    required = schema.get("required", ())
    for name, field in schema.get("properties", {}).items():
        if name == "type":
            continue
        default = "" if name in required else f"`{msgspec.json.encode(field.get('default')).decode()}`"
        words = field.get("description", "").replace("|", "\\|")
        yield f"| `{prefix}{name}` | {type_of(field)} | {default} | {words} |"


def type_of(field: Any) -> str:
    """Return a field's type in few words."""
    if "anyOf" in field:
        return " or ".join(type_of(each) for each in field["anyOf"])
    if "$ref" in field:
        return str(field["$ref"]).rpartition("/")[2]
    if "enum" in field:
        return ", ".join(f"`{value}`" for value in field["enum"])
    if field.get("type") == "array":
        return f"list of {type_of(field.get('items', {}))}"
    return str(field.get("type", "any JSON"))


def _code(who: str) -> str:
    return f"`{who}`" if "." in who else who
