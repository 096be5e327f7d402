"""The wire from end to end: the model client against the smallest server that real clients accept, over TCP."""

import asyncio
import os
import time
from collections.abc import AsyncIterator

import h11
import msgspec
import pytest

from frontends.wire import early, mapframe
from frontends.wire.codec import decode, encode, fragment
from frontends.wire.errors import RemoteProtocolError
from frontends.wire.frames import RecordReader, RecordWriter
from frontends.wire.http2 import BodyReceived, Http2, RequestReceived, Role, StreamClosed
from frontends.wire.keytext import Kind, show
from frontends.wire.noise import PrivateKey, Responder
from frontends.wire.tailcfg.derp import DERPMap, DERPNode, DERPRegion
from frontends.wire.tailcfg.filter import FilterRule, NetPortRange
from frontends.wire.tailcfg.hostinfo import Hostinfo, for_peers
from frontends.wire.tailcfg.map import Debug, MapRequest, MapResponse, UserProfile
from frontends.wire.tailcfg.map import Kind as MapKind
from frontends.wire.tailcfg.node import Node
from frontends.wire.tailcfg.register import Login, RegisterRequest, RegisterResponse, ServerKeys, User
from frontends.wire.upgrade import SWITCHING, is_upgrade_path, read_initiation
from tests.kit.control_client import Gone, Refused, connect, new_key, server_key
from tests.kit.go_json import Rejected

SERVER = PrivateKey(bytes(range(32)))
MACHINE = PrivateKey(bytes(range(32, 64)))
CHALLENGE = bytes(range(1, 33))
REGION = DERPRegion(
    region_id=900,
    region_code="lab",
    region_name="Lab",
    nodes=(DERPNode(name="900a", region_id=900, host_name="127.0.0.1", derp_port=1),),
)


def a_node(number: int, key: str, info: Hostinfo | None = None) -> msgspec.Raw:
    address = f"100.64.0.{number}/32"
    return fragment(
        Node(
            id=number,
            stable_id=f"n{number}",
            name=f"h{number}.tail.example.com.",
            user=1,
            key=key,
            addresses=(address,),
            allowed_ips=(address,),
            hostinfo=for_peers(info or Hostinfo(hostname=f"h{number}", os="linux")),
            machine_authorized=True,
            online=True,
            created="2026-01-01T00:00:00Z",
        )
    )


class TinyServer:
    """Says yes to everybody; `streams` are the long polls, to be written to by the test."""

    def __init__(self) -> None:
        self.encoder = mapframe.Encoder()
        self.streams: dict[int, Connection] = {}
        self.lite: list[MapRequest] = []
        self.registered: list[RegisterRequest] = []
        self.machines: list[bytes] = []
        self.answer: bytes | None = None

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        http = h11.Connection(h11.SERVER)
        try:
            event = http.next_event()
            while event is h11.NEED_DATA:
                http.receive_data(await reader.read(65_536))
                event = http.next_event()
            if not isinstance(event, h11.Request):
                return
            if not is_upgrade_path(event.target):
                body = encode(ServerKeys(public_key=show(Kind.MACHINE, SERVER.public)))
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
                return
            initiation = read_initiation(event.method, list(event.headers))
            await Connection(self, writer, initiation).run(reader)
        except (RemoteProtocolError, ConnectionError):
            pass
        finally:
            writer.close()

    def first(self, request: MapRequest) -> MapResponse:
        rule = FilterRule(src_ips=("*",), dst_ports=(NetPortRange(ip="*"),))
        return MapResponse(
            node=a_node(1, request.node_key, request.hostinfo),
            derp_map=fragment(DERPMap(regions={900: REGION})),
            peers=(a_node(2, new_key()),),
            packet_filters={"base": (fragment(rule),)},
            user_profiles=(fragment(UserProfile(id=1, login_name="u@example.com", display_name="U")),),
            domain="example.com",
            control_time="2026-01-01T00:00:00Z",
            debug=Debug(disable_log_tail=True),
        )

    def push(self, response: MapResponse) -> None:
        for stream, connection in self.streams.items():
            connection.send(stream, self.encoder.encode(encode(response)))


