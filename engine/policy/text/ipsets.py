"""IP sets: named ranges of addresses, made by adding and removing; pure.

    "ipset:offices": ["192.0.2.0/24", "remove 192.0.2.7", "host:printer", "add ipset:branches", "autogroup:internet"]

Rule 1: entries are taken in order; each adds unless it says `remove`. What results is exact, disjoint and in order.
Rule 2: an entry is an address, a prefix, a range, a host, another IP set or `autogroup:internet`: no tag, user or group, for a
        set is known without the tailnet (policy-semantics §6).
Rule 3: no set is in itself, by whatever way.
"""

import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterable
from typing import Final

from engine.policy.document import Selector
from engine.policy.faults import PolicyFault
from engine.policy.ranges import INTERNET, Span, span_of
from engine.policy.text.addresses import selector_of
from engine.policy.text.fields import MAX_SELECTORS, fault, members_of, suggestion, texts_of, too_many
from engine.policy.text.hujson import Node, Text, shown
from engine.policy.text.selectors import Scope, bad_address, misplaced, range_in

MAX_STEPS: Final = 100_000
"""Ranges added or removed in all: sets in sets would otherwise make a small text mean many."""
MAX_NESTED: Final = 32
"""Sets in one another."""
_NAME: Final = re.compile(r"ipset:[A-Za-z0-9][A-Za-z0-9._-]*")
_OTHERS: Final = ("tag:", "group:", "user:", "autogroup:", "svc:", "*")
_V6: Final = 1 << 33
"""Is added to an IPv6 address: so both versions are on one line and no range of one touches the other's."""


def read_ipsets(scope: Scope, node: Node | None) -> None:
    """Put the sets into the scope.

    Raises:
        PolicyFault: `ipset-name`, `ipset-cycle`, `unknown-ipset`, `bad-address`, `misplaced-selector`, `too-many`,
            `too-deep`.
    """
    written: dict[str, tuple[Text, tuple[Text, ...]]] = {}
    for key, value in members_of(node, "ipsets"):
        if not _NAME.fullmatch(key.value):
            hint = "write ipset: and a name of a-z, 0-9, ., _ and -"
            raise fault("ipset-name", key, f"{shown(key.value)} cannot be the name of an IP set", hint)
        written[key.value] = key, texts_of(value, key.value)
    reader = _Reader(scope, written)
    for name in written:
        reader.ranges(name)
    scope.ipsets.update({name: tuple(map(selector_of, reader.ranges(name))) for name in written})


class _Ranges:
    """Disjoint ranges in order, none next to another, on one line of numbers."""

    def __init__(self) -> None:
        self._firsts: Final[list[int]] = []
        self._lasts: Final[list[int]] = []

    def __len__(self) -> int:
        return len(self._firsts)

    def add(self, first: int, last: int) -> None:
        low, high = bisect_left(self._lasts, first - 1), bisect_right(self._firsts, last + 1)
        if low < high:
            first, last = min(first, self._firsts[low]), max(last, self._lasts[high - 1])
        self._firsts[low:high] = [first]
        self._lasts[low:high] = [last]

    def remove(self, first: int, last: int) -> None:
        low, high = bisect_left(self._lasts, first), bisect_right(self._firsts, last)
        if low >= high:
            return
        before, after = self._firsts[low], self._lasts[high - 1]
        kept = [(before, first - 1)] * (before < first) + [(last + 1, after)] * (last < after)
        self._firsts[low:high] = [one for one, _ in kept]
        self._lasts[low:high] = [one for _, one in kept]

    def spans(self) -> tuple[Span, ...]:
        pairs = zip(self._firsts, self._lasts, strict=True)
        return tuple((6, a - _V6, b - _V6) if a >= _V6 else (4, a, b) for a, b in pairs)


class _Reader:
    """Makes each set once, those that it names before it."""

    def __init__(self, scope: Scope, written: dict[str, tuple[Text, tuple[Text, ...]]]) -> None:
        self._scope: Final = scope
        self._written: Final = written
        self._made: Final[dict[str, tuple[Span, ...]]] = {}
        self._heights: Final[dict[str, int]] = {}
        self._steps = 0

    def ranges(self, name: str, path: tuple[str, ...] = ()) -> tuple[Span, ...]:
        """Return the ranges of a set; `path` are the sets that are being made, the outermost first."""
        if name in self._made:
            return self._made[name]
        key, entries = self._written[name]
        if name in path:
            circle = " → ".join((*path[path.index(name) :], name))
            raise fault("ipset-cycle", key, f"an IP set cannot be in itself: {circle[:200]}", "remove one")
        if len(path) >= MAX_NESTED:
            raise self._too_deep(key)
        found = _Ranges()
        height = 1
        for entry in entries:
            is_removed, what = _taken_apart(entry)
            if what.startswith("ipset:"):
                spans = self._other(what, entry, (*path, name))
                height = max(height, self._heights[what] + 1)
            else:
                spans = self._plain(what, entry)
            self._apply(found, spans, entry, is_removed=is_removed)
        if height > MAX_NESTED:
            raise self._too_deep(key)
        self._heights[name] = height
        self._made[name] = found.spans()
        return self._made[name]

    def _apply(self, found: _Ranges, spans: Iterable[Span], entry: Text, *, is_removed: bool) -> None:
        for version, first, last in spans:
            self._steps += 1
            base = 0 if version == 4 else _V6  # noqa: PLR2004
            (found.remove if is_removed else found.add)(first + base, last + base)
            if self._steps > MAX_STEPS or len(found) > MAX_SELECTORS:
                message = (
                    f"an IP set may have {MAX_SELECTORS:,} ranges, and all together take {MAX_STEPS:,} steps"
                )
                raise too_many(entry, message)

    def _other(self, name: str, entry: Text, path: tuple[str, ...]) -> tuple[Span, ...]:
        if name not in self._written:
            raise fault(
                "unknown-ipset",
                entry,
                f"IP set not found: {shown(name)}",
                suggestion(name, self._written) or "define it under ipsets",
            )
        return self.ranges(name, path)

    def _plain(self, what: str, entry: Text) -> tuple[Span, ...]:
        if what == "autogroup:internet":
            return tuple(map(span_of, INTERNET))
        if what.startswith(_OTHERS) or "@" in what:
            raise misplaced(
                entry, "in an IP set", "a set has addresses, prefixes, ranges, hosts and other sets"
            )
        found: Selector | None = self._scope.hosts.get(what.removeprefix("host:"))
        if found is None:
            found = range_in(self._scope, what, entry)
        if found is None:
            raise bad_address(what, entry, suggestion(what.removeprefix("host:"), self._scope.hosts))
        return ((found.version, found.first, found.last),)

    @staticmethod
    def _too_deep(key: Text) -> PolicyFault:
        return fault("too-deep", key, f"IP sets are more than {MAX_NESTED} deep", "write some in full")


def _taken_apart(entry: Text) -> tuple[bool, str]:
    """Return whether an entry removes, and what."""
    whole = entry.value.strip()
    verb, _, what = whole.partition(" ")
    return (verb == "remove", what.strip()) if verb in ("add", "remove") else (False, whole)
