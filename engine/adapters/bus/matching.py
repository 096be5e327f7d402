"""NATS subjects: `*` is one token, a last `>` is one token or more."""

from collections.abc import Callable
from functools import lru_cache
from typing import Final

from engine.ports import Endpoint

KNOWN: Final = 1_024
"""Subjects whose endpoint a service remembers: each command's, for some actors."""


@lru_cache(maxsize=4_096)
def matches(pattern: str, subject: str) -> bool:
    """Return whether a subject without wildcards matches the pattern."""
    wanted, found = pattern.split("."), subject.split(".")
    if wanted[-1] == ">":
        wanted = wanted[:-1]
        if len(found) <= len(wanted):
            return False
        found = found[: len(wanted)]
    return len(wanted) == len(found) and all(
        want in ("*", have) for want, have in zip(wanted, found, strict=True)
    )


def first_match(endpoints: tuple[Endpoint, ...], subject: str) -> Endpoint | None:
    """Return the first endpoint whose subject matches (port rule of `Bus.serve`)."""
    for endpoint in endpoints:
        if matches(endpoint.subject, subject):
            return endpoint
    return None


def matcher(endpoints: tuple[Endpoint, ...]) -> Callable[[str], Endpoint | None]:
    """Return `first_match` for these endpoints, which remembers the last `KNOWN` subjects.

    A service of a hundred endpoints would ask half of them for each request: 10 to 40 µs.
    """

    @lru_cache(maxsize=KNOWN)
    def found(subject: str) -> Endpoint | None:
        return first_match(endpoints, subject)

    return found
