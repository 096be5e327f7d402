"""Decisions about nodes that come in, come back, or log out.

Rule 1: the machine key says which machine it is (the Noise handshake proved it); a node is a machine and its owner,
        so a machine has at most one node of each user, and that one keeps id, name and addresses for life.
Rule 2: a known node key that is good is let in again, whatever pre-auth key comes with it: containers repeat
        theirs at each start, used or expired.
Rule 3: a known node key that has expired is answered `expired`; the client comes back with a fresh key. An unknown
        one never is: the client would loop.
Rule 4: a node's owner never changes. A valid pre-auth key of another user, with a good node key, is answered `expired`
        too: the client's fresh key becomes a node of that user.
Rule 5: a client may shorten its expiry, never extend it; a tagged node has none.
Rule 6: nothing that the client wrote is repeated to it.
Rule 7: a client's version and system are noted at most once in `QUIET_MILLIS`: who tells another one each time must
        not make the log grow with each request. The next registration after that notes them.
Rule 8: only a client logs out. An approval that comes after the expiry that the client asked for gives it none.
Rule 9: who comes in and asks for tags that are not its to have is refused; who comes back goes without them: an
        operator may have given the node others meanwhile. A key that the node came in with changes nothing either.

`OldNodeKey` decides nothing: the node that it names is found by machine and owner, or is not this client's.
"""

from typing import Final

import msgspec

from engine.domain.aggregates import AuthKey, Node
from engine.domain.authkeys import open_with
from engine.domain.commands import LogOutNode, RegisterNode
from engine.domain.connections import connections_end
from engine.domain.decision import Decision, Given
from engine.domain.errors import Conflict, NotAllowed, Refusal
from engine.domain.events import (
    AuthKeyUsed,
    Event,
    NodeDeleted,
    NodeExpired,
    NodeExpirySet,
    NodeRegistered,
    NodeReregistered,
)
from engine.domain.evolve import evolve_node
from engine.domain.keys import parse_machine_key, parse_node_key
from engine.domain.names import free_name
from engine.domain.refs import user_of
from engine.domain.routes import route_events
from engine.domain.state import Tailnet
from engine.domain.tags import granted
from engine.domain.values import (
    LAST_MILLIS,
    LAST_NODE_ID,
    NEVER,
    AuthKeyId,
    MachineKey,
    Millis,
    NodeId,
    NodeKey,
    StableId,
    UserId,
)

QUIET_MILLIS: Final = 60_000
"""A minute: updates are days apart, and a client that has just been updated registers again at its next start."""
_MAX_HOSTNAME: Final = 255
_MAX_OS: Final = 64
_MAX_VERSION: Final = 64
_LAST_CAPVER: Final = 65_535
"""The Noise handshake carries the version in 16 bits."""


class _Admission(msgspec.Struct, frozen=True, kw_only=True):
    """By what right a node comes in: a pre-auth key, or somebody's approval."""

    user: UserId
    tags: tuple[str, ...] = ()
    ephemeral: bool = False
    auth_key: AuthKeyId | None = None


def register_node(tailnet: Tailnet, command: RegisterNode, given: Given) -> Decision:
    """Decide on a client's registration; `result` has `outcome`: `authorized`, `expired`, or `login`.

    With `authorized` and `expired` it also has `node`, `user`, `user_name` and `user_display_name`; `login` says
    that neither the node key nor a pre-auth key opens, and that somebody must approve.

    Raises:
        NotAllowed: `node.wrong_machine`, `node.key_in_use`, `authkey.unknown`, `authkey.expired`, `authkey.used`,
            `tag.not_owner`.
        Invalid: `key.syntax`, `key.zero`, `key.low_order`.
        Conflict: `node.other_owner` (an approval for a key that meanwhile is another user's node).
        Refusal: `address.pool_exhausted`, `node.ids_exhausted`.
    """
    machine_key = parse_machine_key(command.machine_key)
    node_key = parse_node_key(command.node_key)
    is_past = command.expiry != NEVER and command.expiry <= given.now
    if is_past and command.user is None:
        return log_out_node(tailnet, LogOutNode(machine_key=machine_key, node_key=node_key), given)
    if is_past or command.expiry > LAST_MILLIS:
        command = msgspec.structs.replace(command, expiry=NEVER)
    known = tailnet.node_by_key.get(node_key)
    if known is not None:
        return _come_back(tailnet, tailnet.nodes[known], machine_key, command, given.now)
    _refuse_taken_key(tailnet, node_key, machine_key)
    admission = _admission(tailnet, command, given.now)
    if admission is None:
        return Decision(result={"outcome": "login"})
    existing = tailnet.nodes_by_machine.get(machine_key, {}).get(admission.user)
    before = None if existing is None else tailnet.nodes[existing]
    expiry = NEVER if admission.tags else command.expiry
    event: NodeRegistered | NodeReregistered
    if before is None:
        event = _new_node(tailnet, command, admission, (machine_key, node_key), expiry)
    else:
        event = _renewed(before, command, admission, node_key, expiry)
    events: list[Event] = [event]
    if admission.auth_key is not None:
        events.append(AuthKeyUsed(key=admission.auth_key, node=event.node))
    after = evolve_node(before, event, given.now)
    if after is not None:
        events += route_events(tailnet, before, after, command.routes, given.now)
    return Decision(events=tuple(events), result=_told(tailnet, "authorized", event.node, admission.user))


