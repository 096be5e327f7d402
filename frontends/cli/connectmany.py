"""`netmap connection add`: one node and one WireGuard-only peer, or each of many with each of many.

Rule 1: one pair is one `connection.add`; more are `connection.add-many`, in chunks, each of which is all or nothing.
Rule 2: done again, nothing changes: pairs that are connected on the same terms are passed over. With --id each chunk has
        an id of its own, made of it.
Rule 3: the first chunk that is refused ends it; what was done before stays, and is told.
"""

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final, NamedTuple

import click

from frontends.cli import live, output
from frontends.cli.failure import Failure, usage
from frontends.cli.operator import Operator, changing
from frontends.cli.output import Row
from frontends.cli.session import Session
from frontends.cli.text import listed, next_step, note, reference, warn
from frontends.cli.usage import before_connecting
from frontends.cli.wgonly import MASQUERADE_V4, MASQUERADE_V6, PART, connect

if TYPE_CHECKING:
    from engine.domain.commands import AddConnections

CHUNK: Final = 1_000
"""Pairs of one command: half of what the engine takes, so that others need not wait long."""


class _Whom(NamedTuple):
    """Which nodes and peers were named, and how."""

    nodes: tuple[str, ...]
    every_node: bool
    tag: str | None
    peers: tuple[str, ...]
    peer_tag: str | None


@click.command("add")
@click.option(
    "--node",
    "--node-id",
    "nodes",
    multiple=True,
    metavar="NODE,…",
    shell_complete=live.nodes,
    help="The nodes: ids or names.",
)
@click.option("--all", "every_node", is_flag=True, help="Every node.")
@click.option("--tag", metavar="tag:…", help="Every node with this tag.")
@click.option(
    "--peer",
    "--wg-peer-id",
    "peers",
    multiple=True,
    metavar="PEER,…",
    shell_complete=live.peers,
    help="The WireGuard-only peers: ids or names.",
)
@click.option("--peer-tag", metavar="tag:…", help="Every WireGuard-only peer with this tag.")
@MASQUERADE_V4
@MASQUERADE_V6
@PART
@click.option(
    "--unjailed", is_flag=True, help="Let the far side call the nodes, as far as the policy names it."
)
@changing
def add(
    operator: Operator,
    *,
    nodes: tuple[str, ...],
    every_node: bool,
    tag: str | None,
    peers: tuple[str, ...],
    peer_tag: str | None,
    ipv4_masq_addr: str,
    ipv6_masq_addr: str,
    allowed_ips: tuple[str, ...],
    unjailed: bool,
) -> None:
    """Connect nodes to WireGuard-only peers; without a masquerade address the peers' pools give them."""
    from engine.domain.commands import AddConnection, AddConnections

    whom = _Whom(listed(nodes), every_node, tag, listed(peers), peer_tag)
    if not (whom.nodes or every_node or tag):
        raise usage("which nodes?", "--node NODE,…, --tag tag:…, or --all")
    if not (whom.peers or peer_tag):
        raise usage("which WireGuard-only peers?", "--peer PEER,…, or --peer-tag tag:…")
    terms = {
        "ipv4_masq_addr": ipv4_masq_addr,
        "ipv6_masq_addr": ipv6_masq_addr,
        "allowed_ips": listed(allowed_ips) or None,
        "jailed": not unjailed,
    }
    if len(whom.nodes) == len(whom.peers) == 1 and not (every_node or tag or peer_tag):
        (node,), (peer,) = whom.nodes, whom.peers
        command = AddConnection(node=reference(node), peer=reference(peer), **terms)  # type: ignore[arg-type]
        before_connecting(operator, node)
        connect(operator, command, node, peer, "what the far side needs")
        return

    def of(some: Sequence[int | str], others: Sequence[int | str]) -> AddConnections:
        return AddConnections(nodes=tuple(some), peers=tuple(others), **terms)  # type: ignore[arg-type]

    _show(operator, operator.talk(lambda tailnet: _carried_out(operator, tailnet, whom, of)))


async def _carried_out(
    operator: Operator, tailnet: Session, whom: _Whom, of: "Callable[..., AddConnections]"
) -> Row:
    nodes, peers = await _named(tailnet, whom)
    commands = [of(some, others) for some, others in chunks(nodes, peers)]
    base = operator.command_id or operator.world.fresh_id()
    counts = {"added": 0, "present": 0}
    position = 0
    with progress(operator.form, len(nodes) * len(peers), "connections") as step:
        for number, command in enumerate(commands, start=1):
            try:
                accepted = await tailnet.send(command, command_id=f"{base}-{number}", reason=operator.reason)
            except Failure:
                if counts["added"]:
                    note(f"{counts['added']} connections were added before; the same line goes on from there")
                raise
            for warning in accepted.warnings:
                warn(warning)
            counts = {name: total + int(str(accepted.result.get(name, 0))) for name, total in counts.items()}
            position = max(position, accepted.position)
            step(len(command.nodes) * len(command.peers))
    return {"nodes": len(nodes), "peers": len(peers), **counts, "position": position}


async def _named(tailnet: Session, whom: _Whom) -> tuple[list[int | str], list[int | str]]:
    """Return the nodes and the peers; of a tag, in the order of their ids."""
    nodes: list[int | str] = [reference(one) for one in whom.nodes]
    peers: list[int | str] = [reference(one) for one in whom.peers]
    if whom.every_node or whom.tag:
        rows = (await tailnet.ask_all("node", "list", "nodes"))["nodes"]
        nodes += [row["id"] for row in rows if whom.every_node or whom.tag in (row.get("tags") or ())]
    if whom.peer_tag:
        rows = (await tailnet.ask_all("peer", "list", "peers"))["peers"]
        peers += [
            row["id"] for row in rows if whom.peer_tag in ((row.get("extraConfig") or {}).get("tags") or ())
        ]
    if not nodes:
        raise usage("no node is meant by this", "netmap node list")
    if not peers:
        raise usage("no WireGuard-only peer is meant by this", "netmap wg list")
    return list(dict.fromkeys(nodes)), list(dict.fromkeys(peers))


def chunks(
    nodes: Sequence[int | str], peers: Sequence[int | str]
) -> Iterator[tuple[Sequence[int | str], Sequence[int | str]]]:
    """Yield parts of nodes and of peers that together are all pairs, at most `CHUNK` pairs at a time."""
    wide = nodes[:CHUNK]
    for start in range(0, len(nodes), CHUNK):
        some = nodes[start : start + CHUNK]
        high = max(1, CHUNK // len(wide))
        for first in range(0, len(peers), high):
            yield some, peers[first : first + high]


@contextmanager
def progress(form: str, total: int, what: str) -> Iterator[Callable[[int], None]]:
    """Give what is called with how many are done; a person who watches sees a bar."""
    if not total or form != "table" or not sys.stderr.isatty():
        yield lambda _done: None
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(what, total=total)
        yield lambda done: bar.advance(task, done)


def _show(operator: Operator, done: Row) -> None:
    if operator.form != "table":
        output.emit(operator.form, done)
        return
    if not done["added"]:
        note("nothing to do: it is so already")
    output.emit_facts(done)
    next_step("netmap connection list", "netmap wg export --peer PEER   # what a far side needs")
