"""A model client: the control protocol's client half over a real socket, for tests and benches.

    async with connect("127.0.0.1", port, machine_key) as client:
        await client.register(node_key, auth_key="…")
        stream = await client.map_stream(node_key)
        await stream.until(lambda view: 7 in view.peers)

Rule 1: the wire is `frontends.wire` in the client role; what the frames mean is `ClientView`'s.
Rule 2: every wait ends: `LIMIT` seconds unless the caller says otherwise.
Rule 3: one task reads the socket for as long as the `async with`; `pause` makes it a client that does not read.
"""

import asyncio
import os
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any, Final, NamedTuple

import h11
import msgspec

from frontends.wire.early import EarlyReader
from frontends.wire.errors import RemoteProtocolError
from frontends.wire.frames import RecordReader, RecordWriter, split_response
from frontends.wire.http2 import (
    DataReceived,
    Event,
    GoneAway,
    Http2,
    ResponseReceived,
    Role,
    StreamClosed,
)
from frontends.wire.keytext import ZERO_TEXT, Kind, parse_present
from frontends.wire.mapframe import Decoder
from frontends.wire.noise import Initiator, PrivateKey, Session
from frontends.wire.upgrade import PATH, check_switched, request_headers
from tests.kit.client_view import ClientView

Json = dict[str, Any]
LIMIT: Final = 10.0
"""Seconds that any one wait may take."""
MAX_FRAME: Final = 256 * 1024 * 1024
CAPVER: Final = 142
_READ: Final = 64 * 1024


class Refused(Exception):  # noqa: N818 (the server's answer, not an error of ours)
    """The server answered with another status than 200."""

    def __init__(self, status: int, body: bytes) -> None:
        super().__init__(f"{status}: {body[:200]!r}")
        self.status: Final = status
        self.body: Final = body


class Gone(ConnectionError):  # noqa: N818 (a state of the other side)
    """The connection, or the stream, ended before its answer was whole."""


class Response(NamedTuple):
    """A whole answer."""

    status: int
    headers: tuple[tuple[bytes, bytes], ...]
    body: bytes

    def json(self) -> Any:
        if self.status != 200:
            raise Refused(self.status, self.body)
        return msgspec.json.decode(self.body)


class MapFrame(NamedTuple):
    """One map response: its JSON text, and what the text says."""

    raw: bytes
    json: Json


