"""`netmap netmap`: what a node is told, now or then."""

from collections.abc import Mapping
from typing import Any

import click

from frontends.cli import live, output
from frontends.cli.groups import Nouns
from frontends.cli.node import addresses, state
from frontends.cli.operator import Operator, reading
from frontends.cli.output import Column
from frontends.cli.text import clean, note, pick, reference, short_key

netmap = Nouns(help="Netmaps: what a node is told, now or then.", aliases={"get": "show"})


@netmap.command("show")
@click.option(
    "-n",
    "--node",
    "--node-id",
    "node",
    required=True,
    metavar="NODE",
    shell_complete=live.nodes,
    help="Whose netmap: id or name.",
)
@click.option(
    "--at", metavar="POSITION|TIME", help="Then: a position, an RFC 3339 time, or `-2h`; now if absent."
)
@reading
def show(operator: Operator, node: str, at: str | None) -> None:
    """Show a node's netmap."""
    then = None if at is None else reference(at)
    who = reference(node)
    reply = operator.talk(lambda tailnet: tailnet.ask_all("netmap", "get", "peers", node=who, at=then))
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


def _rows(whole: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [
        *({**row, "kind": "node"} for row in whole.get("peers", ())),
        *({**row, "kind": "WireGuard-only"} for row in whole.get("wireguardOnlyPeers", ())),
    ]


def _masquerade(row: Mapping[str, Any]) -> list[str]:
    found = (row.get("ipv4MasqAddr"), row.get("ipv6MasqAddr"))
    return [str(address) for address in found if address]
