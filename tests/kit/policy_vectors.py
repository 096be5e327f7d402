"""The recorded answers of the hosted service: one tailnet, one policy and what became of it in each line of `tests/golden/policy`."""

import json
from functools import cache
from pathlib import Path
from typing import Any, Final

FOLDER: Final = Path(__file__).parents[1] / "golden/policy"


@cache
def vectors() -> dict[str, dict[str, Any]]:
    """Return every vector by its id; `README.md` beside the files has their form and their licence."""
    lines = (line for path in sorted(FOLDER.glob("*.jsonl")) for line in path.read_text().splitlines())
    found = {vector["id"]: vector for vector in map(json.loads, lines)}
    assert found, "no vectors"
    return dict(sorted(found.items()))
