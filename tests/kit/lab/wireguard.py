"""The far side of a WireGuard-only peer: a real wireguard-go that forwards and masquerades."""

import base64
import ipaddress
from collections.abc import Iterable, Sequence
from pathlib import Path

from tests.kit.lab.capture import Capture
from tests.kit.lab.net import Host
from tests.kit.procs import wait_until

TUNNEL = ("10.64.0.1/24", "fc00:bbbb::1/64")
"""The addresses of the documentation's example."""

PORT = 51820


class WireGuardGo:
    """A running wireguard-go on a host.

    Args:
        host: where; its first address is what masqueraded traffic comes from.
        interface: several on one host need several names, ports and tunnels.
        addresses: its own addresses in the tunnel; their networks are masqueraded out of e0.
        port: UDP port.
    """

    def __init__(
        self, host: Host, interface: str = "wgr0", addresses: Sequence[str] = TUNNEL, port: int = PORT
    ) -> None:
        self.host = host
        self.interface = interface
        self.port = port
        self.key_file = host.folder / f"{interface}.key"
        self.public_key = self.new_key()
        self.proc = host.spawn(["wireguard-go", "-f", interface], interface, env={"LOG_LEVEL": "error"})
        wait_until(self._answers, f"{interface} answers", timeout=10)
        self._wg("set", interface, "private-key", str(self.key_file), "listen-port", str(port))
        for address in addresses:
            self._furnish(ipaddress.ip_interface(address))
        host.run(["ip", "link", "set", interface, "mtu", "1420", "up"])
        host.run(["sysctl", "-qw", "net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1"])

    @property
    def endpoints(self) -> list[str]:
        """Where clients reach it, "203.0.113.50:51820", all addresses of the host."""
        return [f"[{a}]:{self.port}" if ":" in a else f"{a}:{self.port}" for a in self.host.addresses]

    def new_key(self) -> str:
        """Make a private key and keep it in the folder of the host; return the public key, base64."""
        private = self.host.run(["wg", "genkey"]).stdout
        self.key_file.touch(mode=0o600)
        self.key_file.write_text(private)
        return self.host.run(["sh", "-c", 'wg pubkey <"$0"', str(self.key_file)]).stdout.strip()

    def rotate_key(self) -> str:
        """Change the key of the running interface; its sessions end. Return the new public key, base64."""
        self.public_key = self.new_key()
        self._wg("set", self.interface, "private-key", str(self.key_file))
        return self.public_key

    def set_peer(
        self, public_key: str, allowed_ips: Iterable[str], *, endpoint: str = "", keepalive: int = 0
    ) -> None:
        """Add a peer or replace its allowed IPs.

        Args:
            public_key: base64, as `wg` and our export write it.
            allowed_ips: prefixes, "10.64.0.2/32".
            endpoint: only for a far side that dials.
            keepalive: seconds, 0 = none.
        """
        dial = ["endpoint", endpoint] if endpoint else []
        prefixes = ",".join(allowed_ips)
        peer = ["peer", public_key, *dial, "persistent-keepalive", str(keepalive), "allowed-ips", prefixes]
        self._wg("set", self.interface, *peer)

    def dial(self, public_key: str, endpoint: str, *, keepalive: int) -> None:
        """Call a known peer there, and send something every so many seconds."""
        peer = ["peer", public_key, "endpoint", endpoint, "persistent-keepalive", str(keepalive)]
        self._wg("set", self.interface, *peer)

    def apply(self, config: Path) -> None:
        """Add the peers of a file in the form of `wg setconf`, as our export writes it; nothing is removed."""
        self._wg("addconf", self.interface, str(config))

    def sync(self, config: Path) -> None:
        """Make the peers those of a file; sessions of unchanged peers live on. The file must hold key and port."""
        self._wg("syncconf", self.interface, str(config))

    def remove_peer(self, public_key: str) -> None:
        """Forget a peer; unknown ones too."""
        self._wg("set", self.interface, "peer", public_key, "remove")

    def peers(self) -> dict[str, list[str]]:
        """Allowed IPs by public key."""
        rows = [line.split("\t") for line in self._wg("show", self.interface, "allowed-ips").splitlines()]
        return {key: [] if prefixes == "(none)" else prefixes.split() for key, prefixes in rows}

    def latest_handshakes(self) -> dict[str, int]:
        """Unix time of the last handshake by public key; 0 = never."""
        rows = [
            line.split("\t") for line in self._wg("show", self.interface, "latest-handshakes").splitlines()
        ]
        return {key: int(at) for key, at in rows}

    def peer_endpoints(self) -> dict[str, str]:
        """Where each peer was last heard from, "203.0.113.21:41641", by public key; "(none)" = never."""
        rows = [line.split("\t") for line in self._wg("show", self.interface, "endpoints").splitlines()]
        return dict(row for row in rows if len(row) == 2)

    def wait_handshake(self, public_key: str, *, after: int = 0, timeout: float = 15.0) -> int:
        """Wait for a handshake later than a Unix time; return its time.

        Raises:
            DeadlineError: none came.
        """
        what = f"a handshake with {public_key} on {self.interface}"
        return wait_until(lambda: self._newer(public_key, after), what, timeout=timeout)

    def tcpdump(self, expression: str = "", interface: str = "") -> Capture:
        """Record who sends through the tunnel, or through another interface of the host."""
        return Capture(self.host, interface or self.interface, expression)

    def add_address(self, address: str) -> None:
        """One more address of its own in the tunnel, the peer's tailnet address for instance; not masqueraded."""
        self.host.run(["ip", "address", "add", address, "dev", self.interface])

    def stop(self) -> None:
        """End it; the interface goes with it."""
        self.proc.terminate()

    def _newer(self, public_key: str, after: int) -> int:
        at = self.latest_handshakes().get(public_key, 0)
        return at if at > after else 0

    def _answers(self) -> bool:
        return self.host.run(["wg", "show", self.interface], check=False).returncode == 0

    def _furnish(self, address: ipaddress.IPv4Interface | ipaddress.IPv6Interface) -> None:
        nodad = ["nodad"] if address.version == 6 else []
        self.host.run(["ip", "address", "add", str(address), "dev", self.interface, *nodad])
        tables = "iptables" if address.version == 4 else "ip6tables"
        rule = ["-s", str(address.network), "-o", "e0", "-j", "MASQUERADE"]
        self.host.run([tables, "-w", "-t", "nat", "-A", "POSTROUTING", *rule])

    def _wg(self, *argv: str) -> str:
        return self.host.run(["wg", *argv]).stdout


def key_base64(wire_key: str) -> str:
    """The base64 form of a node key as clients print it, "nodekey:<64 hex>"."""
    return base64.b64encode(bytes.fromhex(wire_key.rpartition(":")[2])).decode()
