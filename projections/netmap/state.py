"""What the fold holds: the tailnet, the classes with their members, their sets, and the netmap objects by key.

Rule 1: only `fold` writes here; everybody else reads.
Rule 2: `snapshot_of` is canonical: the same prefix of a log gives the same bytes on every host (P1).
Rule 3: an object stands under its key with the last position that changed it.
Rule 4: whatever is put or dropped touches the state digest, and nothing else does.
"""

from collections.abc import Iterable, Iterator

from engine.contracts.digest import SCRUBBED, StateDigest
from engine.contracts.netmap import (
    TAILNET_KEY,
    Change,
    ClassObject,
    ClassSetObject,
    EntryObject,
    ExtrasObject,
    NetmapObject,
    NodeObject,
    RouteObject,
    Snapshot,
    TailnetObject,
    UserObject,
    WireGuardPeerObject,
    key_of,
)
from engine.domain.state import Tailnet
from engine.domain.values import NEVER, Epoch, Millis, NodeId, PeerId, Position, UserId
from engine.policy.compiled import Policy
from engine.policy.policy import Entry, Identity, Standing


class NetmapState:
    """A tailnet at one position of its log; at position 0 it is empty and has no epoch."""

    def __init__(self) -> None:
        self.policy = Policy()
        self.tailnet = Tailnet()
        self.epoch = Epoch("")
        self.position = Position(0)
        self.at: Millis = NEVER
        """When the last record was recorded."""
        self.digest = ""
        """The last record's: names the whole history up to here (L7)."""
        self.objects: dict[str, Change] = {}
        self._digest = StateDigest()
        self.identities: dict[str, Identity] = {}
        """The classes that have members, by id."""
        self.members: dict[str, int] = {}
        """How many nodes a class has; a class without members does not exist."""
        self.standings: dict[str, Standing] = {}
        """What the policy says of each class."""
        self.keys: dict[str, frozenset[str]] = {}
        """The policy's selectors that speak of each class, by their keys."""
        self.sets: dict[str, list[str]] = {}
        """The classes of each set that has any, sorted."""
        self.routers: dict[str, list[NodeId]] = {}
        """For each approved prefix that is no exit route the nodes that route it, in the order in which they joined."""

    def put(self, value: NetmapObject) -> Change | None:
        """Hold the object at the present position; return the change, None when nothing differs."""
        key = key_of(value)
        held = self.objects.get(key)
        if held is not None and held.value == value:
            return None
        change = Change(key=key, at=self.position, value=value)
        self.objects[key] = change
        self._digest.touch(key)
        return change

    def drop(self, key: str) -> Change | None:
        """Remove what is under the key; return the change, None when there was nothing."""
        if self.objects.pop(key, None) is None:
            return None
        self._digest.touch(key)
        return Change(key=key, at=self.position, value=None)

    def state_digest(self) -> str:
        """Return the state digest of the objects (`engine/contracts/digest.py`), at the cost of what changed since the last call."""
        return self._digest.text(self._value)

    def scrub(self, count: int = SCRUBBED) -> list[str]:
        """Look at the next few objects again; return the keys of those that are not what was put there."""
        return self._digest.scrub(self._value, count)

    def node(self, number: NodeId) -> NodeObject | None:
        """Return a node's object."""
        value = self._value(f"node/{number}")
        return value if isinstance(value, NodeObject) else None

    def peer(self, number: PeerId) -> WireGuardPeerObject | None:
        """Return a WireGuard-only peer's object."""
        value = self._value(f"peer/{number}")
        return value if isinstance(value, WireGuardPeerObject) else None

    def user(self, number: UserId) -> UserObject | None:
        """Return a user's object."""
        value = self._value(f"user/{number}")
        return value if isinstance(value, UserObject) else None

    def class_of(self, identity: str) -> ClassObject | None:
        """Return a class's object."""
        value = self._value(f"class/{identity}")
        return value if isinstance(value, ClassObject) else None

    def classes_in(self, sets: Iterable[str]) -> frozenset[str]:
        """Return the classes that are in any of these sets; a set that is not held has none."""
        held = (self._value(f"set/{name}") for name in sets)
        return frozenset(
            name for value in held if isinstance(value, ClassSetObject) for name in value.classes
        )

    def entry(self, name: str) -> Entry | None:
        """Return a rule's sources."""
        value = self._value(f"entry/{name}")
        return value.entry if isinstance(value, EntryObject) else None

    def route(self, prefix: str) -> RouteObject | None:
        """Return who routes a prefix and who is told."""
        value = self._value(f"route/{prefix}")
        return value if isinstance(value, RouteObject) else None

    def extras(self, number: NodeId) -> ExtrasObject:
        """Return what is a node's own; without connections it is empty."""
        value = self._value(f"extras/{number}")
        return value if isinstance(value, ExtrasObject) else ExtrasObject(node=number)

    def settings(self) -> TailnetObject | None:
        """Return what holds for every node; None before the log has started."""
        value = self._value(TAILNET_KEY)
        return value if isinstance(value, TailnetObject) else None

    def nodes(self) -> Iterator[NodeObject]:
        """Return every node's object, by id."""
        for number in sorted(self.tailnet.nodes):
            node = self.node(number)
            if node is not None:
                yield node

    def _value(self, key: str) -> NetmapObject | None:
        held = self.objects.get(key)
        return None if held is None else held.value


def snapshot_of(state: NetmapState) -> Snapshot:
    """Return every object, sorted by key."""
    return Snapshot(
        epoch=state.epoch,
        position=state.position,
        objects=tuple(state.objects[key] for key in sorted(state.objects)),
        digest=state.state_digest(),
    )
