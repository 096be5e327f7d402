"""A node and a WireGuard-only peer together: what the node gets of it, what it may not meet, how both are named.

Rule 1: a node is never connected to two WireGuard-only peers with an endpoint in common (replies would be mistaken),
        nor with a prefix in common, but for the default routes: the user chooses one of several exits.
Rule 2: who may call a node has no default route to it and nothing of the tailnet's: it could speak as anybody.
"""

import ipaddress
from collections.abc import Sequence
from typing import Final

from engine.domain.addresses import TAILNET_V4, TAILNET_V6
from engine.domain.aggregates import Connection, Node, Peer
from engine.domain.errors import Conflict, Invalid
from engine.domain.places import places_of
from engine.domain.state import DEFAULT_ROUTES, Tailnet
from engine.domain.values import NodeId, PeerId

_MAX_FEW: Final = 10
"""Things that a text names one by one."""


def part_of(peer: Peer, allowed_ips: tuple[str, ...] | None) -> tuple[str, ...]:
    """Return the allowed IPs that a connection with this part of them has."""
    return peer.allowed_ips if allowed_ips is None else allowed_ips


def connected_part(connection: Connection, peer: Peer) -> tuple[str, ...]:
    """Return the peer's allowed IPs that the connection has."""
    return part_of(peer, connection.allowed_ips)


def refuse_overlap(tailnet: Tailnet, node: Node, peer: Peer, allowed_ips: Sequence[str]) -> None:
    """Refuse that the node has the peer, with these of its allowed IPs, beside those that it is connected to (rule 1).

    Raises:
        Conflict: `connection.endpoint`, `connection.overlap`.
    """
    mine = tailnet.peers_of_node.get(node.id, set()) - {peer.id}
    if not mine:
        return
    for endpoint in dict.fromkeys((*peer.endpoints, *places_of(peer))):
        for other in sorted(mine & tailnet.peers_by_endpoint.get(endpoint, set())):
            raise _common(tailnet, node, peer, other, f"endpoint {endpoint}")
    prefixes = [prefix for prefix in allowed_ips if prefix not in DEFAULT_ROUTES]
    for other in sorted(mine) if prefixes else ():
        theirs = connected_part(tailnet.connections[node.id, other], tailnet.peers[other])
        for prefix in prefixes:
            if prefix in theirs:
                raise _common(tailnet, node, peer, other, f"prefix {prefix}")


def _common(tailnet: Tailnet, node: Node, peer: Peer, other: PeerId, what: str) -> Conflict:
    return Conflict(
        "connection.endpoint" if what.startswith("endpoint") else "connection.overlap",
        f"node {named(node)} is connected to {named(tailnet.peers[other])}, which has the {what} too, as "
        f"{named(peer)} has",
        field="peer",
        hint=command_line("remove", node.id, other),
    )


def refuse_free(whom: str, peer: Peer, allowed_ips: Sequence[str]) -> None:
    """Refuse that a peer with these allowed IPs may call somebody (rule 2).

    Raises:
        Invalid: `connection.unjail`.
    """
    for prefix in allowed_ips:
        network = ipaddress.ip_network(prefix)
        own = TAILNET_V4 if network.version == 4 else TAILNET_V6  # noqa: PLR2004
        if network.overlaps(own):
            raise Invalid(
                "connection.unjail",
                f"{named(peer)} cannot be let out of jail towards {whom}: with {prefix} it could "
                "send from any address that nobody else has",
                field="jailed",
                hint="give the connection only the site's own prefixes: --allowed-ips 192.0.2.0/24",
            )


def named(thing: Node | Peer) -> str:
    """Return `id(name)`."""
    return f"{thing.id}({thing.name})"


def listed(*texts: str) -> str:
    """Return the texts that are not empty, as people say them."""
    return " and ".join(text for text in texts if text)


def listed_few(texts: Sequence[str]) -> str:
    """Return the first of many texts, and how many more there are; `none` of none."""
    shown = ", ".join(texts[:_MAX_FEW]) or "none"
    return f"{shown} and {len(texts) - _MAX_FEW} more" if len(texts) > _MAX_FEW else shown


def command_line(verb: str, node: NodeId, peer: PeerId, ipv4: str = "", ipv6: str = "") -> str:
    """Return the command line that does something with a connection."""
    line = f"netmap node {verb}-wg-connection --node-id {node} --wg-peer-id {peer}"
    line += f" --ipv4-masq-addr {ipv4}" if ipv4 else ""
    return line + (f" --ipv6-masq-addr {ipv6}" if ipv6 else "")
