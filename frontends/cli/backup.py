"""`netmap backup` and `netmap restore`: the whole log in one file, and back.

Rule 1: both read and write the store themselves; the engine may run during a backup, and must not during a restore.
Rule 2: keys are kept only when asked for: who has them can be the server, and sign a log of their own.
Rule 3: a restore changes nothing before the backup was looked at wholly, and nothing in a store that has records.
"""

import os
import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from frontends.cli import output, setup, text
from frontends.cli.failure import Exit, Failure, Trouble, usage
from frontends.cli.operator import Operator, changing, reading
from frontends.cli.place import DEFAULT_DIRECTORY
from frontends.cli.proof import CHECKPOINTS, known, opened_rows, progress_of

if TYPE_CHECKING:
    from engine.adapters.store.archive import Backup, Manifest, Until
    from engine.adapters.store.restore import Restored
    from engine.domain.values import Position

ACTOR: Final = "operator"
KEYS: Final = "keys"
MAX_REASON: Final = 1_024
"""Characters, as for every other command (`engine/contracts/requests.py`)."""
_AGE: Final = re.compile(r"-((?:\d{1,9}[smhdw])+)", re.ASCII)
_POSITION: Final = re.compile(r"\d{1,18}", re.ASCII)
_AT: Final = click.option(
    "--at", metavar="POSITION|TIME", help="Up to a position, an RFC 3339 time, or `-2h`.  [default: all]"
)
_STORE: Final = click.option(
    "--store", metavar="URL", help="sqlite:///PATH or postgresql://…  [default: in the directory]"
)


@click.command("backup")
@click.argument("target", metavar="FILE|DIR", type=click.Path())
@_AT
@click.option("--with-keys", is_flag=True, help="The private keys of the directory too.")
@_STORE
@click.option("--offline", is_flag=True, help="Do not ask the engine for a checkpoint.")
@reading
def backup(
    operator: Operator, *, target: str, at: str | None, with_keys: bool, store: str | None, offline: bool
) -> None:
    """Write the whole log to a file, while the engine runs; in a directory, under a name with the time."""
    from engine.adapters.store.backup import Extras, Source, write
    from engine.domain.values import Millis

    until = _until(operator, at)
    path = _path(operator, target)
    keys = _keys(operator) if with_keys else {}
    notes = tuple(note for note, *_ in known(operator, (), (), offline=offline))
    with opened_rows(operator, store) as rows, progress_of(operator, rows.end()) as progress, _faults():
        every = (row for page in rows.pages() for row in page)
        source = Source(operator.place.tailnet, every, until, Extras(notes, keys))
        manifest = write(path, source, Millis(operator.now()), progress)
    _say(operator, {"file": str(path), "octets": path.stat().st_size, **_facts(manifest)})
    if with_keys:
        text.warn(f"{path} holds private keys: who has it can be this server")
    else:
        text.note(f"the keys are not in it: keep {Path(operator.place.directory) / KEYS} too, or --with-keys")
    if not manifest.checkpoint:
        text.warn("no checkpoint was known: nothing but the file itself says what the log was")


@click.command("restore")
@click.argument("file", type=click.Path())
@_AT
@_STORE
@changing
def restore(operator: Operator, file: str, at: str | None, store: str | None) -> None:
    """Make a log again from a backup, in a store without records; it begins a new epoch."""
    from engine.adapters.store.archive import Backup
    from engine.adapters.store.codec import Codec
    from engine.domain.values import TailnetName

    if len(operator.reason) > MAX_REASON:
        raise usage(f"--reason has {len(operator.reason)} characters, at most {MAX_REASON} are kept")
    until = _until(operator, at)
    if not Path(file).is_file():
        raise usage(f"there is no file {file}", hint="netmap backup FILE")
    with _faults(file), Backup(Path(file)) as kept:
        manifest = kept.manifest
        tailnet = operator.place.tailnet
        if manifest.tailnet != tailnet:
            raise usage(f"{file} is of the tailnet {manifest.tailnet}, not {tailnet}", hint="--tailnet NAME")
        with progress_of(operator, manifest.position) as progress:
            kept.check(Codec(TailnetName(tailnet)), progress)
        folder = Path(operator.place.directory).expanduser().absolute()
        keys = kept.keys()
        _refuse_other_keys(folder, keys)
        if operator.strict and not keys and not (folder / KEYS).is_dir():
            raise Failure(Exit.REFUSED, Trouble("strict", f"neither {file} nor {folder} has keys"))
        done = _restored(operator, kept, until, store)
    facts = {"records": done.records, "position": done.position, "epoch": done.epoch}
    _say(operator, {**facts, "was": manifest.epoch, "keys": sorted(keys)})
    _tell_what_is_left(folder, keys)


def _restored(operator: Operator, kept: "Backup", until: "Until", store: str | None) -> "Restored":
    """Fill the store, and put keys and checkpoints into the directory before it commits."""
    from engine.adapters.clock import SystemClock
    from engine.adapters.ids import RandomIds
    from engine.adapters.store import restore as into
    from engine.adapters.store.opening import open_target
    from engine.contracts.checkpoint import read
    from engine.domain.values import CommandId, Epoch, Millis

    given = {"directory": operator.place.directory, "store": store, "tailnet": operator.place.tailnet}
    settings = setup.settings_of(given)
    folder = Path(settings.directory)
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    beginning = into.Beginning(
        epoch=Epoch(RandomIds(SystemClock()).token()),
        command_id=CommandId(operator.command_id or operator.world.fresh_id()),
        actor=ACTOR,
        at=Millis(operator.now()),
        reason=operator.reason,
    )

    def put(last: "Position") -> None:
        _put_keys(folder, kept.keys())
        _put_checkpoints(folder, [note for note in kept.notes() if read(note, ())[0].position <= last])

    with progress_of(operator, kept.manifest.position) as progress:
        return into.restore(
            kept, open_target(settings.store_url()), beginning, until=until, ready=put, progress=progress
        )


