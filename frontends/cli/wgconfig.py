"""What the far side of a connection needs, in the words of wg-quick(8) and wg(8).

Rule 1: the far side knows a node by its node key, in base64, and allows it its masquerade addresses and no more.
Rule 2: names are comments; a name never ends a line.
"""

import base64
from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

from frontends.cli.text import clean

STYLES: Final = ("wg-quick", "wg-set")


class Remote(NamedTuple):
    """A node, as its WireGuard-only peer sees it."""

    node: int
    name: str
    publicKey: str  # noqa: N815 (a field of the JSON form)
    allowedIps: list[str]  # noqa: N815 (a field of the JSON form)
    expired: bool = False


def remote_of(connection: Mapping[str, Any], node: Mapping[str, Any]) -> Remote:
    """Return the node's side of a connection, of the rows of both."""
    v4 = connection.get("ipv4MasqAddr")
    v6 = connection.get("ipv6MasqAddr")
    return Remote(
        node=int(node["id"]),
        name=clean(node.get("name", "")),
        publicKey=base64_of(str(node["nodeKey"])),
        allowedIps=[*([f"{v4}/32"] if v4 else []), *([f"{v6}/128"] if v6 else [])],
        expired=bool(node.get("expired")),
    )


def base64_of(node_key: str) -> str:
    """Return `nodekey:<hex>` as WireGuard writes keys."""
    return base64.b64encode(bytes.fromhex(node_key.removeprefix("nodekey:"))).decode()


def render(remotes: Sequence[Remote], style: str, interface: str) -> str:
    """Return the text for the far side, in one of `STYLES`."""
    if style == "wg-set":
        return "\n".join(_command(remote, interface) for remote in remotes)
    return "\n\n".join(_block(remote) for remote in remotes)


def _block(remote: Remote) -> str:
    about = f"# node {remote.node}: {remote.name}" + (" (its key has expired)" if remote.expired else "")
    lines = [
        "[Peer]",
        about,
        f"PublicKey = {remote.publicKey}",
        f"AllowedIPs = {', '.join(remote.allowedIps)}",
    ]
    return "\n".join(lines)


def _command(remote: Remote, interface: str) -> str:
    return f"wg set {interface} peer {remote.publicKey} allowed-ips {','.join(remote.allowedIps)}"