class Connection:
    """One client of the tiny server."""

    def __init__(self, server: TinyServer, writer: asyncio.StreamWriter, initiation: bytes) -> None:
        response, session = Responder(SERVER, PrivateKey(os.urandom(32))).respond(initiation)
        server.machines.append(session.remote_static)
        self.server, self.writer = server, writer
        self.seal, self.open = RecordWriter(session.send), RecordReader(session.receive)
        self.http2 = Http2(Role.SERVER, time.monotonic())
        self.paths: dict[int, str] = {}
        hello = self.seal.seal(early.build(CHALLENGE) + self.http2.data_to_send())
        writer.write(SWITCHING + response + hello)

    async def run(self, reader: asyncio.StreamReader) -> None:
        while data := await reader.read(65_536):
            try:
                events = self.http2.receive(self.open.receive(data), time.monotonic())
            finally:
                self.flush()
            for event in events:
                match event:
                    case RequestReceived(stream=stream, path=path):
                        self.paths[stream] = path
                    case BodyReceived(stream=stream, body=body):
                        self.on_request(stream, self.paths[stream], body)
                    case StreamClosed(stream=stream):
                        self.server.streams.pop(stream, None)
                    case _:
                        pass
            self.flush()
            await self.writer.drain()

    def on_request(self, stream: int, path: str, body: bytes) -> None:
        if path == "/machine/register":
            self.server.registered.append(decode(body, RegisterRequest))
            login = Login(id=1, login_name="u@example.com", display_name="U", provider="x")
            said = RegisterResponse(machine_authorized=True, user=User(id=1, display_name="U"), login=login)
            self.http2.send_headers(stream, 200)
            self.http2.send_data(stream, encode(said), end=True)
        elif path == "/machine/map":
            self.on_map(stream, decode(body, MapRequest))
        else:
            self.http2.send_headers(stream, 404, end=True)

    def on_map(self, stream: int, request: MapRequest) -> None:
        self.http2.send_headers(stream, 200)
        if request.kind is MapKind.LITE:
            self.server.lite.append(request)
            self.http2.send_data(stream, b"", end=True)
            return
        first = self.server.answer or self.server.encoder.encode(encode(self.server.first(request)))
        self.http2.send_data(stream, mapframe.KEEP_ALIVE + first)
        self.server.streams[stream] = self

    def send(self, stream: int, data: bytes, *, end: bool = False) -> None:
        self.http2.send_data(stream, data, end=end)
        self.flush()

    def flush(self) -> None:
        self.writer.write(self.seal.seal(self.http2.data_to_send()))


@pytest.fixture
async def server() -> AsyncIterator[tuple[TinyServer, int]]:
    tiny = TinyServer()
    listening = await asyncio.start_server(tiny.serve, "127.0.0.1", 0)
    async with listening:
        yield tiny, listening.sockets[0].getsockname()[1]


Served = tuple[TinyServer, int]


async def test_a_client_learns_the_key_shakes_hands_and_gets_the_challenge(server: Served) -> None:
    tiny, port = server
    assert await server_key("127.0.0.1", port) == SERVER.public
    async with connect("127.0.0.1", port, MACHINE) as client:
        assert (await client.request("GET", "/machine/whoami")).status == 404
        assert client.challenge == CHALLENGE
    assert tiny.machines == [MACHINE.public]


async def test_a_client_registers(server: Served) -> None:
    tiny, port = server
    key = new_key()
    async with connect("127.0.0.1", port, MACHINE) as client:
        answer = await client.register(key, auth_key="secret", hostinfo={"Hostname": "web"}, Ephemeral=True)
    assert answer["Login"]["LoginName"] == "u@example.com"
    request = tiny.registered[0]
    assert (request.node_key, request.auth_key, request.ephemeral) == (key, "secret", True)
    assert request.hostinfo is not None
    assert request.hostinfo.hostname == "web"


