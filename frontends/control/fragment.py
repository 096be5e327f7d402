"""A peer in its wire form, encoded once and shared by all who see it.

Rule 1: fragments are compared by identity where that is enough, by bytes where it matters.
"""

from typing import Final

import msgspec

from frontends.wire.tailcfg.node import Node

_ENCODER: Final = msgspec.json.Encoder()


class Fragment:
    """One `tailcfg.Node`, as a struct and as JSON."""

    __slots__ = ("data", "node")

    def __init__(self, node: Node) -> None:
        self.node: Final = node
        self.data: Final = _ENCODER.encode(node)