class ControlClient:
    """One Noise connection. Made by `connect`."""

    def __init__(self, session: Session, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.handshake_hash: Final = session.handshake_hash
        self.version: Final = session.version
        self._reader = reader
        self._writer = writer
        self._seal = RecordWriter(session.send)
        self._open = RecordReader(session.receive)
        self._early = EarlyReader()
        self._http2 = Http2(Role.CLIENT, time.monotonic())
        self._inboxes: dict[int, asyncio.Queue[Event]] = {}
        self._reading = asyncio.Event()
        self._reading.set()
        self._gone = False

    @property
    def challenge(self) -> bytes | None:
        """The challenge of the early payload, once it has come."""
        return self._early.challenge

    def pause(self) -> None:
        """Stop reading the socket: the server's writes back up."""
        self._reading.clear()

    def resume(self) -> None:
        """Read again."""
        self._reading.set()

    async def request(self, method: str, path: str, body: bytes = b"", *, limit: float = LIMIT) -> Response:
        """Send a request and return its whole answer."""
        stream = self._send(method, path, body)
        try:
            async with asyncio.timeout(limit):
                head = await self.head(stream)
                return Response(
                    head.status, head.headers, b"".join([part async for part in self.parts(stream)])
                )
        finally:
            self.drop(stream)

    async def register(self, node_key: str, *, limit: float = LIMIT, **fields: Any) -> Json:
        """Send a RegisterRequest and return the answer's JSON.

        `auth_key` and `hostinfo` have places of their own; other fields have their names on the wire.
        """
        auth_key, hostinfo = fields.pop("auth_key", ""), fields.pop("hostinfo", {})
        body: Json = {
            "Version": self.version,
            "NodeKey": node_key,
            "OldNodeKey": ZERO_TEXT[Kind.NODE],
            "NLKey": ZERO_TEXT[Kind.TAILNET_LOCK],
            "Expiry": "0001-01-01T00:00:00Z",
            "Followup": "",
            "Hostinfo": {"OS": "linux", "Hostname": "model", **hostinfo},
            "NodeKeySignature": None,
            **({"Auth": {"AuthKey": auth_key}} if auth_key else {}),
            **fields,
        }
        answer = await self.request("POST", "/machine/register", msgspec.json.encode(body), limit=limit)
        said: Json = answer.json()
        return said

    async def map_lite(self, node_key: str, **fields: Any) -> int:
        """Send a lite update and return the status of its answer."""
        body = self._map_request(node_key, {"Stream": False, "OmitPeers": True, **fields})
        return (await self.request("POST", "/machine/map", body)).status

    async def map_stream(
        self, node_key: str, *, view: ClientView | None = None, **fields: Any
    ) -> "MapStream":
        """Open a long poll.

        Raises:
            Refused: the server answered with another status than 200.
        """
        stream = self._send("POST", "/machine/map", self._map_request(node_key, {"Stream": True, **fields}))
        async with asyncio.timeout(LIMIT):
            head = await self.head(stream)
            if head.status != 200:
                raise Refused(head.status, b"".join([part async for part in self.parts(stream)]))
        return MapStream(self, stream, ClientView(self.version) if view is None else view)

    async def head(self, stream: int) -> ResponseReceived:
        """Return a response's head, once it has come."""
        match await self._inboxes[stream].get():
            case ResponseReceived() as head:
                return head
            case _:
                raise Gone("the stream ended before its answer")

    async def parts(self, stream: int) -> AsyncIterator[bytes]:
        """Yield a response's body, piece by piece."""
        while True:
            match await self._inboxes[stream].get():
                case DataReceived(data=data):
                    yield data
                case StreamClosed(error=None):
                    return
                case _:
                    raise Gone("the stream ended inside its answer")

    def drop(self, stream: int) -> None:
        """Cancel a request, if it still runs, and forget it."""
        self._http2.reset(stream)
        self._inboxes.pop(stream, None)
        self._flush()

    async def read(self) -> None:
        """Read the socket until it ends; `connect` does this."""
        try:
            while data := await self._reader.read(_READ):
                self._take(data)
                await self._reading.wait()
        except (ConnectionError, RemoteProtocolError):
            pass  # the streams are told below: whoever waits sees Gone
        finally:
            self._gone = True
            for inbox in self._inboxes.values():
                inbox.put_nowait(GoneAway(0))

    def take(self, data: bytes) -> None:
        """Take bytes that came together with the Noise response."""
        self._take(data)

    def _take(self, data: bytes) -> None:
        plain = self._early.receive(self._open.receive(data))
        for event in self._http2.receive(plain, time.monotonic()):
            if isinstance(event, GoneAway):
                raise Gone("the server went away")
            inbox = self._inboxes.get(getattr(event, "stream", 0))
            if inbox is not None:
                inbox.put_nowait(event)
        self._flush()

    def _send(self, method: str, path: str, body: bytes) -> int:
        if self._gone:
            raise Gone("the connection has ended")
        stream = self._http2.send_request(method, path, body)
        self._inboxes[stream] = (
            asyncio.Queue()
        )  # bounded by HTTP/2: nothing comes beyond what the server was asked
        self._flush()
        return stream

    def _flush(self) -> None:
        data = self._http2.data_to_send()
        if data and not self._writer.is_closing():
            self._writer.write(self._seal.seal(data))

    def _map_request(self, node_key: str, fields: Json) -> bytes:
        body = {
            "Version": self.version,
            "Compress": "zstd",
            "KeepAlive": True,
            "NodeKey": node_key,
            "DiscoKey": ZERO_TEXT[Kind.DISCO],
            "Hostinfo": {"OS": "linux", "Hostname": "model"},
        }
        return msgspec.json.encode({**body, **fields})


class MapStream:
    """A long poll: its frames in order, each taken into `view` as it is read."""

    def __init__(self, client: ControlClient, stream: int, view: ClientView) -> None:
        self.view: Final = view
        self._client: Final = client
        self._stream: Final = stream
        self._parts = client.parts(stream)
        self._decoder = Decoder(MAX_FRAME)
        self._ready: list[bytes] = []

    def __aiter__(self) -> "MapStream":
        return self

    async def __anext__(self) -> MapFrame:
        while not self._ready:
            self._ready.extend(self._decoder.receive(await anext(self._parts)))
        raw = self._ready.pop(0)
        return MapFrame(raw, self.view.apply(raw))

    async def next(self, limit: float = LIMIT) -> MapFrame:
        """Return the next frame, keep-alives too.

        Raises:
            TimeoutError: none came in time.
            Rejected: a real client would reject it.
            Gone: the stream broke off.
            StopAsyncIteration: the server ended the stream in order.
        """
        async with asyncio.timeout(limit):
            return await anext(self)

    async def until(self, holds: Callable[[ClientView], object], limit: float = LIMIT) -> ClientView:
        """Read frames until something holds of the view, and return the view.

        Raises:
            TimeoutError: it did not hold in time.
        """
        async with asyncio.timeout(limit):
            while not holds(self.view):
                await anext(self)
        return self.view

    def close(self) -> None:
        """Cancel the long poll, as a real client does: RST_STREAM with CANCEL."""
        self._client.drop(self._stream)


async def server_key(host: str, port: int, version: int = CAPVER) -> bytes:
    """Return the server's Noise public key, by `GET /key`."""
    reader, writer = await asyncio.open_connection(host, port)
    try:
        connection = h11.Connection(h11.CLIENT)
        request = h11.Request(method="GET", target=f"/key?v={version}", headers=[("Host", f"{host}:{port}")])
        writer.write((connection.send(request) or b"") + (connection.send(h11.EndOfMessage()) or b""))
        status, body = 0, b""
        while True:
            match connection.next_event():
                case h11.NEED_DATA:
                    connection.receive_data(await reader.read(_READ))
                case h11.Response(status_code=status):
                    pass
                case h11.Data(data=data):
                    body += data
                case _:
                    break
        return parse_present(Kind.MACHINE, Response(status, (), body).json()["publicKey"])
    finally:
        writer.close()


async def _some(reader: asyncio.StreamReader) -> bytes:
    data = await reader.read(_READ)
    if not data:
        raise Gone("the server ended the connection during the handshake")
    return data


async def _handshake(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, initiator: Initiator
) -> tuple[Session, bytes]:
    connection = h11.Connection(h11.CLIENT)
    headers = request_headers("model", initiator.initiation)
    writer.write(connection.send(h11.Request(method="POST", target=PATH, headers=headers)) or b"")
    connection.send(h11.EndOfMessage())
    while (event := connection.next_event()) is h11.NEED_DATA:
        connection.receive_data(await _some(reader))
    if isinstance(event, h11.Response):
        raise Refused(event.status_code, b"")
    if not isinstance(event, h11.InformationalResponse):
        raise Gone("the server did not answer the upgrade")
    check_switched(event.status_code, list(event.headers))
    data = connection.trailing_data[0]
    while (found := split_response(data)) is None:
        data += await _some(reader)
    return initiator.finish(found[0]), found[1]


@asynccontextmanager
async def connect(
    host: str, port: int, machine_key: PrivateKey, *, version: int = CAPVER, public: bytes | None = None
) -> AsyncIterator[ControlClient]:
    """Connect, shake hands, and read for as long as the block lasts; `public` spares the `GET /key`.

    Raises:
        Refused: the upgrade was answered with another status than 101.
    """
    async with asyncio.timeout(LIMIT):
        key = await server_key(host, port, version) if public is None else public
        reader, writer = await asyncio.open_connection(host, port)
        try:
            initiator = Initiator(machine_key, PrivateKey(os.urandom(32)), key, version)
            session, rest = await _handshake(reader, writer, initiator)
        except BaseException:
            writer.close()
            raise
    client = ControlClient(session, reader, writer)
    client.take(rest)
    # Not in a TaskGroup: that would wrap what the block raises, and tests look for it.
    reading = asyncio.create_task(client.read())
    try:
        yield client
    finally:
        reading.cancel()
        with suppress(asyncio.CancelledError):
            await reading
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()


def new_key(kind: Kind = Kind.NODE) -> str:
    """Return the text of a fresh public key."""
    return kind.value + PrivateKey(os.urandom(32)).public.hex()
