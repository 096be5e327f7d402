"""A network behind the hosts of the switch, to which only some of them know the way.

1. One host has an address there, on the wire that all share. Others are told that the network is on their link, or know
   nothing of it: their default route ends at the switch.
2. Traffic through an exit node needs one too: an exit node leads nobody into the networks of its own interfaces
   (shrinkDefaultRoute in ipn/ipnlocal/local.go; seen with 1.82.0 and 1.102.3), and 203.0.113.0/24 is one of those.
"""

import ipaddress

from tests.kit.lab.net import Host


class Beyond:
    """A network, and the host that is in it.

    Args:
        host: who is in it; what listens there on all addresses answers.
        address: its address with the network's size, "192.168.77.80/24".
    """

    def __init__(self, host: Host, address: str) -> None:
        interface = ipaddress.ip_interface(address)
        self.prefix = str(interface.network)
        self.address = str(interface.ip)
        bits = interface.network.max_prefixlen
        nodad = ["nodad"] if interface.version == 6 else []
        host.run(["ip", "address", "add", f"{self.address}/{bits}", "dev", "e0", *nodad])

    @property
    def url(self) -> str:
        """Where a web server of the host answers."""
        return f"http://[{self.address}]/" if ":" in self.address else f"http://{self.address}/"

    def show(self, *hosts: Host) -> None:
        """Let these hosts know the way."""
        for host in hosts:
            host.run(["ip", "route", "add", self.prefix, "dev", "e0"])


def let_forward(host: Host) -> None:
    """Let a host forward what is not for itself: a router in TUN mode needs that."""
    host.run(["sysctl", "-qw", "net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1"])
