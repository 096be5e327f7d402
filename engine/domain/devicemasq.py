"""Masquerade addresses that a provider gave a node, and the connections that live by them.

Rule 1: a connection with a relay of a provider lives by a device when it has exactly the device's addresses: one that
        somebody gave others by hand is theirs.
"""

from collections.abc import Iterator

from engine.domain.aggregates import Connection, Node, Peer
from engine.domain.device import Device
from engine.domain.errors import Conflict, Refusal
from engine.domain.masqpool import hand_out
from engine.domain.masquerade import parse_masquerade
from engine.domain.pairs import named
from engine.domain.providerevents import DeviceRegistered
from engine.domain.state import Tailnet
from engine.domain.values import ProviderId
from engine.domain.wgevents import ConnectionUpdated


def masquerade_of(tailnet: Tailnet, node: Node, peer: Peer) -> tuple[str, str]:
    """Return the addresses, IPv4 and IPv6, that the node gets at the peer: its provider's, else the pool's next.

    Raises:
        Conflict: `device.none`, `device.pending`.
        Refusal: `masq.pool_exhausted`.
    """
    provider = provider_of_peer(tailnet, peer)
    if provider is None:
        return hand_out(tailnet, peer)
    device = tailnet.provided.device(provider, node.id)
    name = tailnet.provided.providers[provider].name
    if device is None:
        raise Conflict(
            "device.none",
            f"node {named(node)} is not registered at {name}, whose relay {named(peer)} is",
            field="node",
            hint=f"netmap provider enrol {name} {node.id}",
        )
    if not device.has_addresses:
        raise Conflict(
            "device.pending",
            f"node {named(node)} has no addresses of {name} yet: it is {device.state}",
            field="node",
            hint=f"netmap provider get {name} shows what it waits for",
        )
    return device.ipv4, device.ipv6


def provider_of_peer(tailnet: Tailnet, peer: Peer) -> ProviderId | None:
    """Return whose relay the peer is."""
    return tailnet.provided.provider_of_peer.get(peer.id)


def gives_masquerades(tailnet: Tailnet, peer: Peer) -> bool:
    """Return whether a connection with the peer needs no masquerade address from a person."""
    return bool(peer.masq_v4 or peer.masq_v6) or provider_of_peer(tailnet, peer) is not None


def lives_by(tailnet: Tailnet, device: Device) -> Iterator[Connection]:
    """Yield the connections that live by the device (rule 1), by peer."""
    if not (device.ipv4 or device.ipv6):
        return
    for number in sorted(tailnet.peers_of_node.get(device.node, ())):
        held = tailnet.connections[device.node, number]
        is_its = tailnet.provided.provider_of_peer.get(number) == device.provider
        if is_its and (held.ipv4_masq, held.ipv6_masq) == (device.ipv4, device.ipv6):
            yield held


def moved_connections(
    tailnet: Tailnet, device: Device, event: DeviceRegistered
) -> tuple[list[ConnectionUpdated], list[str]]:
    """Return the connections that live by the device with its new addresses, and who cannot have them."""
    node = tailnet.nodes.get(device.node)
    is_current = event.node_key == device.node_key and device.state in {"wanted", "rotating"}
    if node is None or not is_current or (event.ipv4, event.ipv6) == (device.ipv4, device.ipv6):
        return [], []
    moved: list[ConnectionUpdated] = []
    warnings: list[str] = []
    for held in lives_by(tailnet, device):
        peer = tailnet.peers[held.peer]
        try:
            masquerade, _ = parse_masquerade(tailnet, node, peer, event.ipv4, event.ipv6)
        except Refusal as refusal:
            warnings.append(f"device.unmoved: node {named(node)} at {named(peer)}: {refusal.message}")
            continue
        moved.append(
            ConnectionUpdated(
                node=held.node,
                peer=held.peer,
                ipv4_masq=masquerade.ipv4,
                ipv6_masq=masquerade.ipv6,
                allowed_ips=held.allowed_ips,
                jailed=held.jailed,
                selector=held.selector,
            )
        )
    return moved, warnings
