"""One record more: the tailnet moves on, and exactly the objects that differ are named.

Rule 1: pure: time enters only as what the record says; no clock, no randomness, no I/O (P5).
Rule 2: a record that changes no object (a receipt, a pre-auth key) still moves the position.
Rule 3: the cost is that of the change: a join in a known class touches one node; a class that comes or goes touches
        itself and the sets that it is in; a connection touches one node's extras; nothing touches all nodes.
Rule 4: a WireGuard-only peer is held from its registration on, but only extras lead to it.
Rule 5: an expired node stays, marked; a deleted one is gone with its extras.
"""

from typing import assert_never

from engine.contracts.netmap import (
    Change,
    ConnectionExtra,
    ExtrasObject,
    NodeObject,
    TailnetObject,
    UserObject,
    WireGuardPeerObject,
)
from engine.domain.aggregates import Node, Peer
from engine.domain.events import (
    AuthKeyCreated,
    AuthKeyExpired,
    AuthKeyUsed,
    BaseDomainSet,
    CommandHandled,
    ConnectionAdded,
    ConnectionRemoved,
    ConnectionUpdated,
    DerpMapSet,
    DomainsSet,
    Event,
    LogStarted,
    NodeDeleted,
    NodeExpired,
    NodeExpirySet,
    NodeRegistered,
    NodeRenamed,
    NodeReregistered,
    NodeRoutesAdvertised,
    NodeRoutesApproved,
    NodeTagged,
    PeerDisabled,
    PeerEnabled,
    PeerExpired,
    PeerRegistered,
    PeerRemoved,
    PolicySet,
    PoolsSet,
    UserCreated,
    UserRoleSet,
    WireGuardModeSet,
)
from engine.domain.values import NodeId, PeerId, UserId
from engine.ports import Recorded
from projections.netmap.classes import identity_of, move, relate
from projections.netmap.state import NetmapState


class OutOfOrder(ValueError):  # noqa: N818 (it says what the record is)
    """The record is not after the one before it: the reader is at fault."""


def fold(state: NetmapState, record: Recorded) -> tuple[Change, ...]:
    """Take in the record; return the objects that changed, sorted by key.

    Raises:
        OutOfOrder: the record is not after the last one; nothing was changed.
    """
    if record.position <= state.position:
        raise OutOfOrder(f"position {record.position} after {state.position}")
    state.position = record.position
    state.at = record.envelope.at
    state.digest = record.digest
    if isinstance(record.event, CommandHandled):
        return ()  # every other record of a log
    if isinstance(record.event, LogStarted):
        state.epoch = record.event.epoch
    state.tailnet.apply(record.event, record.envelope.at)
    changes = [change for change in _touched(state, record.event) if change is not None]
    return tuple(sorted(changes, key=lambda change: change.key))


def _touched(state: NetmapState, event: Event) -> list[Change | None]:
    match event:
        case LogStarted() | BaseDomainSet() | DerpMapSet():
            return [_put_tailnet(state)]
        case UserCreated(user=number) | UserRoleSet(user=number):
            return [_put_user(state, number)]
        case (
            NodeRegistered(node=number)
            | NodeReregistered(node=number)
            | NodeExpired(node=number)
            | NodeExpirySet(node=number)
            | NodeRenamed(node=number)
            | NodeTagged(node=number)
            | NodeRoutesAdvertised(node=number)
            | NodeRoutesApproved(node=number)
            | NodeDeleted(node=number)
        ):
            return _put_node(state, number)
        case (
            PeerRegistered(peer=peer)
            | PeerRemoved(peer=peer)
            | PeerDisabled(peer=peer)
            | PeerExpired(peer=peer)
            | PeerEnabled(peer=peer)
        ):
            return [_put_peer(state, peer)]
        case (
            ConnectionAdded(node=number, peer=peer)
            | ConnectionUpdated(node=number, peer=peer)
            | ConnectionRemoved(node=number, peer=peer)
        ):
            return [_put_connection(state, number, peer)]
        case (
            PoolsSet()
            | DomainsSet()
            | WireGuardModeSet()
            | PolicySet()
            | AuthKeyCreated()
            | AuthKeyUsed()
            | AuthKeyExpired()
            | CommandHandled()
        ):
            return []
        case _:
            assert_never(event)


def _put_tailnet(state: NetmapState) -> Change | None:
    settings = state.tailnet.settings
    return state.put(TailnetObject(base_domain=settings.base_domain, derp_map=settings.derp_map))


def _put_user(state: NetmapState, number: UserId) -> Change | None:
    user = state.tailnet.users[number]
    return state.put(UserObject(id=user.id, name=user.name, display_name=user.display_name))


def _put_node(state: NetmapState, number: NodeId) -> list[Change | None]:
    node = state.tailnet.nodes.get(number)
    held = state.node(number)
    if node is None:
        changes = [state.drop(f"node/{number}"), state.drop(f"extras/{number}")]
        identity = None
    else:
        identity = identity_of(node.user, node.tags)
        changes = [state.put(_node_object(node, identity.id))]
    left = held.class_id if held is not None else ""
    if move(state, held, identity):
        if left and left not in state.members:
            changes.append(state.drop(f"class/{left}"))
        changes += relate(state)
    return changes


def _put_peer(state: NetmapState, number: PeerId) -> Change | None:
    peer = state.tailnet.peers.get(number)
    return state.drop(f"peer/{number}") if peer is None else state.put(_peer_object(peer))


def _put_connection(state: NetmapState, node: NodeId, peer: PeerId) -> Change | None:
    others = (extra for extra in state.extras(node).connections if extra.peer != peer)
    connection = state.tailnet.connections.get((node, peer))
    own = () if connection is None or node not in state.tailnet.nodes else (connection,)
    extras = [
        *others,
        *(ConnectionExtra(peer=peer, ipv4_masq=c.ipv4_masq, ipv6_masq=c.ipv6_masq) for c in own),
    ]
    if not extras:
        return state.drop(f"extras/{node}")
    extras.sort(key=lambda extra: extra.peer)
    return state.put(ExtrasObject(node=node, connections=tuple(extras)))


def _node_object(node: Node, class_id: str) -> NodeObject:
    return NodeObject(
        id=node.id,
        stable_id=node.stable_id,
        name=node.name,
        user=node.user,
        machine_key=node.machine_key,
        node_key=node.node_key,
        ipv4=node.ipv4,
        ipv6=node.ipv6,
        class_id=class_id,
        created=node.created,
        tags=node.tags,
        expiry=node.expiry,
        expired=node.expired,
        ephemeral=node.ephemeral,
        hostname=node.hostname,
        os=node.os,
        capver=node.capver,
    )


def _peer_object(peer: Peer) -> WireGuardPeerObject:
    return WireGuardPeerObject(
        id=peer.id,
        stable_id=peer.stable_id,
        name=peer.name,
        public_key=peer.public_key,
        allowed_ips=peer.allowed_ips,
        endpoints=peer.endpoints,
        ipv4=peer.ipv4,
        ipv6=peer.ipv6,
        created=peer.created,
        extra=peer.extra,
        parked_key=peer.parked_key,
        expired_at=peer.expired_at,
    )
