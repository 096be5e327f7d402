"""`netmap node`: the machines in the tailnet, and the user's own words for WireGuard-only peers."""

import sys

import click

from frontends.cli import live, output
from frontends.cli.failure import Exit, Failure
from frontends.cli.groups import Nouns
from frontends.cli.operator import Operator, changing, reading
from frontends.cli.options import DURATION, only, subject
from frontends.cli.output import Column
from frontends.cli.text import ago, listed, pick, reference, short_key
from frontends.cli.told import stale_in, told, warn_of

FIRST_PEER_ID = 100_000_001
"""Ids from here on are WireGuard-only peers (`engine.domain.values`)."""

_WG = "frontends.cli.wgonly"
_ROUTES = "frontends.cli.noderoutes"
node = Nouns(
    help="Nodes: the machines in the tailnet.",
    lazy={
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


@node.command("list")
@click.option("-u", "--user", metavar="USER", shell_complete=live.users, help="Only this user's.")
@reading
def list_(operator: Operator, user: str | None) -> None:
    """List the nodes."""
    now = operator.now()
    columns = (
        Column("ID", lambda row: row.get("id")),
        Column("NAME", lambda row: row.get("name")),
        Column("USER", shown_user),
        Column("ADDRESSES", addresses),
        Column("NODE KEY", lambda row: short_key(pick(row, "nodeKey"))),
        Column("STATE", state),
        Column("EXPIRES", lambda row: ago(row.get("expiry"), now, unset="never")),
    )
    wanted = None if user is None else reference(user)
    rows = operator.listed("node", "nodes", user=wanted)
    operator.rows(rows, columns, empty=("no nodes yet", "netmap preauthkey create --user USER"))


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
@reading
def get(operator: Operator, words: tuple[str, ...], node_by_flag: str | None) -> None:
    """Show one node."""
    (which,) = only(words, node_by_flag)
    reply = operator.ask("node", "get", node=reference(which))
    found = reply.get("node", reply)
    if operator.form == "table":
        now = operator.now()
        times = {key: ago(found.get(key), now) for key in ("created", "lastSeen")}
        times["expiry"] = ago(found.get("expiry"), now, unset="never")
        pairs = found.get("connections") or ()
        output.emit_facts({**found, **times, "connections": [paired(pair, now) for pair in pairs]})
        warn_of(stale_in(pairs), now)
    else:
        output.emit(operator.form, found)


def paired(pair: output.Row, now: int) -> str:
    """Return a node's connection in few words: the peer, the masquerade addresses, when the far side was told."""
    addresses_there = " ".join(filter(None, (pair.get("ipv4MasqAddr"), pair.get("ipv6MasqAddr"))))
    return f"{pair.get('peer')}({pair.get('peerName')}) as {addresses_there}; told: {told(pair, now)}"


@node.command("expire")
@_node
@changing
def expire(operator: Operator, words: tuple[str, ...], node_by_flag: str | None) -> None:
    """End the node's key now; its person logs in again."""
    from engine.domain.commands import ExpireNode

    (which,) = only(words, node_by_flag)
    operator.done(operator.send(ExpireNode(node=reference(which))), {})


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
    """Give the node another name: `netmap node rename NODE NAME`."""
    from engine.domain.commands import RenameNode

    which, name = only(words, node_by_flag, "NAME")
    operator.done(operator.send(RenameNode(node=reference(which), name=name)), {})


@node.command("tag")
@_node
@changing
def tag(operator: Operator, words: tuple[str, ...], node_by_flag: str | None) -> None:
    """Let the node act for tags, and no longer for its user: `netmap node tag NODE TAG…`."""
    from engine.domain.commands import TagNode

    given = words if node_by_flag is None else (node_by_flag, *words)
    which, *tags = given or only(given, None)
    operator.done(operator.send(TagNode(node=reference(which), tags=listed(tags))), {})


@node.command("delete")
@_node
@click.option("--force", is_flag=True, help="Do not ask.")
@changing
def delete(operator: Operator, words: tuple[str, ...], node_by_flag: str | None, force: bool) -> None:
    """Remove a node and its connections, or a WireGuard-only peer."""
    from engine.domain.commands import DeleteNode, RemovePeer

    (which,) = only(words, node_by_flag)
    sure(f"Delete {which}?", force=force)
    target = reference(which)
    if isinstance(target, int) and target >= FIRST_PEER_ID:
        operator.done(operator.send(RemovePeer(peer=target)), {})
        return
    try:
        operator.done(operator.send(DeleteNode(node=target)), {})
    except Failure as failure:
        if failure.exit_code != Exit.NOT_FOUND or isinstance(target, int):
            raise
        _delete_peer_instead(operator, target, failure)


def _delete_peer_instead(operator: Operator, name: str, failure: Failure) -> None:
    """Remove the peer of that name; if there is none either, say what was said of the node."""
    from engine.domain.commands import RemovePeer

    try:
        operator.done(operator.send(RemovePeer(peer=name), suffix="-peer"), {})
    except Failure as second:
        raise (failure if second.exit_code == Exit.NOT_FOUND else second) from None


def sure(question: str, *, force: bool) -> None:
    """Ask a person, if there is one at the terminal."""
    if not force and sys.stdin.isatty():
        click.confirm(question, abort=True, err=True)
