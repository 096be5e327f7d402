"""Decisions that operators make about nodes (how nodes come in: `registration.py`)."""

from typing import Final

from engine.domain.aggregates import Node
from engine.domain.commands import DeleteNode, ExpireNode, RenameNode, SetNodeExpiry
from engine.domain.connections import connections_end
from engine.domain.decision import Decision, Given
from engine.domain.errors import Invalid
from engine.domain.events import NodeDeleted, NodeExpired, NodeExpirySet, NodeRenamed
from engine.domain.names import checked_name
from engine.domain.refs import node_of
from engine.domain.state import Tailnet
from engine.domain.values import LAST_MILLIS, NEVER, Millis

_REASONS: Final = ("operator", "deadline")


def expire_node(tailnet: Tailnet, command: ExpireNode, given: Given) -> Decision:
    """Decide to end the node's key now; one that has ended stays so.

    A `deadline` that has moved meanwhile ends nothing.

    Raises:
        NotFound: `node.not_found`.
        Invalid: `node.because`.
    """
    if command.because not in _REASONS:
        raise Invalid("node.because", f"because must be one of {', '.join(_REASONS)}", field="because")
    node = node_of(tailnet, command.node)
    is_due = NEVER < node.expiry <= given.now
    happens = not node.expired and (is_due or command.because == "operator")
    at = min(given.now, node.expiry) if is_due else given.now
    events = (NodeExpired(node=node.id, at=Millis(at), why=command.because),) if happens else ()
    return Decision(events=events, result=_described(node))


def set_node_expiry(tailnet: Tailnet, command: SetNodeExpiry, given: Given) -> Decision:
    """Decide until when the node's key is good; this also brings an expired node back.

    Raises:
        NotFound: `node.not_found`.
        Invalid: `node.expiry`.
    """
    node = node_of(tailnet, command.node)
    if command.expiry != NEVER and not given.now < command.expiry <= LAST_MILLIS:
        raise Invalid(
            "node.expiry",
            f"the time {command.expiry} (Unix milliseconds) is not in the future, or after the year 9999",
            field="expiry",
            hint=f"netmap node expire --node {node.id} ends the key now",
        )
    same = node.expiry == command.expiry and not node.expired
    events = () if same else (NodeExpirySet(node=node.id, expiry=command.expiry),)
    return Decision(events=events, result=_described(node) | {"expiry": command.expiry})


def rename_node(tailnet: Tailnet, command: RenameNode) -> Decision:
    """Decide on another name; id, stable id and addresses stay.

    Raises:
        NotFound: `node.not_found`.
        Invalid: `name.syntax`, `name.number`, `name.reserved`.
        Conflict: `name.taken`.
    """
    node = node_of(tailnet, command.node)
    if node.name == command.name:
        return Decision(result=_described(node))
    name = checked_name(tailnet, command.name)
    return Decision(events=(NodeRenamed(node=node.id, name=name),), result=_described(node) | {"name": name})


def delete_node(tailnet: Tailnet, command: DeleteNode) -> Decision:
    """Decide to remove the node, and its connections with it.

    Raises:
        NotFound: `node.not_found`.
    """
    node = node_of(tailnet, command.node)
    ended = connections_end(tailnet, node.id)
    warnings: tuple[str, ...] = ()
    if ended:
        warnings = (f"node.connections: {len(ended)} connections to WireGuard-only peers went with it",)
    return Decision(events=(*ended, NodeDeleted(node=node.id)), result=_described(node), warnings=warnings)


def _described(node: Node) -> dict[str, object]:
    return {"id": node.id, "name": node.name}
