"""Tables of a tailnet that hold sets: an entry that is empty is not there."""

from typing import Protocol, Self, TypeVar, runtime_checkable

K = TypeVar("K")
V = TypeVar("V")


@runtime_checkable
class Drafted(Protocol):
    """Tables that know how to copy themselves."""

    def draft(self) -> Self:
        """Return others that say the same."""
        ...


def join(index: dict[K, set[V]], key: K, member: V) -> None:
    """Put the member into the set of the key."""
    index.setdefault(key, set()).add(member)


def leave(index: dict[K, set[V]], key: K, member: V) -> None:
    """Take the member out of the set of the key."""
    members = index.get(key)
    if members is not None:
        members.discard(member)
        if not members:
            del index[key]


def copied(table: object) -> object:
    """Return a table of its own with the same in it; what is not a table is returned as it is."""
    if isinstance(table, set):
        return set(table)
    if isinstance(table, Drafted):
        return table.draft()
    if not isinstance(table, dict):
        return table
    return {key: copied(value) if isinstance(value, set | dict) else value for key, value in table.items()}
