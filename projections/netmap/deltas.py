"""From folded records to the deltas of a chain, each small enough for a message; pure.

Rule 1: a delta holds each key once, as it is at `cur`, with the last position that touched it.
Rule 2: chains of different publishers may be cut differently; a holder that follows the contract does not notice.
Rule 3: what is too large is cut in half between two positions. One position that is too large by itself becomes
        a bookmark at that position: nobody can get there but by a snapshot, and the epoch stays.
Rule 4: an epoch that changes cuts the chain: what was before belongs to the old one.
"""

from collections.abc import Iterator, Sequence
from typing import Final

import msgspec

from engine.contracts.netmap import MAX_DELTA, Change, Delta
from engine.domain.values import Epoch, Position

_ENCODER: Final = msgspec.json.Encoder()


class Step(msgspec.Struct, frozen=True):
    """One folded record: the epoch and the position after it, and what it changed."""

    epoch: Epoch
    position: Position
    changes: tuple[Change, ...]


def deltas(prev: Position, steps: Sequence[Step], *, limit: int = MAX_DELTA) -> Iterator[bytes]:
    """Yield the steps after `prev` as deltas in JSON, each of at most `limit` octets, in order."""
    start = 0
    for end in range(1, len(steps) + 1):
        if end == len(steps) or steps[end].epoch != steps[start].epoch:
            yield from _cut(prev, steps[start:end], limit)
            prev = steps[end - 1].position
            start = end


def bookmark(epoch: Epoch, position: Position) -> bytes:
    """Return a delta without changes: the chain has not moved from here."""
    return _ENCODER.encode(Delta(epoch=epoch, prev=position, cur=position))


def _cut(prev: Position, steps: Sequence[Step], limit: int) -> Iterator[bytes]:
    last = steps[-1]
    data = _ENCODER.encode(Delta(epoch=last.epoch, prev=prev, cur=last.position, changes=_merged(steps)))
    if len(data) <= limit:
        yield data
    elif len(steps) == 1:
        yield bookmark(last.epoch, last.position)
    else:
        middle = len(steps) // 2
        yield from _cut(prev, steps[:middle], limit)
        yield from _cut(steps[middle - 1].position, steps[middle:], limit)


def _merged(steps: Sequence[Step]) -> tuple[Change, ...]:
    latest = {change.key: change for step in steps for change in step.changes}
    return tuple(latest[key] for key in sorted(latest))
