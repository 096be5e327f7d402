"""Random tailnets, policies over them, and single steps from one to the next; all of it made to shrink.

1. No route overlaps a tailnet range, none is a single address, and none is public: what the semantics leave open.
2. Ids grow and the youngest device never leaves, so that no step ever uses an id again.
3. Every policy is valid in its world, before and after every step (`policy_rules`).
"""

from dataclasses import replace
from functools import cache
from typing import Final

from hypothesis import strategies as st

from tests.kit.naive_world import EXIT_ROUTES, Fact, Node, Policy, User, World
from tests.kit.policy_rules import ROUTES, TAGS, Rule, one_in, policies, sections

__all__ = ["mutations", "policies", "scenes", "worlds"]

Step = tuple[World, Policy]

DOMAINS: Final = ("example.com", "example.org")
NAMES: Final = ("ann", "bob", "cat", "dan", "eve")
FACTS: Final[dict[str, tuple[Fact, ...]]] = {
    "node:os": ("linux", "macos"),
    "node:tsVersion": ("1.60.0", "1.9.1", "1.100.2"),
    "custom:tier": (1, 2, 3),
    "custom:managed": (True, False),
}


@st.composite
def worlds(draw: st.DrawFn) -> World:
    """Two to eight users in one or two domains of which one may be foreign, and two to twelve devices of all kinds."""
    mail = st.tuples(st.sampled_from(NAMES), st.sampled_from(DOMAINS)).map("@".join)
    emails = draw(st.lists(mail, min_size=2, max_size=8, unique=True))
    roles = [("owner", "admin"), *(draw(st.sampled_from([(), ("admin",)])) for _ in emails[1:])]
    users = tuple(User(i, *pair) for i, pair in enumerate(zip(emails, roles, strict=True), start=1))
    numbers = draw(st.lists(st.integers(1, 0xFFFE), min_size=2, max_size=12, unique=True))
    nodes = tuple(draw(devices(users, i, number)) for i, number in enumerate(numbers, start=1))
    return World(users, nodes, draw(st.sampled_from([DOMAINS[:1], DOMAINS])), draw(st.booleans()))


@st.composite
def devices(draw: st.DrawFn, users: tuple[User, ...], number: int, address: int) -> Node:
    """An owned or a tagged device; tagged ones route more often; one in six is an exit node, one in six is offline."""
    tags = draw(tag_sets())
    user = draw(st.sampled_from(users)).id
    advertised, approved = draw(route_sets(2 if tags else 4))
    facts = {name: draw(st.sampled_from(pool)) for name, pool in FACTS.items() if draw(st.booleans())}
    return Node(
        id=number,
        name=f"n{number}",
        user=user if not tags or draw(st.booleans()) else None,
        tags=tags,
        ipv4=f"100.64.{address >> 8}.{address & 0xFF}",
        ipv6=f"fd7a:115c:a1e0::{address:x}",
        advertised=advertised,
        approved=approved,
        online=draw(one_in(6)) is False,
        posture=facts,
    )


@cache
def tag_sets() -> st.SearchStrategy[tuple[str, ...]]:
    some = st.lists(st.sampled_from(TAGS), min_size=1, max_size=2, unique=True).map(tuple)
    return st.one_of(st.just(()), some)


@st.composite
def route_sets(draw: st.DrawFn, rarity: int) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """What a device advertises, and what of it is approved."""
    advertised: list[str] = []
    if draw(one_in(rarity)):
        pool = draw(st.sampled_from([ROUTES[:1], ROUTES[:3], ROUTES]))
        advertised += draw(st.lists(st.sampled_from(pool), min_size=1, max_size=3, unique=True))
    if draw(one_in(6)):
        advertised += EXIT_ROUTES
    approved = [route for route in advertised if not draw(one_in(4))]
    return tuple(advertised), tuple(approved)


@st.composite
def scenes(draw: st.DrawFn, *, free: bool = False) -> Step:
    """A world and a policy over it."""
    world = draw(worlds())
    return world, draw(policies(world, free=free))


def mutations(world: World, policy: Policy, *, free: bool = False) -> st.SearchStrategy[Step]:
    """One step from here: a device comes, goes or changes, or the policy does."""
    changed = [retagged, rerouted, switched, reported]
    moved = st.one_of([st.sampled_from(world.nodes).flatmap(change) for change in changed])
    steps: list[st.SearchStrategy[Step]] = [
        moved.map(lambda node: (with_node(world, node), policy)),
        joined(world).map(lambda found: (found, policy)),
        edited(world, policy, free=free).map(lambda found: (world, found)),
    ]
    if len(world.nodes) > 2:
        leaver = st.sampled_from(world.nodes[:-1])
        steps.append(leaver.map(lambda node: (without_node(world, node), policy)))
    return st.one_of(steps)


def with_node(world: World, node: Node) -> World:
    return replace(world, nodes=tuple(node if old.id == node.id else old for old in world.nodes))


def without_node(world: World, node: Node) -> World:
    return replace(world, nodes=tuple(old for old in world.nodes if old.id != node.id))


def joined(world: World) -> st.SearchStrategy[World]:
    taken = {node.ipv4 for node in world.nodes}
    fresh = st.integers(1, 0xFFFE).flatmap(lambda n: devices(world.users, world.nodes[-1].id + 1, n))
    return fresh.filter(lambda n: n.ipv4 not in taken).map(lambda n: replace(world, nodes=(*world.nodes, n)))


def retagged(node: Node) -> st.SearchStrategy[Node]:
    """Other tags; a device without an owner keeps at least one."""
    sets = tag_sets().filter(lambda tags: tags != node.tags and bool(tags or node.user))
    return sets.map(lambda tags: replace(node, tags=tags))


def rerouted(node: Node) -> st.SearchStrategy[Node]:
    """One route approved that was not, or the other way round; a device without routes advertises one."""
    if not node.advertised:
        return st.sampled_from(ROUTES).map(lambda r: replace(node, advertised=(r,), approved=(r,)))

    def turned(route: str) -> Node:
        wanted = set(node.approved) ^ {route}
        return replace(node, approved=tuple(route for route in node.advertised if route in wanted))

    return st.sampled_from(node.advertised).map(turned)


def switched(node: Node) -> st.SearchStrategy[Node]:
    return st.just(replace(node, online=not node.online))


def reported(node: Node) -> st.SearchStrategy[Node]:
    """Another value of one fact, or none."""
    facts = st.sampled_from(sorted(FACTS)).flatmap(
        lambda name: st.sampled_from([None, *FACTS[name]]).map(lambda fact: (name, fact))
    )

    def told(fact: tuple[str, Fact | None]) -> Node:
        posture = {key: value for key, value in (node.posture | dict([fact])).items() if value is not None}
        return replace(node, posture=posture)

    return facts.map(told)


def edited(world: World, policy: Policy, *, free: bool = False) -> st.SearchStrategy[Policy]:
    """One rule added, taken away or put in the place of another; where there is no policy, a policy."""
    if policy is None:
        return policies(world, free=free)
    now = policy
    found: list[st.SearchStrategy[Policy]] = []
    for section, rules, _ in sections(world, free=free):
        old = now.get(section, [])
        for start, end in [(len(old), len(old)), *((place, place + 1) for place in range(len(old)))]:

            def put(rule: Rule | None, section: str = section, start: int = start, end: int = end) -> Policy:
                old = now.get(section, [])
                return now | {section: [*old[:start], *([] if rule is None else [rule]), *old[end:]]}

            found.append((st.none() | rules if start < end else rules).map(put))
    return st.one_of(found)
