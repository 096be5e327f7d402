"""Every netmap object of a tailnet, made from nothing: what a fold must hold that took one event after the other (P2).

Rule 1: it starts from the tailnet as the log made it and from its policy, and looks at everybody; nothing is kept or compared.
Rule 2: what an object shows of a node, a peer, a connection, a user or the settings is what has the same name there.
"""

import re
from collections.abc import Iterator, Sequence
from typing import Any, TypeVar

import msgspec

from engine.contracts.netmap import (
    ClassObject,
    ClassSetObject,
    ConnectionExtra,
    EntryObject,
    ExtrasObject,
    NetmapObject,
    NodeObject,
    ProgramObject,
    RouteObject,
    SshRuleObject,
    SteeredRouters,
    TailnetObject,
    UserObject,
    WireGuardPeerObject,
    key_of,
)
from engine.domain.aggregates import Peer
from engine.domain.document import document_of
from engine.domain.state import Tailnet
from engine.domain.values import Epoch, NodeId, UserId
from engine.domain.whom import device_of, person_of
from engine.policy.compiled import Policy
from engine.policy.permit import permitted
from engine.policy.policy import Identity, Permit, Standing

T = TypeVar("T", bound=msgspec.Struct)


class Rebuilt:
    """A tailnet looked at from nothing: its classes, sets and routers, and every object by key."""

    def __init__(self, tailnet: Tailnet, epoch: Epoch) -> None:
        self.tailnet = tailnet
        self.policy = Policy(document_of(tailnet), epoch)
        self.of: dict[NodeId, Identity] = {number: self._identity(number) for number in tailnet.nodes}
        self.identities = {identity.id: identity for identity in self.of.values()}
        self.standings = {name: self.policy.stand(one) for name, one in self.identities.items()}
        self.members = {name: sum(one.id == name for one in self.of.values()) for name in self.identities}
        self.sets = _gathered(self.standings)
        self.routers = self._routers()
        self.objects: dict[str, NetmapObject] = {key_of(value): value for value in self._objects()}

    def _identity(self, number: NodeId) -> Identity:
        node = self.tailnet.nodes[number]
        return self.policy.identify(device_of(self.tailnet, node), person_of(self.tailnet.users[node.user]))

    def _routers(self) -> dict[str, list[NodeId]]:
        alive = [node for node in self.tailnet.nodes.values() if not node.expired]
        prefixes = {prefix for node in alive for prefix in node.routes}
        return {prefix: sorted(node.id for node in alive if prefix in node.routes) for prefix in prefixes}

    def _objects(self) -> Iterator[NetmapObject]:
        tailnet, policy = self.tailnet, self.policy
        yield shown(TailnetObject, tailnet.settings)
        yield from (shown(UserObject, user) for user in tailnet.users.values())
        yield from (
            shown(WireGuardPeerObject, peer, endpoints=_endpoints(peer)) for peer in tailnet.peers.values()
        )
        for number, node in tailnet.nodes.items():
            yield shown(NodeObject, node, class_id=self.of[number].id)
            extras = tuple(self._extras(number))
            if extras:
                yield ExtrasObject(node=number, connections=extras, demotes=self._demotes(extras))
        for name, standing in self.standings.items():
            user = UserId(self.identities[name].user or 0)
            yield shown(ClassObject, standing, id=name, user=user)
        for name, classes in self.sets.items():
            yield ClassSetObject(id=name, classes=tuple(classes), is_source=policy.is_source(name))
        yield from (EntryObject(entry=entry) for entry in policy.entries)
        yield from (SshRuleObject(rule=rule) for rule in policy.ssh_rules)
        yield ProgramObject(entries=tuple(entry.id for entry in policy.entries))
        yield from (self._route(prefix, routers) for prefix, routers in self.routers.items())

    def _route(self, prefix: str, routers: Sequence[NodeId]) -> RouteObject:
        sight = self.policy.sight(prefix)
        ways = [
            (one.sets, tuple(n for n in routers if set(self.tailnet.nodes[n].tags) & set(one.tags)))
            for one in sight.steered
        ]
        return RouteObject(
            prefix=prefix,
            routers=tuple(routers),
            sets=sight.sets,
            steered=tuple(SteeredRouters(sets, tagged) for sets, tagged in ways if tagged),
        )

    def _extras(self, number: NodeId) -> Iterator[ConnectionExtra]:
        permit = self.standings[self.of[number].id].permit
        for (node, peer), connection in sorted(self.tailnet.connections.items()):
            if node == number:
                extra = shown(ConnectionExtra, connection, peer=peer)
                yield from self._left(extra, permit)

    def _demotes(self, extras: Sequence[ConnectionExtra]) -> bool:
        """Whether the node can use a peer as exit, and that peer has resolvers, where they go first."""
        ways = [(self.tailnet.peers[extra.peer], extra.allowed_ips) for extra in extras]
        return self.tailnet.settings.wireguard_dns == "demote" and any(
            {"0.0.0.0/0", "::/0"}.issubset(peer.allowed_ips if part is None else part)
            and peer.extra.exit_node_dns_resolvers
            and not (peer.parked_key or peer.expired_at)
            for peer, part in ways
        )

    def _left(self, extra: ConnectionExtra, permit: Permit) -> Iterator[ConnectionExtra]:
        """What the policy leaves of a connection, if it has a say."""
        peer = self.tailnet.peers[extra.peer]
        if not self.tailnet.settings.is_enforced:
            yield extra
            return
        whole = peer.allowed_ips if extra.allowed_ips is None else extra.allowed_ips
        left = permitted(whole, (peer.ipv4, peer.ipv6), peer.extra.tags, permit)
        if left is not None:
            yield msgspec.structs.replace(extra, allowed_ips=left)


def _endpoints(peer: Peer) -> tuple[str, ...]:
    """What clients get: names replaced by the addresses found, an endpoint for each."""
    known = {held.host: held.addresses for held in peer.resolved}
    told: list[str] = []
    for endpoint in peer.endpoints:
        host, _, port = endpoint.rpartition(":")
        if not re.search("[g-z]", host):  # every name of these stories has such a letter, no address has
            told.append(endpoint)
        told += [f"[{a}]:{port}" if ":" in a else f"{a}:{port}" for a in known.get(host, ())]
    return tuple(sorted(set(told), key=told.index))


def shown(kind: type[T], source: object, **more: Any) -> T:
    """An object of this kind, with what its source has under the same names."""
    fields = {name: getattr(source, name) for name in kind.__struct_fields__ if hasattr(source, name)}
    return kind(**fields | more)


def _gathered(standings: dict[str, Standing]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for name in sorted(standings):
        for one in standings[name].sets:
            found.setdefault(one, []).append(name)
    return found
