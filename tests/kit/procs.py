"""Processes of a test: start, watch, stop, kill; and the one way to wait for a condition.

1. A process leads its own session; `kill` and `close` end the whole group, `signal` only the leader.
2. stdout and stderr go to one log file; `text` is what this start has written, not an earlier one.
3. Nothing waits for a guessed time: a condition is polled until a named deadline, and a process that died meanwhile
   ends the wait at once, with the end of its log.
"""

import contextlib
import os
import re
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

T = TypeVar("T")

POLL = 0.05
"""Seconds between two looks at a condition."""

TAIL = 3000
"""Characters of a log that go into an error message."""

_LISTEN = "0A"  # TCP_LISTEN in /proc/net/tcp (Linux include/net/tcp_states.h)


class DeadlineError(AssertionError):
    """The condition did not come true in time."""


class ProcessDiedError(AssertionError):
    """A process ended while something was awaited from it."""


def wait_until(
    condition: Callable[[], T | None], what: str, *, timeout: float = 10.0, every: float = POLL
) -> T:
    """Return the first true value of `condition`.

    Args:
        condition: looked at again and again; a false value means not yet. What it raises is not caught.
        what: the sentence for the error, "n1 is running".
        timeout: seconds.
        every: seconds between two looks.

    Raises:
        DeadlineError: no true value within `timeout`; names the last value seen.
    """
    deadline = time.monotonic() + timeout
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() >= deadline:
            raise DeadlineError(f"not within {timeout:g} s: {what} (last seen: {value!r})")
        time.sleep(every)


def free_port() -> int:
    """A TCP port of 127.0.0.1 that nobody listens on at the moment of asking."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def listening_ports(pid: int) -> set[int]:
    """TCP ports with a listener in the network namespace of `pid` (proc_net(5)), whoever listens."""
    ports: set[int] = set()
    for table in ("tcp", "tcp6"):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            rows = [line.split() for line in Path(f"/proc/{pid}/net/{table}").read_text().splitlines()[1:]]
            ports |= {int(row[1].rsplit(":", 1)[1], 16) for row in rows if row[3] == _LISTEN}
    return ports


def environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """The environment of the test run without proxies, plus `extra`; the HTTP API takes a free port."""
    base = {"NETMAP_ADMIN_PORT": "0"}
    base |= {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
    return base | dict(extra or {})


class Proc:
    """A running command.

    Args:
        argv: the command.
        log: file that stdout and stderr are appended to; its folder is made.
        env: added to the environment of the test run.
        cwd: working directory.
        enter: command prefix that leads into a namespace (`Host.enter`); it must exec, so that the pid is the command's.
    """

    def __init__(
        self,
        argv: Sequence[str],
        log: Path,
        *,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        enter: Sequence[str] = (),
    ) -> None:
        self.argv = [*enter, *argv]
        self.name = Path(argv[0]).name
        self.log = log
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("ab") as sink:
            self._offset = sink.tell()
            self._popen = subprocess.Popen(
                self.argv,
                stdin=subprocess.DEVNULL,
                stdout=sink,
                stderr=subprocess.STDOUT,
                env=environment(env),
                cwd=cwd,
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        """Process id, also the id of its session and group."""
        return self._popen.pid

    @property
    def returncode(self) -> int | None:
        """Exit status as of subprocess (−9 = killed); None while it runs."""
        return self._popen.poll()

    @property
    def running(self) -> bool:
        return self.returncode is None

    def text(self) -> str:
        """What this start has written so far."""
        with self.log.open("rb") as log:
            log.seek(self._offset)
            return log.read().decode(errors="replace")

    def wait_line(self, pattern: str, *, timeout: float = 10.0) -> re.Match[str]:
        """Wait until the log matches the regular expression (multiline); return the first match.

        Raises:
            ProcessDiedError: it ended without writing that.
            DeadlineError: it runs but has not written that.
        """
        found = re.compile(pattern, re.MULTILINE)
        return self._wait(lambda: found.search(self.text()), f"{self.name} writes /{pattern}/", timeout)

    def wait_port(self, port: int, *, timeout: float = 10.0) -> None:
        """Wait until somebody listens on the TCP port in the network namespace of this process.

        Raises:
            ProcessDiedError: it ended before.
            DeadlineError: nobody listens.
        """
        self._wait(lambda: port in listening_ports(self.pid), f"{self.name} listens on {port}", timeout)

    def wait_exit(self, *, timeout: float = 10.0) -> int:
        """Wait until the process has ended by itself; return its exit status, its group is ended too."""
        wait_until(self._ended, f"{self.name} ends", timeout=timeout)
        return self._reap()

    def signal(self, number: int) -> None:
        """Send a signal to the process alone; nothing happens if it has ended."""
        self._popen.send_signal(number)

    def terminate(self, *, timeout: float = 10.0) -> int:
        """SIGTERM, then SIGKILL to what is left after `timeout` seconds; return the exit status (−9 = had to)."""
        self.signal(signal.SIGTERM)
        with contextlib.suppress(DeadlineError):
            wait_until(self._ended, f"{self.name} ends", timeout=timeout)
        return self._reap()

    def kill(self) -> int:
        """SIGKILL to the process and all it started in its group; return the exit status."""
        return self._reap()

    def close(self) -> None:
        """Terminate if it still runs."""
        if self._popen.returncode is None:
            self.terminate()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _wait(self, condition: Callable[[], T | None], what: str, timeout: float) -> T:
        def alive_and_so() -> T | None:
            died = not self.running  # looked at first: the last words of a dead process still count
            value = condition()
            if died and not value:
                raise ProcessDiedError(f"{what}: ended with {self.returncode}\n{self.text()[-TAIL:]}")
            return value

        try:
            return wait_until(alive_and_so, what, timeout=timeout)
        except DeadlineError as error:
            raise DeadlineError(f"{error}\n{self.text()[-TAIL:]}") from None

    def _ended(self) -> bool:
        if self._popen.returncode is not None:
            return True
        return os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOWAIT | os.WNOHANG) is not None

    def _reap(self) -> int:
        if self._popen.returncode is None:
            # Not yet waited for, so pid and group are still ours and cannot have been given to another process.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.pid, signal.SIGKILL)
        return self._popen.wait(timeout=10)
