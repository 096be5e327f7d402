"""The DERP map of the lab: one region, whose relay nobody answers for and whose STUN does.

A region is needed for a client to reach Running, an attempt at the relay is enough (ipn/ipnlocal/local.go; measured
with 1.82.0, 1.92.5, 1.102.3); hosts on one switch connect directly. STUN gives the region a latency, without which no
exit node is suggested, and its coordinates say which one is near.
"""

from typing import Any

from tests.kit.lab.net import Lab, ip4, ip6
from tests.kit.procs import Proc

REGION = 900
"""Region ids 900 to 999 are for private use (tailcfg/derpmap.go)."""

STUN_PORT = 3478
CLOSED_PORT = 3340
"""Nobody listens here: a refused connection is a relay attempt."""

BERLIN = (52.52, 13.405)


def derp_map(host: int = 10, place: tuple[float, float] = BERLIN) -> dict[str, Any]:
    """A DERPMap (JSON object of tailcfg.DERPMap) with the host of that last number as its only relay.

    Args:
        host: last number of the address; 10 is ctl.
        place: latitude and longitude, degrees.
    """
    node = {
        "Name": f"{REGION}a",
        "RegionID": REGION,
        "HostName": ip4(host),
        "IPv4": ip4(host),
        "IPv6": ip6(host),
        "STUNPort": STUN_PORT,
        "DERPPort": CLOSED_PORT,
        "InsecureForTests": True,
    }
    region = {
        "RegionID": REGION,
        "RegionCode": "lab",
        "RegionName": "Lab",
        "Latitude": place[0],
        "Longitude": place[1],
        "Nodes": [node],
    }
    return {"Regions": {str(REGION): region}, "omitDefaultRegions": True}


def start_stun(lab: Lab, host: str = "ctl") -> Proc:
    """Start the STUN responder on a host."""
    proc = lab.host(host).spawn_module("tests.kit.lab.stun", str(STUN_PORT))
    proc.wait_line("^ready")
    return proc
