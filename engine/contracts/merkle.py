"""The Merkle tree over the log (RFC 9162 §2.1): a short root for all records, and a short proof for each of them.

Rule 1: the entries are the records' digests, as octets, in the order of the log; positions have holes, indices have none.
Rule 2: a leaf is SHA-256(0x00 ‖ entry), a node SHA-256(0x01 ‖ left ‖ right); the root of nothing is SHA-256 of nothing.
"""

import hashlib
from collections.abc import Sequence

_sha256 = hashlib.sha256


class Frontier:
    """A tree that only grows: the roots of its full subtrees, the largest first."""

    __slots__ = ("_roots", "size")

    def __init__(self) -> None:
        self.size = 0
        """How many entries there are."""
        self._roots: list[bytes] = []

    def add(self, entry: bytes) -> None:
        """Add an entry; one hash or two on average."""
        node, size = leaf_of(entry), self.size
        while size & 1:
            node = _node(self._roots.pop(), node)
            size >>= 1
        self._roots.append(node)
        self.size += 1

    def root(self) -> bytes:
        """Return the 32 octets that stand for all entries."""
        if not self._roots:
            return _sha256().digest()
        *others, root = self._roots
        for left in reversed(others):
            root = _node(left, root)
        return root


def leaf_of(entry: bytes) -> bytes:
    """Return an entry's leaf."""
    return _sha256(b"\0" + entry).digest()


def proof_of(leaves: Sequence[bytes], index: int) -> tuple[bytes, ...]:
    """Return the inclusion proof of a leaf in the tree of all of them, the nearest sibling first.

    Raises:
        IndexError: there is no such leaf.
    """
    if not 0 <= index < len(leaves):
        raise IndexError(index)
    path = []
    level = leaves
    while len(level) > 1:
        if index ^ 1 < len(level):
            path.append(level[index ^ 1])
        pairs = [_node(level[at], level[at + 1]) for at in range(0, len(level) - 1, 2)]
        level = [*pairs, *level[len(pairs) * 2 :]]
        index >>= 1
    return tuple(path)


def root_from(leaf: bytes, index: int, size: int, path: Sequence[bytes]) -> bytes | None:
    """Return the root that an inclusion proof leads to, None if it leads nowhere (RFC 9162 §2.1.3.2)."""
    if not 0 <= index < size:
        return None
    last = size - 1
    for sibling in path:
        if last == 0:
            return None
        if index & 1 or index == last:
            leaf = _node(sibling, leaf)
            while index and not index & 1:
                index >>= 1
                last >>= 1
        else:
            leaf = _node(leaf, sibling)
        index >>= 1
        last >>= 1
    return leaf if last == 0 else None


def _node(left: bytes, right: bytes) -> bytes:
    return _sha256(b"\1" + left + right).digest()
