"""A WireGuard-only peer of the product together with the wireguard-go that it is.

1. The far side is told of its nodes by the product's own export and by nothing else.
2. What a command warned of is returned, codes alone: "allowedips.one_default".
"""

import json
from collections.abc import Sequence
from typing import Any

from tests.kit.cluster import Cluster
from tests.kit.lab.clients import TailscaleClient
from tests.kit.lab.net import run
from tests.kit.lab.wireguard import WireGuardGo
from tests.kit.procs import DeadlineError, wait_until

EXITS = ("0.0.0.0/0", "::/0")
PATIENCE = 40.0
"""Seconds for a path that has to come about: a lost handshake follows after 5 s, and the machine does other things."""


class Relay:
    """A peer by its name, alice's; not registered yet.

    Args:
        tailnet: whose peer it is.
        name: of the peer.
        far: what its endpoint is; None for one that is only looked at in lists.
    """

    def __init__(self, tailnet: Cluster, name: str, far: WireGuardGo | None = None) -> None:
        self.tailnet = tailnet
        self.name = name
        self._far = far

    @property
    def far(self) -> WireGuardGo:
        """The far side."""
        if self._far is None:
            raise AssertionError(f"{self.name} has no far side")
        return self._far

    def register(
        self,
        allowed_ips: Sequence[str] = EXITS,
        *,
        endpoints: Sequence[str] = (),
        key: str = "",
        extra: dict[str, Any] | None = None,
    ) -> list[str]:
        """Register it, by default with the key and the endpoints of its far side; return the warnings."""
        where = endpoints or self.far.endpoints
        said = self.tailnet.ask(
            *("node", "register-wg-only", "--name", self.name, "--user", "alice"),
            *("--public-key", key or self.far.public_key),
            *("--allowed-ips", ",".join(allowed_ips), "--endpoints", ",".join(where)),
            *(("--extra-config", json.dumps(extra)) if extra else ()),
        )
        return codes(said)

    def connect(
        self, client: TailscaleClient, ipv4: str = "", ipv6: str = "", *flags: str, verb: str = "add"
    ) -> list[str]:
        """Connect a client's node under these masquerade addresses; return the warnings."""
        masquerade = [
            *(("--ipv4-masq-addr", ipv4) if ipv4 else ()),
            *(("--ipv6-masq-addr", ipv6) if ipv6 else ()),
        ]
        return codes(self.tailnet.ask("connection", verb, *self._pair(client), *masquerade, *flags))

    def update(self, client: TailscaleClient, *flags: str) -> list[str]:
        """Change something of a connection; return the warnings."""
        return self.connect(client, "", "", *flags, verb="update")

    def disconnect(self, client: TailscaleClient) -> None:
        """End the connection."""
        self.tailnet.cli("connection", "remove", *self._pair(client))

    def exported(self, style: str = "wg-quick") -> str:
        """What the product prints for the far side."""
        interface = self._far.interface if self._far else "wg0"
        words = ("--peer", self.name, "--format", style, "--interface", interface)
        return self.tailnet.cli("wg", "export", *words)

    def feed(self) -> None:
        """Tell the far side of its nodes (rule 1)."""
        self.far.host.run(["sh", "-ec", self.exported("wg-set")])

    def row(self) -> dict[str, Any]:
        """What `wg get` shows."""
        found: dict[str, Any] = self.tailnet.ask("wg", "get", self.name)
        return found

    def _pair(self, client: TailscaleClient) -> tuple[str, ...]:
        return ("--node-id", client.host.name, "--wg-peer-id", self.name)


def codes(reply: dict[str, Any]) -> list[str]:
    """The codes of a reply's warnings."""
    return [str(warning).partition(":")[0] for warning in reply.get("warnings", ())]


def fresh_key() -> str:
    """A public key that nobody has, base64."""
    return run(["sh", "-c", "wg genkey | wg pubkey"]).stdout.strip()


def place(priority: int = 0, **given: object) -> dict[str, Any]:
    """A whole location, Berlin unless told."""
    berlin = {"country": "Germany", "countryCode": "DE", "city": "Berlin", "cityCode": "BER"}
    return berlin | {"latitude": 52.52, "longitude": 13.405, "priority": priority} | given


def seen(client: TailscaleClient, url: str) -> str:
    """The address that the web sees, or nothing."""
    return client.curl(url, timeout=3).body


def wait_seen(client: TailscaleClient, address: str, url: str) -> None:
    """Wait until the web sees a client at an address; "" is: not at all.

    Raises:
        DeadlineError: tells at which it was seen last.
    """
    last = ""

    def is_so() -> bool:
        nonlocal last
        last = seen(client, url)
        return last == address

    try:
        wait_until(
            is_so, f"{url} sees {client.host.name} ({client.version}) at {address!r}", timeout=PATIENCE
        )
    except DeadlineError as error:
        raise DeadlineError(f"{error}; it saw {last!r}\n{client.log()[-3000:]}") from None


def join(tailnet: Cluster, key: str, *clients: TailscaleClient) -> None:
    """Start clients and log them in, each under the name of its host."""
    for client in clients:
        client.start()
        client.up(tailnet.url, key)
    for client in clients:
        client.wait_running()
