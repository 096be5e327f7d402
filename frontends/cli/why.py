"""`netmap why` and `netmap wg doctor`: what keeps a node from a peer, what is wrong in all, and what mends it.

Rule 1: every finding is told with the records that made it so, and with the command that changes it.
Rule 2: `why` ends with 0 if the node can use the peer, as far as it is known here, and with 1 if not; `doctor` with 1 if
        anything blocks or is warned of.
"""

import sys
from collections.abc import Iterator
from typing import Any, Final

import click

from frontends.cli import live, output
from frontends.cli.operator import Operator, reading
from frontends.cli.options import AT, Moment
from frontends.cli.output import Row
from frontends.cli.text import ago, clean, colours, note, reference

_COLOURS: Final = {"blocks": "red", "warn": "yellow", "note": "cyan", "ok": "green"}
_INDENT: Final = " " * 8


@click.command("why")
@click.argument("node", metavar="NODE", shell_complete=live.nodes)
@click.argument("peer", metavar="PEER", shell_complete=live.peers)
@AT
@click.option(
    "--all/--wrong", "whole", default=True, help="Also what is as it must be, which is the default."
)
@reading
def why(operator: Operator, node: str, peer: str, at: Moment, whole: bool) -> None:
    """Say why a node sees a WireGuard-only peer or another node, or does not, and whether it can use it."""
    who, whom = reference(node), reference(peer)
    reply = operator.talk(
        lambda tailnet: tailnet.ask_all("wg", "why", "findings", node=who, peer=whom, at=at)
    )
    if operator.form != "table":
        output.emit(operator.form, reply)
    else:
        click.echo(click.style(_summary(reply), bold=True), color=colours())
        _tell(operator, [row for row in reply["findings"] if whole or row["verdict"] in ("blocks", "warn")])
    sys.exit(0 if reply.get("usable") else 1)


@click.command("doctor")
@AT
@reading
def doctor(operator: Operator, at: Moment) -> None:
    """Say what is wrong with WireGuard-only peers and their connections, and what mends it."""
    reply = operator.talk(lambda tailnet: tailnet.ask_all("wg", "doctor", "findings", at=at))
    if operator.form != "table":
        output.emit(operator.form, reply)
    else:
        _tell(operator, reply["findings"])
        for row in reply.get("more") or ():
            note(f"and {row['count']} more of {row['code']}")
        note(
            f"{reply.get('blocks', 0)} that block, {reply.get('warn', 0)} warnings, {reply.get('note', 0)} notes"
        )
    sys.exit(1 if reply.get("blocks") or reply.get("warn") else 0)


def _summary(reply: Row) -> str:
    node, peer = (f"{reply[name]['id']}({clean(reply[name]['name'])})" for name in ("node", "peer"))
    if not reply.get("seen"):
        return f"node {node} does not see {peer}"
    return f"node {node} sees {peer}" + ("" if reply.get("usable") else ", and cannot use it")


def _tell(operator: Operator, findings: list[dict[str, Any]]) -> None:
    now = operator.now()
    for finding in findings:
        verdict = str(finding.get("verdict"))
        head = click.style(f"{verdict:<8}", fg=_COLOURS.get(verdict))
        click.echo(head + clean(finding.get("text")), color=colours())
        for line in _details(finding, now):
            click.echo(_INDENT + clean(line), color=colours())


def _details(finding: Row, now: int) -> Iterator[str]:
    rule = finding.get("rule")
    if rule:
        yield f"{rule.get('place')}, line {rule.get('line')}: {rule.get('text')}"
    for cause in finding.get("causes") or ():
        reason = f": {cause['reason']}" if cause.get("reason") else ""
        kind = str(cause.get("type")).partition(".")[0]
        when = ago(cause.get("at"), now)
        yield f"position {cause.get('position')}, {when}: {kind} by {cause.get('actor')}{reason}"
    if finding.get("fix") and finding.get("verdict") != "ok":
        yield f"→ {finding['fix']}"
