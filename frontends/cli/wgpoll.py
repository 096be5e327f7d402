"""`netmap wg poll-script`: a script with which a far side asks for its peers by itself."""

import click

from frontends.cli import live
from frontends.cli.failure import usage
from frontends.cli.operator import Operator, reading
from frontends.cli.options import only, subject
from frontends.cli.peerfind import peer_of
from frontends.cli.text import next_step
from frontends.farside import polling


@click.command("poll-script")
@subject("peer", "-i", "--peer", "--wg-peer-id", complete=live.peers)
@click.option("--node", metavar="NODE", shell_complete=live.nodes, help="Only this node's connection.")
@click.option(
    "--format",
    "style",
    type=click.Choice(tuple(polling.SCRIPTS)),
    default="sh",
    show_default=True,
    help="For what.",
)
@click.option("--url", required=True, metavar="URL", help="Where the far side reaches the HTTP API.")
@click.option("--interface", default="wg0", show_default=True, help="The far side's.")
@reading
def poll_script(
    operator: Operator,
    words: tuple[str, ...],
    *,
    peer_by_flag: str | None,
    node: str | None,
    style: str,
    url: str,
    interface: str,
) -> None:
    """Write a script for the peer's own side, which asks for its nodes and keeps up with them; KEY stands for the key."""
    (which,) = only(words, peer_by_flag)
    if not polling.URL.fullmatch(url):
        raise usage(
            "--url is not http(s)://HOST[:PORT]",
            f"netmap wg poll-script {which} --url https://netmap.example",
        )
    if not polling.INTERFACE.fullmatch(interface):
        raise usage("--interface has letters, digits, '_', '.' and '-', at most 64")
    peer = operator.talk(lambda tailnet: peer_of(tailnet, which))
    click.echo(polling.SCRIPTS[style](url, str(peer["id"]), node, interface), nl=False)
    bound = f" --node {node}" if node else ""
    next_step(
        f"netmap apikey create --scope export --peer {peer['name']}{bound}   # and put it in the place of KEY"
    )
