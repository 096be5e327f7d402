"""NATS subjects: `*` is one token, a last `>` is one token or more."""

from functools import lru_cache

from engine.ports import Endpoint


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