async def test_a_client_reports_and_polls(server: Served) -> None:
    tiny, port = server
    key = new_key()
    async with connect("127.0.0.1", port, MACHINE) as client:
        assert await client.map_lite(key, Endpoints=["192.0.2.1:1"]) == 200
        stream = await client.map_stream(key)
        view = await stream.until(lambda view: view.frames == 1)
        assert tiny.lite[0].endpoints == ("192.0.2.1:1",)
        assert view.keep_alives == 1
        assert view.node is not None
        assert view.node["Key"] == key
        assert view.complaints() == []
        tiny.push(MapResponse(peers_changed=(a_node(3, new_key()),), peers_removed=(2,)))
        frame = await stream.next()
        assert msgspec.json.decode(frame.raw) == frame.json
        assert set(view.peers) == {3}


async def test_a_map_of_many_megabytes_flows(server: Served) -> None:
    tiny, port = server
    noise = b"".join(i.to_bytes(4) for i in range(1_500_000))
    async with connect("127.0.0.1", port, MACHINE) as client:
        stream = await client.map_stream(new_key())
        await stream.until(lambda view: view.frames == 1)
        tiny.push(MapResponse(health=(noise.hex(),)))
        view = await stream.until(lambda view: view.health)
    assert view.health == [noise.hex()]


async def test_a_client_that_does_not_read_leaves_bytes_pending_at_the_server(server: Served) -> None:
    tiny, port = server
    async with connect("127.0.0.1", port, MACHINE) as client:
        stream = await client.map_stream(new_key())
        await stream.until(lambda view: view.frames == 1)
        client.pause()
        (number,) = tiny.streams
        tiny.streams[number].send(number, mapframe.join(bytes(8_000_000)))
        assert tiny.streams[number].http2.pending(number) >= 8_000_000 - 4 * 1024 * 1024
        client.resume()
        with pytest.raises(RemoteProtocolError, match="not zstd"):
            await stream.next()


async def test_a_cancelled_poll_is_told_to_the_server(server: Served) -> None:
    tiny, port = server
    async with connect("127.0.0.1", port, MACHINE) as client:
        stream = await client.map_stream(new_key())
        assert tiny.streams
        stream.close()
        await client.request("GET", "/machine/whoami")
        assert not tiny.streams


async def test_a_stream_that_the_server_ends_ends(server: Served) -> None:
    tiny, port = server
    async with connect("127.0.0.1", port, MACHINE) as client:
        stream = await client.map_stream(new_key())
        ((number, connection),) = tiny.streams.items()
        connection.send(number, b"", end=True)
        assert [frame.json.get("KeepAlive", False) async for frame in stream] == [True, False]


async def test_a_lost_connection_is_told_to_whoever_waits(server: Served) -> None:
    tiny, port = server
    async with connect("127.0.0.1", port, MACHINE) as client:
        stream = await client.map_stream(new_key())
        await stream.until(lambda view: view.frames == 1)
        next(iter(tiny.streams.values())).writer.close()
        with pytest.raises(Gone):
            await stream.next()
        with pytest.raises(Gone):
            await client.map_lite(new_key())


async def test_a_frame_that_a_real_client_rejects_is_rejected(server: Served) -> None:
    tiny, port = server
    tiny.answer = mapframe.Encoder().encode(b'{"Peers":[]}')
    async with connect("127.0.0.1", port, MACHINE) as client:
        stream = await client.map_stream(new_key())
        with pytest.raises(Rejected, match="lacked node"):
            await stream.until(lambda view: view.frames)


async def test_a_wait_ends(server: Served) -> None:
    _, port = server
    async with connect("127.0.0.1", port, MACHINE) as client:
        stream = await client.map_stream(new_key())
        with pytest.raises(TimeoutError):
            await stream.until(lambda view: view.frames == 2, limit=0.05)


async def test_an_upgrade_with_another_server_s_key_fails(server: Served) -> None:
    _, port = server
    with pytest.raises(Gone):
        async with connect("127.0.0.1", port, MACHINE, public=MACHINE.public):
            pass


async def test_another_status_is_a_refusal(server: Served) -> None:
    _, port = server
    async with connect("127.0.0.1", port, MACHINE) as client:
        answer = await client.request("POST", "/nowhere", b"{}")
        with pytest.raises(Refused) as caught:
            answer.json()
    assert caught.value.status == 404
