"""Lists of peers for first frames, in compressed pieces that all viewers of a scope share.

Rule 1: nodes are cut into blocks by their ids, so that a change concerns one block, and the others stay compressed.
Rule 2: only the block with the viewer itself is compressed for it alone.
Rule 3: pieces follow one another with a compressed comma between; together they are the inside of one JSON list,
        sorted by id.
Rule 4: only the scopes used last are kept.
"""

from collections.abc import Callable, Iterable
from typing import Final

from engine.domain.values import NodeId
from frontends.control.journal import Step
from frontends.control.scope import Scope
from frontends.control.view import View

BLOCK: Final = 64
"""Ids in a block: 64–100 peers compress as well as all together (python-stack §3)."""
SCOPES: Final = 64


class PeerLists:
    """The compressed blocks of each scope; `compress` makes one zstd frame."""

    def __init__(self, view: View, compress: Callable[[bytes], bytes]) -> None:
        self._view = view
        self._compress = compress
        self._comma = compress(b",")
        self._blocks: dict[int, set[NodeId]] = {}
        self._packed: dict[Scope, dict[int, bytes]] = {}

    def update(self, steps: Iterable[Step]) -> None:
        """Take note of nodes that are shown differently."""
        for step in steps:
            number = step.node // BLOCK
            members = self._blocks.setdefault(number, set())
            if step.after is None:
                members.discard(step.node)
                if not members:
                    del self._blocks[number]
            else:
                members.add(step.node)
            for packed in self._packed.values():
                packed.pop(number, None)

    def pieces(self, scope: Scope, viewer: NodeId) -> tuple[bytes, ...]:
        """Return the compressed list of a scope's nodes without the viewer; none if there are none."""
        packed = self._packed.pop(scope, None)
        if packed is None:
            packed = {}
            if len(self._packed) >= SCOPES:
                del self._packed[next(iter(self._packed))]
        self._packed[scope] = packed
        own = viewer // BLOCK
        found: list[bytes] = []
        for number in sorted(self._blocks):
            if number == own:
                piece = self._pack(scope, number, viewer)
            else:
                known = packed.get(number)
                piece = packed[number] = self._pack(scope, number, None) if known is None else known
            if piece:
                found += (self._comma, piece) if found else (piece,)
        return tuple(found)

    def _pack(self, scope: Scope, number: int, without: NodeId | None) -> bytes:
        shown, classes = self._view.shown, scope.classes
        data = [
            scope.fragment(node, shown[node].fragment).data
            for node in sorted(self._blocks[number])
            if node != without and shown[node].class_id in classes
        ]
        return self._compress(b",".join(data)) if data else b""
