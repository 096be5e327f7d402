"""Writing a backup while the engine runs.

Rule 1: nothing is decoded but the links and the beginnings of histories: a log of any version of the engine can be kept.
Rule 2: the log only grows, and nobody sees a position before an earlier one (L4): the records up to a position are one
        moment's, whoever appends meanwhile, and in however many transactions they are read.
Rule 3: what is written is read again, from the file, before anybody is told that it is there.
Rule 4: the file is for its owner only (0600), and appears under its name when it is whole.
"""

import os
import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final, NamedTuple

import msgspec
from eventsourcing.persistence import Notification

from engine.adapters.store.archive import (
    KEYS,
    MANIFEST,
    NOTES,
    RECORDS,
    Backup,
    BadBackupError,
    BrokenError,
    Line,
    Manifest,
    Progress,
    Tally,
    Until,
    report,
    whole_commands,
)
from engine.adapters.store.chain import Break
from engine.contracts.checkpoint import read
from engine.domain.values import Millis, Position
from engine.ports import Fault

EARLIEST: Final = (1980, 1, 1, 0, 0, 0)
"""The time of every entry: a ZIP archive knows none before, and the manifest knows the real one."""
_EVERYTHING: Final = Until()
_encode: Final = msgspec.json.Encoder().encode


class Extras(NamedTuple):
    """What is kept besides the records: signed notes, and key files by name."""

    notes: tuple[str, ...] = ()
    keys: Mapping[str, bytes] = {}


class Source(NamedTuple):
    """A log that is to be kept."""

    tailnet: str
    rows: Iterable[Notification]
    until: Until = _EVERYTHING
    extras: Extras = Extras()


def write(path: Path, source: Source, made: Millis, progress: Progress = lambda *_: None) -> Manifest:
    """Write a backup; return its manifest.

    Args:
        path: where; nothing may be there.
        source: what is kept; of its notes, those that speak of later records are left out.
        made: now.
        progress: see `Progress`.

    Raises:
        BrokenError: the log is not what it was (`netmap events verify`).
        Fault: the file cannot be written, or is not what was written into it; no record, or another tailnet's.
    """
    if path.exists():
        raise Fault(f"{path} is there already: name another file")
    aside = path.with_name(f".{path.name}.part")
    try:
        aside.unlink(missing_ok=True)
        with os.fdopen(os.open(aside, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600), "w+b") as file:
            with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
                manifest = _write(archive, source, made, progress)
            file.flush()
            os.fsync(file.fileno())
        with Backup(aside) as written:  # rule 3
            written.check()
        aside.replace(path)
        _sync(path.parent)
    except OSError as error:
        raise Fault(f"{path} cannot be written: {error.strerror}") from None
    except BadBackupError as error:
        raise Fault(f"{path} was written, and reads otherwise: {error}") from None
    finally:
        aside.unlink(missing_ok=True)
    return manifest


def _write(archive: zipfile.ZipFile, source: Source, made: Millis, progress: Progress) -> Manifest:
    checkpoints = {note: read(note, ())[0] for note in source.extras.notes}
    tally = Tally(checkpoints.values())
    with archive.open(_entry(RECORDS), "w", force_zip64=True) as records:
        for row in whole_commands(source.rows, source.until):
            if not str(row.originator_id).startswith(f"{source.tailnet}/"):
                raise Fault(
                    f"the record at {row.id} is not of the tailnet {source.tailnet}: name it with --tailnet"
                )
            tally.take(row)
            records.write(_octets(row))
            report(tally.walk, progress)
    if not tally.walk.tree.size:
        raise Fault("there is no record to keep, or none at or before that moment")
    tally.end(cut=source.until != _EVERYTHING)
    kept = [note for note, known in checkpoints.items() if known.position <= tally.walk.position]
    archive.writestr(_entry(NOTES), "".join(f"{note}\n" for note in kept))
    for name, octets in source.extras.keys.items():
        archive.writestr(_entry(KEYS + name), octets)
    manifest = msgspec.structs.replace(
        tally.manifest(source.tailnet, made),
        checkpoint=max(kept, key=lambda note: checkpoints[note].position, default=""),
        keys=tuple(source.extras.keys),
    )
    archive.writestr(_entry(MANIFEST), msgspec.json.format(_encode(manifest), indent=2) + b"\n")
    return manifest


def _entry(name: str) -> zipfile.ZipInfo:
    entry = zipfile.ZipInfo(name, EARLIEST)
    entry.compress_type = zipfile.ZIP_DEFLATED
    entry.external_attr = 0o600 << 16
    return entry


def _octets(row: Notification) -> bytes:
    try:
        state = bytes(row.state).decode()
    except UnicodeDecodeError:
        raise BrokenError(Break(Position(row.id - 1), Position(row.id), "not a record")) from None
    line = Line(
        position=row.id,
        stream=str(row.originator_id),
        version=row.originator_version,
        topic=row.topic,
        state=state,
    )
    return _encode(line) + b"\n"


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
