"""A web server that answers the address of its caller as text, on IPv4 and IPv6. Script: `web.py PORT`."""

import http.server
import ipaddress
import socket
import sys

from tests.kit.lab.net import Lab


class _Echo(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        body = plain(self.client_address[0]).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


class _Server(http.server.ThreadingHTTPServer):
    address_family = socket.AF_INET6

    def server_bind(self) -> None:
        self.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind(self.server_address)


class WebEcho:
    """The echo on a host, `web` unless told.

    `url4` and `url6` are its addresses; a caller from n1 reads 203.0.113.21, one through wg reads 203.0.113.50.
    """

    def __init__(self, lab: Lab, host: str = "web", port: int = 80) -> None:
        self.host = lab.host(host)
        end = "" if port == 80 else f":{port}"
        self.url4 = f"http://{self.host.ip4}{end}/"
        self.url6 = f"http://[{self.host.ip6}]{end}/"
        self.proc = self.host.spawn_module("tests.kit.lab.web", str(port), log=f"web-{port}")
        self.proc.wait_port(port)


def plain(host: str) -> str:
    """The address as written alone: an IPv4 address that came in over an IPv6 socket loses its prefix."""
    address = ipaddress.ip_address(host)
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return str(mapped or address)


def main() -> None:
    """Serve until killed."""
    _Server(("::", int(sys.argv[1])), _Echo).serve_forever()


if __name__ == "__main__":
    main()
