"""A STUN responder: says to each binding request where it came from (RFC 5389 §6, §15.2). Script: `stun.py PORT`."""

import ipaddress
import socket
import struct
import sys

COOKIE = 0x2112A442  # RFC 5389 §6
BINDING_REQUEST = 0x0001
BINDING_SUCCESS = 0x0101
XOR_MAPPED_ADDRESS = 0x0020
HEADER = struct.Struct("!HHI12s")


def answer(request: bytes, host: str, port: int) -> bytes | None:
    """The response to a datagram from host and port; None if it is no binding request."""
    if len(request) < HEADER.size:
        return None
    kind, _, cookie, transaction = HEADER.unpack_from(request)
    if kind != BINDING_REQUEST or cookie != COOKIE:
        return None
    address = ipaddress.ip_address(host)
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped:
        address = address.ipv4_mapped
    mask = struct.pack("!I", COOKIE) + transaction
    hidden = bytes(byte ^ key for byte, key in zip(address.packed, mask, strict=False))
    family = 1 if address.version == 4 else 2
    value = struct.pack("!BBH", 0, family, port ^ (COOKIE >> 16)) + hidden
    body = struct.pack("!HH", XOR_MAPPED_ADDRESS, len(value)) + value
    return HEADER.pack(BINDING_SUCCESS, len(body), COOKIE, transaction) + body


def main() -> None:
    """Answer until killed."""
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as server:
        server.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        server.bind(("::", int(sys.argv[1])))
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        while True:
            request, (host, port, *_) = server.recvfrom(2048)
            response = answer(request, host, port)
            if response:
                server.sendto(response, (host, port))


if __name__ == "__main__":
    main()
