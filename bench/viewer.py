"""A simulated client, as lean as can be: it notes when bytes came and how many, and looks into them later.

    connect → Noise → `ask(request)` → `whole` is done when the first map frame is → `frames` of what followed

A model client that understands every frame would be what is measured when there are 1,000 on the same cores.

Rule 1: up to the first map, bytes are opened as they come, for there is no other way to see its end; after that they are
        only kept, until `unpack`. What comes is stamped before it is opened.
"""

import asyncio
import os
import struct
import time
from typing import Any, Final, cast

import msgspec

from frontends.wire.early import EarlyReader
from frontends.wire.frames import RecordReader, RecordWriter
from frontends.wire.http2 import Http2, Role
from frontends.wire.keytext import ZERO_TEXT, Kind
from frontends.wire.mapframe import LENGTH, Decoder
from frontends.wire.noise import RESPONSE_LENGTH, Initiator, PrivateKey
from frontends.wire.upgrade import PATH, request_headers

CAPVER: Final = 142
MAX_TEXT: Final = 256 * 1024 * 1024
_HEAD_END: Final = b"\r\n\r\n"
_FRAME_HEAD: Final = 9
_DATA, _HEADERS, _RESET, _GOAWAY = 0, 1, 3, 7
_END_STREAM: Final = 1
_STATUS_200: Final = 0x88
"""`:status: 200`, entry 8 of the static table (RFC 7541, Appendix A), as an indexed field."""
_WINDOW_UPDATE: Final = struct.Struct(">BHBBII")
_OWED: Final = 1024 * 1024
"""Octets of DATA after which the window is opened again: a quarter of it."""
ZERO_NODE: Final = "nodekey:" + "0" * 64
HOSTINFO: Final[dict[str, Any]] = {
    "IPNVersion": "1.102.3-t0123456789-g0123456789",
    "BackendLogID": "0" * 64,
    "OS": "linux",
    "OSVersion": "6.12.0-13-amd64",
    "Distro": "debian",
    "DistroVersion": "13.1",
    "DistroCodeName": "trixie",
    "Desktop": False,
    "Package": "deb",
    "Hostname": "simulated",
    "Machine": "x86_64",
    "GoArch": "amd64",
    "GoArchVar": "v1",
    "GoVersion": "go1.26.6",
    "Services": [{"Proto": "peerapi4", "Port": 45_678}, {"Proto": "peerapi6", "Port": 45_678}],
    "NetInfo": {"PreferredDERP": 1, "WorkingUDP": True, "WorkingIPv6": False, "MappingVariesByDestIP": False},
    "Userspace": False,
    "UserspaceRouter": False,
    "AppConnector": False,
}
"""What a Linux client says of itself (control-protocol §5.3), without the fields that tell machines apart."""


def request(path: str, body: dict[str, Any]) -> bytes:
    """Return the HTTP/2 preface and one request, to be sent as the first octets of a connection."""
    http2 = Http2(Role.CLIENT, 0.0)
    http2.send_request("POST", path, msgspec.json.encode(body))
    return http2.data_to_send()


_MAP: Final = request(
    "/machine/map",
    {
        "Version": CAPVER,
        "Compress": "zstd",
        "KeepAlive": True,
        "Stream": True,
        "NodeKey": ZERO_NODE,
        "DiscoKey": ZERO_TEXT[Kind.DISCO],
        "Endpoints": ["192.168.178.20:41641", "198.51.100.7:41641"],
        "EndpointTypes": [1, 2],
        "Hostinfo": HOSTINFO,
    },
)


def map_request(node_key: str, disco: str) -> bytes:
    """Return what a connection starts with to open a map session; made from a template, for there are many."""
    keyed = _MAP.replace(ZERO_NODE.encode(), node_key.encode())
    return keyed.replace(ZERO_TEXT[Kind.DISCO].encode(), disco.encode())


def register_request(node_key: str, auth_key: str, hostname: str) -> bytes:
    """Return what a connection starts with to register a node."""
    body = {
        "Version": CAPVER,
        "NodeKey": node_key,
        "OldNodeKey": ZERO_TEXT[Kind.NODE],
        "Auth": {"AuthKey": auth_key},
        "Hostinfo": {**HOSTINFO, "Hostname": hostname},
        "Expiry": "0001-01-01T00:00:00Z",
    }
    return request("/machine/register", body)


