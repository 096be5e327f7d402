"""`netmap policy`: who may reach what.

Rule 1: a text that is refused is told with its line and a caret; exit 5, also where a check or a test says no.
Rule 2: what a text would change is told before it is set, unless --quiet.
"""

import sys
from pathlib import Path
from typing import Final

import click

from frontends.cli import output, policytext
from frontends.cli.failure import Exit, Failure, Trouble, usage
from frontends.cli.groups import Nouns
from frontends.cli.operator import Operator, changing, reading
from frontends.cli.options import AT, Moment
from frontends.cli.output import Column
from frontends.cli.text import ago, clean, colours, note, warn

SHOWN: Final = 12
"""Digits of a digest that people are shown; `revert` takes 8 or more."""

policy = Nouns(
    help="The policy: who may reach what.",
    aliases={"show": "get", "ls": "log", "list": "log", "validate": "check"},
)
_file: Final = click.argument("file", metavar="FILE|-")
_quiet: Final = click.option("-q", "--quiet", is_flag=True, help="Do not say what it changes.")
_force: Final = click.option("--force", is_flag=True, help="Set it although its tests fail.")


@policy.command("get")
@AT
@click.option("-f", "--file", type=click.Path(path_type=Path), help="Write it to this file.")
@reading
def get(operator: Operator, at: Moment, file: Path | None) -> None:
    """Show the policy's text as it was written."""
    reply = operator.ask("policy", "get", at=at)
    found = reply.get("policy")
    text = "" if found is None else str(found["text"])
    if found is None:
        note("there is no policy: everybody may reach everybody")
    if file is not None:
        try:
            file.write_bytes(text.encode(errors="surrogatepass"))
        except OSError as error:
            raise Failure(Exit.FAILED, Trouble("file", f"{file}: {error.strerror}", "file")) from None
    elif operator.form != "table":
        output.emit(operator.form, reply)
    else:
        click.echo(text, nl=False)


@policy.command("set")
@click.argument("file", metavar="FILE|-", required=False)
@click.option("--none", "is_none", is_flag=True, help="Have no policy: everybody may reach everybody.")
@click.option("--expected", metavar="DIGEST", help="Only if this is the policy now.")
@_force
@_quiet
@changing
def set_(
    operator: Operator, file: str | None, *, is_none: bool, expected: str | None, force: bool, quiet: bool
) -> None:
    """Set the policy to a file's text, or to stdin's."""
    if (file is None) != is_none:
        raise usage("one of FILE, - and --none is needed")
    text = "" if file is None else policytext.read(file)
    if not text and not is_none:
        raise usage(f"{file} is empty", hint="netmap policy set --none ends the policy: all is open then")
    if not quiet:
        policytext.tell_changes(operator, text)
    policytext.put(operator, text, source=file or "", expected=expected, force=force)


@policy.command("check")
@_file
@reading
def check(operator: Operator, file: str) -> None:
    """Say what is wrong with a text, and which of its tests fail; nothing is set."""
    reply = operator.ask("policy", "check", policy=policytext.read(file))
    if operator.form != "table":
        output.emit(operator.form, reply)
    else:
        for warning in reply.get("warnings", ()):
            warn(warning)
        for fault in reply.get("faults", ()):
            policytext.say(policytext.fault_lines(fault, file))
        for row in reply.get("failures", ()):
            policytext.say([f"{clean(file)}:{row.get('line')}: {clean(row.get('text'))}"])
        if reply.get("ok"):
            policytext.say([f"ok: {_some(reply, 'rules', 'rule')}, {_some(reply, 'tests', 'test')}"])
    _exit(bool(reply.get("ok")))


@policy.command("test")
@click.argument("file", metavar="[FILE|-]", required=False)
@reading
def test(operator: Operator, file: str | None) -> None:
    """Run the tests of a text, or of the policy in force; nothing is set."""
    text = None if file is None else policytext.read(file)
    reply = operator.talk(lambda tailnet: tailnet.ask_all("policy", "test", "tests", policy=text))
    if operator.form != "table":
        output.emit(operator.form, reply)
        _exit(bool(reply.get("ok")))
        return
    for fault in reply.get("faults", ()):
        policytext.say(policytext.fault_lines(fault, file or "the policy"))
    columns = (
        Column("", lambda row: "holds" if row.get("ok") else "FAILS"),
        Column("LINE", lambda row: row.get("line")),
        Column("TEST", lambda row: f"{row.get('section')}[{row.get('index')}]"),
        Column("WANTS", lambda row: row.get("text")),
    )
    if reply.get("tests") or not reply.get("faults"):
        operator.rows(reply.get("tests", []), columns, empty=("the policy has no tests",))
    policytext.say([clean(text) for row in reply.get("tests", ()) for text in row.get("failures", ())])
    _exit(bool(reply.get("ok")))


