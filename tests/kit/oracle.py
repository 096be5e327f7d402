"""Who is entitled to what, from the events alone, the slow and plain way: the judge of every netmap.

Written from the rules' text, and from no code of the engine but the events:

1. A node is in the tailnet from its registration until its deletion; expiry does not end that.
2. Without a policy every node in the tailnet is a peer of every other, never of itself; under one, as the naive evaluator
   says. Policies in these tests are plain JSON, with nothing but a remark behind it.
3. A WireGuard-only peer exists from its registration until its removal; whoever is connected sees it, nobody else. What a policy
   that rules over such peers leaves of them is not said here.
4. Without a policy every node in the tailnet whose key has not ended may send to every other; under one, if an address of it is
   among the sources of the other's rules.
5. A node whose key somebody ended is told its own self node and nothing else, until it has a key again.
6. A connection lasts from when it is added until it is removed, or its node is deleted; its masquerade addresses
   are those that were said last.
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import lru_cache

from engine.domain.events import (
    ConnectionAdded,
    ConnectionRemoved,
    ConnectionUpdated,
    Event,
    NodeDeleted,
    NodeExpired,
    NodeExpirySet,
    NodeRegistered,
    NodeReregistered,
    NodeRoutesAdvertised,
    NodeRoutesApproved,
    NodeTagged,
    PeerRegistered,
    PeerRemoved,
    PolicySet,
    UserCreated,
    UserDeleted,
    UserRoleSet,
)
from tests.kit.naive_policy import Node, Reading, User, World
from tests.kit.naive_world import any_overlap


@dataclass
class Entitlement:
    """What one node may know: its peers by id with their present node keys and expiry, and WireGuard-only peers with masquerade.

    `senders` are the nodes that may send to it.
    """

    peers: dict[int, tuple[str, bool]] = field(default_factory=dict)
    wireguard: dict[int, tuple[str, str]] = field(default_factory=dict)
    senders: set[int] = field(default_factory=set)


def members(events: Iterable[Event]) -> set[int]:
    """The nodes that are in the tailnet."""
    found: set[int] = set()
    for event in events:
        if isinstance(event, NodeRegistered):
            found.add(event.node)
        if isinstance(event, NodeDeleted):
            found.discard(event.node)
    return found


def key_and_expiry(events: Iterable[Event], node: int) -> tuple[str, bool]:
    """A node's present node key, and whether somebody ended it."""
    key, ended = "", False
    for event in events:
        if isinstance(event, NodeRegistered | NodeReregistered) and event.node == node:
            key, ended = event.node_key, False
        if isinstance(event, NodeExpired) and event.node == node:
            ended = True
        if isinstance(event, NodeExpirySet) and event.node == node:
            ended = False
    return key, ended


def connections(events: Iterable[Event], node: int) -> dict[int, tuple[str, str]]:
    """The WireGuard-only peers that a node is connected to, with its masquerade addresses."""
    found: dict[int, tuple[str, str]] = {}
    alive: set[int] = set()
    for event in events:
        if isinstance(event, PeerRegistered):
            alive.add(event.peer)
        if isinstance(event, PeerRemoved):
            alive.discard(event.peer)
        if isinstance(event, ConnectionAdded | ConnectionUpdated) and event.node == node:
            found[event.peer] = (event.ipv4_masq, event.ipv6_masq)
        if isinstance(event, ConnectionRemoved) and event.node == node:
            found.pop(event.peer, None)
        if isinstance(event, NodeDeleted) and event.node == node:
            found.clear()
    return {peer: masq for peer, masq in found.items() if peer in alive}


Device = tuple[int, int, tuple[str, ...], str, str, tuple[str, ...], tuple[str, ...]]
"""Id, user, tags, both addresses, routes offered, routes approved."""


def devices(events: Iterable[Event]) -> tuple[Device, ...]:
    """The nodes that are in the tailnet, as a policy may know them."""
    found: dict[int, Device] = {}
    for event in events:
        match event:
            case NodeRegistered(node=node):
                found[node] = (node, event.user, event.tags, event.ipv4, event.ipv6, (), ())
            case NodeReregistered(node=node) | NodeTagged(node=node):
                found[node] = (*found[node][:2], event.tags, *found[node][3:])
            case NodeRoutesAdvertised(node=node):
                found[node] = (*found[node][:5], event.routes, found[node][6])
            case NodeRoutesApproved(node=node):
                found[node] = (*found[node][:6], event.routes)
            case NodeDeleted(node=node):
                del found[node]
            case _:
                pass
    return tuple(found[node] for node in sorted(found))


def people(events: Iterable[Event]) -> tuple[tuple[int, str, str], ...]:
    """The users: id, the login that policies know them by, role."""
    found: dict[int, tuple[int, str, str]] = {}
    for event in events:
        if isinstance(event, UserCreated):
            found[event.user] = (event.user, event.email or f"{event.name}@", event.role)
        if isinstance(event, UserRoleSet):
            found[event.user] = (*found[event.user][:2], event.role)
        if isinstance(event, UserDeleted):
            del found[event.user]
    return tuple(found.values())


Ids = frozenset[int]


@lru_cache(maxsize=4_096)
def sights(
    policy: str, users: tuple[tuple[int, str, str], ...], present: tuple[Device, ...]
) -> dict[int, tuple[Ids, Ids]]:
    """Whom each node sees under a policy, and who may send to it."""
    nodes = tuple(
        Node(
            id=number,
            name=f"n{number}",
            user=user,
            tags=tags,
            ipv4=ipv4,
            ipv6=ipv6,
            advertised=offered,
            approved=tuple(set(offered) & set(approved)),
        )
        for number, user, tags, ipv4, ipv6, offered, approved in present
    )
    roles = {"owner": ("owner", "admin"), "admin": ("admin",)}
    world = World(tuple(User(n, login, roles.get(role, ())) for n, login, role in users), nodes, ())
    reading = Reading(world, json.JSONDecoder().raw_decode(policy)[0])
    return {
        node.id: (
            frozenset(o.id for o in nodes if reading.sees(node, o)),
            frozenset(
                o.id for o in nodes for e in reading.entries[node.id] if any_overlap(e.sources, o.addresses)
            ),
        )
        for node in nodes
    }


def entitlement(events: Iterable[Event], node: int) -> Entitlement | None:
    """What the node is entitled to after the events; None when it is not in the tailnet."""
    told = list(events)
    present = members(told)
    if node not in present:
        return None
    if key_and_expiry(told, node)[1]:
        return Entitlement()
    policies = [event.text for event in told if isinstance(event, PolicySet)]
    seen, heard = present, present
    if policies and policies[-1]:
        seen, heard = map(set, sights(policies[-1], people(told), devices(told))[node])
    peers = {other: key_and_expiry(told, other) for other in seen if other != node}
    senders = {other for other in heard if other != node and not key_and_expiry(told, other)[1]}
    return Entitlement(peers=peers, wireguard=connections(told, node), senders=senders)


def entitlements(events: Iterable[Event]) -> dict[int, Entitlement]:
    """What every node is entitled to."""
    told = list(events)
    found = {node: entitlement(told, node) for node in members(told)}
    return {node: own for node, own in found.items() if own is not None}
