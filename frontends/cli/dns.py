"""`netmap dns`: the resolvers that every node asks instead of its own."""

import click

from frontends.cli import output
from frontends.cli.groups import noun
from frontends.cli.operator import Operator, changing, reading
from frontends.cli.options import AT, Moment
from frontends.cli.text import listed, pick

dns = noun("DNS: the resolvers that every node asks instead of its own.")


@dns.command("set")
@click.argument("resolvers", nargs=-1, metavar="ADDRESS…")
@changing
def set_(operator: Operator, resolvers: tuple[str, ...]) -> None:
    """Set the resolvers; none: each node asks its own."""
    from engine.domain.commands import SetResolvers

    operator.done(operator.send(SetResolvers(resolvers=listed(resolvers))), {})


@dns.command("get")
@AT
@reading
def get(operator: Operator, at: Moment) -> None:
    """Show the resolvers, and whether a WireGuard-only exit's go before them."""
    reply = operator.ask("settings", "get", at=at)
    found = pick(reply, "settings", default=reply)
    said = {"resolvers": found.get("resolvers") or [], "wireguardDns": found.get("wireguardDns", "keep")}
    if operator.form != "table":
        output.emit(operator.form, said)
    else:
        output.emit_facts({**said, "resolvers": said["resolvers"] or "each node's own"})
