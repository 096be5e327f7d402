"""What a policy is: from the identities of classes to what each class sees and who may reach it.

Rule 1: a policy speaks of classes, never of nodes: a node that joins a class changes nothing here.
Rule 2: `relate` is a function of the identities alone, whatever their order. Every class that it names is one of them,
        every set that it names is one that it gives.
Rule 3: standings name sets, never classes, and a set's id is stable: it stands for a place in the policy (everybody,
        one rule's sources). So a class that comes or goes changes the sets that it is in, and no other's standing.
Rule 4: a set's id is seen by whoever sees a node of the set: it says nothing that they may not know.
Rule 5: the relation of sight need not be symmetric; whoever asks for symmetry asks the policy, not the fold.
"""

from collections.abc import Mapping
from typing import Final, Protocol

import msgspec

from engine.domain.values import UserId

ALL_PORTS: Final[tuple[tuple[int, int], ...]] = ((0, 65_535),)


class Identity(msgspec.Struct, frozen=True, kw_only=True):
    """What a policy may know of a node: its user, or its tags, never both.

    A tagged node acts for its tags and no longer for the user who registered it (reference: policy semantics).
    """

    id: str
    user: UserId | None = None
    tags: tuple[str, ...] = ()


class Rule(msgspec.Struct, frozen=True, kw_only=True):
    """Nodes of the classes in these sets may send to these ports; protocols empty means TCP, UDP and ICMP."""

    sources: tuple[str, ...]
    ports: tuple[tuple[int, int], ...] = ALL_PORTS
    protocols: tuple[int, ...] = ()


class Standing(msgspec.Struct, frozen=True, kw_only=True):
    """What a policy says of one class: the sets that it sees, sorted, and the rules for reaching it."""

    sees: tuple[str, ...]
    rules: tuple[Rule, ...] = ()


class Relations(msgspec.Struct, frozen=True, kw_only=True):
    """What a policy says of some classes: its sets, each sorted, and the standing of every class, all by id."""

    sets: Mapping[str, tuple[str, ...]]
    standings: Mapping[str, Standing]


class Policy(Protocol):
    """A compiled policy."""

    def relate(self, identities: Mapping[str, Identity]) -> Relations:
        """Return the sets and standings of these classes."""
        ...
