"""The SSH rules of one device: policy-semantics 3.12 read as plainly as possible.

1. Rules in order, each giving none, one or (with `localpart:`) several; all checks before all accepts, stable.
2. A principal stands once for each address, and once for each tag if `autogroup:tagged` brought it in.
3. `autogroup:self` beside other destinations adds nothing where those already contain the device.
"""

import re
from collections.abc import Iterable
from typing import Any

from tests.kit.naive_select import as_destination, as_source, chosen, covered, domain_of
from tests.kit.naive_world import Node, Policy, World

Wire = dict[str, Any]


def ssh_rules(world: World, policy: Policy, node: Node) -> list[Wire]:
    found = [
        wire for rule in (policy or {}).get("ssh") or [] for wire in one(world, policy or {}, node, rule)
    ]
    return sorted(found, key=lambda wire: str(wire["action"]) == "accept")


def one(world: World, policy: dict[str, Any], node: Node, rule: dict[str, Any]) -> list[Wire]:
    """What one rule of the policy gives to a device."""
    origin = principals(world, policy, rule.get("src") or [])
    dst = [selector.strip() for selector in rule.get("dst") or []]
    texts = [t for s in dst if s != "autogroup:self" for t in as_destination(world, policy, s)]
    here = bool(covered(node, texts))
    if not here and "autogroup:self" in dst and node.owner is not None:
        here, origin = True, [pair for pair in origin if pair[0].owner == node.owner]
    users = [user.strip() for user in rule["users"]]
    domains = [match[1] for user in users if (match := re.fullmatch(r"localpart:\*@(.+)", user))]
    names = user_map([user for user in users if not re.fullmatch(r"localpart:\*@(.+)", user)])
    if not domains:
        return [wire_rule(rule, origin, names)] if here and origin else []
    if not dst or not (texts or "autogroup:self" in dst):
        return []
    return split(world, node, rule, origin, (here, names, domains))


def split(
    world: World,
    node: Node,
    rule: dict[str, Any],
    origin: list[tuple[Node, str]],
    how: tuple[bool, dict[str, str], list[str]],
) -> list[Wire]:
    """A rule with `localpart:`, one user after the other; a source that is no destination gets its own part."""
    here, names, domains = how
    found = []
    for user in sorted(world.users, key=lambda user: user.id):
        own = [pair for pair in origin if pair[0].owner == user.id]
        if own and (here or node.id in {pair[0].id for pair in own}):
            found.append(wire_rule(rule, own, names))
            if domain_of(user.email) in domains:
                local = user.email.rpartition("@")[0]
                found.append(wire_rule(rule, own, {local: local}))
    tagged = [pair for pair in origin if pair[0].tags and (here or pair[0].id == node.id)]
    return found + ([wire_rule(rule, tagged, names)] if tagged else [])


def principals(world: World, policy: dict[str, Any], src: Iterable[str]) -> list[tuple[Node, str]]:
    """Source devices with their addresses, a pair for each time that the address is to be listed."""
    selectors = [selector.strip() for selector in src]
    found = []
    for node in world.nodes:
        texts = [text for selector in selectors for text in as_source(world, policy, selector)]
        times = len(node.tags) if "autogroup:tagged" in selectors and node.tags else 1
        found += [(node, address) for address in covered(node, texts) for _ in range(times)]
    return found


def user_map(users: list[str]) -> dict[str, str]:
    found = {"root": "root" if "root" in users else ""}
    for user in users:
        found.update({"*": "="} if user == "autogroup:nonroot" else {user: user})
    return found


def wire_rule(rule: dict[str, Any], origin: list[tuple[Node, str]], users: dict[str, str]) -> Wire:
    wire = {"action": rule["action"].strip(), "principals": sorted(a for _, a in origin), "users": users}
    return wire | ({"accept_env": rule["acceptEnv"]} if rule.get("acceptEnv") else {})


def logs_in(rules: list[Wire], source: str, user: str, actions: tuple[str, ...]) -> bool:
    """Whether one of the rules lets this address in as this user by one of the actions."""
    for rule in rules:
        if rule["action"] in actions and source in rule["principals"]:
            users = rule["users"]
            if users.get(user, "" if user == "root" else users.get("*", "")):
                return True
    return False


def targets(world: World, policy: dict[str, Any], selector: str) -> list[Node]:
    """The devices that a destination of an SSH test names."""
    nodes = chosen(world, policy, selector)
    if nodes is not None:
        return nodes
    return [node for node in world.nodes if covered(node, as_destination(world, policy, selector))]
