"""`netmap wg plan`, `apply` and `dump`: peers, connections and selectors, declared in files.

Rule 1: `plan` ends with 0 if there is nothing to do, 2 if there is, and 1 if it cannot say: as `terraform plan
        -detailed-exitcode`. Only here does a wrong command line or file end with 1, so that 2 has one meaning.
Rule 2: `apply` does what `plan` shows, one command after the other, and stops at the first that is refused. Done again, it goes
        on from there: it plans anew.
Rule 3: the id of each command follows from the files, from where the log was, and from its place in the plan: a plan that is
        carried out again at once, because an answer was lost, does nothing twice.
Rule 4: what `--prune` may remove is what carries the files' mark (`managedBy`); see `declared/planning.py`.
"""

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import click

from frontends.cli import output
from frontends.cli.failure import Exit, Failure, Trouble, usage
from frontends.cli.operator import Operator, changing, reading
from frontends.cli.session import Session
from frontends.cli.text import clean, next_step, note, warn

if TYPE_CHECKING:
    from frontends.cli.declared.present import Present
    from frontends.cli.declared.reading import Fault, Read
    from frontends.cli.declared.steps import Plan, Step
    from frontends.cli.declared.wanted import Wanted

CHANGES = 2
"""The exit status of a plan that has something to do (rule 1)."""
_SUFFIXES = {".yaml", ".yml", ".json"}
_TOLD = 10
"""Steps that are left and told by name."""


class _Detailed(click.Command):
    """A command whose wrong use ends with 1."""

    def make_context(self, *given: Any, **more: Any) -> click.Context:
        """Read the command line."""
        try:
            return super().make_context(*given, **more)
        except click.UsageError as error:
            error.exit_code = int(Exit.FAILED)  # type: ignore[misc]  # click reads it from the instance
            raise


def _files(function: Callable[..., None]) -> Callable[..., None]:
    options = (
        click.option(
            "-f",
            "--file",
            "files",
            multiple=True,
            metavar="FILE|DIR|-",
            type=click.Path(allow_dash=True),
            help="What is wanted; more than once: all of it together.",
        ),
        click.option(
            "--prune",
            is_flag=True,
            help="Remove what carries the files' mark (managedBy) and is not in them.",
        ),
    )
    for option in reversed(options):
        function = option(function)
    return function


@click.command("plan", cls=_Detailed)
@_files
@click.option("--schema", is_flag=True, help="Only write the JSON schema of a file.")
@reading
def plan(operator: Operator, files: tuple[str, ...], prune: bool, schema: bool) -> None:
    """Show what would be changed; ends with 0 if nothing, with 2 if something.

    Raises:
        Failure: the files cannot be read, or nobody answers (exit 1).
    """
    from frontends.cli.declared import fields, showing

    if schema:
        output.emit("json", fields.json_schema())
        return
    try:
        texts = read_files(files)
        wanted = _wanted(texts)
        planned, position = operator.talk(lambda tailnet: _planned(tailnet, wanted, prune=prune))
    except Failure as failure:
        raise Failure(Exit.FAILED, failure.trouble) from None
    if operator.form == "table":
        show(planned)
        if planned.steps:
            next_step(
                f"netmap wg apply {' '.join(f'-f {one}' for one in files)}{' --prune' if prune else ''}"
            )
    else:
        output.emit(operator.form, {**showing.document(planned), "position": position})
    if planned.steps:
        raise click.exceptions.Exit(CHANGES)


@click.command("apply")
@_files
@click.option("--yes", "-y", is_flag=True, help="Do not ask.")
@changing
def apply(operator: Operator, files: tuple[str, ...], prune: bool, yes: bool) -> None:
    """Make it as the files say; shows what will be changed, and asks."""
    texts = read_files(files)
    wanted = _wanted(texts)
    if not yes and ("-" in files or not sys.stdin.isatty()):
        raise usage("nobody can be asked here", "look with netmap wg plan, then: netmap wg apply --yes")

    planned, position = operator.talk(lambda tailnet: _planned(tailnet, wanted, prune=prune))
    if operator.form == "table":
        show(planned)
    if planned.steps and not yes:
        click.confirm("Do it?", abort=True, err=True)
    base = operator.command_id or base_of(texts, position)
    carried = Carried(operator, planned.steps, base)
    try:
        operator.talk(carried.out)
    finally:
        carried.tell()


def show(planned: "Plan") -> None:
    """Show a plan to people."""
    from frontends.cli.declared import showing

    for line in showing.lines(planned):
        click.echo(clean(line))
    if planned.left:
        note(f"left alone, --prune would remove: {clean(', '.join(planned.left))}")
    note(showing.summary(planned) if planned.steps else "nothing to do: it is so already")


