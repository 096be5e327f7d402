"""`netmap netmap`: what a node is told, now or then, and what changed in between."""

from collections.abc import Callable, Mapping
from typing import Any

import click

from frontends.cli import differences, live, output
from frontends.cli.groups import Nouns
from frontends.cli.node import addresses, state
from frontends.cli.operator import Operator, reading
from frontends.cli.options import AT, Moment
from frontends.cli.output import Column
from frontends.cli.text import clean, note, pick, reference, short_key

netmap = Nouns(help="Netmaps: what a node is told, now or then.", aliases={"get": "show"})


def _node(what: str, *, required: bool = False) -> Callable[..., Any]:
    return click.option(
        "-n",
        "--node",
        "--node-id",
        "node",
        required=required,
        metavar="NODE",
        shell_complete=live.nodes,
        help=what,
    )


@netmap.command("show")
@_node("Whose netmap: id or name.", required=True)
@AT
@reading
def show(operator: Operator, node: str, at: Moment) -> None:
    """Show a node's netmap."""
    who = reference(node)
    reply = operator.talk(lambda tailnet: tailnet.ask_all("netmap", "get", "peers", node=who, at=at))
    if operator.form != "table":
        output.emit(operator.form, reply)
        return
    me = reply.get("self", {})
    note(f"position {reply.get('position', '?')}: the netmap of {me.get('id')}({clean(me.get('name', ''))})")
    columns = (
        Column("ID", lambda row: row.get("id")),
        Column("NAME", lambda row: row.get("name")),
        Column("KIND", lambda row: row["kind"]),
        Column("ADDRESSES", addresses),
        Column("KEY", lambda row: short_key(pick(row, "nodeKey", "publicKey"))),
        Column("STATE", state),
        Column("AS", _masquerade),
    )
    operator.rows(_rows(reply), columns, empty=("no peers",))


@netmap.command("diff")
@_node("Whose netmap; the whole tailnet if absent.")
@click.option(
    "--from", "older", required=True, metavar="POSITION|TIME", help="As `show --at` has it: 120, -2h, …"
)
@click.option("--to", "newer", metavar="POSITION|TIME", help="Now if absent.")
@click.option(
    "--patch", is_flag=True, help="As a JSON patch (RFC 6902) of what `-o json` shows by kind and id."
)
@reading
def diff(operator: Operator, node: str | None, older: str, newer: str | None, patch: bool) -> None:
    """Show what of a node's netmap, or of the whole tailnet, is not as it was."""
    span: dict[str, Any] = {"from_": reference(older), "to": None if newer is None else reference(newer)}
    of = "tailnet" if node is None else "netmap"
    who = None if node is None else reference(node)
    reply = operator.talk(lambda tailnet: tailnet.ask_all(of, "diff", "changes", node=who, **span))
    if patch:
        output.emit(
            "json" if operator.form == "table" else operator.form, differences.patch(reply["changes"])
        )
        return
    if operator.form != "table":
        output.emit(operator.form, reply)
        return
    note(
        f"{'the tailnet' if node is None else 'node ' + str(reply['node'])}: from {_moment(reply['from'])} to {_moment(reply['to'])}"
    )
    operator.rows(reply["changes"], differences.columns(), empty=("nothing differs",))


@netmap.command("watch")
@_node("Whose netmap.", required=True)
@click.option(
    "--from", "older", metavar="POSITION|TIME", help="Begin with what changed since; from now on if absent."
)
@click.option("--until-idle", is_flag=True, hidden=True, help="End when there is nothing more.")
@reading
def watch(operator: Operator, node: str, older: str | None, until_idle: bool) -> None:
    """Write what changes in a node's netmap as it happens, until Ctrl-C."""
    from frontends.cli.watching import follow

    since = None if older is None else reference(older)
    operator.talk(
        lambda tailnet: follow(tailnet, reference(node), since, operator.form, endless=not until_idle)
    )


def _moment(end: Mapping[str, Any]) -> str:
    return f"{end['position']}" + ("" if end.get("isThere", True) else " (not there)")


def _rows(whole: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [
        *({**row, "kind": "node"} for row in whole.get("peers", ())),
        *({**row, "kind": "WireGuard-only"} for row in whole.get("wireguardOnlyPeers", ())),
    ]


def _masquerade(row: Mapping[str, Any]) -> list[str]:
    found = (row.get("ipv4MasqAddr"), row.get("ipv6MasqAddr"))
    return [str(address) for address in found if address]
