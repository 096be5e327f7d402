"""`netmap events verify|prove|check-proof|checkpoint|key`: that nobody has changed the log since.

Rule 1: `verify` and `prove` read the store themselves: they do not take the word of any process about it.
Rule 2: what was known of the log comes from the directory's checkpoints, from files that were kept elsewhere, and from the
        engine if it answers. Only what was kept elsewhere shows that somebody with all our keys has written the log anew.
"""

import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from frontends.cli import output, setup, text
from frontends.cli.failure import Exit, Failure, Trouble, usage
from frontends.cli.operator import Operator, reading

if TYPE_CHECKING:
    from engine.adapters.store.audit import Rows
    from engine.contracts.checkpoint import Checkpoint, Verifier

CHECKPOINTS: Final = "checkpoints"
"""The engine's file in the directory."""
_STORE: Final = click.option(
    "--store", metavar="URL", help="sqlite:///PATH or postgresql://…  [default: in the directory]"
)
_FILES: Final = click.option(
    "--checkpoints",
    "files",
    multiple=True,
    metavar="FILE",
    help="Checkpoints that were kept elsewhere, besides those of the directory.",
)
_KEYS: Final = click.option(
    "--key",
    "keys",
    multiple=True,
    metavar="KEY",
    help="As `netmap events key` prints it.  [default: the key in the directory]",
)
_OFFLINE: Final = click.option("--offline", is_flag=True, help="Do not ask the engine what the log is.")


@click.command("verify")
@_STORE
@_FILES
@_KEYS
@_OFFLINE
@reading
def verify(
    operator: Operator, store: str | None, files: tuple[str, ...], keys: tuple[str, ...], offline: bool
) -> None:
    """Look at every record of the log: is it as it was written? Ends with 1 at the first that is not."""
    from engine.adapters.store import audit

    notes = list(known(operator, files, keys, offline=offline))
    with opened_rows(operator, store) as rows, progress_of(operator, rows.end()) as progress:
        verdict = audit.verify(rows, [checkpoint for _, checkpoint, _ in notes], progress)
    facts = {
        "records": verdict.records,
        "position": verdict.position,
        "root": verdict.root.hex(),
        "checkpoints": len(notes),
        "signed": sum(signed for *_, signed in notes),
    }
    broken = verdict.broken
    if broken is not None:
        if operator.form != "table":
            where = {"after": broken.after, "position": broken.at, "why": broken.why}
            output.emit(operator.form, {"holds": False, **facts, "broken": where})
        message = f"the log is not what it was: at position {broken.at}, {broken.why}; it is right up to {broken.after}"
        hint = "Stop the engine, keep a copy of the store, and compare it with a backup."
        raise Failure(Exit.FAILED, Trouble("log.broken", message, hint=hint))
    if operator.form != "table":
        output.emit(operator.form, {"holds": True, **facts, "broken": None})
        return
    output.emit_facts({"holds": True, **facts})
    if not notes:
        text.warn("nothing was known of this log: that its end was cut off would not be seen")


@click.command("prove")
@click.argument("position", type=click.IntRange(1))
@_STORE
@click.option(
    "--checkpoint", "file", metavar="FILE", help="The last one in a file.  [default: the engine's, now]"
)
@reading
def prove(operator: Operator, position: int, store: str | None, file: str | None) -> None:
    """Write the proof that a record is in the log: `check-proof` needs nothing but it and the key."""
    import msgspec

    from engine.adapters.store import audit
    from engine.contracts.checkpoint import BadNoteError

    note = _last(_read(file), file) if file else str(operator.ask("log", "checkpoint")["note"])
    try:
        with opened_rows(operator, store) as rows, progress_of(operator, rows.end()) as progress:
            proof = audit.prove(rows, _position(position), note, progress)
    except BadNoteError as error:
        raise _bad(error) from None
    if proof is None:
        message = f"the checkpoint speaks of no record at position {position}"
        raise Failure(Exit.NOT_FOUND, Trouble("record.not_found", message, hint="netmap events list"))
    output.emit("json" if operator.form == "table" else operator.form, msgspec.to_builtins(proof))


@click.command("check-proof")
@click.argument("file", type=click.Path(allow_dash=True))
@_KEYS
@reading
def check_proof(operator: Operator, file: str, keys: tuple[str, ...]) -> None:
    """Check a proof that `prove` wrote; no server is asked."""
    import msgspec

    from engine.adapters.store import audit
    from engine.contracts.checkpoint import BadNoteError

    try:
        proof = msgspec.json.decode(_read(file), type=audit.Proof)
        checkpoint, signed = audit.checked(proof, _verifiers(operator, keys, [proof.checkpoint]))
    except msgspec.MsgspecError as error:
        raise usage(f"{file} is no proof: {error}", hint="netmap events prove POSITION > FILE") from None
    except BadNoteError as error:
        raise _bad(error) from None
    facts = {
        "proven": True,
        "position": proof.position,
        "event": proof.topic,
        "of": proof.stream,
        "log": checkpoint.origin,
        "records": checkpoint.size,
        "signed": signed,
    }
    _facts(operator, facts)
    if not signed:
        text.warn("nobody's signature was checked: give the log's key with --key")


