"""One record more: the tailnet moves on, and exactly the objects that differ are named.

Rule 1: pure: time enters only as what the record says; no clock, no randomness, no I/O (P5).
Rule 2: a record that changes no object (a receipt, a pre-auth key) still moves the position.
Rule 3: the cost is that of the change: a join in a known class touches one node; a class that comes or goes touches
        itself and the sets that it is in; a connection touches one node's extras; an approved route its prefix. Only a
        policy looks at all nodes, and touches those that it speaks of otherwise than the one before.
Rule 4: a WireGuard-only peer is held from its registration on, but only extras lead to it.
Rule 5: an expired node stays, marked; a deleted one is gone with its extras.
"""

from typing import assert_never

from engine.contracts.netmap import Change
from engine.domain.events import (
    ApiKeyCreated,
    ApiKeyDeleted,
    ApiKeyExpired,
    AuthKeyCreated,
    AuthKeyExpired,
    AuthKeyUsed,
    AutoUpdatesSet,
    BaseDomainSet,
    CommandHandled,
    ConnectionAdded,
    ConnectionEvent,
    ConnectionExported,
    ConnectionRemoved,
    ConnectionStale,
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
    PeerBackendRemoved,
    PeerBackendSet,
    PeerDisabled,
    PeerDrained,
    PeerEnabled,
    PeerEndpointsResolved,
    PeerEvent,
    PeerExpired,
    PeerMoved,
    PeerPoolSet,
    PeerRegistered,
    PeerRemoved,
    PeerRenamed,
    PeerSwitched,
    PeerTagged,
    PeerUndrained,
    PeerUpdated,
    PolicySet,
    PoolsSet,
    ResolversSet,
    SelectorAdded,
    SelectorRemoved,
    UserCreated,
    UserDeleted,
    UserRoleSet,
    WireGuardDnsSet,
    WireGuardModeSet,
)
from engine.domain.providerevents import DeviceEvent, PeerProviderSet, ProviderEvent
from engine.domain.values import NodeId, PeerId, UserId
from engine.ports import Recorded
from projections.netmap.classes import identity_of, move, restand
from projections.netmap.extras import put_all_extras, put_connection, put_extras
from projections.netmap.objects import node_object, peer_object, tailnet_object, user_object
from projections.netmap.policy import take_effect
from projections.netmap.routes import reroute
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
        case LogStarted():
            return [_put_tailnet(state), *_put_policy(state)]
        case BaseDomainSet() | DerpMapSet() | AutoUpdatesSet() | ResolversSet():
            return [_put_tailnet(state)]
        case PolicySet() | DomainsSet():
            return _put_policy(state)
        case WireGuardModeSet() | WireGuardDnsSet():
            return list(put_all_extras(state))
        case UserCreated(user=number) | UserRoleSet(user=number):
            return [_put_user(state, number), *restand(state, number), *_put_enforced(state)]
        case UserDeleted(user=number):
            return [state.drop(f"user/{number}"), *_put_enforced(state)]
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
        case PoolsSet() | AuthKeyCreated() | AuthKeyUsed() | AuthKeyExpired() | CommandHandled():
            return []
        case ApiKeyCreated() | ApiKeyExpired() | ApiKeyDeleted():
            return []
        case _:
            return (
                []
                if isinstance(event, ProviderEvent | DeviceEvent | PeerProviderSet)
                else _touched_by_peers(state, event)
            )


def _touched_by_peers(state: NetmapState, event: PeerEvent | ConnectionEvent) -> list[Change | None]:
    match event:
        case (
            PeerRegistered(peer=peer)
            | PeerRemoved(peer=peer)
            | PeerRenamed(peer=peer)
            | PeerEndpointsResolved(peer=peer)
            | PeerBackendRemoved(peer=peer)
            | PeerDrained(peer=peer)
            | PeerUndrained(peer=peer)
        ):
            return [_put_peer(state, peer)]
        case PeerUpdated(peer=peer) | PeerTagged(peer=peer):
            return [_put_peer(state, peer), *_put_extras_at(state, peer)]
        case (
            PeerDisabled(peer=peer)
            | PeerExpired(peer=peer)
            | PeerEnabled(peer=peer)
            | PeerBackendSet(peer=peer)
            | PeerSwitched(peer=peer)
        ):
            more = _put_extras_at(state, peer) if state.tailnet.settings.is_demoting else []
            return [_put_peer(state, peer), *more]
        case PeerMoved() | PeerPoolSet() | SelectorAdded() | SelectorRemoved():
            return []
        case (
            ConnectionAdded(node=number, peer=peer)
            | ConnectionUpdated(node=number, peer=peer)
            | ConnectionRemoved(node=number, peer=peer)
        ):
            return [put_connection(state, number, peer)]
        case ConnectionExported() | ConnectionStale():
            return []  # of the far side; nobody's netmap
        case _:
            assert_never(event)


def _put_extras_at(state: NetmapState, peer: PeerId) -> list[Change | None]:
    return [
        put_connection(state, number, peer) for number in sorted(state.tailnet.nodes_of_peer.get(peer, ()))
    ]


def _put_tailnet(state: NetmapState) -> Change | None:
    return state.put(tailnet_object(state.tailnet.settings))


def _put_user(state: NetmapState, number: UserId) -> Change | None:
    return state.put(user_object(state.tailnet.users[number]))


def _put_policy(state: NetmapState) -> list[Change | None]:
    return [*take_effect(state), *_put_enforced(state)]


def _put_enforced(state: NetmapState) -> list[Change | None]:
    return put_all_extras(state) if state.tailnet.settings.is_enforced else []


def _put_node(state: NetmapState, number: NodeId) -> list[Change | None]:
    node, held = state.tailnet.nodes.get(number), state.node(number)
    identity = None if node is None else identity_of(state, node)
    if node is None or identity is None:
        changes = [state.drop(f"node/{number}"), state.drop(f"extras/{number}")]
    else:
        changes = [state.put(node_object(node, identity.id))]
    left = "" if held is None else held.class_id
    changes += move(state, left, identity)
    changes += reroute(state, held, state.node(number))
    if identity is not None and identity.id != left and state.tailnet.settings.is_enforced:
        changes.append(put_extras(state, number))
    return changes


def _put_peer(state: NetmapState, number: PeerId) -> Change | None:
    peer = state.tailnet.peers.get(number)
    return state.drop(f"peer/{number}") if peer is None else state.put(peer_object(peer))
