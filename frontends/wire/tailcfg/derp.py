"""The DERP map, checked before it is sent.

Rule 1: without a region a client never leaves `Starting`.
Rule 2: a null region, or one without nodes, makes clients of 1.70 crash in a loop: `check` refuses both.
Rule 3: region ids stand three times and agree: as the map's key, in the region, and in each of its nodes.
"""

from typing import Final

import msgspec

from frontends.wire.errors import LocalProtocolError

MAX_REGION: Final = 65_535
"""Clients use region ids as pseudo ports (`127.3.3.40:<id>`)."""
NO_HOME: Final = "127.3.3.40:0"


class DERPNode(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, rename="pascal"):
    """One relay server; port 0 is the default port, STUN port -1 is no STUN, address `none` is off."""

    name: str
    region_id: int = msgspec.field(name="RegionID")
    host_name: str
    cert_name: str = ""
    ipv4: str = msgspec.field(default="", name="IPv4")
    ipv6: str = msgspec.field(default="", name="IPv6")
    stun_port: int = msgspec.field(default=0, name="STUNPort")
    stun_only: bool = msgspec.field(default=False, name="STUNOnly")
    derp_port: int = msgspec.field(default=0, name="DERPPort")
    insecure_for_tests: bool = False
    stun_test_ip: str = msgspec.field(default="", name="STUNTestIP")
    can_port80: bool = False


class DERPRegion(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, rename="pascal"):
    """Relays in one place."""

    region_id: int = msgspec.field(name="RegionID")
    region_code: str
    region_name: str
    nodes: tuple[DERPNode, ...]
    latitude: float = 0.0
    longitude: float = 0.0
    avoid: bool = False
    no_measure_no_home: bool = False


class DERPHomeParams(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, rename="pascal"):
    """Weights of the regions' latencies; an empty map resets them."""

    region_score: dict[int, float] | None = None


class DERPMap(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, rename="pascal"):
    """All regions; absent regions mean the regions that the client has."""

    regions: dict[int, DERPRegion] | None = None
    omit_default_regions: bool = msgspec.field(default=False, name="omitDefaultRegions")
    home_params: DERPHomeParams | None = None


def legacy(region: int) -> str:
    """Return the text of a home region for clients below `capver.HOME_DERP`."""
    return f"127.3.3.40:{region}"


def check(derp_map: DERPMap) -> None:
    """Check that a map will not hurt the clients that get it.

    Raises:
        LocalProtocolError: with what is wrong, for the operator who wrote the map.
    """
    if not derp_map.regions:
        raise LocalProtocolError("a DERP map has at least one region")
    names: set[str] = set()
    for key, region in derp_map.regions.items():
        if not 0 < key <= MAX_REGION or region.region_id != key:
            raise LocalProtocolError(f"region {key}: its RegionID is {key}, between 1 and {MAX_REGION}")
        if not region.nodes:
            raise LocalProtocolError(f"region {key}: it has at least one node")
        for node in region.nodes:
            if node.region_id != key:
                raise LocalProtocolError(f"region {key}: the RegionID of its nodes is {key}")
            if not node.name or node.name in names:
                raise LocalProtocolError(f"region {key}: every node has a name of its own")
            names.add(node.name)