@click.command("checkpoint")
@reading
def checkpoint(operator: Operator) -> None:
    """Write what the log is now, signed by the engine: keep it where nobody of here can write."""
    reply = operator.ask("log", "checkpoint")
    if operator.form == "table":
        click.echo(reply["note"], nl=False)
    else:
        output.emit(operator.form, reply)


@click.command("key")
@reading
def key(operator: Operator) -> None:
    """Write the public key that checks checkpoints and proofs."""
    reply = operator.ask("log", "checkpoint")
    if operator.form == "table":
        click.echo(reply["key"])
    else:
        output.emit(operator.form, {"key": reply["key"]})


def _facts(operator: Operator, facts: dict[str, object]) -> None:
    if operator.form == "table":
        output.emit_facts(facts)
    else:
        output.emit(operator.form, facts)


def known(
    operator: Operator, files: tuple[str, ...], keys: tuple[str, ...], *, offline: bool
) -> Iterator[tuple[str, "Checkpoint", bool]]:
    """Yield what is known of the log: the notes, what they say, and whether a known key signed them (rule 2).

    Raises:
        Failure: a file cannot be read (exit 2), or a note is forged (exit 1).
    """
    from engine.contracts.checkpoint import BadNoteError, notes_in, read

    own = Path(operator.place.directory) / CHECKPOINTS
    sources = {name: list(notes_in(_read(name))) for name in files}
    for name, notes in sources.items():
        if not notes:
            raise usage(f"{name} holds no checkpoint")
    if own.is_file():
        sources[str(own)] = list(notes_in(_read(str(own))))
    if not offline:
        try:
            sources["the engine"] = [operator.ask("log", "checkpoint")["note"]]
        except Failure as failure:
            text.warn(f"the engine was not asked: {failure.trouble.message}")
    verifiers = _verifiers(operator, keys, (note for notes in sources.values() for note in notes))
    for name, notes in sources.items():
        for note in notes:
            try:
                checkpoint, signed = read(note, verifiers)
            except BadNoteError as error:
                raise Failure(Exit.FAILED, Trouble("checkpoint.bad", f"{name}: {error}")) from None
            yield note, checkpoint, signed


def _verifiers(operator: Operator, keys: tuple[str, ...], notes: Iterable[str]) -> list["Verifier"]:
    """Return the keys that are trusted: those given, else the directory's, under the names of the notes' logs."""
    from engine.contracts.checkpoint import BadNoteError, Signer, Verifier

    try:
        if keys:
            return [Verifier.parse(text) for text in keys]
        file = Path(operator.place.directory) / "keys" / "checkpoint.key"
        if not file.is_file():
            return []
        private = bytes.fromhex(file.read_text())
        return [Signer(name, private).verifier for name in {note.partition("\n")[0] for note in notes}]
    except BadNoteError as error:
        raise usage(str(error)) from None
    except (OSError, ValueError):
        raise usage("the key in the directory cannot be read", hint="give it with --key") from None


def _last(content: str, file: str) -> str:
    from engine.contracts.checkpoint import notes_in

    notes = list(notes_in(content))
    if not notes:
        raise usage(f"{file} holds no checkpoint")
    return notes[-1]


def _read(file: str) -> str:
    try:
        return sys.stdin.read() if file == "-" else Path(file).read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise usage(f"{file} cannot be read: {type(error).__name__}") from None


def _bad(error: Exception) -> Failure:
    return Failure(Exit.FAILED, Trouble("proof.bad", str(error)))


def _position(number: int) -> Any:
    from engine.domain.values import Position

    return Position(number)


@contextmanager
def opened_rows(operator: Operator, store: str | None) -> Iterator["Rows"]:
    """Give the rows of the store.

    Raises:
        Failure: it cannot be read (exit 6).
    """
    from engine.adapters.store.opening import open_rows
    from engine.ports import Fault

    given = {"directory": operator.place.directory, "store": store, "tailnet": operator.place.tailnet}
    try:
        with open_rows(setup.settings_of(given).store_url()) as rows:
            yield rows
    except Fault as error:
        raise Failure(
            Exit.UNREACHABLE, Trouble("store.unreachable", str(error), hint="--store URL")
        ) from None


@contextmanager
def progress_of(operator: Operator, end: int) -> Iterator[Callable[[int, int], None]]:
    """Give what is called with a position and a count; a person who watches sees a bar with the rate."""
    if operator.form != "table" or not sys.stderr.isatty():
        yield lambda *_: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskProgressColumn, TimeRemainingColumn

    columns = (BarColumn(), TaskProgressColumn(show_speed=True), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("records", total=end)
        yield lambda position, _: bar.update(task, completed=position)
