"""A tailnet's objects as this frontend holds them, and the soft facts beside them; pure.

Rule 1: the replica is at one (epoch, position); what it holds is exact there, and no half-built state is visible:
        `load` replaces everything at once, `receive` applies a delta whole or not at all.
Rule 2: every change returns the keys that it touched, so that whoever shows the replica does work for those only.
Rule 3: soft facts are merged by `contracts.soft.newer`: any order, any number of times, same end.
Rule 4: it keeps a state digest of its own (`engine/contracts/digest.py`): a snapshot that is not what it says that it is changes nothing.
Rule 5: a frontend that has lost its lease has no sessions: its facts read as offline until it is heard again.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Final

import msgspec

from engine.contracts.chunks import BadSnapshot
from engine.contracts.digest import SCRUBBED, StateDigest, differ
from engine.contracts.netmap import Change, Delta, NetmapObject, NodeObject, Snapshot, Verdict, judge
from engine.contracts.soft import SoftFact, newer
from engine.domain.values import Epoch, MachineKey, Millis, NodeId, NodeKey, Position

Touched = frozenset[str]
"""Keys as in `contracts.netmap.key_of`."""
NOTHING: Final[Touched] = frozenset()
NO_EPOCH: Final = Epoch("")


def node_key(node: NodeId) -> str:
    """Return the key under which a node is held; soft facts touch it too."""
    return f"node/{node}"


class Replica:
    """The objects at `(epoch, position)`; before the first `load` the epoch is empty and there are none."""

    def __init__(self) -> None:
        self.epoch = NO_EPOCH
        self.position = Position(0)
        self._objects: dict[str, tuple[Position, NetmapObject]] = {}
        self._digest = StateDigest()
        self._by_key: dict[NodeKey, NodeId] = {}
        self._machines: Counter[MachineKey] = Counter()
        """How many nodes each machine has."""
        self._facts: dict[NodeId, SoftFact] = {}
        self._lapsed: dict[str, Millis] = {}

    @property
    def loaded(self) -> bool:
        """Whether a snapshot has been loaded, ever."""
        return self.epoch != NO_EPOCH

    def load(self, snapshot: Snapshot) -> Touched:
        """Replace everything; return the keys that differ from before.

        Raises:
            BadSnapshot: its objects are not those of its state digest; nothing was changed.
        """
        fresh = {
            change.key: (change.at, change.value) for change in snapshot.objects if change.value is not None
        }
        digest = _digest_of(fresh)
        found = digest.text(lambda key: _value(fresh, key))
        if differ(snapshot.digest, found):
            raise BadSnapshot(f"its state digest is {snapshot.digest}, that of its objects {found}")
        touched = frozenset(
            key
            for key in self._objects.keys() | fresh.keys()
            if _value(self._objects, key) != _value(fresh, key)
        )
        before = {node.id: node.machine_key for node in self.nodes()}
        self._objects, self._digest = fresh, digest
        if (
            self.loaded and snapshot.epoch != self.epoch
        ):  # an id of another history may be another machine (F6)
            kept = {node.id for node in self.nodes() if before.get(node.id) == node.machine_key}
            self._facts = {number: fact for number, fact in self._facts.items() if number in kept}
        self._by_key = {node.node_key: node.id for node in self.nodes()}
        self._machines = Counter(node.machine_key for node in self.nodes())
        self.epoch, self.position = snapshot.epoch, snapshot.position
        return touched

    def receive(self, delta: Delta) -> tuple[Verdict, Touched]:
        """Apply the delta if it follows; return what it was, and the keys that it touched."""
        verdict = judge(self.epoch, self.position, delta)
        if verdict is not Verdict.APPLY:
            return verdict, NOTHING
        fresh = [change for change in delta.changes if change.at > self.position]
        for change in fresh:
            self._put(change)
        self.position = delta.cur
        return verdict, frozenset(change.key for change in fresh)

    def state_digest(self) -> str:
        """Return the state digest of the objects, at the cost of what changed since the last call."""
        return self._digest.text(self.get)

    def scrub(self, count: int = SCRUBBED) -> list[str]:
        """Look at the next few objects again; return the keys of those that are not what came from the bus."""
        return self._digest.scrub(self.get, count)

    def _put(self, change: Change) -> None:
        self._digest.touch(change.key)
        held = self._objects.pop(change.key, None)
        if held is not None and isinstance(held[1], NodeObject):
            node = held[1]
            if self._by_key.get(node.node_key) == node.id:
                del self._by_key[node.node_key]
            self._machines[node.machine_key] -= 1
            if not self._machines[node.machine_key]:
                del self._machines[node.machine_key]
        if change.value is None:
            if held is not None and isinstance(held[1], NodeObject):
                self._facts.pop(held[1].id, None)  # ids are never used again
            return
        self._objects[change.key] = (change.at, change.value)
        if isinstance(change.value, NodeObject):
            self._by_key[change.value.node_key] = change.value.id
            self._machines[change.value.machine_key] += 1

    def get(self, key: str) -> NetmapObject | None:
        """Return the object under a key."""
        return _value(self._objects, key)

    def keys(self) -> frozenset[str]:
        """Return every key that is held."""
        return frozenset(self._objects)

    def nodes(self) -> Iterator[NodeObject]:
        """Return every node, in no order."""
        return (value for _, value in self._objects.values() if isinstance(value, NodeObject))

    def node(self, number: NodeId) -> NodeObject | None:
        """Return a node."""
        value = self.get(node_key(number))
        return value if isinstance(value, NodeObject) else None

    def bound(self, key: NodeKey, machine: MachineKey) -> NodeObject | None:
        """Return the node whose current key this is, if it is this machine's (S4)."""
        number = self._by_key.get(key)
        node = None if number is None else self.node(number)
        return node if node is not None and node.machine_key == machine else None

    def knows(self, machine: MachineKey) -> bool:
        """Return whether the machine has a node, whatever its key is worth."""
        return machine in self._machines

    # Soft state ------------------------------------------------------------------------------------------------

    def merge(self, facts: Iterable[SoftFact]) -> Touched:
        """Merge facts from anywhere; return the keys of the nodes that read differently now."""
        touched: set[str] = set()
        for fact in facts:
            held = self._facts.get(fact.node)
            if not newer(fact, held):
                continue
            before = self.fact(fact.node)
            self._facts[fact.node] = fact
            if _shown(before) != _shown(self.fact(fact.node)):
                touched.add(node_key(fact.node))
        return frozenset(touched)

    def held(self, node: NodeId) -> SoftFact | None:
        """Return the fact as it was said, whether or not its frontend still lives."""
        return self._facts.get(node)

    def fact(self, node: NodeId) -> SoftFact | None:
        """Return what is known of a node, read with its frontend's lease in mind (rule 4)."""
        fact = self._facts.get(node)
        if fact is None or not fact.online:
            return fact
        lapsed = self._lapsed.get(fact.origin)
        if lapsed is None:
            return fact
        return msgspec.structs.replace(fact, online=False, last_seen=max(fact.last_seen, lapsed))

    def facts_of(self, origin: str) -> tuple[SoftFact, ...]:
        """Return all that a frontend has said and nobody has said better."""
        return tuple(fact for fact in self._facts.values() if fact.origin == origin)

    def facts(self) -> tuple[SoftFact, ...]:
        """Return all facts, as they were said."""
        return tuple(self._facts.values())

    def lapse(self, origin: str, at: Millis) -> Touched:
        """Take it that a frontend has lost its sessions; `at` is when it was last heard."""
        self._lapsed[origin] = at
        return self._online_of(origin)

    def revive(self, origin: str) -> Touched:
        """Take a frontend's word again."""
        return self._online_of(origin) if self._lapsed.pop(origin, None) is not None else NOTHING

    def _online_of(self, origin: str) -> Touched:
        facts: Mapping[NodeId, SoftFact] = self._facts
        return frozenset(
            node_key(fact.node) for fact in facts.values() if fact.origin == origin and fact.online
        )


def _digest_of(objects: Mapping[str, tuple[Position, NetmapObject]]) -> StateDigest:
    digest = StateDigest()
    for key in objects:
        digest.touch(key)
    return digest


def _value(objects: Mapping[str, tuple[Position, NetmapObject]], key: str) -> NetmapObject | None:
    held = objects.get(key)
    return None if held is None else held[1]


def _shown(fact: SoftFact | None) -> SoftFact | None:
    """Return the fact without what only orders it: a later fact that says the same changes nothing."""
    return None if fact is None else msgspec.structs.replace(fact, origin="", generation=0, sequence=0)
