"""Decisions about users.

Rule 1: a user has one role; there is one owner at most: a new one makes an admin of the one before.
Rule 2: a user goes when nothing belongs to it. With `cascade` all that does goes before it, tagged nodes too, each with its
        connections; its pre-auth keys end in any case.
"""

import difflib
import re
from collections.abc import Sequence
from typing import Final

from engine.domain.aggregates import Peer, User
from engine.domain.commands import CreateUser, DeleteUser, SetUserRole
from engine.domain.decision import Decision
from engine.domain.errors import Conflict, Invalid
from engine.domain.events import (
    ROLES,
    AuthKeyExpired,
    ConnectionRemoved,
    NodeDeleted,
    PeerRemoved,
    UserCreated,
    UserDeleted,
    UserRoleSet,
)
from engine.domain.peers import leaks
from engine.domain.refs import user_of
from engine.domain.state import DEFAULT_ROUTES, Tailnet
from engine.domain.values import NodeId, PeerId, UserId

_MAX_NAMED: Final = 20
"""Nodes and peers that a refusal names; it says how many more there are."""
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@+-]*")
"""A login name or an e-mail address: clients show it, and store it in their profiles."""


def create_user(tailnet: Tailnet, command: CreateUser) -> Decision:
    """Decide whether there may be such a user.

    Raises:
        Invalid: `user.name`, `user.text`, `user.role`.
        Conflict: `user.taken`; names are compared without regard to case.
    """
    name = command.name
    if not _NAME.fullmatch(name):
        raise Invalid(
            "user.name",
            f"{name[:80]!r} cannot be a user's name: letters, digits and . _ @ + - only, first a letter or digit",
            field="name",
            hint="--display-name takes any text",
        )
    if name.isdigit():
        raise Invalid(
            "user.name",
            f"{name[:80]!r} cannot be a user's name: a number is taken for an id",
            field="name",
        )
    for field, text in (("displayName", command.display_name), ("email", command.email)):
        if text and not text.isprintable():
            raise Invalid("user.text", f"{field} must be printable", field=field)
    if name.lower() in tailnet.user_by_name:
        other = tailnet.users[tailnet.user_by_name[name.lower()]]
        raise Conflict(
            "user.taken", f"the name {name!r} is taken by user {other.id}({other.name})", field="name"
        )
    role = _role(command.role) if command.role else ""
    event = UserCreated(
        user=tailnet.next_user,
        name=name,
        display_name=command.display_name,
        email=command.email,
        role=role,
    )
    return Decision(
        events=(*_demotion(tailnet, role, event.user), event),
        result={
            "id": event.user,
            "name": name,
            "displayName": command.display_name,
            "email": command.email,
            "role": role or "member",
        },
    )


def set_user_role(tailnet: Tailnet, command: SetUserRole) -> Decision:
    """Decide on a user's role.

    Raises:
        NotFound: `user.not_found`.
        Invalid: `user.role`.
    """
    user = user_of(tailnet, command.user)
    role = _role(command.role)
    result = {"id": user.id, "name": user.name, "role": role}
    if role == user.role:
        return Decision(result=result)
    demotion = _demotion(tailnet, role, user.id)
    warnings = tuple(
        f"user.owner: {tailnet.users[event.user].name} was the owner, and is an admin now"
        for event in demotion
    )
    return Decision(
        events=(*demotion, UserRoleSet(user=user.id, role=role)), result=result, warnings=warnings
    )


def delete_user(tailnet: Tailnet, command: DeleteUser) -> Decision:
    """Decide that a user goes, and what goes before it (rule 2).

    Raises:
        NotFound: `user.not_found`.
        Conflict: `user.in_use`.
    """
    user = user_of(tailnet, command.user)
    nodes = [number for number, node in sorted(tailnet.nodes.items()) if node.user == user.id]
    peers = [number for number, peer in sorted(tailnet.peers.items()) if peer.user == user.id]
    if (nodes or peers) and not command.cascade:
        raise _in_use(tailnet, user, nodes, peers)
    pairs = {(node, peer) for node in nodes for peer in tailnet.peers_of_node.get(node, ())}
    pairs |= {(node, peer) for peer in peers for node in tailnet.nodes_of_peer.get(peer, ())}
    keys = [key.id for _, key in sorted(tailnet.auth_keys.items()) if key.user == user.id and not key.expired]
    warnings = [
        leak for peer in peers if tailnet.nodes_of_peer.get(peer) for leak in _leaks(tailnet.peers[peer])
    ]
    if nodes or peers:
        gone = f"{len(nodes)} nodes, {len(peers)} WireGuard-only peers and {len(pairs)} connections"
        warnings.insert(0, f"user.cascade: {gone} went with it")
    return Decision(
        events=(
            *(ConnectionRemoved(node=node, peer=peer) for node, peer in sorted(pairs)),
            *(NodeDeleted(node=node) for node in nodes),
            *(PeerRemoved(peer=peer) for peer in peers),
            *(AuthKeyExpired(key=key) for key in keys),
            UserDeleted(user=user.id),
        ),
        result={"id": user.id, "name": user.name},
        warnings=tuple(warnings),
    )


def _in_use(tailnet: Tailnet, user: User, nodes: Sequence[NodeId], peers: Sequence[PeerId]) -> Conflict:
    names = [f"node {number}({tailnet.nodes[number].name})" for number in nodes]
    names += [f"WireGuard-only peer {number}({tailnet.peers[number].name})" for number in peers]
    more = f", and {len(names) - _MAX_NAMED} more" if len(names) > _MAX_NAMED else ""
    return Conflict(
        "user.in_use",
        f"to user {user.id}({user.name}) still belong " + ", ".join(names[:_MAX_NAMED]) + more,
        field="user",
        hint=f"netmap user delete {user.name} --cascade removes them too; netmap wg move gives a peer to another user",
    )


def _leaks(peer: Peer) -> tuple[str, ...]:
    return leaks(peer) if DEFAULT_ROUTES & set(peer.allowed_ips) else ()


def _demotion(tailnet: Tailnet, role: str, user: UserId) -> tuple[UserRoleSet, ...]:
    """Return what happens to the owner when the user gets the role."""
    if role != "owner":
        return ()
    others = (other for other in tailnet.users.values() if other.role == "owner" and other.id != user)
    return tuple(UserRoleSet(user=other.id, role="admin") for other in others)


def _role(text: str) -> str:
    if text in ROLES:
        return text
    near = difflib.get_close_matches(text[:80].lower(), ROLES, n=1)
    raise Invalid(
        "user.role",
        f"{text[:80]!r} is not a role: {', '.join(ROLES)}",
        field="role",
        hint=f"did you mean {near[0]}?" if near else "",
    )
