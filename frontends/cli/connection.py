"""`netmap connection`: which node may use which WireGuard-only peer, under which addresses."""

import click

from frontends.cli import live
from frontends.cli.groups import Nouns
from frontends.cli.operator import Operator, reading
from frontends.cli.options import AT, Moment
from frontends.cli.output import Column, Row
from frontends.cli.text import ago, reference
from frontends.cli.told import told

_WG = "frontends.cli.wgonly"
connection = Nouns(
    help="Connections: which node may use which WireGuard-only peer.",
    lazy={
        "add": "frontends.cli.connectmany:add",
        "update": f"{_WG}:update",
        "remove": f"{_WG}:remove",
        "add-selector": f"{_WG}:add_selector",
        "remove-selector": f"{_WG}:remove_selector",
    },
    aliases={"ls": "list", "rm": "remove", "delete": "remove"},
)


@connection.command("list")
@click.option(
    "--node", "--node-id", "node", metavar="NODE", shell_complete=live.nodes, help="Only this node's."
)
@click.option(
    "--peer", "--wg-peer-id", "peer", metavar="PEER", shell_complete=live.peers, help="Only this peer's."
)
@AT
@reading
def list_(operator: Operator, node: str | None, peer: str | None, at: Moment) -> None:
    """List the connections."""
    now = operator.now()
    columns = (
        Column("NODE", lambda row: named(row, "node")),
        Column("PEER", lambda row: named(row, "peer")),
        Column("IPV4 MASQUERADE", lambda row: row.get("ipv4MasqAddr")),
        Column("IPV6 MASQUERADE", lambda row: row.get("ipv6MasqAddr")),
        Column("ALLOWED IPS", lambda row: row.get("allowedIps")),
        Column("FAR SIDE MAY", lambda row: "answer" if row.get("jailed", True) else "call"),
        Column("BECAUSE OF", lambda row: row.get("selector")),
        Column("TOLD", lambda row: told(row, now)),
        Column("CREATED", lambda row: ago(row.get("created"), now)),
    )
    wanted = {
        "node": None if node is None else reference(node),
        "peer": None if peer is None else reference(peer),
    }
    rows = operator.listed("connection", "connections", at=at, **wanted)
    empty = (
        "no connections",
        "netmap node add-wg-connection --node-id NODE --wg-peer-id PEER --ipv4-masq-addr A",
    )
    operator.rows(rows, columns, empty=empty)


def named(row: Row, noun: str) -> str:
    """Return `id(name)`, or the id alone."""
    name = row.get(f"{noun}Name")
    return f"{row.get(noun)}({name})" if name else str(row.get(noun))
