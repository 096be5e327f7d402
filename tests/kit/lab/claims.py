"""The claim of a run on its names: a prefix for namespaces, a folder, and the clean-up after runs that crashed.

1. A claim is a locked file; the kernel lifts the lock when its process dies, whatever way it dies.
2. A sweep removes only what stands under a claim whose lock is free: its namespaces, the processes in them, its folder.
"""

import contextlib
import fcntl
import itertools
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

from tests.kit.procs import wait_until

_serial = itertools.count()


def base() -> Path:
    """The folder of all claims of this user: short, because the path of a unix socket holds 107 bytes."""
    folder = Path(tempfile.gettempdir()) / f"netmap-lab-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    if folder.is_symlink() or folder.stat().st_uid != os.getuid():
        raise PermissionError(f"{folder} belongs to somebody else")
    return folder


class Claim:
    """A prefix for namespaces, unique on this machine, and a folder of the same name.

    Making one sweeps what crashed runs left behind.
    """

    def __init__(self) -> None:
        self.prefix = f"nm{os.getpid()}{_letter(next(_serial))}"
        self.folder = base() / self.prefix
        with _alone():
            sweep()
            self._lock = os.open(_lock_file(self.prefix), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self.folder.mkdir(mode=0o700)

    def release(self) -> None:
        """Remove namespaces, processes and folder; a second call does nothing."""
        if self._lock < 0:
            return
        with _alone():
            _remove(self.prefix)
            os.close(self._lock)
            self._lock = -1


def sweep() -> list[str]:
    """Remove what crashed runs left; return their prefixes. To be called with nobody else claiming."""
    return [prefix for prefix in _claimed() if _is_free(prefix) and _remove(prefix)]


def namespaces(prefix: str) -> list[str]:
    """Names of the network namespaces under a prefix."""
    return [name for name in _ip("netns", "list").split() if name.startswith(f"{prefix}-")]


def _claimed() -> list[str]:
    return [file.stem for file in base().glob("nm*.lock")]


def _is_free(prefix: str) -> bool:
    with contextlib.closing(_Descriptor(_lock_file(prefix))) as file:
        try:
            fcntl.flock(file.number, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True


def _remove(prefix: str) -> bool:
    for name in namespaces(prefix):
        wait_until(lambda name=name: _emptied(name), f"no process is left in {name}")  # type: ignore[misc]
        _ip("netns", "delete", name)
    shutil.rmtree(base() / prefix, ignore_errors=True)
    _lock_file(prefix).unlink(missing_ok=True)
    return True


def _emptied(namespace: str) -> bool:
    """Kill what is inside; everything inside a namespace of ours was started by us."""
    pids = [int(pid) for pid in _ip("netns", "pids", namespace).split()]
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    return not pids


def _letter(number: int) -> str:
    return chr(ord("a") + number % 26) * (number // 26 + 1)


def _lock_file(prefix: str) -> Path:
    return base() / f"{prefix}.lock"


@contextlib.contextmanager
def _alone() -> Iterator[None]:
    with contextlib.closing(_Descriptor(base() / "claims")) as file:
        fcntl.flock(file.number, fcntl.LOCK_EX)
        yield


class _Descriptor:
    def __init__(self, path: Path) -> None:
        self.number = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)

    def close(self) -> None:
        os.close(self.number)


def _ip(*argv: str) -> str:
    done = subprocess.run(["ip", *argv], capture_output=True, text=True, check=True, timeout=20)
    return done.stdout
