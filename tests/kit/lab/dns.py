"""A name server that notes who asked. Script: `dns.py ADDRESS PORT ANSWER`.

ANSWER is an IPv4 address that every name has, or `@FILE`: a file that is read for each question, on each line a name
and its addresses (`write_zone`); what is not in it does not exist. Other questions get no record (RFC 1035 §4). Each question is a line
`asked <source> <name>` on stdout. `ask` asks one question from a host: its script is `dns.py ask SERVER NAME`.
"""

import json
import re
import socket
import struct
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from tests.kit.lab.net import ROOT, Host
from tests.kit.procs import DeadlineError, wait_until

HEADER = struct.Struct("!6H")
RESPONSE = 0x8180  # QR, RD, RA
RECURSION = 0x0100  # RD
TYPE_A, TYPE_AAAA = 1, 28
COMPRESSED = 0xC0
TTL = 1  # seconds: a test that changes the answer does not wait for caches
NXDOMAIN = 3
SERVICE = "100.100.100.100"
"""Where every client answers names (tailscale net/tsaddr: TailscaleServiceIP)."""
ASK_SECONDS = 8.0

_ASKED = re.compile(r"^asked (\S+) (\S+)$", re.MULTILINE)


class NameServer:
    """A running name server on UDP.

    Args:
        host: where.
        address: what it listens on; the address of a tunnel works once its interface has it.
        answer: the IPv4 address that every name has, or `@FILE`.
    """

    def __init__(self, host: Host, address: str, answer: str, port: int = 53) -> None:
        self.address = address
        self.proc = host.spawn_module("tests.kit.lab.dns", address, str(port), answer, log=f"dns-{address}")
        self.proc.wait_line("^ready")

    def asked(self) -> list[tuple[str, str]]:
        """Source address and name of each question so far."""
        return _ASKED.findall(self.proc.text())

    def wait_asked(self, source: str, name: str, *, timeout: float = 5.0) -> None:
        """Wait until the source has asked for the name (no trailing dot).

        Raises:
            DeadlineError: it has not; lists who asked what.
        """
        try:
            wait_until(lambda: (source, name) in self.asked(), f"{source} asks for {name}", timeout=timeout)
        except DeadlineError as error:
            raise DeadlineError(f"{error}; asked: {self.asked()}") from None


class Found(NamedTuple):
    """What a server answered: its status (RFC 1035 §4.1.1, RCODE) and the IPv4 addresses."""

    status: int
    addresses: list[str]


def ask(host: Host, server: str, name: str) -> Found:
    """Ask a server from a host for the IPv4 addresses of a name, by UDP.

    Raises:
        LabError: no answer within ASK_SECONDS.
    """
    argv = ["env", "-C", str(ROOT), sys.executable, "-m", "tests.kit.lab.dns", "ask", server, name]
    return Found(*json.loads(host.run(argv).stdout))


def question(query: bytes) -> tuple[str, int, int]:
    """Name, type and end of the first question of a query."""
    labels: list[str] = []
    at = HEADER.size
    while query[at]:
        labels.append(query[at + 1 : at + 1 + query[at]].decode("ascii", "replace"))
        at += 1 + query[at]
    return ".".join(labels).lower(), int.from_bytes(query[at + 1 : at + 3], "big"), at + 5


def question_of(name: str) -> bytes:
    """A query for the IPv4 address of a name."""
    labels = b"".join(bytes([len(label)]) + label.encode() for label in name.split("."))
    return HEADER.pack(1, RECURSION, 1, 0, 0, 0) + labels + struct.pack("!BHH", 0, TYPE_A, 1)


def write_zone(path: Path, names: Mapping[str, Sequence[str]]) -> None:
    """Write what the names have from now on; one without addresses exists, another does not."""
    fresh = path.with_suffix(".new")
    fresh.write_text("".join(f"{name} {' '.join(addresses)}\n" for name, addresses in names.items()))
    fresh.replace(path)


def answer(query: bytes, given: str) -> bytes:
    """The response to a query; see the script's ANSWER."""
    name, kind, end = question(query)
    addresses: Sequence[str] | None = [given]
    if given.startswith("@"):
        lines = (line.split() for line in Path(given[1:]).read_text().splitlines())
        addresses = next((words[1:] for words in lines if words[0] == name), None)
    family = {TYPE_A: socket.AF_INET, TYPE_AAAA: socket.AF_INET6}.get(kind)
    mine = [a for a in addresses or () if family and (":" in a) == (family == socket.AF_INET6)]
    flags = RESPONSE if addresses is not None else RESPONSE | NXDOMAIN
    header = HEADER.pack(int.from_bytes(query[:2], "big"), flags, 1, len(mine), 0, 0)
    packed = [socket.inet_pton(family, a) for a in mine] if family else []
    records = (struct.pack("!HHHIH", 0xC00C, kind, 1, TTL, len(octets)) + octets for octets in packed)
    return header + query[HEADER.size : end] + b"".join(records)


def found_in(response: bytes) -> Found:
    """Read a response to a query of one question, whose records compress their names (RFC 1035 §4.1.4)."""
    _, flags, _, count, _, _ = HEADER.unpack_from(response)
    at = question(response)[2]
    addresses = []
    for _ in range(count):
        while response[at] and response[at] < COMPRESSED:
            at += 1 + response[at]
        at += 2 if response[at] else 1
        kind, _, _, size = struct.unpack_from("!HHIH", response, at)
        at += 10
        if kind == TYPE_A:
            addresses.append(socket.inet_ntoa(response[at : at + size]))
        at += size
    return Found(flags & 0xF, addresses)


def _asked(server: str, name: str) -> Found:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.settimeout(ASK_SECONDS)
        client.sendto(question_of(name), (server, 53))
        return found_in(client.recv(4096))


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def main() -> None:
    """Answer until killed, or ask once."""
    if sys.argv[1] == "ask":
        _say(json.dumps(_asked(*sys.argv[2:])))
        return
    address, port, result = sys.argv[1:]
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as server:
        server.bind((address, int(port)))
        _say("ready")
        while True:
            query, source = server.recvfrom(2048)
            _say(f"asked {source[0]} {question(query)[0]}")
            server.sendto(answer(query, result), source)


if __name__ == "__main__":
    main()
