"""`netmap netmap`: what a node is told, now or then, and what changed in between."""

from collections.abc import Mapping
from typing import Any

import click

from frontends.cli import live, output
from frontends.cli.groups import Nouns
from frontends.cli.node import addresses, state
from frontends.cli.operator import Operator, reading
from frontends.cli.options import AT, Moment
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
@click.option(
    "-n",
    "--node",
    "--node-id",
    "node",
    required=True,
    metavar="NODE",
    shell_complete=live.nodes,
    help="Whose netmap.",
)
@click.option(
    "--from", "older", required=True, metavar="POSITION|TIME", help="As `show --at` has it: 120, -2h, …"
)
@click.option("--to", "newer", metavar="POSITION|TIME", help="Now if absent.")
@click.option(
    "--patch", is_flag=True, help="As a JSON patch (RFC 6902) of what `-o json` shows by kind and id."
)
@reading
def diff(operator: Operator, node: str, older: str, newer: str | None, patch: bool) -> None:
    """Show what of a node's netmap is not as it was."""
    span = {"from_": reference(older), "to": None if newer is None else reference(newer)}
    who = reference(node)
    reply = operator.talk(lambda tailnet: tailnet.ask_all("netmap", "diff", "changes", node=who, **span))
    if patch:
        output.emit("json" if operator.form == "table" else operator.form, _patch(reply["changes"]))
        return
    if operator.form != "table":
        output.emit(operator.form, reply)
        return
    note(f"node {reply['node']}: from {_moment(reply['from'])} to {_moment(reply['to'])}")
    columns = (
        Column("", lambda row: {"added": "+", "removed": "-", "changed": "~"}.get(row["what"], "?")),
        Column("KIND", lambda row: row["kind"]),
        Column("ID", lambda row: row.get("id") or ""),
        Column("NAME", lambda row: row["name"]),
        Column("WHAT", _said),
    )
    operator.rows(reply["changes"], columns, empty=("nothing differs",))


def _moment(end: Mapping[str, Any]) -> str:
    return f"{end['position']}" + ("" if end["isThere"] else " (not there)")


def _said(row: Mapping[str, Any]) -> str:
    """Return the fields that changed, old → new; of what came or went its addresses."""
    if row["what"] != "changed":
        whole = row.get("after") or row.get("before") or {}
        return ", ".join(filter(None, (whole.get("ipv4"), whole.get("ipv6"))))
    if row["kind"] == "netmap":
        return "differs"
    old, new = row["before"], row["after"]
    return "; ".join(f"{name} {_short(old[name])} → {_short(new[name])}" for name in new)


def _short(value: object) -> str:
    if isinstance(value, list):
        return ", ".join(map(_short, value)) or "none"
    return short_key(value) if isinstance(value, str) else str(value)


def _patch(changes: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the operations of RFC 6902 on a document that holds peers by kind and id, as `/node/7`."""
    found: list[dict[str, Any]] = []
    for row in changes:
        path = f"/{row['kind']}/{row['id'] if row.get('id') else row['name']}"
        if row["what"] == "removed":
            found.append({"op": "remove", "path": path})
        elif row["what"] == "added":
            found.append({"op": "add", "path": path, "value": row["after"]})
        elif row["kind"] == "netmap":
            found.append({"op": "replace", "path": path, "value": row.get("after")})
        else:
            found += [
                {"op": "replace", "path": f"{path}/{name}", "value": value}
                for name, value in row["after"].items()
            ]
    return found


def _rows(whole: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [
        *({**row, "kind": "node"} for row in whole.get("peers", ())),
        *({**row, "kind": "WireGuard-only"} for row in whole.get("wireguardOnlyPeers", ())),
    ]


def _masquerade(row: Mapping[str, Any]) -> list[str]:
    found = (row.get("ipv4MasqAddr"), row.get("ipv6MasqAddr"))
    return [str(address) for address in found if address]
