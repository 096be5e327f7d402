"""`netmap node`: the machines in the tailnet, and the user's own words for WireGuard-only peers."""

import sys
from collections.abc import Callable
from typing import TYPE_CHECKING

import click

from frontends.cli import live, output
from frontends.cli.failure import Exit, Failure
from frontends.cli.groups import Nouns
from frontends.cli.operator import Operator, changing, reading
from frontends.cli.options import AT, DURATION, Moment, only, subject
from frontends.cli.session import Session
from frontends.cli.text import ago, listed, pick, reference
from frontends.cli.told import stale_in, told, warn_of

if TYPE_CHECKING:
    from engine.contracts.requests import Accepted
    from engine.domain.commands import Command

FIRST_PEER_ID = 100_000_001
"""Ids from here on are WireGuard-only peers (`engine.domain.values`)."""

_WG = "frontends.cli.wgonly"
_ROUTES = "frontends.cli.noderoutes"
node = Nouns(
    help="Nodes: the machines in the tailnet.",
    lazy={
        "list": "frontends.cli.nodelist:list_",
        "register-wg-only": f"{_WG}:register",
        "add-wg-connection": f"{_WG}:add",
        "update-wg-connection": f"{_WG}:update",
        "remove-wg-connection": f"{_WG}:remove",
        "list-routes": f"{_ROUTES}:list_routes",
        "approve-routes": f"{_ROUTES}:approve_routes",
    },
    aliases={
        "ls": "list",
        "rm": "delete",
        "del": "delete",
        "remove": "delete",
        "show": "get",
        "routes": "list-routes",
    },
)
_node = subject("node", "-i", "--identifier", "--node", "--node-id", complete=live.nodes)


def shown_user(row: output.Row) -> object:
    """Return whom a node acts for: its tags, or its user."""
    return row.get("tags") or pick(row, "userName", "user")


def addresses(row: output.Row) -> object:
    """Return a node's or a peer's addresses."""
    return row.get("addresses") or [row[key] for key in ("ipv4", "ipv6") if row.get(key)]


def state(row: output.Row) -> str:
    """Return whether a node is there, in a word."""
    if row.get("expired"):
        return "expired"
    online = row.get("online")
    if online is None:
        return "-"
    return "online" if online else "offline"


@node.command("get")
@_node
@AT
@reading
def get(operator: Operator, words: tuple[str, ...], node_by_flag: str | None, at: Moment) -> None:
    """Show one node, or one WireGuard-only peer."""
    (which,) = only(words, node_by_flag)
    found = operator.talk(lambda tailnet: _found(tailnet, which, at))
    if operator.form == "table":
        now = operator.now()
        times = {key: ago(found[key], now) for key in ("created", "lastSeen", "expiredAt") if key in found}
        if "expiry" in found:
            times["expiry"] = ago(found["expiry"], now, unset="never")
        pairs = found.get("connections") or ()
        shown = {"connections": [paired(pair, now) for pair in pairs]} if pairs else {}
        output.emit_facts({**found, **times, **shown})
        warn_of(stale_in(pairs), now)
    else:
        output.emit(operator.form, found)


async def _found(tailnet: Session, which: str, at: Moment) -> output.Row:
    """Return the row of a node, or else of a WireGuard-only peer, as it is or was at a moment."""
    from frontends.cli.peerfind import peer_of

    target = reference(which)
    if isinstance(target, int) and target >= FIRST_PEER_ID:
        return await peer_of(tailnet, which, at)
    try:
        reply = await tailnet.ask("node", "get", node=target, at=at)
    except Failure as failure:
        if failure.exit_code != Exit.NOT_FOUND or isinstance(target, int):
            raise
        try:
            return await peer_of(tailnet, which, at)
        except Failure as second:
            raise (failure if second.exit_code == Exit.NOT_FOUND else second) from None
    found: output.Row = reply.get("node", reply)
    return found


def paired(pair: output.Row, now: int) -> str:
    """Return a node's connection in few words: the peer, the masquerade addresses, when the far side was told."""
    addresses_there = " ".join(filter(None, (pair.get("ipv4MasqAddr"), pair.get("ipv6MasqAddr"))))
    return f"{pair.get('peer')}({pair.get('peerName')}) as {addresses_there}; told: {told(pair, now)}"


