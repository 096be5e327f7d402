"""Objects of a policy with a closed set of keys, and the sort of value that each key takes; pure.

Rule 1: a key that nobody knows is refused: a misspelt `grants` would otherwise open or close a whole tailnet in silence.
Rule 2: keys are taken in any case of their letters (`ACLs`, `Hosts`), as the hosted service takes them; the same key twice is
        refused whatever its case.
Rule 3: null is as good as absent, but for the sections whose absence has a meaning.
Rule 4: nothing here may be made large by a small text: see the limits.
"""

import difflib
from collections.abc import Iterable, Mapping
from typing import Final, Protocol

from engine.policy.faults import PolicyFault
from engine.policy.text.hujson import Array, Constant, Node, Number, Object, Text, shown

MAX_RULES: Final = 10_000
"""Entries of one section: the largest policies known have some thousands."""
MAX_SELECTORS: Final = 1_000
"""Selectors in one list, IP sets counted by their ranges."""
MAX_TOTAL: Final = 200_000
"""Selectors in all lists together: IP sets would otherwise let a small text mean millions."""
MAX_MEMBERS: Final = 10_000
"""Of a group."""
MAX_WARNINGS: Final = 100
"""More would not be read."""
_MAX_GUESSED: Final = 64
"""Characters of a word for which a near one is sought, and with how many: the search costs their product."""


class Place(Protocol):
    """What has a place in the text."""

    @property
    def line(self) -> int:
        """From 1."""
        ...

    @property
    def column(self) -> int:
        """From 1."""
        ...


def fault(kind: str, place: Place, message: str, hint: str = "") -> PolicyFault:
    """Return the fault that is at this place."""
    return PolicyFault(kind, message, line=place.line, column=place.column, hint=hint)


def too_many(place: Place, message: str) -> PolicyFault:
    """Return the fault of a list that is longer than its limit."""
    return fault(
        "too-many", place, message, "write prefixes for addresses, groups for users, and split what is left"
    )


def suggestion(word: str, known: Iterable[str]) -> str:
    """Return `did you mean "…"?` for the nearest of the known words, or nothing."""
    if len(word) > _MAX_GUESSED:
        return ""
    some = [name for name, _ in zip(known, range(MAX_SELECTORS), strict=False)]
    near = difflib.get_close_matches(word, some, n=1)
    return f"did you mean {shown(near[0])}?" if near else ""


def what(node: Node) -> str:
    """Return what sort of value it is, as a person says it."""
    match node:
        case Text():
            return "a string"
        case Number():
            return "a number"
        case Array():
            return "a list"
        case Object():
            return "an object"
        case Constant(value=value):
            return "null" if value is None else "true or false"


def is_null(node: Node | None) -> bool:
    """Return whether it is null or absent."""
    return node is None or (isinstance(node, Constant) and node.value is None)


def wrong_type(node: Node, name: str, wanted: str) -> PolicyFault:
    """Return the fault of a value of the wrong sort."""
    return fault("wrong-type", node, f"{name} is {what(node)}; it must be {wanted}", f"write {wanted}")


def text_of(node: Node, name: str) -> Text:
    """Return the string.

    Raises:
        PolicyFault: `wrong-type`.
    """
    if not isinstance(node, Text):
        raise wrong_type(node, name, "a string")
    return node


def items_of(node: Node | None, name: str, limit: int = MAX_RULES) -> tuple[Node, ...]:
    """Return the entries of a list, none if it is null or absent.

    Raises:
        PolicyFault: `wrong-type`, `too-many`.
    """
    if node is None or is_null(node):
        return ()
    if not isinstance(node, Array):
        raise wrong_type(node, name, "a list")
    if len(node.items) > limit:
        raise too_many(node, f"{name} has {len(node.items):,} entries; it may have {limit:,}")
    return node.items


def texts_of(node: Node | None, name: str, limit: int = MAX_SELECTORS) -> tuple[Text, ...]:
    """Return the strings of a list, none if it is null or absent.

    Raises:
        PolicyFault: `wrong-type`, `too-many`.
    """
    return tuple(text_of(item, f"an entry of {name}") for item in items_of(node, name, limit))


def members_of(node: Node | None, name: str) -> tuple[tuple[Text, Node], ...]:
    """Return the members of an object whose keys are the author's own, none if it is null or absent.

    Raises:
        PolicyFault: `wrong-type`, `too-many`.
    """
    if node is None or is_null(node):
        return ()
    if not isinstance(node, Object):
        raise wrong_type(node, name, "an object")
    if len(node.members) > MAX_RULES:
        raise too_many(node, f"{name} has {len(node.members):,} keys; it may have {MAX_RULES:,}")
    return node.members


def flag_of(node: Node | None, name: str) -> bool:
    """Return true or false; false if it is null or absent.

    Raises:
        PolicyFault: `wrong-type`.
    """
    if node is None or is_null(node):
        return False
    if not isinstance(node, Constant) or node.value is None:
        raise wrong_type(node, name, "true or false")
    return node.value


def fields_of(node: Node, name: str, known: Mapping[str, str]) -> dict[str, Node]:
    """Return the values of an object by the names that we use: `known` has those by the keys in lower case.

    Raises:
        PolicyFault: `wrong-type`, `unknown-key`, `duplicate-key`.
    """
    if not isinstance(node, Object):
        raise wrong_type(node, name, "an object")
    found: dict[str, Node] = {}
    for key, value in node.members:
        own = known.get(key.value.lower())
        if own is None:
            choice = ", ".join(sorted(set(known.values())))
            guess = known.get(_nearest(key.value, known), "")
            hint = f"did you mean {shown(guess)}?" if guess else f"{name} may have: {choice}"
            raise fault("unknown-key", key, f"{name} has no key {shown(key.value)}", hint)
        if own in found:
            message = f"{name} has {own} twice: {shown(key.value)} means the same"
            raise fault("duplicate-key", key, message, "remove one, or put both values together")
        found[own] = value
    return found


def keys(*names: str, **aliases: str) -> dict[str, str]:
    """Return the keys of an object for `fields_of`: its names, and old ones with the name that they stand for."""
    return {name.lower(): name for name in names} | aliases


def _nearest(word: str, known: Iterable[str]) -> str:
    near = difflib.get_close_matches(word.lower(), list(known), n=1) if len(word) <= _MAX_GUESSED else []
    return near[0] if near else ""
