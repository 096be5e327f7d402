"""`netmap node list`: the nodes, and the WireGuard-only peers with who is connected to them.

Rule 1: as a document it is one object, as Headscale's fork of the feature has it: `nodes`, `wireguard_only_peers`,
        `wireguard_connections`; the names inside the latter two are those of that fork, in snake case.
Rule 2: JSON lines are the nodes alone, one on each line.
Rule 3: with --user, the peers are this user's too, and the connections those of a node or peer that is listed.
"""

import json
from collections.abc import Iterable
from typing import Final

import click

from frontends.cli import live, output
from frontends.cli.node import addresses, shown_user, state
from frontends.cli.operator import Operator, reading
from frontends.cli.options import AT, Moment
from frontends.cli.output import Column, Row
from frontends.cli.session import Session
from frontends.cli.text import ago, colours, pick, reference, short_key

_EMPTY: Final = ("no nodes yet", "netmap preauthkey create --user USER")
_PEER_COLUMNS: Final = (
    Column("ID", lambda row: row.get("id")),
    Column("NAME", lambda row: row.get("name")),
    Column("USER", lambda row: pick(row, "userName", "user")),
    Column("PUBLIC KEY", lambda row: short_key(pick(row, "publicKeyBase64", "publicKey"))),
    Column("IPS", addresses),
    Column("ALLOWED IPS", lambda row: row.get("allowedIps")),
    Column("ENDPOINTS", lambda row: row.get("endpoints")),
    Column("CONNECTED NODES", lambda row: row.get("connectedNodes")),
    Column("EXTRA CONFIG", lambda row: row.get("extraConfig") or None),
)


@click.command("list")
@click.option("-u", "--user", metavar="USER", shell_complete=live.users, help="Only this user's.")
@AT
@reading
def list_(operator: Operator, user: str | None, at: Moment) -> None:
    """List the nodes, and the WireGuard-only peers."""
    wanted = None if user is None else reference(user)
    if operator.form in {"jsonl", "json-line"}:
        output.emit(operator.form, operator.listed("node", "nodes", user=wanted, at=at))
        return

    async def work(tailnet: Session) -> tuple[list[Row], list[Row], list[Row]]:
        nodes = await tailnet.ask_all("node", "list", "nodes", user=wanted, at=at)
        then = None if at is None else nodes["position"]
        peers = await tailnet.ask_all("peer", "list", "peers", user=wanted, at=then)
        if operator.form == "table":
            return nodes["nodes"], peers["peers"], []
        pairs = await tailnet.ask_all("connection", "list", "connections", at=then)
        return nodes["nodes"], peers["peers"], pairs["connections"]

    nodes, peers, pairs = operator.talk(work)
    if operator.form != "table":
        output.emit(operator.form, _document(nodes, peers, pairs, is_whole=user is None))
        return
    operator.rows(nodes, _columns(operator.now()), empty=_EMPTY)
    if peers:
        click.echo("\nWireGuard-only peers")
        click.echo(output.table(peers, _PEER_COLUMNS), color=colours())


def _columns(now: int) -> tuple[Column, ...]:
    return (
        Column("ID", lambda row: row.get("id")),
        Column("NAME", lambda row: row.get("name")),
        Column("USER", shown_user),
        Column("ADDRESSES", addresses),
        Column("NODE KEY", lambda row: short_key(pick(row, "nodeKey"))),
        Column("STATE", state),
        Column("EXPIRES", lambda row: ago(row.get("expiry"), now, unset="never")),
    )


def _document(nodes: list[Row], peers: list[Row], pairs: Iterable[Row], *, is_whole: bool) -> Row:
    listed_nodes, listed_peers = ({row.get("id") for row in rows} for rows in (nodes, peers))
    mine = [
        row for row in pairs if is_whole or row.get("node") in listed_nodes or row.get("peer") in listed_peers
    ]
    return {
        "nodes": [dict(row) for row in nodes],
        "wireguard_only_peers": [_peer(row) for row in peers],
        "wireguard_connections": [_connection(row) for row in mine],
    }


def _peer(row: Row) -> Row:
    """Return a peer as the fork has it: `extra_config` is JSON in a text."""
    return {
        "id": row.get("id"),
        "name": row.get("name"),
        "user_id": row.get("user"),
        "public_key": row.get("publicKey"),
        "public_key_base64": row.get("publicKeyBase64"),
        "allowed_ips": row.get("allowedIps") or [],
        "endpoints": row.get("endpoints") or [],
        "ipv4": row.get("ipv4"),
        "ipv6": row.get("ipv6"),
        "extra_config": json.dumps(row.get("extraConfig") or {}, ensure_ascii=False, separators=(",", ":")),
    }


def _connection(row: Row) -> Row:
    return {
        "node_id": row.get("node"),
        "wg_peer_id": row.get("peer"),
        "ipv4_masq_addr": row.get("ipv4MasqAddr") or "",
        "ipv6_masq_addr": row.get("ipv6MasqAddr") or "",
    }
