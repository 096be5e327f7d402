"""`netmap node list-routes` and `approve-routes`: what nodes offer to route, and what of it they may."""

from collections.abc import Iterable, Iterator

import click

from frontends.cli import live
from frontends.cli.node import shown_user
from frontends.cli.operator import Operator, changing, reading
from frontends.cli.options import AT, Moment, only, subject
from frontends.cli.output import Column, Row
from frontends.cli.text import listed, reference

_node = subject("node", "-i", "--identifier", "--node", "--node-id", complete=live.nodes)


@click.command("list-routes")
@_node
@AT
@reading
def list_routes(operator: Operator, words: tuple[str, ...], node_by_flag: str | None, at: Moment) -> None:
    """List the routes of all nodes, or of one: offered, approved, and in use when both."""
    if words or node_by_flag:
        (which,) = only(words, node_by_flag)
        reply = operator.ask("node", "get", node=reference(which), at=at)
        nodes = [reply.get("node", reply)]
    else:
        nodes = operator.listed("node", "nodes", at=at)
    columns = (
        Column("NODE", lambda row: row.get("node")),
        Column("NAME", lambda row: row.get("name")),
        Column("USER", shown_user),
        Column("ROUTE", lambda row: row.get("route")),
        Column("OFFERED", lambda row: row.get("offered")),
        Column("APPROVED", lambda row: row.get("approved")),
        Column("SERVING", lambda row: row.get("serving")),
    )
    rows = list(_rows(nodes))
    operator.rows(
        rows, columns, empty=("no node offers a route", "tailscale set --advertise-routes 192.0.2.0/24")
    )


def _rows(nodes: Iterable[Row]) -> Iterator[Row]:
    for node in nodes:
        offered, approved = node.get("advertised") or [], node.get("approved") or []
        for route in sorted({*offered, *approved}):
            yield {
                "node": node.get("id"),
                "name": node.get("name"),
                "userName": node.get("userName", ""),
                "tags": node.get("tags") or [],
                "route": route,
                "offered": route in offered,
                "approved": route in approved,
                "serving": route in offered and route in approved,
            }


@click.command("approve-routes")
@_node
@click.option("-r", "--routes", multiple=True, metavar="PREFIX,…", help="These, and no others.")
@click.option("--all", "everything", is_flag=True, help="Those that it offers now too.")
@click.option("--none", "nothing", is_flag=True, help="None any more.")
@changing
def approve_routes(
    operator: Operator,
    *,
    words: tuple[str, ...],
    node_by_flag: str | None,
    routes: tuple[str, ...],
    everything: bool,
    nothing: bool,
) -> None:
    """Say what a node may route, in the place of all that it might before."""
    from engine.domain.commands import ApproveRoutes

    (which,) = only(words, node_by_flag)
    if bool(routes) + everything + nothing != 1:
        raise click.UsageError("one of --routes, --all and --none is needed")
    wanted = listed(routes)
    if everything:
        reply = operator.ask("node", "get", node=reference(which))
        node = reply.get("node", reply)
        wanted = tuple(sorted({*(node.get("advertised") or ()), *(node.get("approved") or ())}))
    accepted = operator.send(ApproveRoutes(node=reference(which), routes=wanted))
    operator.done(accepted, {}, f"netmap node list-routes {which}")