@node.command("expire")
@_node
@changing
def expire(operator: Operator, words: tuple[str, ...], node_by_flag: str | None) -> None:
    """End the node's key now, its person logs in again; or let clients count a WireGuard-only peer as expired."""
    from engine.domain.commands import ExpireNode, ExpirePeer

    (which,) = only(words, node_by_flag)
    _send_to(operator, which, lambda node: ExpireNode(node=node), lambda peer: ExpirePeer(peer=peer))


@node.command("set-expiry")
@_node
@click.option("--in", "duration", type=DURATION, help="From now.")
@click.option("--never", is_flag=True, help="The key is good for ever.")
@changing
def set_expiry(
    operator: Operator, words: tuple[str, ...], node_by_flag: str | None, duration: int | None, never: bool
) -> None:
    """Let the node's key be good for some time, or for ever."""
    from engine.domain.commands import SetNodeExpiry
    from engine.domain.values import Millis

    (which,) = only(words, node_by_flag)
    if never == (duration is not None):
        raise click.UsageError("one of --in and --never is needed")
    expiry = Millis(0) if duration is None else Millis(operator.now() + duration * 1000)
    operator.done(operator.send(SetNodeExpiry(node=reference(which), expiry=expiry)), {})


@node.command("rename")
@_node
@changing
def rename(operator: Operator, words: tuple[str, ...], node_by_flag: str | None) -> None:
    """Give the node, or the WireGuard-only peer, another name: `netmap node rename NODE NAME`."""
    from engine.domain.commands import RenameNode, RenamePeer

    which, name = only(words, node_by_flag, "NAME")
    _send_to(
        operator,
        which,
        lambda node: RenameNode(node=node, name=name),
        lambda peer: RenamePeer(peer=peer, name=name),
    )


@node.command("tag")
@_node
@changing
def tag(operator: Operator, words: tuple[str, ...], node_by_flag: str | None) -> None:
    """Let the node act for tags, and no longer for its user: `netmap node tag NODE TAG…`.

    A WireGuard-only peer gets these tags, and no others.
    """
    from engine.domain.commands import TagNode, TagPeer

    given = words if node_by_flag is None else (node_by_flag, *words)
    which, *words_of_tags = given or only(given, None)
    tags = listed(words_of_tags)
    _send_to(
        operator,
        which,
        lambda node: TagNode(node=node, tags=tags),
        lambda peer: TagPeer(peer=peer, tags=tags),
    )


@node.command("delete")
@_node
@click.option("--cascade", is_flag=True, help="Of a WireGuard-only peer: end its connections too.")
@click.option("--force", is_flag=True, help="Do not ask.")
@changing
def delete(
    operator: Operator, words: tuple[str, ...], node_by_flag: str | None, cascade: bool, force: bool
) -> None:
    """Remove a node and its connections, or a WireGuard-only peer."""
    from engine.domain.commands import DeleteNode, RemovePeer

    (which,) = only(words, node_by_flag)
    sure(f"Delete {which}?", force=force)
    _send_to(
        operator,
        which,
        lambda node: DeleteNode(node=node),
        lambda peer: RemovePeer(peer=peer, cascade=cascade),
    )


def _send_to(
    operator: Operator,
    which: str,
    to_node: "Callable[[int | str], Command]",
    to_peer: "Callable[[int | str], Command]",
) -> None:
    """Send what is meant for a node or a WireGuard-only peer, whichever of the two it is."""
    target = reference(which)
    if isinstance(target, int) and target >= FIRST_PEER_ID:
        operator.done(operator.send(to_peer(target)), {})
        return
    try:
        accepted = operator.send(to_node(target))
    except Failure as failure:
        if failure.exit_code != Exit.NOT_FOUND or isinstance(target, int):
            raise
        accepted = _sent_to_peer(operator, to_peer(target), failure)
    operator.done(accepted, {})


def _sent_to_peer(operator: Operator, command: "Command", failure: Failure) -> "Accepted":
    """Send what a peer is meant by; if there is none either, say what was said of the node."""
    try:
        return operator.send(command, suffix="-peer")
    except Failure as second:
        raise (failure if second.exit_code == Exit.NOT_FOUND else second) from None


def sure(question: str, *, force: bool) -> None:
    """Ask a person, if there is one at the terminal."""
    if not force and sys.stdin.isatty():
        click.confirm(question, abort=True, err=True)
