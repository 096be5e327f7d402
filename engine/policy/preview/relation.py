"""Where two sets of rules differ: between which points, and what was and what will be; pure.

Rule 1: a rule that is the same in both changes nothing and is only asked whether it covers what another one loses.
Rule 2: points under the same rules are looked at once, so the cost is that of the rules that differ, not of the points.
"""

from collections.abc import Hashable, Iterable, Iterator, Sequence
from typing import NamedTuple

from engine.policy.points import Points


class Arrow(NamedTuple):
    """That every source may do something to every target; with `is_self` only to its own user's."""

    sources: int
    targets: int
    effect: Hashable
    is_self: bool = False
    named: int = 0
    """Points that the rule names, so that they are worth a word."""


class Block(NamedTuple):
    """All of these sources have these effects on all of these targets, before and after; they differ."""

    sources: int
    targets: int
    before: frozenset[Hashable]
    after: frozenset[Hashable]


def differing(
    before: Iterable[Arrow], after: Iterable[Arrow], points: Points, worth: int, *, by_user: bool = False
) -> Iterator[Block]:
    """Yield where the two differ; with `by_user` no block has sources of two users."""
    old, new = frozenset(before), frozenset(after)
    changed = tuple(old ^ new)
    concerned = _union(arrow.sources & (worth | arrow.named) for arrow in changed)
    arrows = [arrow for arrow in (*changed, *(old & new)) if arrow.sources & concerned]
    for block in _split(concerned, (arrow.sources for arrow in arrows)):
        here = [arrow for arrow in arrows if arrow.sources & block]
        is_own = by_user or any(arrow.is_self for arrow in here)
        for sources, own in _by_user(block, points) if is_own else ((block, 0),):
            mine = [
                (arrow, arrow.targets & own if arrow.is_self else arrow.targets, arrow in old, arrow in new)
                for arrow in here
            ]
            yield from _towards(sources, mine, worth)


def _towards(sources: int, mine: Sequence[tuple[Arrow, int, bool, bool]], worth: int) -> Iterator[Block]:
    """Yield the blocks of sources that are all under the same rules."""
    concerned = _union(
        targets & (worth | arrow.named) for arrow, targets, was, will in mine if was is not will
    )
    for block in _split(concerned, (targets for _, targets, _, _ in mine)):
        there = [item for item in mine if item[1] & block]
        was = frozenset(arrow.effect for arrow, _, is_old, _ in there if is_old)
        will = frozenset(arrow.effect for arrow, _, _, is_new in there if is_new)
        if was != will:
            yield Block(sources, block, was, will)


def _by_user(block: int, points: Points) -> Iterator[tuple[int, int]]:
    """Yield the parts of a block that belong to one user, with all of that user's devices; then what is nobody's."""
    for user, part in points.users_in(block):
        yield part, points.of_user[user]
    rest = block & ~points.members
    if rest:
        yield rest, 0


def _split(whole: int, masks: Iterable[int]) -> list[int]:
    """Return the parts of a mask that no other mask divides."""
    parts = [whole] if whole else []
    for mask in set(masks):
        if mask & whole:
            parts = [part for old in parts for part in (old & mask, old & ~mask) if part]
    return parts


def _union(masks: Iterable[int]) -> int:
    union = 0
    for mask in masks:
        union |= mask
    return union
