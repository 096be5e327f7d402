"""Worlds of the naive evaluator put on stage: the events that make one, and those that lead from one to the next."""

from collections.abc import Iterable, Iterator
from dataclasses import replace

from engine.domain.events import (
    DomainsSet,
    Event,
    NodeDeleted,
    NodeReregistered,
    NodeRoutesAdvertised,
    NodeRoutesApproved,
    NodeTagged,
    UserCreated,
)
from engine.domain.values import NodeId, NodeKey, UserId
from tests.kit.naive_world import Node, Policy, World
from tests.kit.policy_stage import Stage, node_registered, policy_set


def settled_world(world: World) -> World:
    """Return the world as events can tell it: facts are a client's own, every device was registered by somebody."""
    nodes = tuple(
        replace(
            node,
            user=node.user or world.users[0].id,
            posture={name: fact for name, fact in node.posture.items() if name.startswith("node:")},
        )
        for node in world.nodes
    )
    return replace(world, nodes=nodes, auto_updates=False)


def events_of(world: World, policy: Policy) -> Iterator[Event]:
    """Yield the events that make a world, its policy last."""
    yield DomainsSet(domains=world.domains)
    for user in world.users:
        role = "owner" if "owner" in user.roles else "admin" if "admin" in user.roles else ""
        yield UserCreated(user=UserId(user.id), name=f"user{user.id}", email=user.email, role=role)
    for node in world.nodes:
        yield from node_events(node)
    yield policy_set(policy)


def node_events(node: Node) -> Iterator[Event]:
    """Yield the events by which a node comes to be as it is."""
    assert node.user is not None
    yield node_registered(node.id, node.user, node.tags, node.ipv4, node.ipv6)
    yield from change_events(replace(node, tags=node.tags, advertised=(), approved=(), posture={}), node)


def change_events(before: Node, after: Node) -> Iterator[Event]:
    """Yield the events that lead from one node to another of the same id."""
    number = NodeId(after.id)
    if before.posture != after.posture or (before.tags and not after.tags):
        yield NodeReregistered(
            node=number,
            node_key=NodeKey(f"nodekey:{after.id:064x}"),
            tags=after.tags,
            os=str(after.posture.get("node:os", "")),
            client_version=str(after.posture.get("node:tsVersion", "")),
        )
    elif before.tags != after.tags:
        yield NodeTagged(node=number, tags=after.tags)
    if before.advertised != after.advertised:
        yield NodeRoutesAdvertised(node=number, routes=tuple(sorted(after.advertised)))
    if before.approved != after.approved:
        yield NodeRoutesApproved(node=number, routes=tuple(sorted(after.approved)))


def steps(old: tuple[World, Policy], new: tuple[World, Policy]) -> Iterator[Event]:
    """Yield the events that lead from one scene to the next; who is online is not among them."""
    before = {node.id: node for node in old[0].nodes}
    after = {node.id: node for node in new[0].nodes}
    for number in before.keys() - after.keys():
        yield NodeDeleted(node=NodeId(number))
    for number, node in after.items():
        yield from node_events(node) if number not in before else change_events(before[number], node)
    if old[1] != new[1]:
        yield policy_set(new[1])


def staged(world: World, policy: Policy) -> Stage:
    """Return a world on stage, with those online that are."""
    stage = Stage(*events_of(world, policy))
    switch(stage, world.nodes)
    return stage


def switch(stage: Stage, nodes: Iterable[Node]) -> None:
    """Let nodes be online as the world says."""
    known = list(nodes)
    stage.online([node.id for node in known if node.online])
    stage.online([node.id for node in known if not node.online], online=False)
