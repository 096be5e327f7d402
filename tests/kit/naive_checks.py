"""The tests that a policy carries about itself: policy-semantics 3.13 and 3.14 read as plainly as possible.

1. An entry that fails and an entry that makes no sense are the same: the policy does not pass.
2. `accept` asks every address of the source; `deny` holds if none of them is let through.
3. A test is asked of the rules, not of filters: what it names need not exist as a device.
"""

from typing import Any

from tests.kit.naive_filter import Rule, rules_of, self_sources
from tests.kit.naive_select import (
    Ports,
    as_destination,
    as_source,
    number_of,
    ports_of,
    split_destination,
)
from tests.kit.naive_ssh import logs_in, ssh_rules, targets
from tests.kit.naive_world import Node, Policy, World, any_overlap

ANY = (6, 17, 1, 58)
TEST_PROTOCOLS = {6, 17, 132}
AUTOGROUPS = ("autogroup:member", "autogroup:tagged")


class MalformedError(Exception):
    """A test that can never pass."""


def run_tests(world: World, policy: Policy) -> bool:
    """Whether all `tests` and all `sshTests` pass."""
    policy = policy or {}
    try:
        return (
            all(passes(world, policy, test) for test in policy.get("tests") or [])
            and all("*" not in rule.get("users", ()) for rule in policy.get("ssh") or [])
            and all(ssh_passes(world, policy, test) for test in policy.get("sshTests") or [])
        )
    except MalformedError:
        return False


def known(world: World, policy: dict[str, Any], selector: str) -> None:
    """Raise MalformedError for a selector that names nothing, or a thing that no test can ask about."""
    if selector.startswith("tag:"):
        found = selector in policy.get("tagOwners", {})
    elif selector.startswith("group:"):
        found = selector in policy.get("groups", {})
    elif selector.startswith("autogroup:"):
        found = selector in AUTOGROUPS
    elif "@" in selector:
        domain = selector.removeprefix("user:*@")
        found = domain in world.domains or any(user.email == selector for user in world.users)
    else:
        text = policy.get("hosts", {}).get(selector, selector)
        try:
            found = "/" not in text and bool(as_source(world, policy, selector))
        except ValueError:
            found = False
    if not found:
        raise MalformedError(selector)


def passes(world: World, policy: dict[str, Any], test: dict[str, Any]) -> bool:
    source = (test.get("src") or "").strip()
    accept, deny = test.get("accept") or [], test.get("deny") or []
    if not accept and not deny:
        raise MalformedError("asks nothing")
    known(world, policy, source)
    protocols = protocols_of_test(test.get("proto") or "")
    rules = rules_of(world, policy)
    origins = as_source(world, policy, source)

    def through(origin: str, text: str) -> bool:
        targets, port = target_of_test(world, policy, origin, text)
        return any(reaches(world, policy, rule, (origin, targets, port, protocols)) for rule in rules)

    return bool(origins) and (
        all(through(origin, text) for text in accept for origin in origins)
        and not any(through(origin, text) for text in deny for origin in origins)
    )


def protocols_of_test(text: str) -> tuple[int, ...]:
    if not text:
        return ANY
    try:
        number = number_of(text)
    except ValueError:
        raise MalformedError(text) from None
    if number not in TEST_PROTOCOLS:
        raise MalformedError(text)
    return (number,)


def target_of_test(world: World, policy: dict[str, Any], origin: str, text: str) -> tuple[list[str], int]:
    """The addresses and the one port of a destination."""
    selector, ports = split_destination(text)
    try:
        found = ports_of(ports)
    except ValueError:
        raise MalformedError(text) from None
    if len(found) != 1 or found[0][0] != found[0][1]:
        raise MalformedError(text)
    if selector == "autogroup:self":
        holder = holder_of(world, origin)
        if holder is None or holder.owner is None:
            raise MalformedError(text)
        own = [address for node in world.nodes if node.owner == holder.owner for address in node.addresses]
        return own, found[0][0]
    if selector != "*":
        known(world, policy, selector)
    return as_destination(world, policy, selector), found[0][0]


def holder_of(world: World, address: str) -> Node | None:
    return next((node for node in world.nodes if address in node.addresses), None)


def reaches(
    world: World, policy: dict[str, Any], rule: Rule, packet: tuple[str, list[str], int, tuple[int, ...]]
) -> bool:
    origin, targets, port, protocols = packet
    for protocol, destinations in rule.parts:
        if protocol is not None and protocol not in protocols:
            continue
        for selector, ports in destinations:
            if fits(ports, port) and any_overlap(meant(world, policy, rule, origin, selector), targets):
                return True
    return False


def fits(ports: list[Ports], port: int) -> bool:
    return any(first <= port <= last for first, last in ports)


def meant(world: World, policy: dict[str, Any], rule: Rule, origin: str, selector: str) -> list[str]:
    """What a destination of a rule holds for this source: nothing if it is none."""
    if not any_overlap(rule.sources, [origin]):
        return []
    if selector != "autogroup:self":
        return as_destination(world, policy, selector)
    holder = holder_of(world, origin)
    own = [] if holder is None else [node for node in world.nodes if node.owner == holder.owner]
    return [a for node in own if origin in self_sources(world, node, rule) for a in node.addresses]


def ssh_passes(world: World, policy: dict[str, Any], test: dict[str, Any]) -> bool:
    asked = {word: test.get(word) or [] for word in ("accept", "check", "deny")}
    users = [user for names in asked.values() for user in names]
    if not users or not all(user.strip() for user in users):
        raise MalformedError("asks nothing")
    source = (test.get("src") or "").strip()
    known(world, policy, source)
    origins = as_source(world, policy, source)
    nodes: list[Node] = []
    for selector in test.get("dst") or []:
        known(world, policy, selector.strip())
        nodes += targets(world, policy, selector.strip())
    pairs = [(origin, ssh_rules(world, policy, node)) for origin in origins for node in nodes]

    def into(word: str, actions: tuple[str, ...]) -> bool:
        return bool(pairs) and all(
            logs_in(rules, o, user, actions) for o, rules in pairs for user in asked[word]
        )

    shut = not any(
        logs_in(rules, o, user, ("accept", "check")) for o, rules in pairs for user in asked["deny"]
    )
    return (
        shut
        and (not asked["accept"] or into("accept", ("accept", "check")))
        and (not asked["check"] or into("check", ("check",)))
    )
