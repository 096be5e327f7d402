"""The replica as viewers may see it: which nodes, in what words, and what differs between two moments; pure.

    netmap(node) = self + the nodes of the classes in the sets that its class sees, without itself,
                   each with the routes that lead to it in this view
                 + its WireGuard-only peers

Rule 1: a `Standing` is all that a node is entitled to at one version, by reference to what others share. What a
        client has to be told is the difference of two standings (`between`), never a list of events.
Rule 2: a node's fragment is the same for all who see it and encoded once per change; a class only chooses, and says which
        routes it wears. It names the sets that the node's class is in, as far as filters name them, so it changes when its
        class moves between sets, and no other node's does.
Rule 3: a node whose key has expired stands alone: it is told that, and nothing of anybody else.
Rule 4: a WireGuard-only peer is reached through the viewer's own extras object and in no other way.
"""

from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet
from typing import Final, NamedTuple

from engine.contracts.netmap import (
    TAILNET_KEY,
    ClassObject,
    ExtrasObject,
    NodeObject,
    TailnetObject,
    UserObject,
)
from engine.domain.values import NodeId, NodeKey, UserId
from frontends.control.common import Common, common_of
from frontends.control.concern import Concern, Concerns
from frontends.control.difference import Difference, Pairs
from frontends.control.fragment import Fragment
from frontends.control.journal import Journal, Shown, Step
from frontends.control.own import Owns
from frontends.control.profiles import TAGGED, WIREGUARD, encode_profile
from frontends.control.render import peer_node, user_of
from frontends.control.replica import Replica, Touched
from frontends.control.scope import Scope, Sets
from frontends.control.shells import NOBODY, Shells
from frontends.control.sources import Sources, senders
from frontends.control.steering import Steering


class Standing(NamedTuple):
    """What one node is entitled to at one version."""

    version: int
    node: NodeId
    key: NodeKey
    scope: Scope
    me: bytes
    """Its own `tailcfg.Node`."""
    filters: bytes
    """The value of `PacketFilters`."""
    extras: tuple[Fragment, ...]
    """Its WireGuard-only peers, sorted by id."""
    ssh: bytes
    """The value of `SSHPolicy`."""
    profile: bytes
    """The profile of its own user."""
    common: Common


