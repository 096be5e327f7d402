"""What a client says of its host, and what of it peers are told.

Rule 1: peers get the fields that we know, with the types that their decoders demand, written anew: what is unknown
        to us is dropped. Relayed as it came, one client's `"os": 5` would make every peer discard every frame with
        that node in it; Go matches names in any case.
Rule 2: NetInfo may be absent for the first seconds of a client's life, and PreferredDERP 0 means "not known yet":
        keep what was known before.
Rule 3: push tokens, log ids and the like are the control server's business: `for_peers` leaves them out. So are the
        routes that a host offers: peers are told those that were approved, by AllowedIPs.
"""

from typing import Final

import msgspec

from frontends.wire.codec import encode
from frontends.wire.errors import RemoteProtocolError
from frontends.wire.tailcfg.derp import MAX_REGION
from frontends.wire.tailcfg.text import Int32, Int64, Port, Strings

MAX_HOSTINFO: Final = 16 * 1024
"""Bytes of what peers are told of one host; a real one has 1–3 KiB."""


class Location(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, rename="pascal"):
    """Where an exit node is; all of it or nothing: clients crash on a country without a code."""

    country: str = ""
    country_code: str = ""
    city: str = ""
    city_code: str = ""
    latitude: float = 0.0
    longitude: float = 0.0
    priority: Int32 = 0


class NetInfo(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, rename="pascal"):
    """What a client measured of its network."""

    mapping_varies_by_dest_ip: bool | None = msgspec.field(default=None, name="MappingVariesByDestIP")
    working_ipv6: bool | None = msgspec.field(default=None, name="WorkingIPv6")
    os_has_ipv6: bool | None = msgspec.field(default=None, name="OSHasIPv6")
    working_udp: bool | None = msgspec.field(default=None, name="WorkingUDP")
    working_icmpv4: bool | None = msgspec.field(default=None, name="WorkingICMPv4")
    have_port_map: bool | None = None
    upnp: bool | None = msgspec.field(default=None, name="UPnP")
    pmp: bool | None = msgspec.field(default=None, name="PMP")
    pcp: bool | None = msgspec.field(default=None, name="PCP")
    preferred_derp: Int64 | None = msgspec.field(default=None, name="PreferredDERP")
    link_type: str | None = None
    derp_latency: dict[str, float] | None = msgspec.field(default=None, name="DERPLatency")
    firewall_mode: str | None = None


class Service(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, rename="pascal"):
    """A port that the host serves; `peerapi4`, `peerapi6` and `peerapi-dns-proxy` are the client's own."""

    proto: str
    port: Port
    description: str = ""


class Hostinfo(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, rename="pascal"):
    """A client's host, in its own words. TPM and what later clients may add are not read."""

    ipn_version: str | None = msgspec.field(default=None, name="IPNVersion")
    frontend_log_id: str | None = msgspec.field(default=None, name="FrontendLogID")
    backend_log_id: str | None = msgspec.field(default=None, name="BackendLogID")
    os: str | None = msgspec.field(default=None, name="OS")
    os_version: str | None = msgspec.field(default=None, name="OSVersion")
    container: bool | None = None
    env: str | None = None
    distro: str | None = None
    distro_version: str | None = None
    distro_code_name: str | None = None
    app: str | None = None
    desktop: bool | None = None
    package: str | None = None
    device_model: str | None = None
    push_device_token: str | None = None
    hostname: str | None = None
    shields_up: bool | None = None
    sharee_node: bool | None = None
    no_logs_no_support: bool | None = None
    remote_config: bool | None = None
    wire_ingress: bool | None = None
    ingress_enabled: bool | None = None
    allows_update: bool | None = None
    machine: str | None = None
    go_arch: str | None = None
    go_arch_var: str | None = None
    go_version: str | None = None
    routable_ips: Strings | None = msgspec.field(default=None, name="RoutableIPs")
    request_tags: Strings | None = None
    wol_macs: Strings | None = msgspec.field(default=None, name="WoLMACs")
    services: tuple[Service, ...] | None = None
    net_info: NetInfo | None = None
    ssh_host_keys: Strings | None = msgspec.field(default=None, name="sshHostKeys")
    cloud: str | None = None
    userspace: bool | None = None
    userspace_router: bool | None = None
    app_connector: bool | None = None
    services_hash: str | None = None
    peer_relay: bool | None = None
    exit_node_id: str | None = msgspec.field(default=None, name="ExitNodeID")
    location: Location | None = None
    state_encrypted: bool | None = None

    @property
    def home_derp(self) -> int:
        """The region that the client prefers; 0 while it knows none, or names what can be none."""
        region = (self.net_info.preferred_derp or 0) if self.net_info else 0
        return region if 0 < region <= MAX_REGION else 0

    @property
    def has_ssh(self) -> bool:
        """Whether the node's SSH server is on."""
        return bool(self.ssh_host_keys)


def for_peers(info: Hostinfo) -> msgspec.Raw:
    """Return the JSON that a node's peers are told of its host.

    Raises:
        RemoteProtocolError: it is too long.
    """
    told = msgspec.structs.replace(
        info,
        frontend_log_id=None,
        backend_log_id=None,
        push_device_token=None,
        request_tags=None,
        services_hash=None,
        exit_node_id=None,
        routable_ips=None,
    )
    text = encode(told)
    if len(text) > MAX_HOSTINFO:
        raise RemoteProtocolError("the Hostinfo is too long", status=413)
    return msgspec.Raw(text)
