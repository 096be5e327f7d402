"""Which name is free, and what a name may be.

Rule 1: a name is one DNS label in lower case: a-z, 0-9 and inner hyphens, at most 63 octets (RFC 1035 §2.3.4).
Rule 2: names are unique over nodes and WireGuard-only peers: both are looked up in one MagicDNS zone.
Rule 3: what a client calls itself is made to fit; what an operator asks for is taken as it is, or refused.
Rule 4: a name is not a number: a reference of digits is an id.
"""

import re
from collections.abc import Callable
from typing import Final

from engine.domain.errors import Conflict, Invalid
from engine.domain.state import Tailnet

MAX_LABEL: Final = 63
_LABEL: Final = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
_OTHER: Final = re.compile(r"[^a-z0-9]+")
_MARK: Final = re.compile(r"([a-z0-9]([a-z0-9._-]{0,61}[a-z0-9])?)?")
RESERVED: Final = frozenset({"localhost"})
"""Resolvers answer this one themselves (RFC 6761 §6.3)."""
FALLBACK: Final = "node"


def label_of(hostname: str) -> str:
    """Return the label nearest to what a host calls itself: the first part of a domain name, made to fit."""
    first = hostname.lower().removesuffix(".").split(".", 1)[0]
    label = _OTHER.sub("-", first)[:MAX_LABEL].strip("-")
    if label.isdigit():
        return f"{FALLBACK}-{label}"[:MAX_LABEL]
    return FALLBACK if not label or label in RESERVED else label


def free_name(tailnet: Tailnet, hostname: str) -> str:
    """Return the host's label, or with the lowest of `-1`, `-2`, … that the search meets free."""
    return _unique(label_of(hostname), tailnet.is_name_taken)


def checked_name(tailnet: Tailnet, name: str, *, field: str = "name") -> str:
    """Return the name that an operator asks for.

    Raises:
        Invalid: `name.syntax`, `name.number`, `name.reserved`.
        Conflict: `name.taken`.
    """
    if not _LABEL.fullmatch(name):
        raise Invalid(
            "name.syntax",
            f"{name[:80]!r} cannot be a name: a name is 1 to 63 of a-z, 0-9 and -, with no - at either end",
            field=field,
            hint=f"{label_of(name)!r} would do",
        )
    if name.isdigit():
        raise Invalid("name.number", f"{name!r} cannot be a name: a number is taken for an id", field=field)
    if name in RESERVED:
        raise Invalid("name.reserved", f"{name!r} cannot be a name: resolvers keep it", field=field)
    if tailnet.is_name_taken(name):
        raise Conflict(
            "name.taken",
            f"the name {name!r} is taken by {_owner(tailnet, name)}",
            field=field,
            hint=f"{free_name(tailnet, name)!r} is free",
        )
    return name


def checked_mark(text: str, *, field: str = "managedBy") -> str:
    """Return the mark of a declarative file, or nothing.

    Raises:
        Invalid: `managed.syntax`.
    """
    if not _MARK.fullmatch(text):
        raise Invalid(
            "managed.syntax",
            f"{text[:80]!r} cannot be the mark of a file: it is 1 to 63 of a-z, 0-9, ., _ and -",
            field=field,
            hint=f"{label_of(text)!r} would do",
        )
    return text


def _owner(tailnet: Tailnet, name: str) -> str:
    node = tailnet.node_by_name.get(name)
    return f"WireGuard-only peer {tailnet.peer_by_name[name]}" if node is None else f"node {node}"


def _unique(label: str, is_taken: Callable[[str], bool]) -> str:
    """Return a free name in O(log n) questions: double the suffix until it is free, then halve the gap."""
    if not is_taken(label):
        return label
    taken, free = 0, 1
    while is_taken(_numbered(label, free)):
        taken, free = free, free * 2
    while free - taken > 1:
        middle = (taken + free) // 2
        if is_taken(_numbered(label, middle)):
            taken = middle
        else:
            free = middle
    return _numbered(label, free)


def _numbered(label: str, number: int) -> str:
    suffix = f"-{number}"
    return label[: MAX_LABEL - len(suffix)].rstrip("-") + suffix
