"""Rows as pages that fit into a message; pure.

Rule 1: a page has at most `limit` rows and at most `budget` octets, but always one row if there is one.
Rule 2: `next` is what to say as `after` for the page that follows; None is the end.
"""

from collections.abc import Iterable
from typing import Final

import msgspec

PAGE_OCTETS: Final = 600 * 1024
"""Of a list's rows: with what else is in a reply it stays below NATS' default max_payload of 1 MiB."""
SIDE_OCTETS: Final = 150 * 1024
"""Of a list beside the main one."""
MAX_ROWS: Final = 1_000


class Page(msgspec.Struct, frozen=True):
    """Rows in JSON."""

    rows: tuple[msgspec.Raw, ...]
    next: int | None = None


def page(rows: Iterable[tuple[int, object]], *, after: int, limit: int, budget: int = PAGE_OCTETS) -> Page:
    """Return the page of the rows whose place is greater than `after`; rows come with their places, in order."""
    taken: list[msgspec.Raw] = []
    octets, last = 0, after
    for place, row in rows:
        if place <= after:
            continue
        data = msgspec.json.encode(row)
        octets += len(data) + 1
        if taken and (len(taken) >= min(limit, MAX_ROWS) or octets > budget):
            return Page(tuple(taken), last)
        taken.append(msgspec.Raw(data))
        last = place
    return Page(tuple(taken))