class Viewer(asyncio.Protocol):
    """One Noise connection of one client, with one request."""

    def __init__(self, machine: PrivateKey, server: bytes) -> None:
        loop = asyncio.get_running_loop()
        self.switched: Final[asyncio.Future[float]] = loop.create_future()
        """When the handshake was done."""
        self.whole: Final[asyncio.Future[float]] = loop.create_future()
        """When the last octet of the first map, or of a plain answer, was there."""
        self.gone: Final[asyncio.Future[float]] = loop.create_future()
        """When the session or the connection ended: known when that is, or when the last word is unpacked."""
        self.octets = 0
        """Octets that came on the socket since `forget`."""
        self.first = b""
        """The first map frame as it came, or the plain answer."""
        self.frames: list[tuple[float, bytes]] = []
        """Map frames after the first one: when each was whole, and its compressed text with the length before it."""
        self._initiator: Initiator | None = Initiator(machine, PrivateKey(os.urandom(32)), server, CAPVER)
        self._transport: asyncio.Transport | None = None
        self._kept: list[tuple[float, bytes]] = []
        self._held = b""
        self._reader: RecordReader | None = None
        self._writer: RecordWriter | None = None
        self._early = EarlyReader()
        self._plain = bytearray()
        self._body = bytearray()
        self._owed = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Ask for the upgrade, with the first half of the handshake."""
        assert self._initiator is not None
        self._transport = cast("asyncio.Transport", transport)
        headers = "".join(f"{k}: {v}\r\n" for k, v in request_headers("bench", self._initiator.initiation))
        self._transport.write(f"POST {PATH} HTTP/1.1\r\n{headers}\r\n".encode())

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 (why does not matter)
        """Tell whoever waits."""
        self._fail("the server hung up")
        self._end(time.perf_counter())

    def data_received(self, data: bytes) -> None:
        """Stamp and keep what came."""
        now = time.perf_counter()
        if self._reader is None:
            data = self._switch(self._held + data, now)
        self.octets += len(data)
        if data:
            self._kept.append((now, data))
        if not self.whole.done():
            self.unpack()

    def forget(self) -> None:
        """Forget what has come so far."""
        self.unpack()
        self.frames.clear()
        self.octets = 0

    def ask(self, octets: bytes) -> None:
        """Send a request."""
        if self._transport is not None and self._writer is not None:
            self._transport.write(self._writer.seal(octets))

    def close(self) -> None:
        """Hang up."""
        if self._transport is not None:
            self._transport.abort()

    def unpack(self) -> None:
        """Open what was kept."""
        kept, self._kept = self._kept, []
        for now, data in kept:
            if self._reader is not None:
                self._plain += self._early.receive(self._reader.receive(data))
                self._on_http2(now)

    def _switch(self, data: bytes, now: float) -> bytes:
        """Take the server's half of the handshake; return what is beyond it."""
        head, found, rest = data.partition(_HEAD_END)
        if not found or len(rest) < RESPONSE_LENGTH:
            self._held = data
            return b""
        if not head.startswith(b"HTTP/1.1 101 ") or self._initiator is None:
            self._fail(head.split(b"\r\n", 1)[0].decode(errors="replace"))
            return b""
        session = self._initiator.finish(rest[:RESPONSE_LENGTH])
        self._initiator, self._held = None, b""
        self._reader, self._writer = RecordReader(session.receive), RecordWriter(session.send)
        self.switched.set_result(now)
        return rest[RESPONSE_LENGTH:]

    def _on_http2(self, now: float) -> None:
        plain = self._plain
        while len(plain) >= _FRAME_HEAD:
            end = _FRAME_HEAD + int.from_bytes(plain[:3], "big")
            if len(plain) < end:
                return
            kind, flags = plain[3], plain[4]
            if kind == _DATA:
                self._body += plain[_FRAME_HEAD:end]
                self._on_body(now, ended=bool(flags & _END_STREAM))
                self._give_back(end - _FRAME_HEAD)
            elif kind in (_RESET, _GOAWAY) or (kind == _HEADERS and plain[_FRAME_HEAD] != _STATUS_200):
                self._fail(f"refused: HTTP/2 frame {kind}")
                self._end(now)
            del plain[:end]

    def _on_body(self, now: float, *, ended: bool) -> None:
        body = self._body
        if ended and not self.whole.done():
            self.first = bytes(body)
            self.whole.set_result(now)
            return
        if ended:
            self._end(now)
        while len(body) >= LENGTH:
            end = LENGTH + int.from_bytes(body[:LENGTH], "little")
            if len(body) < end:
                return
            frame = bytes(body[:end])
            del body[:end]
            if self.whole.done():
                self.frames.append((now, frame))
            else:
                self.first = frame
                self.whole.set_result(now)

    def _give_back(self, octets: int) -> None:
        self._owed += octets
        if self._owed >= _OWED:
            self.ask(_WINDOW_UPDATE.pack(0, 4, 8, 0, 1, self._owed))
            self._owed = 0

    def _end(self, now: float) -> None:
        if not self.gone.done():
            self.gone.set_result(now)

    def _fail(self, why: str) -> None:
        for future in (self.switched, self.whole):
            if not future.done():
                future.set_exception(ConnectionError(why))
                future.exception()  # it is looked at by whoever waits, if anybody does


def text_of(frame: bytes) -> bytes:
    """Return the JSON of a map frame."""
    [text] = Decoder(MAX_TEXT).receive(frame)
    return text


async def connect(port: int, machine: PrivateKey, server: bytes, *, source: str = "") -> Viewer:
    """Connect to a frontend on loopback, from an address there, and shake hands."""
    loop = asyncio.get_running_loop()
    local = (source, 0) if source else None
    _, viewer = await loop.create_connection(
        lambda: Viewer(machine, server), "127.0.0.1", port, local_addr=local
    )
    try:
        await viewer.switched
    except BaseException:
        viewer.close()
        raise
    return viewer
