"""A peer in its wire form, encoded once and shared by all who see it.

Rule 1: fragments are compared by identity where that is enough, by bytes where it matters.
Rule 2: a router is shown with other routes to other viewers: each such form is made once too, and kept with the fragment.
"""

from typing import Final

import msgspec

from frontends.wire.tailcfg.node import Node

_ENCODER: Final = msgspec.json.Encoder()


class Fragment:
    """One `tailcfg.Node`, as a struct and as JSON."""

    __slots__ = ("_worn", "addresses", "data", "node")

    def __init__(self, node: Node, addresses: tuple[str, ...] = ()) -> None:
        self.node: Final = node
        self.addresses: Final = addresses
        """From where it may send, also where that is not shown."""
        self.data: Final = _ENCODER.encode(node)
        self._worn: dict[tuple[str, ...], Fragment] | None = None

    def wearing(self, routes: tuple[str, ...]) -> "Fragment":
        """Return the node as those see it to whom these prefixes lead there."""
        if not routes:
            return self
        if self._worn is None:
            self._worn = {}
        worn = self._worn.get(routes)
        if worn is None:
            allowed = (*self.node.allowed_ips, *routes)
            node = msgspec.structs.replace(self.node, allowed_ips=allowed, primary_routes=routes)
            worn = self._worn[routes] = Fragment(node)
        return worn
