"""Tests of policies in random tailnets: they hold exactly where the naive evaluator lets them hold."""

import json
from typing import Any

from hypothesis import assume, given, settings
from hypothesis import strategies as st

from engine.policy.checks.failures import failures
from engine.policy.subjects import Device, Person
from engine.policy.text.reading import read
from tests.kit.naive_checks import run_tests
from tests.kit.naive_policy import World
from tests.kit.naive_select import chosen
from tests.kit.policy_rules import GROUPS, MEMBER, TAGGED, TAGS, emails
from tests.kit.policy_worlds import scenes

PORTS = ("22", "80", "53", "443", "8050", "9")
ADDRESSES = ("10.1.2.3", "10.1.2.200", "203.0.113.9", "fd00:1::1", "100.65.1.2")
NAMES = ("root", "ubuntu", "ann", "bob", "zz")


def tailnet(world: World) -> tuple[list[Person], list[Device]]:
    people = [Person(id=user.id, logins=(user.email,), roles=user.roles) for user in world.users]
    devices = [
        Device(
            id=node.id,
            user=node.owner,
            tags=node.tags,
            ipv4=node.ipv4,
            ipv6=node.ipv6,
            routes=tuple(node.routes),
            is_exit=bool(node.exits),
            facts=node.posture,
        )
        for node in world.nodes
    ]
    return people, devices


def selectors(world: World, policy: dict[str, Any]) -> list[str]:
    """Whom a test may name; who has no device is tested as if, which the naive evaluator does not know."""
    pool = [*emails(world), *GROUPS, *TAGS, MEMBER, TAGGED]
    own = [address for node in world.nodes for address in (node.ipv4, node.ipv6)]
    return [name for name in pool if chosen(world, policy, name)] + own


@st.composite
def with_a_test(draw: st.DrawFn) -> tuple[World, dict[str, Any]]:
    """A tailnet, and a policy with one test of packets and one of shells, without postures."""
    world, policy = draw(scenes())
    assume(policy is not None)
    plain = {
        name: rules for name, rules in (policy or {}).items() if name not in {"defaultSrcPosture", "postures"}
    }
    for section in ("acls", "grants"):
        if section in plain:
            plain[section] = [
                {key: value for key, value in rule.items() if key != "srcPosture"} for rule in plain[section]
            ]
    names = st.sampled_from(selectors(world, plain))
    others = st.sampled_from(ADDRESSES) | st.just("autogroup:self")
    target = st.tuples(names | others, st.sampled_from(PORTS)).map(lambda pair: f"{pair[0]}:{pair[1]}")
    word = st.sampled_from(("accept", "deny"))
    packets = {
        "src": draw(names),
        draw(word): [draw(target)],
        "proto": draw(st.sampled_from(("", "tcp", "udp"))),
    }
    how = draw(st.sampled_from(("accept", "check", "deny")))
    shells = {"src": draw(names), "dst": [draw(names)], how: [draw(st.sampled_from(NAMES))]}
    section, entry = draw(st.sampled_from((("tests", packets), ("sshTests", shells))))
    return world, {**plain, section: [entry]}


@settings(max_examples=200, deadline=None)
@given(with_a_test())
def test_a_test_holds_where_brute_force_says_so(scene: tuple[World, dict[str, Any]]) -> None:
    world, policy = scene
    document = read(json.dumps(policy), domains=world.domains)
    assert (failures(document, *tailnet(world)) == ()) is run_tests(world, policy)
