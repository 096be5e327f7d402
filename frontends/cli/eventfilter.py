"""Which events a command is about: the options that `events list|tail|export` share.

Rule 1: things may be named as they are called now; the query has their ids, which hold for all times.
"""

import functools
from collections.abc import Callable, Mapping
from typing import Any, Final

import click

from frontends.cli import live
from frontends.cli.operator import Operator
from frontends.cli.text import listed

_OPTIONS: Final = (
    click.option(
        "--type",
        "types",
        multiple=True,
        metavar="NAME,…",
        help="Only these: `PeerRegistered.v1`, or without `.v1`.",
    ),
    click.option("--actor", metavar="NAME", help="Only what this actor did; `api-*`: whose name begins so."),
    click.option("--node", metavar="NODE", shell_complete=live.nodes, help="Only what concerns the node."),
    click.option("--peer", metavar="PEER", shell_complete=live.peers, help="Only what concerns the peer."),
    click.option("--user", metavar="USER", shell_complete=live.users, help="Only what concerns the user."),
    click.option("--command", metavar="ID", help="Only what this command did."),
    click.option("--cause", metavar="CAUSE", help="Only what happened because of this."),
    click.option("--grep", metavar="TEXT", help="Only events whose words or reason hold this."),
    click.option("--receipts", is_flag=True, help="The answers to commands too."),
)
_SPAN: Final = (
    click.option(
        "--since", metavar="MOMENT", help="After this position or time: 120, -2h, 2026-11-23T12:00:00Z."
    ),
    click.option("--until", metavar="MOMENT", help="Up to this position or time."),
)


def filtering(function: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options, as `wanted`: how the fields of a query follow from an `Operator`."""

    @functools.wraps(function)
    def wrapped(operator: Operator, /, **given: Any) -> None:
        names = ("types", "actor", "node", "peer", "user", "command", "cause", "grep", "receipts")
        mine = {name: given.pop(name) for name in names}
        function(operator, wanted=fields(operator, mine), **given)

    for option in reversed(_OPTIONS):
        wrapped = option(wrapped)
    return wrapped


def spanning(function: Callable[..., None]) -> Callable[..., None]:
    """Give a command `--since` and `--until`."""
    for option in reversed(_SPAN):
        function = option(function)
    return function


def fields(operator: Operator, given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of a query that the options mean.

    Raises:
        Failure: nothing is called so (exit 4).
    """
    return {
        "types": listed(given["types"]),
        "actor": given["actor"],
        "node": _id(operator, "node", given["node"]),
        "peer": _id(operator, "peer", given["peer"]),
        "user": _id(operator, "user", given["user"]),
        "id": given["command"],
        "cause": given["cause"],
        "text": given["grep"],
        "receipts": given["receipts"],
    }


def _id(operator: Operator, noun: str, name: str | None) -> int | None:
    """Return the id of a thing by its name of now; an id is taken as it is: what had it may be gone."""
    if name is None or (name.isascii() and name.isdigit()):
        return None if name is None else int(name)
    if noun == "node":
        return int(operator.ask("node", "get", node=name)["node"]["id"])
    rows = (
        operator.listed(noun, f"{noun}s", **{noun: name})
        if noun == "peer"
        else operator.listed(noun, f"{noun}s")
    )
    found = [row["id"] for row in rows if row["name"] == name]
    if not found:
        from frontends.cli.failure import Exit, Failure, Trouble

        raise Failure(
            Exit.NOT_FOUND,
            Trouble(f"{noun}.not_found", f"no {noun} is called {name!r} now", hint=f"netmap {noun} list"),
        )
    return int(found[0])
