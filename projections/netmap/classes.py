"""Which class a node belongs to, and what the objects of the classes and their sets are under a policy.

Rule 1: a tagged node's class is its set of tags (`t:tag:a+tag:b`, sorted), any other's is its user (`u3`).
Rule 2: a class exists while it has members, expired ones too.
Rule 3: the policy is asked again only when a class comes or goes; only objects that differ are changed: under a
        policy whose set ids are stable, the class itself and the sets that it is in.
"""

from engine.contracts.netmap import Change, ClassObject, ClassSetObject, FilterRule, NodeObject
from engine.domain.values import UserId
from engine.policy.policy import Identity, Rule
from projections.netmap.state import NetmapState


def identity_of(user: UserId, tags: tuple[str, ...]) -> Identity:
    """Return the policy identity of a node of this user with these tags (rule 1)."""
    if tags:
        ordered = tuple(sorted(set(tags)))
        return Identity(id="t:" + "+".join(ordered), tags=ordered)
    return Identity(id=f"u{user}", user=user)


def move(state: NetmapState, before: NodeObject | None, after: Identity | None) -> bool:
    """Move a node from its class to another, None being no class; return whether a class came or went."""
    if before is not None and after is not None and before.class_id == after.id:
        return False
    came = after is not None and _join(state, after)
    went = before is not None and _leave(state, before.class_id)
    return came or went


def relate(state: NetmapState) -> list[Change | None]:
    """Ask the policy about all classes; return what changes.

    The cost is O(classes) of time; in octets it is that of the sets that differ.
    """
    relations = state.policy.relate(state.identities)
    changes = [state.drop(f"set/{name}") for name in state.sets - relations.sets.keys()]
    state.sets = frozenset(relations.sets)
    changes += [
        state.put(ClassSetObject(id=name, classes=classes)) for name, classes in relations.sets.items()
    ]
    rules: dict[int, tuple[FilterRule, ...]] = {}
    for name, standing in relations.standings.items():
        shared = id(standing.rules)
        if shared not in rules:
            rules[shared] = tuple(_rule(rule) for rule in standing.rules)
        changes.append(state.put(ClassObject(id=name, sees=standing.sees, rules=rules[shared])))
    return changes


def _join(state: NetmapState, identity: Identity) -> bool:
    members = state.members.get(identity.id, 0)
    state.members[identity.id] = members + 1
    state.identities[identity.id] = identity
    return members == 0


def _leave(state: NetmapState, name: str) -> bool:
    members = state.members[name] - 1
    if members:
        state.members[name] = members
        return False
    del state.members[name], state.identities[name]
    return True


def _rule(rule: Rule) -> FilterRule:
    return FilterRule(source_sets=rule.sources, ports=rule.ports, protocols=rule.protocols)
