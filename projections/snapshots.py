"""Snapshots in chunks, shared by all who ask at about the same time.

Rule 1: one build at a time, by construction: a build does not await. Its result serves for a while, so that a herd of
        frontends costs one build in `FRESH_SECONDS`, and never more than a share of `1 / REST` of the time.
Rule 2: who names a position that it must be past gets a build that is: a frontend that fills a gap asks with the
        delta's `cur`, and gets no snapshot from before the gap.
Rule 3: of a state whose place another one has taken nothing is given any more.
Rule 4: earlier builds are held for `KEPT_SECONDS`, for those who are between two chunks.
"""

from collections.abc import Callable
from typing import Final

import msgspec

from engine.contracts.chunks import split
from engine.contracts.netmap import SnapshotChunk
from engine.domain.errors import Invalid, NotFound
from projections.netmap.state import NetmapState, snapshot_of

FRESH_SECONDS: Final = 0.25
"""Short: a frontend that does not name a position may be given a snapshot this much too old, and ask again."""
REST: Final = 5
"""A build serves for at least this many times what it took."""
KEPT_SECONDS: Final = 30.0
KEPT_BUILDS: Final = 4
"""At most this many, however fast they are asked for."""


class _Build(msgspec.Struct, frozen=True):
    made: float
    fresh_until: float
    chunks: tuple[SnapshotChunk, ...]

    def is_named(self, identity: str) -> bool:
        return self.chunks[0].id == identity


class Snapshots:
    """The latest builds of one projection's state."""

    def __init__(self, state: Callable[[], NetmapState], monotonic: Callable[[], float]) -> None:
        self.built = 0
        self._state = state
        self._monotonic = monotonic
        self._builds: list[_Build] = []
        self._of = state()

    def chunk(self, index: int, identity: str, min_position: int) -> SnapshotChunk:
        """Return a chunk: of the present snapshot when `identity` is empty, else of the one that it names.

        Raises:
            NotFound: `snapshot.gone`: that snapshot is held no more; start again with chunk 0.
            Invalid: `snapshot.chunk`: it has no such chunk.
        """
        if self._of is not self._state():
            self._of, self._builds = self._state(), []
        build = self._named(identity) if identity else self._present(min_position)
        if not 0 <= index < len(build.chunks):
            raise Invalid("snapshot.chunk", f"the snapshot has {len(build.chunks)} chunks", field="chunk")
        return build.chunks[index]

    def _named(self, identity: str) -> _Build:
        oldest = self._monotonic() - KEPT_SECONDS
        for build in self._builds:
            if build.is_named(identity) and (build is self._builds[-1] or build.made >= oldest):
                return build
        raise NotFound("snapshot.gone", "that snapshot is held no more", hint="Start again with chunk 0.")

    def _present(self, past: int) -> _Build:
        if self._builds and self._serves(self._builds[-1], past):
            return self._builds[-1]
        self.built += 1
        began = self._monotonic()
        chunks = split(snapshot_of(self._state()))
        ended = self._monotonic()
        build = _Build(ended, ended + max(FRESH_SECONDS, REST * (ended - began)), chunks)
        oldest = ended - KEPT_SECONDS
        self._builds = [*[old for old in self._builds if old.made >= oldest][1 - KEPT_BUILDS :], build]
        return build

    def _serves(self, build: _Build, past: int) -> bool:
        state, head = self._state(), build.chunks[0]
        if head.epoch != state.epoch or head.position < past:
            return False
        return head.position == state.position or self._monotonic() <= build.fresh_until
