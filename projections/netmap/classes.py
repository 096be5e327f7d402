"""Which class a node belongs to, what a class's object says, and which classes a set has.

Rule 1: the policy says of which class a node is; nodes of one class are alike to it (`Identity`).
Rule 2: a class exists while it has members, expired ones too.
Rule 3: a class that comes or goes changes itself and the sets that it is in. A user who is spoken of in another way
        changes its own classes.
"""

from bisect import bisect_left, insort
from collections.abc import Iterable

import msgspec

from engine.contracts.netmap import Change, ClassObject, ClassSetObject
from engine.domain.aggregates import Node
from engine.domain.values import UserId
from engine.domain.whom import device_of, person_of
from engine.policy.policy import Identity, Standing
from projections.netmap.state import NetmapState

_NOWHERE = Standing(sets=(), sees=())


def identity_of(state: NetmapState, node: Node) -> Identity:
    """Return what the policy takes a node for."""
    user = state.tailnet.users.get(node.user)
    person = None if user is None else person_of(user)
    return state.policy.identify(device_of(state.tailnet, node), person)


def move(state: NetmapState, before: str, after: Identity | None) -> list[Change | None]:
    """Move a node from its class, an empty text being none, to another; return what changes."""
    if after is not None and after.id == before:
        return []
    touched: set[str] = set()
    changes: list[Change | None] = []
    if after is not None:
        state.members[after.id] = state.members.get(after.id, 0) + 1
        if state.members[after.id] == 1:
            changes.append(stand(state, after, touched))
    if before:
        state.members[before] -= 1
        if not state.members[before]:
            changes.append(vanish(state, before, touched))
    return changes + put_sets(state, touched)


def restand(state: NetmapState, user: UserId) -> list[Change | None]:
    """Ask the policy anew about a user's classes: the user has another role or another name."""
    touched: set[str] = set()
    person = person_of(state.tailnet.users[user])
    mine = [identity for identity in state.identities.values() if identity.user == user]
    changes = [
        stand(state, msgspec.structs.replace(one, logins=person.logins, roles=person.roles), touched)
        for one in mine
    ]
    return changes + put_sets(state, touched)


def stand(state: NetmapState, identity: Identity, touched: set[str]) -> Change | None:
    """Let a class stand as the policy says; return its object's change, and add the sets that it enters or leaves."""
    name = identity.id
    before, now = state.standings.get(name, _NOWHERE), state.policy.stand(identity)
    state.identities[name], state.standings[name] = identity, now
    state.keys[name] = state.policy.keys(identity)
    _sort_in(state, name, before, now, touched)
    return state.put(
        ClassObject(
            id=name,
            sees=now.sees,
            user=UserId(identity.user or 0),
            rules=now.rules,
            capabilities=now.capabilities,
            ssh=now.ssh,
            local_names=now.local_names,
        )
    )


def vanish(state: NetmapState, name: str, touched: set[str]) -> Change | None:
    """Let a class go that has no members; return its object's change, and add the sets that it leaves."""
    _sort_in(state, name, state.standings.pop(name), _NOWHERE, touched)
    del state.members[name], state.identities[name], state.keys[name]
    return state.drop(f"class/{name}")


def put_sets(state: NetmapState, touched: Iterable[str]) -> list[Change | None]:
    """Hold the objects of these sets as they are now; return what changes."""
    named = state.policy.is_source
    return [
        state.put(ClassSetObject(id=name, classes=tuple(state.sets[name]), is_source=named(name)))
        if name in state.sets
        else state.drop(f"set/{name}")
        for name in touched
    ]


def _sort_in(state: NetmapState, name: str, before: Standing, now: Standing, touched: set[str]) -> None:
    old, new = set(before.sets), set(now.sets)
    for left in old - new:
        classes = state.sets[left]
        del classes[bisect_left(classes, name)]
        if not classes:
            del state.sets[left]
    for entered in new - old:
        insort(state.sets.setdefault(entered, []), name)
    touched |= old ^ new
