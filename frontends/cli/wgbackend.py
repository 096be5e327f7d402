"""`netmap wg backend set`, `remove`, `list`, and `netmap wg switch`: a peer with several far sides, one at a time.

Rule 1: id, name, routes and connections are the peer's: whoever uses it uses the other far side after a switch.
"""

import click

from frontends.cli import live
from frontends.cli.groups import Nouns
from frontends.cli.operator import Operator, changing, reading
from frontends.cli.options import only, subject
from frontends.cli.output import Column
from frontends.cli.peerfind import peer_of
from frontends.cli.text import listed, pick, reference, short_key

backend = Nouns(
    help="Far sides that one WireGuard-only peer may be, by name.", aliases={"ls": "list", "rm": "remove"}
)
_peer = subject("peer", "-i", "--peer", "--wg-peer-id", complete=live.peers)


@backend.command("set")
@_peer
@click.option("--public-key", required=True, metavar="KEY", help="The far side's WireGuard key, in base64.")
@click.option(
    "--endpoints",
    required=True,
    multiple=True,
    metavar="ADDRESS:PORT,…",
    help="Where it is: addresses or host names; several ports are `51820+53`.",
)
@click.option(
    "--resolvers",
    multiple=True,
    metavar="ADDRESS,…",
    help="DNS servers to use while it is the exit; not given: those of the peer.",
)
@changing
def set_(
    operator: Operator,
    *,
    words: tuple[str, ...],
    peer_by_flag: str | None,
    public_key: str,
    endpoints: tuple[str, ...],
    resolvers: tuple[str, ...],
) -> None:
    """Give the peer a far side to switch to, or change one: `netmap wg backend set PEER NAME …`."""
    from engine.domain.commands import SetBackend

    which, name = only(words, peer_by_flag, "NAME")
    command = SetBackend(
        peer=reference(which),
        backend=name,
        public_key=public_key,
        endpoints=listed(endpoints),
        resolvers=listed(resolvers) or None,
    )
    following = f"netmap wg export --peer {which}   # what this far side needs too, before the switch"
    operator.done(operator.send(command), {}, following, f"netmap wg switch {which} {name}")


@backend.command("remove")
@_peer
@changing
def remove(operator: Operator, words: tuple[str, ...], peer_by_flag: str | None) -> None:
    """Take a far side that is not in use from the peer: `netmap wg backend remove PEER NAME`."""
    from engine.domain.commands import RemoveBackend

    which, name = only(words, peer_by_flag, "NAME")
    operator.done(operator.send(RemoveBackend(peer=reference(which), backend=name)), {})


@backend.command("list")
@_peer
@reading
def list_(operator: Operator, words: tuple[str, ...], peer_by_flag: str | None) -> None:
    """List the far sides that the peer may be."""
    (which,) = only(words, peer_by_flag)
    found = operator.talk(lambda tailnet: peer_of(tailnet, which))
    columns = (
        Column("NAME", lambda row: row.get("name")),
        Column("PRESENT", lambda row: "yes" if row.get("present") else ""),
        Column("PUBLIC KEY", lambda row: short_key(pick(row, "publicKeyBase64", "publicKey"))),
        Column("ENDPOINTS", lambda row: row.get("endpoints")),
        Column("RESOLVERS", lambda row: row.get("resolvers")),
    )
    empty = ("it has no backends", f"netmap wg backend set {which} NAME --public-key KEY --endpoints A:PORT")
    operator.rows(found.get("backends") or [], columns, empty=empty)


@click.command("switch")
@_peer
@changing
def switch(operator: Operator, words: tuple[str, ...], peer_by_flag: str | None) -> None:
    """Let the peer be another of its backends, in place: `netmap wg switch PEER BACKEND`."""
    from engine.domain.commands import SwitchPeer

    which, name = only(words, peer_by_flag, "BACKEND")
    operator.done(operator.send(SwitchPeer(peer=reference(which), backend=name)), {})
