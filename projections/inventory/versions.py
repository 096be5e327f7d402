"""Every version of the policy that the log has: when, by whom, why, and how large; the texts stay in the log.

Rule 1: a version is named by its position, or by its digest or how that begins: then the latest such version is meant.
Rule 2: that there is no policy any more is a version too; it has no digest.
"""

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from typing import Final

import msgspec

from engine.domain.errors import Invalid, NotFound
from engine.domain.events import PolicySet
from engine.domain.values import Position
from engine.policy.document import Document
from engine.ports import Recorded

SHORTEST: Final = 8
"""Digits of a digest that name a version."""


class Version(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """One version of the policy; `size` is in characters."""

    position: int
    at: int
    actor: str
    reason: str
    digest: str
    size: int
    rules: int


class Versions:
    """The versions of one log, in order; `held` are those that are known already."""

    def __init__(self, held: Iterable[Version] = ()) -> None:
        self._held: Final[list[Version]] = list(held)

    def add(self, record: Recorded, document: Document) -> None:
        """Take in a record, and what the policy says after it; all but policies are passed over."""
        event, envelope = record.event, record.envelope
        if not isinstance(event, PolicySet):
            return
        self._held.append(
            Version(
                position=record.position,
                at=envelope.at,
                actor=envelope.actor,
                reason=envelope.reason,
                digest=event.digest if event.text else "",
                size=len(event.text),
                rules=rules_of(document) if event.text else 0,
            )
        )

    @property
    def all(self) -> Sequence[Version]:
        """Every version, oldest first."""
        return self._held

    def at(self, position: int) -> Version | None:
        """Return the version in force at a position; None before there was any."""
        place = bisect_right(self._held, position, key=lambda version: version.position)
        return self._held[place - 1] if place else None

    def find(self, reference: int | str, *, until: Position, field: str) -> Version:
        """Return the version that somebody means.

        Raises:
            Invalid: `policy.version`: neither a position nor enough of a digest.
            NotFound: `policy.not_found`.
        """
        text = str(reference).strip().lower()
        known = [version for version in self._held if version.position <= until]
        for version in known:
            if str(version.position) == text:
                return version
        if len(text) < SHORTEST and not text.isdigit():
            raise Invalid(
                "policy.version",
                f"{text[:80]!r} is neither a position nor {SHORTEST} digits of a digest or more",
                field=field,
            )
        for version in reversed(known) if len(text) >= SHORTEST else ():
            if version.digest.startswith(text):
                return version
        raise NotFound(
            "policy.not_found",
            f"there is no policy {text[:80]!r}",
            field=field,
            hint="netmap policy log lists them",
        )

    def before(self, version: Version) -> Version | None:
        """Return the version before another one; None before the first."""
        return self.at(version.position - 1)


def rules_of(document: Document) -> int:
    """Return how many rules a policy has."""
    return sum(map(len, (document.acls or (), document.grants or (), document.ssh)))
