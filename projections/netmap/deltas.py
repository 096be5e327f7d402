"""From folded records to the deltas of a chain, each small enough for a message; pure.

Rule 1: a delta holds each key once, as it is at `cur`, with the last position that touched it.
Rule 2: chains of different publishers may be cut differently; a holder that follows the contract does not notice.
Rule 3: what is too large is cut in half between two positions. One position that is too large by itself becomes
        a bookmark at that position: nobody can get there but by a snapshot, and the epoch stays.
Rule 4: the last delta of a batch says the state digest there; of a cut between two positions of the batch nobody knows it.
Rule 5: an epoch that changes cuts the chain: what was before belongs to the old one.
"""

from collections.abc import Iterator, Sequence
from typing import Final

import msgspec

from engine.contracts.digest import UNKNOWN
from engine.contracts.netmap import MAX_DELTA, Change, Delta
from engine.domain.values import Epoch, Position

_ENCODER: Final = msgspec.json.Encoder()


class Step(msgspec.Struct, frozen=True):
    """One folded record: the epoch and the position after it, and what it changed."""

    epoch: Epoch
    position: Position
    changes: tuple[Change, ...]


class Said(msgspec.Struct, frozen=True):
    """What a batch ends at: the state digest there, and who says it."""

    digest: str = UNKNOWN
    by: str = ""


NOTHING_SAID: Final = Said()


def deltas(
    prev: Position, steps: Sequence[Step], said: Said = NOTHING_SAID, *, limit: int = MAX_DELTA
) -> Iterator[bytes]:
    """Yield the steps after `prev` as deltas in JSON, each of at most `limit` octets, in order; the digest is of the last one."""
    start, between = 0, Said(by=said.by)
    for end in range(1, len(steps) + 1):
        is_last = end == len(steps)
        if is_last or steps[end].epoch != steps[start].epoch:
            yield from _cut(prev, steps[start:end], said if is_last else between, limit)
            prev = steps[end - 1].position
            start = end


def bookmark(epoch: Epoch, position: Position, said: Said = NOTHING_SAID) -> bytes:
    """Return a delta without changes: the chain has not moved from here."""
    return _ENCODER.encode(Delta(epoch=epoch, prev=position, cur=position, digest=said.digest, by=said.by))


def _cut(prev: Position, steps: Sequence[Step], said: Said, limit: int) -> Iterator[bytes]:
    last = steps[-1]
    delta = Delta(
        epoch=last.epoch,
        prev=prev,
        cur=last.position,
        changes=_merged(steps),
        digest=said.digest,
        by=said.by,
    )
    data = _ENCODER.encode(delta)
    if len(data) <= limit:
        yield data
    elif len(steps) == 1:
        yield bookmark(last.epoch, last.position, said)
    else:
        middle = len(steps) // 2
        yield from _cut(prev, steps[:middle], Said(by=said.by), limit)
        yield from _cut(steps[middle - 1].position, steps[middle:], said, limit)


def _merged(steps: Sequence[Step]) -> tuple[Change, ...]:
    latest = {change.key: change for step in steps for change in step.changes}
    return tuple(latest[key] for key in sorted(latest))
