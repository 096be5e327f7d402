"""tcpdump on an interface of a host, read as who sent."""

import ipaddress
import re

from tests.kit.lab.net import Host
from tests.kit.procs import wait_until

_PACKET = re.compile(r"^IP6? (\S+) > (\S+):\s", re.MULTILINE)


class Capture:
    """A running tcpdump; packets before its constructor has returned are not seen.

    Args:
        host: where.
        interface: "wgr0", "e0".
        expression: a filter of tcpdump (pcap-filter(7)).
    """

    def __init__(self, host: Host, interface: str, expression: str = "") -> None:
        # -Z root: a tcpdump that changes its user may not read the folder of the host.
        argv = [
            "tcpdump",
            "-Z",
            "root",
            "-n",
            "-t",
            "-q",
            "-l",
            "--immediate-mode",
            "-i",
            interface,
            expression,
        ]
        self.proc = host.spawn([word for word in argv if word], f"tcpdump-{interface}")
        self.proc.wait_line("^listening on")

    def packets(self) -> list[tuple[str, str]]:
        """Source and destination of each packet so far, without ports."""
        return [(_address(a), _address(b)) for a, b in _PACKET.findall(self.proc.text())]

    def sources(self) -> set[str]:
        """All source addresses so far."""
        return {source for source, _ in self.packets()}

    def wait_source(self, address: str, *, timeout: float = 5.0) -> None:
        """Wait for a packet from the address.

        Raises:
            DeadlineError: none came.
        """
        wait_until(lambda: address in self.sources(), f"a packet from {address}", timeout=timeout)

    def stop(self) -> set[str]:
        """End the capture; return all source addresses."""
        self.proc.terminate()
        return self.sources()


def _address(text: str) -> str:
    """An address of tcpdump's without the port that follows the last dot."""
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        return str(ipaddress.ip_address(text.rpartition(".")[0]))
