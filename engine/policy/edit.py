"""What an edit of a policy touches: the rules that differ, and whom those speak of; pure.

Rule 1: an edit of rules touches the devices that the rules speak of that came or went, and nobody else.
Rule 2: anything else (groups, postures, SSH rules, attributes, another order of the rules) touches everybody.
"""

from collections.abc import Sequence
from typing import Final

import msgspec

from engine.policy.document import Document, Kind, Selector
from engine.policy.program import Rule, key_of
from engine.policy.ranges import Span, overlap


class Edit(msgspec.Struct, frozen=True, kw_only=True):
    """An edit of rules alone: those that came or went, and the ranges that only one of the two policies names."""

    rules: tuple[Rule, ...]
    spans: tuple[Span, ...]

    @property
    def keys(self) -> frozenset[str]:
        """The keys of the selectors of these rules; with `autogroup:self` those of all members."""
        own = key_of(Selector(kind=Kind.MEMBER))
        ends = (s for rule in self.rules for s in (*rule.sources, *rule.destinations))
        return frozenset(map(key_of, ends)) | ({own} if any(rule.has_self for rule in self.rules) else set())

    @property
    def tags(self) -> frozenset[str]:
        """The tags through which these rules lead."""
        return frozenset(tag for rule in self.rules for tag in rule.via)

    def concerns(self, span: Span) -> bool:
        """Return whether who is told of a route to there may be another matter now."""
        return any(covers(s, span) for rule in self.rules for s in (*rule.sources, *rule.destinations))


def covers(selector: Selector, span: Span) -> bool:
    """Return whether a selector as it stands in a filter overlaps a route."""
    if selector.kind is Kind.RANGE:
        return overlap((selector.version, selector.first, selector.last), span)
    return selector.kind in {Kind.ANY, Kind.DANGER_ALL}


def changed_rules(before: Sequence[Rule], now: Sequence[Rule]) -> tuple[Rule, ...] | None:
    """Return the rules that came or went; None if those that stayed are in another order."""
    old, new = [rule.said for rule in before], [rule.said for rule in now]
    common = set(old) & set(new)
    if [said for said in old if said in common] != [said for said in new if said in common]:
        return None
    gone = (rule for rule, said in zip(before, old, strict=True) if said not in common)
    came = (rule for rule, said in zip(now, new, strict=True) if said not in common)
    return (*gone, *came)


def are_rules_all(before: Document, now: Document) -> bool:
    """Return whether two documents differ in nothing but their rules, their tests and where things stand."""
    return _rest(before) == _rest(now)


_NOTHING: Final = Document()


def _rest(document: Document) -> Document:
    return msgspec.structs.replace(
        document,
        hosts=_NOTHING.hosts,
        acls=None,
        grants=None,
        tests=(),
        ssh_tests=(),
        warnings=(),
        tag_owners=_NOTHING.tag_owners,
        route_approvers=(),
        exit_approvers=(),
        ssh=tuple(msgspec.structs.replace(rule, line=0) for rule in document.ssh),
        node_attributes=tuple(msgspec.structs.replace(one, line=0) for one in document.node_attributes),
    )
