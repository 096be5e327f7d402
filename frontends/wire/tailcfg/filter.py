"""Packet filter rules: who may send what to the node that gets them.

Rule 1: without a filter in the first frame a client lets nothing in.
Rule 2: sources and destinations are `ip`, `prefix` with host bits zero, `a-b`, `*`; sources also `cap:<name>` from
        capver 109 on. A bad one is dropped by the client, alone.
Rule 3: a rule has ports or grants, not both. No protocols means TCP, UDP, ICMP and ICMPv6.
"""

from typing import Any, Final

import msgspec

from frontends.wire.tailcfg.text import Port


class PortRange(msgspec.Struct, frozen=True, rename="pascal"):
    """Ports from first to last; all of them are 0 – 65535."""

    first: Port
    last: Port


ALL_PORTS: Final = PortRange(0, 65_535)


class NetPortRange(msgspec.Struct, frozen=True, kw_only=True, rename="pascal"):
    """Where packets may go."""

    ip: str = msgspec.field(name="IP")
    ports: PortRange = ALL_PORTS


class CapGrant(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, rename="pascal"):
    """Application capabilities that the sources have towards the destinations."""

    dsts: tuple[str, ...]
    cap_map: dict[str, tuple[Any, ...] | None] | None = None


class FilterRule(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, rename="pascal"):
    """One rule of a packet filter."""

    src_ips: tuple[str, ...] = msgspec.field(name="SrcIPs")
    dst_ports: tuple[NetPortRange, ...] | None = None
    ip_proto: tuple[int, ...] | None = msgspec.field(default=None, name="IPProto")
    cap_grant: tuple[CapGrant, ...] | None = None