@policy.command("preview")
@_file
@click.option("--limit", type=click.IntRange(1, 1_000), default=200, show_default=True, help="Rows at most.")
@reading
def preview(operator: Operator, file: str, limit: int) -> None:
    """Show who would gain and who would lose access to what; nothing is set."""
    reply = operator.ask("policy", "preview", policy=policytext.read(file), limit=limit)
    if operator.form != "table":
        output.emit(operator.form, reply)
        _exit(bool(reply.get("ok")))
        return
    for fault in reply.get("faults", ()):
        policytext.say(policytext.fault_lines(fault, file))
    if reply.get("ok"):
        note(policytext.summary(reply))
        if reply.get("rows"):
            policytext.say([policytext.preview_tables(reply)])
        if reply.get("more"):
            note(f"and {reply['more']} more rows: --limit")
    _exit(bool(reply.get("ok")))


@policy.command("log")
@reading
def log(operator: Operator) -> None:
    """List every policy that there was, the latest first."""
    now = operator.now()
    columns = (
        Column("POSITION", lambda row: row.get("position")),
        Column("WHEN", lambda row: ago(row.get("at"), now)),
        Column("ACTOR", lambda row: row.get("actor")),
        Column("RULES", lambda row: row.get("rules")),
        Column("SIZE", lambda row: row.get("size")),
        Column("DIGEST", lambda row: str(row.get("digest") or "none")[:SHOWN]),
        Column("REASON", lambda row: row.get("reason")),
    )
    reply = operator.talk(lambda tailnet: tailnet.ask_all("policy", "log", "versions"))
    rows = list(reversed(reply.get("versions", [])))
    operator.rows(rows, columns, empty=("there was never a policy", "netmap policy set FILE"))


@policy.command("diff")
@click.argument("older", metavar="[A]", required=False)
@click.argument("newer", metavar="[B]", required=False)
@click.option("-f", "--file", metavar="FILE|-", help="Compare with this text instead of B.")
@reading
def diff(operator: Operator, older: str | None, newer: str | None, file: str | None) -> None:
    """Compare policies by position or digest: the last two, A with the present one, or A with B."""
    if file is not None and newer is not None:
        raise usage("either B or --file")
    text = None if file is None else policytext.read(file)
    reply = operator.ask("policy", "diff", from_=older, to=newer, policy=text)
    if operator.form != "table":
        output.emit(operator.form, reply)
        return
    lines = str(reply.get("diff", "")).splitlines()
    if not lines:
        note("they are the same")
    for line in lines:
        click.echo(_painted(clean(line.replace("\t", "    "))), color=colours())
    if reply.get("cut"):
        warn("the rest of the comparison is too long to be sent")


@policy.command("revert")
@click.argument("version", metavar="DIGEST|POSITION")
@_quiet
@changing
def revert(operator: Operator, version: str, quiet: bool) -> None:
    """Set a former policy again."""
    from engine.domain.commands import RevertPolicy

    found = operator.ask("policy", "get", id=version)["policy"]
    if not quiet:
        policytext.tell_changes(operator, found["text"])
    if not found["digest"]:
        policytext.put(operator, "", source="", expected=None, force=False)
        return
    try:
        accepted = operator.send(RevertPolicy(digest=found["digest"]))
    except Failure as failure:
        raise policytext.refused(failure, found["text"], found["digest"][:SHOWN]) from None
    operator.done(accepted, {})


@policy.command("edit")
@_force
@_quiet
@changing
def edit(operator: Operator, force: bool, quiet: bool) -> None:
    """Open the policy in $VISUAL or $EDITOR, and set what is saved.

    It is only set if nobody else set another one meanwhile. What is not set is kept in a file.
    """
    from frontends.cli.policyedit import Round

    Round(operator, force=force, quiet=quiet).run()


def _painted(line: str) -> str:
    if line.startswith(("+++", "---", "@@")):
        return click.style(line, bold=True)
    paint = {"+": "green", "-": "red"}.get(line[:1])
    return line if paint is None else click.style(line, fg=paint)


def _some(reply: output.Row, key: str, noun: str) -> str:
    count = int(reply.get(key, 0))
    return f"{count} {noun}{'' if count == 1 else 's'}"


def _exit(is_good: bool) -> None:
    """End with exit 5 if the answer is no: it has been said already."""
    if not is_good:
        sys.exit(int(Exit.REFUSED))