class View:
    """What a replica's nodes may see; `update` follows the replica, everything else reads."""

    def __init__(self, replica: Replica) -> None:
        self.journal: Final = Journal()
        self.members: Final[dict[str, dict[NodeId, Fragment]]] = {}
        """The nodes of each class that has any."""
        self.shown: Final[dict[NodeId, Shown]] = {}
        self.broken: Final[set[NodeId]] = set()
        """Nodes that have no wire form: shown to nobody, so that they harm nobody (F7)."""
        self._replica: Final = replica
        self._common: Common | None = None
        self._demoted: Common | None = None
        """The same for nodes that have an exit which answers names: the tailnet's resolvers are a fall-back there."""
        self._sets: Final = Sets(replica)
        self._sources: Final = Sources(self._sets, self.members)
        self._steering: Final = Steering(replica)
        self._owns: Final = Owns(replica, self._steering, self._sources)
        self._shells: Final = Shells(replica, self._sources)
        self._without_ipv4: Final[set[str]] = set()
        """The classes whose nodes do not show their IPv4 addresses."""
        self._users: Final[dict[UserId, tuple[int, bytes]]] = {}
        """Profiles, and the version at which each last changed."""
        self._newest_profile = 0
        self._differences: Final[dict[tuple[int, Scope, Scope], Difference | None]] = {}
        self._concerns: Final = Concerns()

    @property
    def version(self) -> int:
        """The number of the newest version."""
        return self.journal.version

    def update(self, touched: Touched) -> list[Step]:
        """Take over what the replica says of the touched keys; return how nodes are shown differently."""
        numbers = {NodeId(int(key[5:])) for key in touched if key.startswith("node/")}
        if TAILNET_KEY in touched:
            numbers |= self._on_tailnet()
        tick = self._sources.tick
        numbers |= self._on_classes(touched)
        own = self._forget_own(touched, numbers)
        numbers |= self._on_sets(touched)
        steps = [step for number in numbers if (step := self._step(number)) is not None]
        self.journal.add(steps)
        self._differences.clear()
        for key in touched:
            if key.startswith("user/"):
                self._on_user(UserId(int(key[5:])))
        for step in steps:
            self._place(step)
        is_rerouted = self._on_routes(touched)
        is_narrow = not is_rerouted and tick == self._sources.tick and all(map(_is_narrow, touched))
        self._concerns.add(self.version, _concern(steps, own) if is_narrow else None)
        return steps

    def forget(self) -> None:
        """Take it that another history has begun: nobody's standing can be continued."""
        self.journal.forget()
        self._differences.clear()
        self._concerns.add(self.version, None)

    def concerns(self, standing: Standing, since: int) -> bool:
        """Return whether anything after a version may have changed what a node is entitled to that stood so then."""
        concern = self._concerns.since(since)
        if concern is None or standing.node in concern.nodes:
            return True
        return not standing.scope.classes.isdisjoint(concern.classes)

    def _on_tailnet(self) -> set[NodeId]:
        value = self._replica.get(TAILNET_KEY)
        tailnet = value if isinstance(value, TailnetObject) else None
        self._common = None if tailnet is None else common_of(tailnet)
        has_resolvers = tailnet is not None and bool(tailnet.resolvers)
        self._demoted = common_of(tailnet, is_demoted=True) if tailnet and has_resolvers else self._common
        base = self._owns.base
        self._owns.begin(tailnet)
        if base == self._owns.base:
            return set()
        return {node.id for node in self._replica.nodes()}

    def _on_classes(self, touched: Touched) -> set[NodeId]:
        """Take over which classes show IPv4 addresses; return the nodes of those that do otherwise now."""
        found: set[NodeId] = set()
        names = [key.removeprefix("class/") for key in touched if key.startswith("class/")]
        if names:
            self._sources.stir(names)
        for name in names:
            value = self._replica.get(f"class/{name}")
            is_without = isinstance(value, ClassObject) and not value.has_ipv4
            if is_without is not (name in self._without_ipv4):
                (self._without_ipv4.add if is_without else self._without_ipv4.discard)(name)
                found |= self.members.get(name, {}).keys()
        return found

    def _on_routes(self, touched: Touched) -> bool:
        """Return whether anything is routed otherwise."""
        changed = self._steering.update(touched)
        if changed is None:
            return False
        self._sets.outdate()
        self._owns.forget(changed)
        return True

    def _on_sets(self, touched: Touched) -> set[NodeId]:
        moved = self._sets.update(touched)
        if moved:
            self._sources.stir(moved)
        return {number for name in moved for number in self.members.get(name, {})}

    def _on_user(self, number: UserId) -> None:
        value = self._replica.get(f"user/{number}")
        self._newest_profile = self.version
        if isinstance(value, UserObject):
            self._users[number] = (self.version, encode_profile(value))
        else:
            self._users.pop(number, None)

    def _step(self, number: NodeId) -> Step | None:
        before, node = self.shown.get(number), self._replica.node(number)
        if node is None:
            self.broken.discard(number)
            return None if before is None else Step(number, before, None)
        self.broken.discard(number)
        sets = self._sets.named_of(node.class_id)
        fact, has_ipv4 = self._replica.fact(number), node.class_id not in self._without_ipv4
        try:
            shown = peer_node(node, fact, self._owns.base, sets, has_ipv4=has_ipv4)
            fragment = Fragment(shown, senders(node))
        except ValueError:  # what no JSON can be made of
            self.broken.add(number)
            return None if before is None else Step(number, before, None)
        if before is not None and before.class_id == node.class_id and before.fragment.data == fragment.data:
            return None
        return Step(number, before, Shown(node.class_id, fragment))

    def _place(self, step: Step) -> None:
        before, after = step.before, step.after
        if before is not None and (after is None or after.class_id != before.class_id):
            members = self.members[before.class_id]
            del members[step.node]
            if not members:
                del self.members[before.class_id]
        if after is None:
            del self.shown[step.node]
        else:
            self.members.setdefault(after.class_id, {})[step.node] = after.fragment
            self.shown[step.node] = after
        if _sources_of(before) != _sources_of(after):
            self._sources.stir(shown.class_id for shown in (before, after) if shown is not None)

    def _forget_own(self, touched: Touched, numbers: Iterable[NodeId]) -> frozenset[NodeId]:
        """Forget what is nodes' own and may be otherwise; return those nodes."""
        stale = set(numbers)
        having: set[NodeId] = set()
        for key in touched:
            if key.startswith("class/"):
                stale |= self.members.get(key[6:], {}).keys()
            elif key.startswith("extras/"):
                having.add(NodeId(int(key[7:])))
            elif key.startswith("peer/"):
                having |= self._owns.peer_changed(key)
        self._owns.forget(stale)
        self._owns.drop(having)
        return frozenset(stale | having)

    # Standings -------------------------------------------------------------------------------------------------

    def standing(self, number: NodeId, version: int) -> Standing | None:
        """Return what a node is entitled to now, for a client of this capability version; None if it is gone.

        Nobody stands before the tailnet's own object is there.
        """
        node = self._replica.node(number)
        if node is None or self._common is None:
            return None
        mine = self._class_of(node)
        scope = self._scope(node, mine)
        own = self._owns.of(node, mine, version, scope, lambda: self.peers_of(scope))
        return Standing(
            version=self.version,
            node=number,
            key=node.node_key,
            scope=scope,
            me=own.me,
            filters=own.filters,
            extras=own.extras,
            ssh=NOBODY if mine is None else self._shells.of(mine, node),
            profile=self.profile(user_of(node)),
            common=self._common if mine is None else self._common_of(number) or self._common,
        )

    def _common_of(self, number: NodeId) -> Common | None:
        extras = self._replica.get(f"extras/{number}")
        is_demoted = isinstance(extras, ExtrasObject) and extras.demotes
        return self._demoted if is_demoted else self._common

    def _class_of(self, node: NodeObject) -> ClassObject | None:
        """Return the class of a node, None for whoever stands alone."""
        value = None if node.expired else self._replica.get(f"class/{node.class_id}")
        return value if isinstance(value, ClassObject) else None

    def _scope(self, node: NodeObject, own: ClassObject | None) -> Scope:
        if own is None:
            return self._sets.scope((), {})
        return self._sets.scope(own.sees, self._steering.shown(self._sets.of(node.class_id)))

    # Differences -----------------------------------------------------------------------------------------------

    def profile(self, user: UserId) -> bytes:
        """Return a user's profile in its wire form; empty if nothing is known of the user."""
        if user == TAGGED.id:
            return TAGGED.data
        if user == WIREGUARD.id:
            return WIREGUARD.data
        return self._users.get(user, (0, b""))[1]

    def between(self, before: Standing, now: Standing, since: int) -> Difference | None:
        """Return how the peers of the scope differ, extras aside; None if it can no longer be told.

        `since` is the last version at which the node was known to stand as `before` says. The result is shared: it may speak of the viewer itself, which the frame leaves out.
        """
        key = (since, before.scope, now.scope)
        if key not in self._differences:
            self._differences[key] = self._between(since, before.scope, now.scope)
        return self._differences[key]

    def _between(self, version: int, old: Scope, new: Scope) -> Difference | None:
        merged = self.journal.since(version)
        if merged is None:
            return None
        pairs: Pairs = {}
        for number, (before, after) in merged.items():
            was = (
                old.fragment(number, before.fragment)
                if before is not None and before.class_id in old.classes
                else None
            )
            now = (
                new.fragment(number, after.fragment)
                if after is not None and after.class_id in new.classes
                else None
            )
            if was is not now:
                pairs[number] = (was, now)
        if old is not new:
            for name in new.classes - old.classes:
                fresh = ((n, f) for n, f in self.members.get(name, {}).items() if n not in merged)
                pairs |= {n: (None, new.fragment(n, f)) for n, f in fresh}
            for name in old.classes - new.classes:
                gone = ((n, f) for n, f in self.members.get(name, {}).items() if n not in merged)
                pairs |= {n: (old.fragment(n, f), None) for n, f in gone}
            pairs |= self._rerouted(old, new, pairs.keys() | merged.keys())
        return Difference(pairs, self._changed_profiles(version, new), self.profile)

    def _rerouted(self, old: Scope, new: Scope, done: AbstractSet[NodeId]) -> Pairs:
        """Return the routers that both scopes show, with other routes."""
        found: Pairs = {}
        for number in (old.routes.keys() | new.routes.keys()) - done:
            shown = self.shown.get(number)
            if shown is None or shown.class_id not in old.classes & new.classes:
                continue
            was, now = old.fragment(number, shown.fragment), new.fragment(number, shown.fragment)
            if was is not now:
                found[number] = (was, now)
        return found

    def _changed_profiles(self, version: int, scope: Scope) -> set[UserId]:
        if self._newest_profile <= version:
            return set()
        changed = {user for user, (since, _) in self._users.items() if since > version}
        return changed & self.users_of(scope) if changed else changed

    def users_of(self, scope: Scope) -> set[UserId]:
        """Return the users of all nodes in a scope."""
        found: set[UserId] = set()
        for name in scope.classes:
            found |= {UserId(fragment.node.user) for fragment in self.members.get(name, {}).values()}
        return found

    def peers_of(self, scope: Scope) -> Mapping[NodeId, Fragment]:
        """Return the nodes in a scope, sorted by id."""
        found = {n: f for name in scope.classes for n, f in self.members.get(name, {}).items()}
        return {number: scope.fragment(number, found[number]) for number in sorted(found)}


def _is_narrow(key: str) -> bool:
    """Return whether a change under the key is of a node as it is shown, or single nodes' own."""
    return key.startswith(("node/", "extras/", "peer/"))


def _concern(steps: Iterable[Step], own: frozenset[NodeId]) -> Concern:
    shown = (each for step in steps for each in (step.before, step.after) if each is not None)
    return Concern(frozenset(each.class_id for each in shown), own)


def _sources_of(shown: Shown | None) -> tuple[str, list[str], bool] | None:
    if shown is None:
        return None
    node = shown.fragment.node
    return shown.class_id, [*node.addresses, *(node.tags or ())], bool(node.expired)
