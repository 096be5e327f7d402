"""Stores by URL: `memory:`, `memory:<name>`, `sqlite:///<absolute path>`, `postgresql://…`.

A path is taken as it stands: nothing in it is escaped.

Rule 1: opening here touches nothing yet: `EventStore.open` does, and a reader's first read.
Rule 2: a log in memory lives as long as somebody in this process has a store or a reader of it.
"""

from pathlib import Path
from typing import Final
from weakref import WeakValueDictionary

from engine.adapters.store.audit import Rows
from engine.adapters.store.codec import Codec
from engine.adapters.store.log import Log
from engine.adapters.store.memory import MemoryEventReader, MemoryEventStore, MemoryLog
from engine.adapters.store.recorded import RecordedReader, RecordedStore
from engine.adapters.store.restore import Fillable
from engine.adapters.store.sqlite import SqliteRecording
from engine.domain.values import TailnetName
from engine.ports import EventReader, EventStore, Fault

_in_memory: Final[WeakValueDictionary[tuple[str, str], MemoryLog]] = WeakValueDictionary()


def open_store(url: str, *, tailnet: str) -> EventStore:
    """Return the store of an engine; its `open` is still to be called.

    Raises:
        Fault: not a URL of a store.
    """
    codec = Codec(TailnetName(tailnet))
    if url.startswith("memory:"):
        return MemoryEventStore(_memory(url, tailnet), codec)
    return RecordedStore(Log(_recording(url, read_only=False), codec))


def open_reader(url: str, *, tailnet: str) -> EventReader:
    """Return a reader of a log, in this process or another; it never creates one.

    Raises:
        Fault: not a URL of a store.
    """
    codec = Codec(TailnetName(tailnet))
    if url.startswith("memory:"):
        return MemoryEventReader(_memory(url, tailnet), codec)
    return RecordedReader(Log(_recording(url, read_only=True), codec))


def open_rows(url: str) -> Rows:
    """Return the rows of a log as they are stored; it never creates one.

    Raises:
        Fault: not a URL of a store that other processes can read.
    """
    return Rows(_recording(url, read_only=True))


def open_target(url: str) -> Fillable:
    """Return where a log can be restored to; nothing is touched yet.

    Raises:
        Fault: not a URL of a store that outlives this process.
    """
    return _recording(url, read_only=False)


def _memory(url: str, tailnet: str) -> MemoryLog:
    log = _in_memory.get((url, tailnet))
    if log is None:
        log = _in_memory[url, tailnet] = MemoryLog()
    return log


def _recording(url: str, *, read_only: bool) -> Fillable:
    scheme, _, rest = url.partition("://")
    if scheme == "sqlite" and rest.startswith("/"):
        return SqliteRecording(Path("/", rest.lstrip("/")), read_only=read_only)
    if scheme in {"postgresql", "postgres"}:
        # Imported where it is needed: the driver takes 0.15 s to load.
        from engine.adapters.store.postgres import PostgresRecording  # noqa: PLC0415

        return PostgresRecording(url, read_only=read_only)
    raise Fault(
        f"not a store: {scheme or 'no'} URL; wanted memory:, sqlite:///absolute/path or postgresql://…"
    )
