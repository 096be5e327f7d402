"""Rules of a policy's text, as they are quoted to people: by their place, on one line; pure.

Rule 1: a rule is quoted as JSON without comments, with the order of its keys kept, and cut at `LONGEST` characters.
"""

from collections.abc import Iterable
from functools import lru_cache
from typing import Final

from engine.policy.faults import PolicyFault
from engine.policy.text.hujson import Array, Node, Object, parse, raw

LONGEST: Final = 300
"""Characters of a rule that are quoted at most."""
_REMEMBERED: Final = 2
"""Texts whose rules are kept: the present policy, and one that somebody looks back at."""


def quoted(text: str, places: Iterable[str]) -> dict[str, str]:
    """Return the rules at these places (`acls[0]`) by their place; what is not there is left out."""
    found: dict[str, str] = {}
    sections = _sections(text)
    for place in places:
        section, _, number = place.removesuffix("]").partition("[")
        rules = sections.get(section, ())
        if number.isdigit() and int(number) < len(rules):
            said = bytes(raw(rules[int(number)])).decode(errors="replace")
            found[place] = said if len(said) <= LONGEST else said[: LONGEST - 1] + "…"
    return found


@lru_cache(maxsize=_REMEMBERED)
def _sections(text: str) -> dict[str, tuple[Node, ...]]:
    try:
        whole = parse(text)
    except PolicyFault:
        return {}
    if not isinstance(whole, Object):
        return {}
    return {key.value.lower(): value.items for key, value in whole.members if isinstance(value, Array)}
