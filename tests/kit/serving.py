"""`netmap serve` as a newcomer runs it, with one directory, and lines typed in another terminal."""

import contextlib
import json
import shlex
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path

from tests.kit.procs import Proc, environment, free_port

NETMAP = str(Path(sys.executable).parent / "netmap")
REGISTER = """netmap node register-wg-only --name "mullvad-exit" --user 1
    --public-key "xJsw8SNGxKwqPHgULHWY7Z2tPNBJPxKLbJ9FJxDfXr8=" --allowed-ips "0.0.0.0/0,::/0"
    --endpoints "1.2.3.4:51820" --extra-config '{"suggestExitNode": true}'"""


class Serving:
    """A directory and, at times, a server of it."""

    def __init__(self, folder: Path) -> None:
        self.directory = folder / "netmap"
        self.log = folder / "serve.log"
        self.listen = f"127.0.0.1:{free_port()}"
        self.proc: Proc | None = None

    def start(self, *more: str) -> str:
        """Start, wait for the greeting, return it."""
        argv = [
            NETMAP,
            "serve",
            "--dir",
            str(self.directory),
            "--listen",
            self.listen,
            "--nats-port",
            "0",
            *more,
        ]
        self.proc = Proc(argv, self.log)
        self.proc.wait_line("tailscale up --login-server", timeout=60)
        return self.proc.text()

    def close(self) -> None:
        """End the server, if there is one."""
        if self.proc is not None:
            self.proc.close()

    def interrupt(self) -> int:
        """Press Ctrl-C; return the exit status."""
        assert self.proc is not None
        self.proc.signal(signal.SIGINT)
        return self.proc.wait_exit(timeout=20)

    def frontends(self) -> dict[str, int]:
        """The frontends that answer now, with their processes; asked often enough to meet all."""
        found = {}
        for _ in range(60):
            with (
                contextlib.suppress(OSError),
                urllib.request.urlopen(f"http://{self.listen}/health") as answer,
            ):
                health = json.loads(answer.read())
                found[health["frontend"]] = health["process"]
        return found

    def types(self, line: str) -> "subprocess.CompletedProcess[str]":
        """Type a line in another terminal."""
        argv = [NETMAP, *shlex.split(line)[1:]]
        env = environment({"NETMAP_DIR": str(self.directory)})
        return subprocess.run(argv, env=env, capture_output=True, text=True, timeout=30, check=False)