def _facts(manifest: "Manifest") -> dict[str, object]:
    return {
        "tailnet": manifest.tailnet,
        "records": manifest.records,
        "position": manifest.position,
        "at": manifest.at,
        "epoch": manifest.epoch,
        "root": manifest.root,
        "checkpoint": bool(manifest.checkpoint),
        "keys": list(manifest.keys),
    }


def _say(operator: Operator, facts: Mapping[str, object]) -> None:
    if operator.form == "table":
        told = output.timed(dict(facts))
        output.emit_facts(told if isinstance(told, dict) else {})
    else:
        output.emit(operator.form, dict(facts))


def _tell_what_is_left(folder: Path, keys: Mapping[str, bytes]) -> None:
    quoted = shlex.quote(str(folder))
    where = "" if folder == Path(DEFAULT_DIRECTORY).absolute() else f" --dir {quoted}"
    if not keys and not (folder / KEYS / "noise.key").exists():
        text.warn(
            f"the keys were not in the backup: without those of the old server in {folder / KEYS} clients meet a stranger"
        )
        text.next_step(f"cp -a OLD/keys {quoted}/", f"netmap serve{where}")
        return
    text.next_step(f"netmap serve{where}", f"netmap events verify{where}")


def _path(operator: Operator, target: str) -> Path:
    path = Path(target).expanduser()
    if path.is_dir():
        then = datetime.fromtimestamp(operator.now() / 1000, UTC)
        path /= f"netmap-{operator.place.tailnet}-{then:%Y%m%dT%H%M%SZ}.zip"
    if not path.parent.is_dir():
        raise usage(f"{path.parent} is no directory", hint=f"mkdir -p {path.parent}")
    if path.exists():
        raise usage(f"{path} is there already", hint="name another file, or a directory")
    return path


def _keys(operator: Operator) -> dict[str, bytes]:
    from engine.adapters.store.archive import KEY_NAMES

    folder = Path(operator.place.directory) / KEYS
    try:
        found = {name: (folder / name).read_bytes() for name in KEY_NAMES if (folder / name).is_file()}
    except OSError as error:
        raise usage(f"the keys in {folder} cannot be read: {error.strerror}") from None
    if not found:
        raise usage(f"there are no keys in {folder}", hint="--dir DIR, or leave --with-keys out")
    return found


def _refuse_other_keys(folder: Path, keys: Mapping[str, bytes]) -> None:
    for name, octets in keys.items():
        path = folder / KEYS / name
        if path.exists() and path.read_bytes() != octets:
            message = f"{path} is another key than the backup's"
            hint = "restore into another directory, or move this one's keys away"
            raise Failure(Exit.REFUSED, Trouble("restore.other_key", message, hint=hint))


def _put_keys(folder: Path, keys: Mapping[str, bytes]) -> None:
    if keys:
        (folder / KEYS).mkdir(mode=0o700, exist_ok=True)
    for name, octets in keys.items():
        path = folder / KEYS / name
        if not path.exists():
            _write(path, octets, 0o600)


def _put_checkpoints(folder: Path, notes: Sequence[str]) -> None:
    """Write the old checkpoints; those of another history are moved aside, they would not hold any more."""
    path = folder / CHECKPOINTS
    if path.exists():
        aside = next(
            name for number in range(1, 10_000) if not (name := folder / f"{CHECKPOINTS}.{number}").exists()
        )
        path.rename(aside)
        text.note(f"the checkpoints that were here are in {aside} now: they are of another history")
    if notes:
        _write(path, "".join(f"{note}\n" for note in notes).encode(), 0o644)


def _write(path: Path, octets: bytes, mode: int) -> None:
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
        file.write(octets)
        file.flush()
        os.fsync(file.fileno())


def _until(operator: Operator, at: str | None) -> "Until":
    """Return the moment that is meant, as `netmap show --at` has it.

    Raises:
        Failure: it is none (exit 2).
    """
    from engine.adapters.store.archive import Until
    from engine.domain.values import Millis, Position

    if at is None or at == "now":
        return Until()
    if _POSITION.fullmatch(at):
        return Until(position=Position(int(at)))
    age = _AGE.fullmatch(at)
    if age:
        return Until(at=Millis(max(0, operator.now() - text.seconds_of(age[1]) * 1000)))
    try:
        then = datetime.fromisoformat(at)
    except ValueError:
        then = None
    if then is None or then.tzinfo is None:
        raise usage(
            f"--at {at!r} is no moment", hint="a position, a time as 2026-11-23T12:00:00Z, or an age as -2h"
        )
    return Until(at=Millis(int(then.timestamp() * 1000)))


@contextmanager
def _faults(file: str = "") -> Iterator[None]:
    """Turn what goes wrong into sentences: the log or the backup is broken (exit 1), or the store refuses (exit 5)."""
    from engine.adapters.store.archive import BadBackupError, BrokenError
    from engine.ports import Fault

    try:
        yield
    except BrokenError as error:
        code, hint = (
            ("backup.broken", "take another backup") if file else ("log.broken", "netmap events verify")
        )
        message = f"{file or 'the log'} is not what it was: {error}"
        raise Failure(Exit.FAILED, Trouble(code, message, hint=hint)) from None
    except BadBackupError as error:
        raise Failure(Exit.FAILED, Trouble("backup.bad", str(error), hint="take another backup")) from None
    except Fault as error:
        raise Failure(Exit.REFUSED, Trouble("backup.refused", str(error))) from None
