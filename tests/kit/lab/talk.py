"""A conversation over one TCP connection, a round every tenth of a second. Script: `talk.py listen PORT`, `talk.py ADDRESS PORT`.

The caller writes `round <n>` for each answer and ends with status 1 when none comes within RETRY_SECONDS.
"""

import re
import socket
import socketserver
import sys
import time

from tests.kit.lab.net import Host
from tests.kit.procs import wait_until

PORT = 7
PAUSE_SECONDS = 0.1
RETRY_SECONDS = 20.0
"""Long enough for TCP to repeat what a slow machine lost, far shorter than it takes to give up (tcp(7))."""

_ROUND = re.compile(r"^round (\d+)$", re.MULTILINE)


class Talk:
    """A running conversation between two hosts; it goes on until the lab ends or the connection breaks.

    Args:
        caller: who dials.
        address: where a host listens (`listen`).
    """

    def __init__(self, caller: Host, address: str) -> None:
        self.proc = caller.spawn_module("tests.kit.lab.talk", address, str(PORT), log="talk-caller")
        self.proc.wait_line("^round 1$")

    @property
    def rounds(self) -> int:
        """How many rounds there were."""
        return len(_ROUND.findall(self.proc.text()))

    def wait_more(self, number: int = 5) -> None:
        """Wait for so many more rounds.

        Raises:
            AssertionError: the connection broke.
            DeadlineError: nothing comes any more.
        """
        before = self.rounds

        def is_so() -> bool:
            if not self.proc.running:
                raise AssertionError(f"the conversation broke off:\n{self.proc.text()[-300:]}")
            return self.rounds >= before + number

        wait_until(is_so, f"{number} more rounds after {before}", timeout=RETRY_SECONDS + 10)


def listen(host: Host) -> None:
    """Let a host answer conversations."""
    host.spawn_module("tests.kit.lab.talk", "listen", str(PORT)).wait_port(PORT)


class _Echo(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        while line := self.rfile.readline():
            self.wfile.write(line)


class _Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def main() -> None:
    """Answer until killed, or ask until the connection breaks."""
    address, port = sys.argv[1], int(sys.argv[2])
    if address == "listen":
        _Server(("0.0.0.0", port), _Echo).serve_forever()
    with socket.create_connection((address, port), timeout=RETRY_SECONDS) as connection:
        answers = connection.makefile("rb")
        number = 0
        while True:
            number += 1
            connection.sendall(f"{number}\n".encode())
            if answers.readline() != f"{number}\n".encode():
                raise SystemExit(1)
            _say(f"round {number}")
            time.sleep(PAUSE_SECONDS)


if __name__ == "__main__":
    main()
