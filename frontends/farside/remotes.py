"""A node, as the far side of its WireGuard-only peer knows it.

Rule 1: the far side knows a node by its node key, in base64, and allows it its masquerade addresses and no more.
Rule 2: names are comments; a name never ends a line.
Rule 3: the checksum is of keys and addresses alone: the same in every format, whatever the nodes are called.
"""

import base64
import hashlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple

CHECKSUM: Final = "# netmap checksum: "
"""How the last line of every export begins."""


class Remote(NamedTuple):
    """A node, as its WireGuard-only peer sees it."""

    node: int
    name: str
    publicKey: str  # noqa: N815 (a field of the JSON form)
    allowedIps: list[str]  # noqa: N815 (a field of the JSON form)
    expired: bool = False

    @property
    def about(self) -> str:
        """Who it is, for a comment."""
        return f"node {self.node}: {self.name}" + (" (its key has expired)" if self.expired else "")


class Side(NamedTuple):
    """The far side itself: its peer's name, the port of its first endpoint, and its interface's name."""

    name: str
    port: int
    interface: str


def remote_of(connection: Mapping[str, Any], node: Mapping[str, Any]) -> Remote:
    """Return the node's side of a connection, of the rows of both."""
    v4 = connection.get("ipv4MasqAddr")
    v6 = connection.get("ipv6MasqAddr")
    return Remote(
        node=int(node["id"]),
        name=printable(node.get("name", "")),
        publicKey=base64_of(str(node["nodeKey"])),
        allowedIps=[*([f"{v4}/32"] if v4 else []), *([f"{v6}/128"] if v6 else [])],
        expired=bool(node.get("expired")),
    )


def side_of(peer: Mapping[str, Any], interface: str) -> Side:
    """Return the far side of a peer's row."""
    ports = [str(endpoint).rpartition(":")[2] for endpoint in peer.get("endpoints") or ()]
    number = next((port for port in ports if port.isascii() and port.isdigit()), "51820")
    return Side(name=printable(peer.get("name", "")), port=int(number), interface=interface)


def base64_of(node_key: str) -> str:
    """Return `nodekey:<hex>` as WireGuard writes keys."""
    return base64.b64encode(bytes.fromhex(node_key.removeprefix("nodekey:"))).decode()


def printable(value: object) -> str:
    """Return the value as one line of printable text."""
    return "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in str(value))


def checksum(entries: Mapping[str, Iterable[str]]) -> str:
    """Return `sha256:<hex>` of addresses by key, in whatever order they are given."""
    lines = sorted(f"{key} {','.join(sorted(addresses))}\n" for key, addresses in entries.items())
    return "sha256:" + hashlib.sha256("".join(lines).encode()).hexdigest()


def entries_of(remotes: Sequence[Remote]) -> dict[str, frozenset[str]]:
    """Return addresses by key."""
    return {remote.publicKey: frozenset(remote.allowedIps) for remote in remotes}
