"""The HTTP/1.1 request that carries the first Noise message, and its answer; to be used with h11.

    POST /ts2021                                       HTTP/1.1 101 Switching Protocols
    Connection: upgrade                                Connection: upgrade
    Upgrade: tailscale-control-protocol                Upgrade: tailscale-control-protocol
    X-Tailscale-Handshake: <base64 of 101 bytes>       <Noise response, records …>

Rule 1: the request's Upgrade is compared without regard to case; the response's is what the client compares
        exactly. Both response headers are needed, and no Content-Length (tailscale control/controlhttp).
Rule 2: the server's 101, Noise response, early payload and HTTP/2 settings should leave in one write.
Rule 3: a client sends nothing more until it has the Noise response.
"""

import base64
import binascii
from collections.abc import Iterable
from typing import Final

from frontends.wire.errors import RemoteProtocolError
from frontends.wire.noise import INITIATION_LENGTH

PATH: Final = "/ts2021"
PROTOCOL: Final = "tailscale-control-protocol"
HANDSHAKE_HEADER: Final = "X-Tailscale-Handshake"
_HANDSHAKE_NAME: Final = HANDSHAKE_HEADER.lower().encode()
_BASE64_LENGTH: Final = (INITIATION_LENGTH + 2) // 3 * 4
SWITCHING: Final = (
    f"HTTP/1.1 101 Switching Protocols\r\nUpgrade: {PROTOCOL}\r\nConnection: upgrade\r\n\r\n"
).encode()
"""The whole head of the response: the Noise response follows at once."""


def is_upgrade_path(target: bytes) -> bool:
    """Return whether a request target is the upgrade's, whatever its query."""
    return target.partition(b"?")[0] == PATH.encode()


def read_initiation(method: bytes, headers: Iterable[tuple[bytes, bytes]]) -> bytes:
    """Return the 101 bytes of the Noise initiation in a request's headers (h11 gives names in lower case).

    Raises:
        RemoteProtocolError: with the HTTP status to answer: 405, 426 or 400.
    """
    if method != b"POST":
        raise RemoteProtocolError("the upgrade is a POST", status=405)
    upgrades: list[bytes] = []
    handshakes: list[bytes] = []
    for name, value in headers:
        if name == b"upgrade":
            upgrades.append(value)
        elif name == _HANDSHAKE_NAME:
            handshakes.append(value)
    if not upgrades:
        raise RemoteProtocolError("no Upgrade header; perhaps a proxy took it away", status=426)
    if len(upgrades) > 1 or upgrades[0].lower() != PROTOCOL.encode():
        raise RemoteProtocolError("the Upgrade header names another protocol")
    if len(handshakes) != 1:
        raise RemoteProtocolError("there must be one handshake header")
    return decode_handshake(handshakes[0])


def decode_handshake(text: bytes) -> bytes:
    """Return the 101 bytes in a handshake header: standard base64 with padding.

    Raises:
        RemoteProtocolError: it is anything else.
    """
    if len(text) != _BASE64_LENGTH:
        raise RemoteProtocolError("the handshake header has the wrong length")
    try:
        initiation = base64.b64decode(text, validate=True)
    except binascii.Error:
        raise RemoteProtocolError("the handshake header is not base64") from None
    if len(initiation) != INITIATION_LENGTH:
        raise RemoteProtocolError("the handshake header has the wrong length")
    return initiation


def request_headers(host: str, initiation: bytes) -> list[tuple[str, str]]:
    """Return the headers with which a client asks for the upgrade, for `h11.Request`."""
    return [
        ("Host", host),
        ("Content-Length", "0"),
        ("Connection", "upgrade"),
        ("Upgrade", PROTOCOL),
        (HANDSHAKE_HEADER, base64.b64encode(initiation).decode()),
    ]


def check_switched(status: int, headers: Iterable[tuple[bytes, bytes]]) -> None:
    """Check the server's answer as the real client does.

    Raises:
        RemoteProtocolError: it is not the switch to the control protocol.
    """
    if status != 101:  # noqa: PLR2004 (Switching Protocols)
        raise RemoteProtocolError("the server did not switch protocols")
    found = dict(headers)
    if found.get(b"upgrade") != PROTOCOL.encode() or found.get(b"connection", b"").lower() != b"upgrade":
        raise RemoteProtocolError("the server switched to an unexpected protocol")