class Carried:
    """The steps of a plan, as far as they are carried out."""

    def __init__(self, operator: Operator, steps: "Sequence[Step]", base: str) -> None:
        self._operator = operator
        self._steps = steps
        self._base = base
        self.done = 0

    async def out(self, tailnet: Session) -> None:
        """Carry out one step after the other.

        Raises:
            Failure: one is refused, or its outcome is not known.
        """
        position = 0
        for number, step in enumerate(self._steps, start=1):
            command_id = f"{self._base}-{number}"
            try:
                accepted = await tailnet.send(
                    step.command, command_id=command_id, reason=self._operator.reason
                )
            except Failure as failure:
                what = f"step {number} of {len(self._steps)}, {step.what} {step.kind} {step.name}: "
                trouble = failure.trouble._replace(message=what + failure.trouble.message)
                raise Failure(Exit(int(failure.exit_code)), trouble) from None
            self.done, position = number, accepted.position
            for warning in accepted.warnings:
                warn(f"{step.name}: {warning}")
            if self._operator.form == "table":
                note(f"[{number}/{len(self._steps)}] {clean(f'{step.what} {step.kind} {step.name}')}")
        if position:  # so that a plan that is asked for now knows of it
            await tailnet.ask("head", "get", min_position=position)

    def tell(self) -> None:
        """Tell what was done, and what is left."""
        from frontends.cli.declared import showing

        done, left = self._steps[: self.done], self._steps[self.done :]
        if self._operator.form != "table":
            output.emit(
                self._operator.form, {"done": showing.described(done), "left": showing.described(left)}
            )
        elif left:
            names = [f"{step.what} {step.kind} {step.name}" for step in left]
            more = f", and {len(left) - _TOLD} more" if len(left) > _TOLD else ""
            note(f"done: {len(done)}; left: {clean(', '.join(names[:_TOLD]))}{more}")
            note("the same line goes on from there")


@click.command("dump")
@click.option(
    "--managed-by", default=None, metavar="MARK", help="Only the peers with this mark, and what is theirs."
)
@reading
def dump(operator: Operator, managed_by: str | None) -> None:
    """Write what there is as a file that `plan` and `apply` read; planned at once, it changes nothing."""
    from frontends.cli.declared import present

    there, _ = operator.talk(_there)
    text = present.dump(there, managed_by)
    if operator.form == "table":
        click.echo(text, nl=False)
        return
    import yaml

    output.emit(operator.form, yaml.safe_load(text))


def base_of(texts: "Sequence[tuple[str, str]]", position: int) -> str:
    """Return what the commands' ids begin with (rule 3)."""
    import hashlib

    content = "\0".join(text for _, text in texts)
    return "plan-" + hashlib.sha256(f"{position}\0{content}".encode()).hexdigest()[:24]


def read_files(names: Sequence[str]) -> list[tuple[str, str]]:
    """Return the files' names and texts; of a folder, those that are YAML or JSON, in the order of their names.

    Raises:
        Failure: there is none, one cannot be read, or they are too long (exit 2).
    """
    from frontends.cli.declared.reading import MAX_OCTETS

    if not names:
        raise usage("which file?", "-f FILE, -f DIR, or -f - for what comes in")
    found: list[tuple[str, str]] = []
    for name in names:
        path = Path(name)
        if name != "-" and path.is_dir():
            inside = sorted(one for one in path.iterdir() if one.suffix in _SUFFIXES)
            if not inside:
                raise usage(f"{name} holds no .yaml, .yml or .json file")
            found += [(str(one), _text(str(one))) for one in inside]
        else:
            found.append((name, _text(name)))
    if sum(len(text) for _, text in found) > MAX_OCTETS:
        raise usage(f"the files have more than {MAX_OCTETS} octets together")
    return found


def _text(name: str) -> str:
    from frontends.cli.declared.reading import MAX_OCTETS

    try:
        with click.open_file(name, "rb") as opened:
            data: bytes = opened.read(MAX_OCTETS + 1)
        return data.decode()
    except OSError as error:
        trouble = Trouble("file.unreadable", f"{name}: {error.strerror}", "FILE")
        raise Failure(Exit.USAGE, trouble) from None
    except UnicodeDecodeError:
        raise Failure(Exit.USAGE, Trouble("file.unreadable", f"{name} is not UTF-8", "FILE")) from None


def _wanted(texts: Sequence[tuple[str, str]]) -> "Wanted":
    from frontends.cli.declared.reading import Fault, read
    from frontends.cli.declared.wanted import wanted

    try:
        files: list[dict[str, Read]] = [read(name, text) for name, text in texts]
        return wanted(files)
    except Fault as fault:
        _fail(fault)


async def _planned(tailnet: Session, wanted: "Wanted", *, prune: bool) -> "tuple[Plan, int]":
    from frontends.cli.declared.planning import plan as planned
    from frontends.cli.declared.reading import Fault

    if prune and not wanted.managed_by:
        message = "--prune removes what carries the files' mark, and they have none"
        raise usage(message, "managedBy: MARK at the top of a file")
    there, position = await _there(tailnet)
    try:
        return planned(wanted, there, prune=prune), position
    except Fault as fault:
        _fail(fault)


async def _there(tailnet: Session) -> "tuple[Present, int]":
    """Return what there is, and how far the log was."""
    from frontends.cli.declared.present import present

    peers = await tailnet.ask_all("peer", "list", "peers")
    position = int(peers.get("position", 0))
    rows = {
        key: await tailnet.ask_all(noun, "list", key, min_position=position)
        for noun, key in (("connection", "connections"), ("node", "nodes"), ("user", "users"))
    }
    there = present(
        rows["nodes"]["nodes"], peers["peers"], rows["connections"]["connections"], rows["users"]["users"]
    )
    return there, position


def _fail(fault: "Fault") -> NoReturn:
    trouble = Trouble(fault.code, f"{fault.at}: {fault.message}", fault.field, fault.hint)
    raise Failure(Exit.USAGE, trouble) from None
