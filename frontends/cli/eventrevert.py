"""`netmap events revert`: undo what a command did, by commands that are shown first and say because of what they come.

Rule 1: nothing is sent before it was shown what follows from it, and before somebody said yes: at a terminal, or with `--yes`.
Rule 2: what has been set otherwise since is only undone with `--force`; what would be refused ends it all before it begins.
Rule 3: each command is in the log with the cause: the id of the command that it undoes.
"""

import sys
from collections.abc import Mapping
from typing import Any, Final

import click

from frontends.cli import output, whatif
from frontends.cli.failure import Exit, Failure, Trouble, usage
from frontends.cli.operator import Operator
from frontends.cli.session import Session
from frontends.cli.text import ago, clean, note, warn

UNDO: Final = "revert of"


def revert(operator: Operator, position: int, *, force: bool, sure: bool, is_rehearsal: bool) -> None:
    """Undo the command that has a record at the position.

    Raises:
        Failure: nothing of it can be undone, or not without `--force` (exit 5); as `Operator.send`.
    """
    found = operator.ask("event", "undo", at=position)
    _tell(found, operator.now())
    steps = found.get("steps") or []
    if not steps:
        said = "; ".join(found.get("lasting") or ()) or "nothing of it is left"
        raise Failure(Exit.REFUSED, Trouble("revert.nothing", f"there is nothing to undo: {said}"))
    if found.get("obstacles") and not force:
        said = "; ".join(found["obstacles"])
        hint = "--force sets it back all the same"
        raise Failure(Exit.REFUSED, Trouble("revert.obstacle", said, hint=hint))
    supposed = whatif.ask(operator, steps)
    is_good = all(outcome["ok"] for outcome in supposed["outcomes"])
    if operator.form == "table":
        whatif.show(supposed)
    if is_rehearsal or not is_good:
        if operator.form != "table":
            output.emit(operator.form, {**found, "supposed": supposed})
        sys.exit(0 if is_good else int(Exit.REFUSED))
    _must_be_sure(sure=sure)
    done = operator.talk(lambda tailnet: _send(tailnet, operator, found, position))
    _done(operator, found, done)


def _tell(found: Mapping[str, Any], now: int) -> None:
    who = f"{clean(found.get('actor'))}, {ago(found.get('at'), now)}"
    for event in found.get("events") or ():
        note(f"was done: {clean(event)} ({who})")
    for lasting in found.get("lasting") or ():
        warn(f"stays: {lasting}")


def _must_be_sure(*, sure: bool) -> None:
    if sure:
        return
    if not sys.stdin.isatty():
        raise usage("nobody is there to be asked", hint="--yes does it, --dry-run only shows it")
    click.confirm("Do it?", abort=True, err=True)


async def _send(
    tailnet: Session, operator: Operator, found: Mapping[str, Any], position: int
) -> list[dict[str, Any]]:
    import msgspec

    from engine.domain.commands import BY_NAME

    base = operator.command_id or operator.world.fresh_id()
    tailnet.cause = str(found["commandId"])
    reason = operator.reason or f"{UNDO} {position}"
    done = []
    for number, step in enumerate(found["steps"], 1):
        command = msgspec.convert(step["body"], BY_NAME[step["command"]])
        accepted = await tailnet.send(command, command_id=f"{base}-{number}", reason=reason)
        done.append({"command": step["command"], **msgspec.to_builtins(accepted)})
    return done


def _done(operator: Operator, found: Mapping[str, Any], done: list[dict[str, Any]]) -> None:
    for row in done:
        for warning in row.get("warnings") or ():
            warn(str(warning))
    if operator.form != "table":
        output.emit(operator.form, {"reverted": found["commandId"], "commands": done})
        return
    facts = {"reverted": found["commandId"], "commands": len(done), "position": done[-1]["position"]}
    output.emit_facts(facts)
