"""From sets of classes to the addresses of their nodes; pure.

Rule 1: an expired node is nobody's source.
Rule 2: what was found for some sets is kept until one of their classes has other nodes, or the sets have other classes; the same
        addresses are the same object.
"""

from collections.abc import Iterable, Mapping
from typing import Final

from engine.contracts.netmap import NodeObject
from engine.domain.values import NodeId
from frontends.control.fragment import Fragment
from frontends.control.scope import Sets

KEPT: Final = 8_192
"""Findings that are kept; a policy has one for each of its rules."""
Addresses = tuple[str, ...]


class _Found:
    __slots__ = ("addresses", "classes", "looked", "stamp")

    def __init__(self, classes: frozenset[str], stamp: int, looked: int, addresses: Addresses) -> None:
        self.classes: Final = classes
        self.stamp: Final = stamp
        self.looked = looked
        self.addresses: Final = addresses


class Sources:
    """The addresses of sets; `members` are the nodes of each class, as they are shown."""

    def __init__(self, sets: Sets, members: Mapping[str, Mapping[NodeId, Fragment]]) -> None:
        self.tick = 0
        """Grows whenever an address list could read differently."""
        self._sets: Final = sets
        self._members: Final = members
        self._stamps: Final[dict[str, int]] = {}
        self._found: Final[dict[tuple[str, ...], _Found]] = {}

    def stir(self, classes: Iterable[str]) -> None:
        """Take it that these classes have other nodes, or that sets have other classes."""
        self.tick += 1
        for name in classes:
            self._stamps[name] = self.tick

    def stamp(self, classes: Iterable[str]) -> int:
        """Return when any of these classes was stirred last."""
        return max((self._stamps.get(name, 0) for name in classes), default=0)

    def classes(self, sets: Iterable[str]) -> frozenset[str]:
        """Return the classes that are in any of these sets."""
        return self._sets.classes(sets)

    def nodes(self, class_id: str) -> Iterable[Fragment]:
        """Return the nodes of a class that may send."""
        return (f for f in self._members.get(class_id, {}).values() if not f.node.expired)

    def of(self, sets: tuple[str, ...]) -> Addresses:
        """Return the addresses of the nodes of these sets' classes, sorted as texts."""
        found = self._found.get(sets)
        if found is not None and found.looked == self.tick:
            return found.addresses
        classes = self._sets.classes(sets)
        stamp = self.stamp(classes)
        if found is not None and found.classes == classes and found.stamp == stamp:
            found.looked = self.tick
            return found.addresses
        texts = {text for name in classes for f in self.nodes(name) for text in f.addresses}
        if len(self._found) >= KEPT:
            self._found.clear()
        fresh = self._found[sets] = _Found(classes, stamp, self.tick, tuple(sorted(texts)))
        return fresh.addresses


def senders(node: NodeObject) -> tuple[str, ...]:
    """Return the addresses that a node may send from, sorted as texts."""
    return tuple(sorted(filter(None, (node.ipv4, node.ipv6))))


def bare(prefix: str) -> str:
    """Return the address of a prefix that is one address."""
    return prefix.partition("/")[0]