def log_out_node(tailnet: Tailnet, command: LogOutNode, given: Given) -> Decision:
    """Decide on a logout: an ephemeral node goes with its connections, any other expires now.

    An unknown node, and another machine's, change nothing and are answered alike: `{"outcome": "expired"}`.

    Raises:
        Invalid: `key.syntax`, `key.zero`, `key.low_order`.
    """
    machine_key = parse_machine_key(command.machine_key)
    known = tailnet.node_by_key.get(parse_node_key(command.node_key))
    node = None if known is None else tailnet.nodes[known]
    if node is None or node.machine_key != machine_key:
        return Decision(result={"outcome": "expired"})
    events: tuple[Event, ...] = ()
    if node.ephemeral:
        events = (*connections_end(tailnet, node.id), NodeDeleted(node=node.id))
    elif not node.is_expired(given.now):
        events = (NodeExpired(node=node.id, at=given.now, why="logout"),)
    return Decision(events=events, result=_told(tailnet, "expired", node.id, node.user))


def _come_back(
    tailnet: Tailnet, node: Node, machine_key: MachineKey, command: RegisterNode, now: Millis
) -> Decision:
    if node.machine_key != machine_key:
        raise NotAllowed("node.wrong_machine", "the node key belongs to another machine", field="nodeKey")
    if command.user is not None and user_of(tailnet, command.user).id != node.user:
        raise Conflict(
            "node.other_owner",
            f"the machine has meanwhile joined as {node.id}({node.name}), a node of another user",
            field="user",
            hint="log in anew from the machine",
        )
    admission = _admission_if_good(tailnet, command, now)
    if node.is_expired(now) or (admission is not None and admission.user != node.user):
        return Decision(result=_told(tailnet, "expired", node.id, node.user))
    renewal, used = _renewal(tailnet, node, command, admission, now)
    after = node if renewal is None else evolve_node(node, renewal, now)
    events: list[Event] = [event for event in (renewal, used) if event is not None]
    if after is not None:
        events += route_events(tailnet, node, after, command.routes, now)
    return Decision(events=tuple(events), result=_told(tailnet, "authorized", node.id, node.user))


def _renewal(
    tailnet: Tailnet, node: Node, command: RegisterNode, admission: _Admission | None, now: Millis
) -> tuple[NodeReregistered | NodeExpirySet | None, AuthKeyUsed | None]:
    """Return what changes of a node that comes back with its good key, and which pre-auth key it took."""
    may_shorten = command.expiry and (node.expiry == NEVER or command.expiry < node.expiry)
    expiry = command.expiry if may_shorten and not node.tags else node.expiry
    key = None if admission is None else admission.auth_key
    is_new = key is not None and key != node.auth_key
    if admission is not None and is_new and set(admission.tags) != set(node.tags):
        kept = NEVER if admission.tags else expiry
        used = None if key is None else AuthKeyUsed(key=key, node=node.id)
        return _renewed(node, command, admission, node.node_key, kept), used
    tags = granted(tailnet, command.request_tags, user=node.user, tags=node.tags) or node.tags
    same = _Admission(user=node.user, tags=tags, ephemeral=node.ephemeral, auth_key=node.auth_key)
    if tags != node.tags:
        return _renewed(node, command, same, node.node_key, NEVER), None
    if _client_changed(node, command) and now - node.registered_at >= QUIET_MILLIS:
        return _renewed(node, command, same, node.node_key, expiry), None
    return (NodeExpirySet(node=node.id, expiry=expiry) if expiry != node.expiry else None), None


