"""Golden schemas: what of each event was stored when it was last released, and `docs/events.md`.

`python -m tests.golden.schemas` writes the page anew, records events that are new, and refuses a change that needs a new
tag. The record of an event that was never released may be deleted by hand and written again.
"""

import sys
from pathlib import Path
from typing import Any, Final

import msgspec

from engine.schemas.kinds import Schema, events, schema_of
from engine.schemas.page import page
from engine.schemas.stable import broken

FOLDER: Final = Path(__file__).parent / "schemas"
PAGE: Final = Path(__file__).parents[2] / "docs" / "events.md"


def recorded() -> dict[str, Schema]:
    """The schema of each event as it was recorded, by tag."""
    return {path.stem: msgspec.json.decode(path.read_bytes()) for path in sorted(FOLDER.glob("*.json"))}


def today() -> dict[str, Schema]:
    """The schema of each event as the code has it, without words."""
    return {
        tag: msgspec.json.decode(msgspec.json.encode(bare(schema_of(kind)))) for tag, kind in events().items()
    }


def bare(schema: Any) -> Any:
    """The same schema without what only people read."""
    match schema:
        case dict():
            words = {"title", "description", "$schema"}
            return {
                key: {name: bare(field) for name, field in value.items()}
                if key == "properties"
                else bare(value)
                for key, value in schema.items()
                if key not in words
            }
        case list():
            return [bare(value) for value in schema]
        case _:
            return schema


def write() -> int:
    """Write the page and the records; return how many events changed in a way that is not allowed."""
    before, wrong = recorded(), 0
    FOLDER.mkdir(exist_ok=True)
    for tag, schema in today().items():
        if faults := broken(before.get(tag, schema), schema):
            sys.stderr.write(f"{tag}: {'; '.join(faults)}: this needs a new tag\n")
            wrong += 1
            continue
        text = msgspec.json.format(msgspec.json.encode(schema, order="sorted")) + b"\n"
        (FOLDER / f"{tag}.json").write_bytes(text)
    PAGE.write_text(page())
    return wrong


if __name__ == "__main__":
    sys.exit(1 if write() else 0)
