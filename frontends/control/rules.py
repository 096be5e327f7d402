"""Packet filters: a class's rules, in the form that a client's capability version understands.

    capver ≥ 109   "SrcIPs": ["cap:netmap.internal/set/all"]         the names stand in the peers' CapMap
    below          "SrcIPs": ["100.64.0.3/32", …]                    the addresses of the nodes of the sets' classes

Rule 1: a source is never `*` and never the address of a WireGuard-only peer: behind one with default routes anybody
        may use any address that no other visible node has (wireguard-only-peers §0.10).
Rule 2: the names stand in the CapMap of nodes only, so a WireGuard-only peer matches none. They are those of sets:
        a filter does not change when classes or their nodes come and go.
Rule 3: the destinations are the viewer's own addresses: a client counts routes that it merely offers as its own.
Rule 4: the filter is a named one, always sent whole; without rules it is empty, and lets nothing in.
"""

from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from typing import Final

import msgspec

from engine.contracts.netmap import FilterRule, NodeObject
from frontends.wire.codec import encode
from frontends.wire.tailcfg.filter import NetPortRange, PortRange
from frontends.wire.tailcfg.node import Node

FILTER: Final = "netmap"
_SET: Final = "netmap.internal/set/"


class _Rule(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, rename="pascal"):
    """A wire rule whose sources are JSON already, shared by all who have them."""

    src_ips: msgspec.Raw = msgspec.field(name="SrcIPs")
    dst_ports: tuple[NetPortRange, ...]
    ip_proto: tuple[int, ...] | None = msgspec.field(default=None, name="IPProto")


def set_capability(name: str) -> str:
    """Return the capability that the nodes of a set's classes carry in their viewers' netmaps."""
    return f"{_SET}{name}"


def by_name(rules: Sequence[FilterRule], node: NodeObject) -> bytes:
    """Return the value of `PacketFilters` for clients that know sources by capability."""
    return _filters(rules, node, _names)


@lru_cache(maxsize=256)
def _names(sets: tuple[str, ...]) -> bytes:
    """Return the sets as a JSON list of sources; most rules of a tailnet name the same ones."""
    return encode([f"cap:{set_capability(name)}" for name in sets])


def by_address(
    rules: Sequence[FilterRule], node: NodeObject, addresses: Callable[[tuple[str, ...]], bytes]
) -> bytes:
    """Return the value of `PacketFilters` for older clients; `addresses` gives the JSON list of some sets."""
    return _filters(rules, node, addresses)


def address_list(nodes: Iterable[Node]) -> bytes:
    """Return the addresses of nodes as a JSON list; an expired node is no source."""
    return encode([address for node in nodes if not node.expired for address in node.addresses])


def _filters(
    rules: Sequence[FilterRule], node: NodeObject, sources: Callable[[tuple[str, ...]], bytes]
) -> bytes:
    wire = tuple(
        _Rule(
            src_ips=msgspec.Raw(sources(rule.source_sets)),
            dst_ports=tuple(
                NetPortRange(ip=address, ports=PortRange(first, last))
                for address in (node.ipv4, node.ipv6)
                if address
                for first, last in rule.ports
            ),
            ip_proto=rule.protocols or None,
        )
        for rule in rules
    )
    return encode({FILTER: wire})
