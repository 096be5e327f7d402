"""`netmap whatif`: what would follow from a policy or from commands, now or then; nothing is done.

Rule 1: a file of commands is a list in JSON or YAML, or JSON lines: `{"command": "peer.register", "body": {…}}`, in their order;
        the past-tense names of durable commands are known too.
Rule 2: exit 5 if one of the commands would be refused; the others are told all the same.
"""

import json
import sys
from collections.abc import Mapping
from typing import Any, Final

import click

from frontends.cli import differences, live, output, policytext
from frontends.cli.failure import Exit, usage
from frontends.cli.files import read_bounded
from frontends.cli.operator import Operator, reading
from frontends.cli.options import AT, Moment
from frontends.cli.output import Column
from frontends.cli.text import clean, colours, note, reference, warn

MAX_OCTETS: Final = 400 * 1024
"""Of a file of commands: with what is around them they go into one question."""


@click.command("whatif")
@click.option("--policy", "policy_file", metavar="FILE|-", help="If this text were the policy.")
@click.option(
    "--commands", "commands_file", metavar="FILE|-", help="If these commands were given, in their order."
)
@click.option("-n", "--node", metavar="NODE", shell_complete=live.nodes, help="In this node's netmap alone.")
@AT
@reading
def whatif(
    operator: Operator, policy_file: str | None, commands_file: str | None, node: str | None, at: Moment
) -> None:
    """Say what would follow from a policy or from commands; nothing is done."""
    if policy_file is None and commands_file is None:
        raise usage("what if? --policy FILE or --commands FILE", hint="netmap whatif --policy new.hujson")
    wanted = [] if commands_file is None else _read(commands_file)
    if policy_file is not None:
        text = policytext.read(policy_file)
        wanted.insert(0, {"command": "policy.set", "body": {"text": text, "force": True}})
    tell(operator, ask(operator, wanted, node=node, at=at))


def ask(
    operator: Operator, wanted: list[dict[str, Any]], *, node: str | None = None, at: Moment = None
) -> dict[str, Any]:
    """Ask what would follow from commands (`{"command": …, "body": …}`)."""
    who = None if node is None else reference(node)
    return operator.talk(
        lambda tailnet: tailnet.ask_all("netmap", "suppose", "changes", commands=wanted, node=who, at=at)
    )


def tell(operator: Operator, reply: dict[str, Any]) -> None:
    """Show what would follow; exit 5 if something would be refused."""
    if operator.form != "table":
        output.emit(operator.form, reply)
    else:
        show(reply)
    if not all(outcome["ok"] for outcome in reply["outcomes"]):
        sys.exit(int(Exit.REFUSED))


def show(reply: Mapping[str, Any]) -> None:
    """Show what would follow, for people."""
    for outcome in reply["outcomes"]:
        _say(outcome)
    rows = [{**row["change"], "node": f"{row['node']}({clean(row['nodeName'])})"} for row in reply["changes"]]
    if rows:
        columns = (Column("NODE", lambda row: row["node"]), *differences.columns())
        click.echo(output.table(rows, columns))
    unseen = f"; {reply['unseen']} more nodes were not looked at: --node" if reply.get("unseen") else ""
    count = reply.get("nodes", 0)
    note(f"position {reply.get('position')}: {count} netmap{'' if count == 1 else 's'} would differ{unseen}")


def _say(outcome: Mapping[str, Any]) -> None:
    name = clean(outcome["name"])
    problem = outcome.get("problem")
    if problem:
        head = click.style("refused  ", fg="red")
        click.echo(f"{head}{name}: {clean(problem['message'])} ({clean(problem['code'])})", color=colours())
        if problem.get("hint"):
            click.echo(f"         → {clean(problem['hint'])}")
        return
    events = outcome.get("events") or ["nothing: it is so already"]
    for event in events:
        click.echo(f"{click.style('would be ', fg='green')}{name}: {clean(event)}", color=colours())
    for warning in outcome.get("warnings") or ():
        warn(warning)


def _read(source: str) -> list[dict[str, Any]]:
    """Return the commands of a file, or of stdin.

    Raises:
        Failure: it cannot be read (exit 1), or is no such list (exit 2).
    """
    data = read_bounded(source, MAX_OCTETS, hint="ask about its parts")
    found = _parsed(data, source)
    return [_command(entry, f"{source}, entry {number}") for number, entry in enumerate(found, 1)]


def _parsed(data: bytes, source: str) -> list[Any]:
    import yaml

    lines = data.splitlines()
    try:
        text = data.decode()
        if lines and all(line.lstrip()[:1] in (b"{", b"") for line in lines):
            return [json.loads(line) for line in text.splitlines() if line.strip()]
        found = yaml.safe_load(text)
    except (ValueError, yaml.YAMLError) as error:
        raise usage(f"{source} is neither JSON nor YAML: {str(error).splitlines()[0][:120]}") from None
    if not isinstance(found, list) or not found:
        raise usage(f"{source} is no list of commands", hint=_EXAMPLE)
    return found


_EXAMPLE: Final = '[{"command": "node.rename", "body": {"node": 7, "name": "laptop"}}]'


def _command(entry: object, where: str) -> dict[str, Any]:
    from engine.application.durable import ALIASES

    if not isinstance(entry, dict) or not isinstance(entry.get("command"), str):
        raise usage(f"{where}: 'command' is missing", hint=_EXAMPLE)
    strange = entry.keys() - {"command", "body"}
    if strange:
        raise usage(f"{where}: there is no field {min(map(str, strange))!r}", hint=_EXAMPLE)
    name = entry["command"]
    return {"command": ALIASES.get(name, name), "body": entry.get("body") or {}}