def _client_changed(node: Node, command: RegisterNode) -> bool:
    """Return whether the client is another version, or on another system, than the log has it."""
    return bool(
        (_capver(command) and _capver(command) != node.capver)
        or any(
            told and _bounded(told, limit) != held
            for told, limit, held in (
                (command.os, _MAX_OS, node.os),
                (command.os_version, _MAX_VERSION, node.os_version),
                (command.client_version, _MAX_VERSION, node.client_version),
            )
        )
    )


def _refuse_taken_key(tailnet: Tailnet, node_key: NodeKey, machine_key: MachineKey) -> None:
    """Refuse a key that is a WireGuard-only peer's, or was that of another machine's node."""
    former = tailnet.retired_keys.get(node_key)
    is_foreign = former is not None and tailnet.nodes[former].machine_key != machine_key
    if is_foreign or node_key in tailnet.peer_by_key:
        raise NotAllowed("node.key_in_use", "the node key belongs to somebody else", field="nodeKey")


def _admission(tailnet: Tailnet, command: RegisterNode, now: Millis) -> _Admission | None:
    if command.auth_key:
        admission = _by_key(open_with(tailnet, command.auth_key, now))
    elif command.user is not None:
        admission = _Admission(user=user_of(tailnet, command.user).id)
    else:
        return None
    tags = granted(tailnet, command.request_tags, user=admission.user, tags=admission.tags)
    if tags is None:
        raise NotAllowed(
            "tag.not_owner",
            "the requested tags are not defined, or not yours to give",
            field="requestTags",
            hint="the policy's tagOwners say who may",
        )
    return msgspec.structs.replace(admission, tags=tags)


def _admission_if_good(tailnet: Tailnet, command: RegisterNode, now: Millis) -> _Admission | None:
    if not command.auth_key:
        return None
    try:
        admission = _by_key(open_with(tailnet, command.auth_key, now))
    except NotAllowed:
        return None
    tags = granted(tailnet, command.request_tags, user=admission.user, tags=admission.tags)
    return admission if tags is None else msgspec.structs.replace(admission, tags=tags)


def _by_key(key: AuthKey) -> _Admission:
    return _Admission(user=key.user, tags=key.tags, ephemeral=key.ephemeral, auth_key=key.id)


def _new_node(
    tailnet: Tailnet,
    command: RegisterNode,
    admission: _Admission,
    keys: tuple[MachineKey, NodeKey],
    expiry: Millis,
) -> NodeRegistered:
    number = tailnet.next_node
    if number > LAST_NODE_ID:
        raise Refusal("node.ids_exhausted", "there are no node ids left in this tailnet")
    ipv4, ipv6 = tailnet.addresses_for_node()
    hostname = _bounded(command.hostname, _MAX_HOSTNAME)
    machine_key, node_key = keys
    return NodeRegistered(
        node=number,
        stable_id=StableId(f"n{number}"),
        machine_key=machine_key,
        node_key=node_key,
        user=admission.user,
        name=free_name(tailnet, hostname),
        hostname=hostname,
        ipv4=ipv4,
        ipv6=ipv6,
        tags=admission.tags,
        ephemeral=admission.ephemeral or command.ephemeral,
        auth_key=admission.auth_key,
        expiry=expiry,
        os=_bounded(command.os, _MAX_OS),
        capver=_capver(command),
        os_version=_bounded(command.os_version, _MAX_VERSION),
        client_version=_bounded(command.client_version, _MAX_VERSION),
    )


def _renewed(
    node: Node, command: RegisterNode, admission: _Admission, node_key: NodeKey, expiry: Millis
) -> NodeReregistered:
    return NodeReregistered(
        node=node.id,
        node_key=node_key,
        expiry=expiry,
        tags=admission.tags,
        ephemeral=admission.ephemeral or command.ephemeral,
        auth_key=admission.auth_key,
        os=_bounded(command.os, _MAX_OS) or node.os,
        capver=_capver(command) or node.capver,
        os_version=_bounded(command.os_version, _MAX_VERSION) or node.os_version,
        client_version=_bounded(command.client_version, _MAX_VERSION) or node.client_version,
    )


def _capver(command: RegisterNode) -> int:
    return min(max(command.capver, 0), _LAST_CAPVER)


def _bounded(text: str, limit: int) -> str:
    """Return what a client wrote of itself, fit to be kept and shown."""
    return "".join(character for character in text[:limit] if character.isprintable())


def _told(tailnet: Tailnet, outcome: str, node: NodeId, number: UserId) -> dict[str, object]:
    user = tailnet.users[number]
    return {
        "outcome": outcome,
        "node": node,
        "user": user.id,
        "user_name": user.name,
        "user_display_name": user.display_name,
    }
