"""`netmap wg export`: what a WireGuard-only peer's own side needs to know, and whether it knows it.

Rule 1: only public keys are written; a far side's private key is never asked for.
Rule 2: `--check` answers with its exit status too: 0 the file is right, 1 it is not.
Rule 3: only `--record` writes: it notes what was printed, or, with `--check`, that the far side's file is right.
"""

from pathlib import Path
from typing import Final

import click

from frontends.cli import live, output
from frontends.cli.failure import Exit, Failure, Trouble, usage
from frontends.cli.operator import Operator, changing
from frontends.cli.options import only, subject
from frontends.cli.output import Row
from frontends.cli.peerfind import peer_of
from frontends.cli.session import Session
from frontends.cli.text import clean, next_step, note, reference
from frontends.farside import qr, rendering
from frontends.farside.checking import Difference, differences, entries_in
from frontends.farside.remotes import CHECKSUM, Remote, Side, checksum, entries_of, remote_of, side_of

RECORDED_AT_ONCE: Final = 1_000
"""Nodes in one command: what `RecordExport` takes."""
_SIGNS: Final = {"added": "+", "removed": "-", "key": "~", "addresses": "~"}


@click.command("export")
@subject("peer", "-i", "--peer", "--wg-peer-id", complete=live.peers)
@click.option("--node", metavar="NODE", shell_complete=live.nodes, help="Only this node's connection.")
@click.option(
    "--format",
    "style",
    type=click.Choice(rendering.STYLES),
    default="wg-quick",
    show_default=True,
    help="What the far side reads; for opnsense and unifi, what to type; qr is of the wg-quick text.",
)
@click.option(
    "--interface", default="wg0", show_default=True, help="The far side's, for wg-set and routeros."
)
@click.option(
    "--svg", type=click.Path(dir_okay=False), metavar="FILE", help="Write the QR code there, as SVG."
)
@click.option(
    "--check",
    type=click.Path(exists=True, dir_okay=False, allow_dash=True),
    metavar="FILE",
    help="Tell how the far side's file differs, in any of the formats.",
)
@click.option(
    "--record",
    is_flag=True,
    help="Note that the far side was told this: from then on it is known when it must be told again.",
)
@changing
def export(
    operator: Operator,
    words: tuple[str, ...],
    *,
    peer_by_flag: str | None,
    node: str | None,
    style: str,
    interface: str,
    svg: str | None,
    check: str | None,
    record: bool,
) -> None:
    """Write what the peer's own side needs: every connected node with its key and addresses."""
    (which,) = only(words, peer_by_flag)
    if svg and style != rendering.QR:
        raise usage("--svg is for --format qr", f"netmap wg export {which} --format qr --svg {svg}")
    peer, remotes = operator.talk(lambda tailnet: _remotes(tailnet, which, node))
    if check is not None:
        _check(operator, which, remotes, check, alone=node is not None)
    elif operator.form != "table":
        output.emit(operator.form, [remote._asdict() for remote in remotes])
    elif not remotes:
        note(f"no node is connected to {which}")
    elif style == rendering.QR:
        _code(remotes, side_of(peer, interface), svg)
    else:
        click.echo(rendering.render(remotes, style, side_of(peer, interface)))
    if record:
        _record(operator, int(peer["id"]), remotes, "" if check is not None else style)


def _record(operator: Operator, peer: int, remotes: list[Remote], style: str) -> None:
    """Note that the far side was told of these nodes."""
    from engine.domain.commands import RecordExport
    from engine.domain.wgcommands import ToldConnection

    entries = [
        ToldConnection(
            node=remote.node,
            public_key=remote.publicKey,
            ipv4_masq_addr=next((text for text in remote.allowedIps if ":" not in text), ""),
            ipv6_masq_addr=next((text for text in remote.allowedIps if ":" in text), ""),
        )
        for remote in remotes
    ]
    for start in range(0, len(entries), RECORDED_AT_ONCE):
        command = RecordExport(
            peer=peer,
            connections=tuple(entries[start : start + RECORDED_AT_ONCE]),
            style=style,
            checksum=checksum(entries_of(remotes)),
        )
        said = operator.send(command, suffix=f"-{start}" if start else "").result
        note(
            f"noted: the far side was told of {said.get('recorded')} nodes; of {said.get('unchanged')} it was already"
        )


async def _remotes(tailnet: Session, which: str, node: str | None) -> tuple[Row, list[Remote]]:
    """Return the peer and its nodes, which are at least as new as the connections, whichever replica answers."""
    peer = await peer_of(tailnet, which)
    connections = await tailnet.ask_all("connection", "list", "connections", peer=int(peer["id"]))
    since = int(connections.get("position", 0))
    nodes = await tailnet.ask_all("node", "list", "nodes", min_position=since)
    by_id = {row["id"]: row for row in nodes["nodes"] if node is None or _is(row, node)}
    mine = [row for row in connections["connections"] if row.get("peer") == peer["id"]]
    remotes = [remote_of(row, by_id[row["node"]]) for row in mine if row.get("node") in by_id]
    if node is not None and not remotes:
        message = f"no node {node!r} is connected to {which}"
        hint = f"netmap connection list --peer {which}"
        raise Failure(Exit.NOT_FOUND, Trouble("connection.not_found", message, "node", hint))
    return peer, sorted(remotes, key=lambda remote: remote.node)


def _is(row: Row, node: str) -> bool:
    wanted = reference(node)
    return bool(row["id"] == wanted or row.get("name") == wanted)


def _code(remotes: list[Remote], side: Side, svg: str | None) -> None:
    text = rendering.render(remotes, "wg-quick", side)
    try:
        code = qr.svg(text) if svg else qr.terminal(text)
    except ValueError as error:
        hint = "one node at a time: --node NODE"
        raise Failure(Exit.FAILED, Trouble("qr.too_long", str(error), hint=hint)) from None
    if svg:
        Path(svg).write_text(code, encoding="utf-8")
        note(f"written to {svg}")
    else:
        click.echo(code)


def _check(operator: Operator, which: str, remotes: list[Remote], file: str, *, alone: bool) -> None:
    """Tell the differences, of one node alone if `alone`; end with exit 1 if there are any."""
    with click.open_file(file, encoding="utf-8", errors="replace") as opened:
        text = opened.read()
    found = [one for one in differences(remotes, entries_in(text)) if not alone or one.what != "removed"]
    if operator.form != "table":
        said = {"same": not found, "checksum": checksum(entries_of(remotes))}
        output.emit(operator.form, {**said, "differences": [one._asdict() for one in found]})
    else:
        _tell(found, file, checksum(entries_of(remotes)))
    if found:
        if operator.form == "table":
            next_step(f"netmap wg export {which}   # and give it to the far side")
        raise click.exceptions.Exit(int(Exit.FAILED))


def _tell(found: list[Difference], file: str, now: str) -> None:
    if not found:
        note(f"{clean(file)} is as it should be")
    for one in found:
        click.echo(f"{_SIGNS[one.what]} {_sentence(one)}")
    if found:
        click.echo(CHECKSUM + now)


def _sentence(one: Difference) -> str:
    who = f"node {one.node}: {one.name}"
    match one.what:
        case "added":
            return f"added      {who}, {one.publicKey}, {', '.join(one.now)}"
        case "removed":
            return f"removed    {one.publicKey}, {', '.join(one.file)}: no node has it"
        case "key":
            return f"key        {who}: {one.file[0]} is now {one.now[0]}"
        case _:
            return f"addresses  {who}, {one.publicKey}: {', '.join(one.file) or 'none'}, now {', '.join(one.now)}"
