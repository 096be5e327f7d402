"""A backup: a log in one file, from which it can be made again in any store; a ZIP archive that tells what is in it.

    records.jsonl   the rows as they are stored, in the order of their positions, one `Line` to a line
    checkpoints     the signed notes that were known of these records, as in the engine's own file
    keys/…          the key files, if they were asked for
    manifest.json   `Manifest`: what the log was

Rule 1: nothing of a file is believed before `check`; sizes are bounded before anything is read.
Rule 2: a command is there whole or not at all: a cut that would fall between its records falls before them.
"""

import io
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import IO, Annotated, Final, Literal, NamedTuple, Self

import msgspec
from eventsourcing.persistence import Notification

from engine.adapters.keyring import CHECKPOINT, NOISE, PEPPER
from engine.adapters.store.chain import Break, Walk
from engine.adapters.store.codec import Codec
from engine.contracts.checkpoint import Checkpoint, notes_in, read
from engine.domain.values import Epoch, Millis, Position

RECORDS: Final = "records.jsonl"
NOTES: Final = "checkpoints"
MANIFEST: Final = "manifest.json"
KEYS: Final = "keys/"
KEY_NAMES: Final = (NOISE, PEPPER, CHECKPOINT)
FORMAT: Final = "netmap-engine/backup/1"
MAX_LINE: Final = 16 << 20
"""Octets of one record that is read; commands are at most 512 KiB."""
MAX_MANIFEST: Final = 64 << 10
MAX_NOTES: Final = 256 << 20
"""Octets of all checkpoints: some 700,000, or 2,000 hours of commands without a pause."""
MAX_KEY: Final = 1 << 10
_UNREADABLE: Final = (
    OSError,
    EOFError,
    zipfile.BadZipFile,
    zlib.error,
    struct.error,
    NotImplementedError,
    RuntimeError,
)

STEP: Final = 1_000
"""Records between two reports of progress."""

Progress = Callable[[Position, int], None]
"""Is told the position that was reached, and how many records there were, every `STEP` records."""


class BadBackupError(ValueError):
    """A file is no backup, or not the one that was written; the text says why."""


class BrokenError(Exception):
    """The records do not follow one another, or are not those that were known."""

    def __init__(self, broken: Break) -> None:
        super().__init__(
            f"at position {broken.at}, {broken.why}; everything before {broken.after} is as it was"
        )
        self.broken: Final = broken


Number = Annotated[int, msgspec.Meta(ge=1, le=1 << 62)]
"""Both databases count in 63 bits, and a restored log goes on."""


