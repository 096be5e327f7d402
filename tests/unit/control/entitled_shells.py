"""The SSH policy that a node may hold, worked out from the objects alone (policy-semantics §3.12).

1. Principals are the addresses of a rule's sources, sorted as texts; a node of a set that counts `each` stands there once for
   each of its tags.
2. A rule with names of its users' own is one for each source user, in the order of their ids, each followed by those names;
   tagged sources share one at the end.
3. With `own` a class has a rule for its own user's sources only, and a tagged node for itself; one with names of its users' own
   only if somebody is among its destinations.
"""

from typing import Any

from engine.contracts.netmap import ClassObject, ClassSetObject, NodeObject
from engine.policy.policy import SshRule, SshUse
from tests.unit.control.world import World

Json = dict[str, Any]
CHECK = "https://unused/machine/ssh/check/$SRC_NODE_ID/$DST_NODE_ID?user=$SSH_USER&local=$LOCAL_USER"
FORWARDING = ("allowAgentForwarding", "allowLocalPortForwarding", "allowRemotePortForwarding")


def shells(world: World, me: NodeObject) -> list[Json]:
    """Return the node's rules; those that mean nobody are left out."""
    own = world.class_of(me)
    if own is None:
        return []
    found = [rule for use in own.ssh for rule in _rules(world, use, own, me)]
    return [rule for rule in found if rule["principals"]]


def _rules(world: World, use: SshUse, own: ClassObject, me: NodeObject) -> list[Json]:
    rule = world.shell(use.rule)
    if use.own and rule.local and not _is_towards_somebody(world, rule):
        return []
    sources = _sources(world, rule)
    if use.own:
        user = int(own.user)
        sources = {user: sources.get(user, []) if user else world.addresses(me)}
    if not rule.local:
        return [_wire(rule, [address for some in sources.values() for address in some], dict(rule.users))]
    found = []
    for user in sorted(sources, key=lambda number: (number == 0, number)):
        names = _names(world, rule, user) if user else []
        found += [_wire(rule, sources[user], dict(rule.users))]
        found += [_wire(rule, sources[user], {name: name}) for name in names]
    return found


def _is_towards_somebody(world: World, rule: SshRule) -> bool:
    return any(value.classes for value in world.all(ClassSetObject) if value.id in rule.towards)


def _sources(world: World, rule: SshRule) -> dict[int, list[str]]:
    """The addresses of the sources by user, 0 for all tagged ones."""
    found: dict[int, list[str]] = {}
    for node in world.members((*rule.sets, *rule.each)):
        own = world.class_of(node)
        if own is not None:
            times = len(node.tags) if world.sets_of(node) & set(rule.each) else 1
            found.setdefault(own.user, []).extend(world.addresses(node) * times)
    return found


def _names(world: World, rule: SshRule, user: int) -> list[str]:
    classes = [value for value in world.all(ClassObject) if value.user == user]
    return sorted({name for value in classes for place, name in value.local_names if place == rule.id})


def _wire(rule: SshRule, addresses: list[str], users: dict[str, str]) -> Json:
    action: Json = (
        {"holdAndDelegate": CHECK} if rule.is_check else {"accept": True, **dict.fromkeys(FORWARDING, True)}
    )
    return {
        "principals": [{"nodeIP": address} for address in sorted(addresses)],
        "sshUsers": users,
        "action": action,
        **({} if rule.accept_env is None else {"acceptEnv": list(rule.accept_env)}),
    }
