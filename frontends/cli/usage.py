"""What only soft state knows of WireGuard-only peers: who uses one as exit now, whether a node is there. Told before a change.

Rule 1: it is a warning; with --strict, a no. The engine cannot know it, so it is decided here.
Rule 2: nothing is said where nothing is known: a question without an answer stops no command.
"""

import contextlib

from frontends.cli.failure import Exit, Failure, Trouble
from frontends.cli.operator import Operator
from frontends.cli.text import reference, warn


def before_cutting_off(operator: Operator, peer: str, node: str | None = None) -> None:
    """Warn of nodes that use the peer as exit now, of one node alone if it is given.

    Raises:
        Failure: `strict` (exit 5).
    """
    users: list[str] = []
    with contextlib.suppress(Failure):
        rows = operator.listed("peer", "peers", peer=reference(peer))
        users = [name for row in rows for name in row.get("usedBy") or ()]
    if node is not None:
        users = [name for name in users if node in (name, *name.removesuffix(")").split("(", 1))]
    if users:
        _say(
            operator,
            f"peer.used: {', '.join(users)} use {peer} as exit now; netmap wg disable {peer} fails closed",
        )


def before_connecting(operator: Operator, node: str) -> None:
    """Warn of a node that is offline: it learns of the connection when it is back.

    Raises:
        Failure: `strict` (exit 5).
    """
    online: object = None
    with contextlib.suppress(Failure):
        found = operator.ask("node", "get", node=reference(node)).get("node") or {}
        online = found.get("online")
    if online is False:
        _say(operator, f"connection.offline: node {node} is offline: it learns of this when it is back")


def _say(operator: Operator, warning: str) -> None:
    if operator.strict:
        hint = "without strictness it would be done"
        message = f"1 warning, and none is let pass: {warning}"
        raise Failure(Exit.REFUSED, Trouble("strict", message, hint=hint))
    warn(warning)