class Line(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A row; `state` holds the stored octets as text."""

    position: Number
    stream: str
    version: Number
    topic: str
    state: str


class Manifest(msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """What the log was: so many records up to a position, the digest of the last, the root over all (both in hex).

    `made` is when the file was written, `at` the last record's time; `checkpoint` is the newest signed note that
    speaks of these records, empty if none was known.
    """

    format: Literal["netmap-engine/backup/1"]
    made: Millis
    tailnet: str
    epoch: Epoch
    records: int
    position: Position
    digest: str
    root: str
    at: Millis
    checkpoint: str = ""
    keys: tuple[str, ...] = ()


class Until(NamedTuple):
    """The last moment that is wanted: a position, a time, or both; None is the end."""

    position: Position | None = None
    at: Millis | None = None

    def holds(self, row: Notification, facts: "Facts") -> bool:
        """Return whether the row is at or before the moment."""
        return (self.position is None or row.id <= self.position) and (self.at is None or facts.at <= self.at)


class _Began(msgspec.Struct, frozen=True):
    epoch: Epoch


class Facts(msgspec.Struct, frozen=True):
    """What of a state is read here: when, by which command, and the data as they are."""

    at: Millis = Millis(0)
    cmd: str = ""
    data: msgspec.Raw = msgspec.Raw(b"{}")


_facts: Final = msgspec.json.Decoder(Facts).decode
_line: Final = msgspec.json.Decoder(Line).decode


def facts_of(row: Notification) -> Facts:
    """Return the facts of a row; nothing is known of one that is no record, the chain breaks there."""
    try:
        return _facts(row.state)
    except ValueError:
        return Facts()


def whole_commands(rows: Iterable[Notification], until: Until) -> Iterator[Notification]:
    """Yield the rows up to a moment, without a command of which only a part would be there (rule 2)."""
    command = ""
    held: list[Notification] = []
    for row in rows:
        facts = facts_of(row)
        if not until.holds(row, facts):
            if facts.cmd == command and command:
                held.clear()
            break
        if not command or facts.cmd != command:
            yield from held
            held.clear()
        command = facts.cmd
        held.append(row)
    yield from held


def report(walk: Walk, progress: Progress) -> None:
    """Tell of progress when it is time."""
    if walk.tree.size % STEP == 0:
        progress(walk.position, walk.tree.size)


class Tally:
    """What a manifest says of the records that went past."""

    def __init__(self, known: Iterable[Checkpoint]) -> None:
        self.walk: Final = Walk(known)
        self.epoch = Epoch("")
        self.at = Millis(0)

    def take(self, row: Notification) -> None:
        """Look at the next row.

        Raises:
            BrokenError: the chain breaks here.
        """
        broken = self.walk.take(row)
        if broken is not None:
            raise BrokenError(broken)
        facts = facts_of(row)
        self.at = facts.at
        if row.topic.startswith("LogStarted."):
            try:
                self.epoch = msgspec.json.decode(facts.data, type=_Began).epoch
            except ValueError:
                raise BrokenError(Break(self.walk.position, Position(row.id), "not a record")) from None

    def end(self, *, cut: bool = False) -> None:
        """Look at what is missing of what was known; of a log that was cut, only up to here.

        Raises:
            BrokenError: a known record is gone.
        """
        broken = self.walk.end()
        if broken is not None and not (cut and broken.at > self.walk.position):
            raise BrokenError(broken)

    def manifest(self, tailnet: str, made: Millis) -> Manifest:
        """Return what was seen, as a manifest without checkpoint and keys."""
        walk = self.walk
        return Manifest(
            format=FORMAT,
            made=made,
            tailnet=tailnet,
            epoch=self.epoch,
            records=walk.tree.size,
            position=walk.position,
            digest=walk.digest,
            root=walk.tree.root().hex(),
            at=self.at,
        )


class Backup:
    """A backup that was written earlier, perhaps by somebody else (rule 1).

    Raises:
        BadBackupError: the file is no backup.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            self._archive = zipfile.ZipFile(path)
        except (*_UNREADABLE, ValueError) as error:
            raise BadBackupError(f"{path} is no backup: {_why(error)}") from None
        try:
            self.manifest: Final = msgspec.json.decode(self._small(MANIFEST, MAX_MANIFEST), type=Manifest)
        except msgspec.MsgspecError as error:
            self._archive.close()
            raise BadBackupError(f"{path} is no backup that this version knows: {error}") from None
        except BadBackupError:
            self._archive.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._archive.close()

    def rows(self) -> Iterator[Notification]:
        """Yield the rows.

        Raises:
            BadBackupError: the file ends or cannot be read.
        """
        seen = 0
        try:
            with self._archive.open(RECORDS) as records:
                for line in _lines(records):
                    found = _line(line)
                    state = found.state.encode()
                    yield Notification(found.stream, found.version, found.topic, state, id=found.position)
                    seen = found.position
        except KeyError:
            raise BadBackupError("there are no records in it") from None
        except (*_UNREADABLE, ValueError) as error:
            raise BadBackupError(f"it cannot be read after the record at {seen}: {_why(error)}") from None

    def notes(self) -> tuple[str, ...]:
        """Return the checkpoints.

        Raises:
            BadBackupError: they cannot be read.
        """
        try:
            return tuple(notes_in(self._small(NOTES, MAX_NOTES).decode()))
        except UnicodeDecodeError:
            raise BadBackupError("its checkpoints cannot be read") from None

    def keys(self) -> dict[str, bytes]:
        """Return the key files by name.

        Raises:
            BadBackupError: there is another one than a keyring's.
        """
        unknown = set(self.manifest.keys) - set(KEY_NAMES)
        if unknown:
            raise BadBackupError(f"{min(unknown)!r} is no key of a keyring")
        return {name: self._small(KEYS + name, MAX_KEY) for name in self.manifest.keys}

    def check(self, codec: Codec | None = None, progress: Progress = lambda *_: None) -> None:
        """Look at every record, and at what the manifest and the checkpoints say of them.

        Args:
            codec: to see that this version of the engine knows each of them.
            progress: see `Progress`.

        Raises:
            BadBackupError: it is not what was written.
            BrokenError: it is not at some position.
            Fault: this version does not know a record, or it is another tailnet's.
        """
        try:
            tally = Tally([read(note, ())[0] for note in self.notes()])
        except ValueError as error:
            raise BadBackupError(f"its checkpoints cannot be read: {error}") from None
        for row in self.rows():
            tally.take(row)
            if codec is not None:
                codec.decode([row], None)
            report(tally.walk, progress)
        tally.end()
        self.keys()
        manifest = self.manifest
        seen = tally.manifest(manifest.tailnet, manifest.made)
        for name in ("records", "position", "digest", "root", "epoch", "at"):
            wanted, found = getattr(manifest, name), getattr(seen, name)
            if wanted != found:
                raise BadBackupError(f"its manifest says {name} {wanted}, and its records say {found}")

    def _small(self, name: str, limit: int) -> bytes:
        try:
            with self._archive.open(name) as member:
                octets = member.read(limit + 1)
        except KeyError:
            raise BadBackupError(f"there is no {name} in {self._path}") from None
        except _UNREADABLE as error:
            raise BadBackupError(f"{name} in {self._path} cannot be read: {_why(error)}") from None
        if len(octets) > limit:
            raise BadBackupError(f"{name} in {self._path} is larger than {limit} octets")
        return octets


def _lines(records: IO[bytes]) -> Iterator[bytes]:
    buffered = io.BufferedReader(records, 1 << 16)  # type: ignore[type-var]  # a ZipExtFile is a raw reader
    while line := buffered.readline(MAX_LINE + 1):
        if len(line) > MAX_LINE:
            raise BadBackupError(f"a record is larger than {MAX_LINE} octets")
        yield line


def _why(error: Exception) -> str:
    return str(error) or type(error).__name__
