"""Streams and flow control, both roles against each other and against hostile frames."""

from collections.abc import Callable, Iterable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from frontends.wire.budget import MAX_BODY, MAX_STREAMS
from frontends.wire.errors import LocalProtocolError, RemoteProtocolError
from frontends.wire.http2 import (
    BodyReceived,
    DataReceived,
    Event,
    GoneAway,
    Http2,
    RequestReceived,
    ResponseReceived,
    Role,
    StreamClosed,
)

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
SETTINGS = bytes(3) + b"\x04\x00" + bytes(4)
# What Go's client sends first (control-protocol §3.7): SETTINGS and a connection window of 1 GiB.
GO_FIRST = (
    PREFACE
    + bytes.fromhex("000018040000000000" + "000200000000" + "000400400000" + "000500004000" + "000600a00000")
    + bytes.fromhex("000004080000000000" + "40000000")
)


class Pair:
    """A client and a server joined by perfect wires."""

    def __init__(self) -> None:
        self.client = Http2(Role.CLIENT, 0.0)
        self.server = Http2(Role.SERVER, 0.0)
        self.at_client: list[Event] = []
        self.at_server: list[Event] = []
        self.exchange()

    def exchange(self) -> None:
        while True:
            up = self.client.data_to_send()
            self.at_server += self.server.receive(up, 0.0)
            down = self.server.data_to_send()
            self.at_client += self.client.receive(down, 0.0)
            if not up and not down:
                return

    def request(self, method: str = "POST", path: str = "/machine/map", body: bytes = b"") -> int:
        stream = self.client.send_request(method, path, body)
        self.exchange()
        return stream

    def body(self, stream: int) -> bytes:
        return b"".join(e.data for e in self.at_client if isinstance(e, DataReceived) and e.stream == stream)


def frame(kind: int, payload: bytes = b"", *, flags: int = 0, stream: int = 0) -> bytes:
    return len(payload).to_bytes(3) + bytes([kind, flags]) + stream.to_bytes(4) + payload


def open_server() -> Http2:
    server = Http2(Role.SERVER, 0.0)
    server.receive(PREFACE + SETTINGS, 0.0)
    server.data_to_send()
    return server


def send_all(server: Http2, chunks: Iterable[bytes]) -> None:
    for chunk in chunks:
        server.receive(chunk, 0.0)


def last_frame_is_goaway(server: Http2) -> bool:
    data, at, kind = server.data_to_send(), 0, -1
    while at < len(data):
        kind = data[at + 3]
        at += 9 + int.from_bytes(data[at : at + 3])
    return kind == 7


@pytest.mark.parametrize("method", ["POST", "GET", "PATCH"])
@pytest.mark.parametrize("body", [b"", b'{"Version":142}', bytes(MAX_BODY)])
def test_a_request_arrives_whole_whatever_its_method(method: str, body: bytes) -> None:
    pair = Pair()
    stream = pair.request(method, "/machine/tka/sync/offer", body)
    head, whole = pair.at_server
    assert isinstance(head, RequestReceived)
    assert (head.stream, head.method, head.path) == (stream, method, "/machine/tka/sync/offer")
    assert whole == BodyReceived(stream, body)


def test_a_response_arrives_with_its_headers_and_ends() -> None:
    pair = Pair()
    stream = pair.request()
    assert pair.server.send_headers(stream, 200, [(b"content-type", b"application/json")])
    assert pair.server.send_data(stream, b"{}", end=True)
    pair.exchange()
    assert pair.at_client == [
        ResponseReceived(stream, 200, ((b"content-type", b"application/json"),)),
        DataReceived(stream, b"{}"),
        StreamClosed(stream),
    ]
    assert not pair.server.is_open(stream)


def test_a_response_may_be_a_head_alone() -> None:
    pair = Pair()
    stream = pair.request(body=b"{}")
    pair.server.send_headers(stream, 204, end=True)
    pair.exchange()
    assert pair.at_client == [ResponseReceived(stream, 204, ()), StreamClosed(stream)]


def test_a_body_may_end_with_nothing() -> None:
    pair = Pair()
    stream = pair.request()
    pair.server.send_headers(stream, 200)
    pair.server.send_data(stream, b"x")
    pair.server.send_data(stream, b"", end=True)
    pair.exchange()
    assert pair.body(stream) == b"x"
    assert pair.at_client[-1] == StreamClosed(stream)


def test_data_beyond_the_window_waits_and_flows_when_it_opens() -> None:
    pair = Pair()
    stream = pair.request()
    big = bytes(range(256)) * 40_000  # 10 MB, the client's stream window is 4 MiB
    pair.server.send_headers(stream, 200)
    pair.server.send_data(stream, big[:5_000_000])
    pair.server.send_data(stream, big[5_000_000:], end=True)
    assert pair.server.pending(stream) == len(big) - 4 * 1024 * 1024
    pair.exchange()
    assert pair.server.pending(stream) == 0
    assert pair.body(stream) == big
    assert pair.at_client[-1] == StreamClosed(stream)


def test_a_stream_that_waits_does_not_stop_another() -> None:
    pair = Pair()
    first, second = pair.request(), pair.request()
    for stream in (first, second):
        pair.server.send_headers(stream, 200)
    pair.server.send_data(first, bytes(5_000_000))
    assert pair.server.pending(first) > 0
    pair.server.send_data(second, b"short")
    assert pair.server.pending(second) == 0


def test_a_window_of_zero_stalls_and_a_larger_one_frees() -> None:
    server = open_server()
    zero = bytes.fromhex("000400000000")
    server.receive(frame(4, zero) + request_frames(1), 0.0)
    server.send_headers(1, 200)
    server.send_data(1, b"hello", end=True)
    assert server.pending(1) == 5
    server.receive(frame(8, (3).to_bytes(4), stream=1), 0.0)
    assert server.pending(1) == 2
    server.receive(frame(4, bytes.fromhex("000400000010")), 0.0)
    assert server.pending(1) == 0
    assert not server.is_open(1)


def request_frames(stream: int, *, end: bool = True, extra: bytes = b"") -> bytes:
    """HEADERS with :method POST, :scheme https, :path /, :authority u."""
    return frame(1, b"\x83\x87\x84\x01\x01u" + extra, flags=4 | int(end), stream=stream)


def test_a_cancelled_request_is_told_and_what_waits_is_dropped() -> None:
    pair = Pair()
    stream = pair.request()
    pair.server.send_headers(stream, 200)
    pair.server.send_data(stream, bytes(5_000_000))
    pair.client.reset(stream)
    pair.at_server += pair.server.receive(pair.client.data_to_send(), 0.0)
    assert pair.at_server[-1] == StreamClosed(stream, 8)
    assert pair.server.pending(stream) == 0
    assert not pair.server.send_data(stream, b"late")
    assert not pair.server.send_headers(stream, 200)


def test_the_first_flight_of_a_real_client_is_taken() -> None:
    server = Http2(Role.SERVER, 0.0)
    events = server.receive(GO_FIRST + request_frames(1), 0.0)
    assert events == [RequestReceived(1, "POST", "/", ()), BodyReceived(1, b"")]


@given(st.integers(1, 40))
def test_any_chunking_gives_the_same_events(step: int) -> None:
    wire = GO_FIRST + request_frames(1, end=False) + frame(0, b"body", flags=1, stream=1) + request_frames(3)
    whole, pieces = Http2(Role.SERVER, 0.0), Http2(Role.SERVER, 0.0)
    chunks = (wire[i : i + step] for i in range(0, len(wire), step))
    assert [e for chunk in chunks for e in pieces.receive(chunk, 0.0)] == whole.receive(wire, 0.0)


def test_a_ping_is_answered() -> None:
    server = open_server()
    server.receive(frame(6, b"12345678"), 0.0)
    assert server.data_to_send() == frame(6, b"12345678", flags=1)


FLOODS: dict[str, Callable[[int], bytes]] = {
    "rapid reset": lambda i: request_frames(2 * i + 1) + frame(3, (8).to_bytes(4), stream=2 * i + 1),
    "ping": lambda _: frame(6, bytes(8)),
    "settings": lambda _: SETTINGS,
    "priority": lambda _: frame(2, bytes(5), stream=1),
    "unknown": lambda _: frame(99, b"x"),
    "empty data": lambda i: request_frames(1, end=False) if i == 0 else frame(0, stream=1),
    "padded empty data": lambda i: (
        request_frames(1, end=False) if i == 0 else frame(0, b"\x01\x00", flags=8, stream=1)
    ),
    "window updates": lambda _: frame(8, (1).to_bytes(4)) * 3,
    # Data after the request's end on a stream that we reset: the library answers each frame with a reset.
    "made you reset": lambda i: (
        request_frames(1) + frame(3, (8).to_bytes(4), stream=1) if i == 0 else frame(0, b"x", stream=1)
    ),
}


@pytest.mark.parametrize("name", FLOODS)
def test_a_flood_ends_in_goaway(name: str) -> None:
    server = open_server()
    with pytest.raises(RemoteProtocolError, match="move nothing"):
        send_all(server, (FLOODS[name](i) for i in range(150)))
    assert last_frame_is_goaway(server)
    assert server.receive(request_frames(1001), 0.0) == []


@pytest.mark.parametrize("name", sorted(set(FLOODS) - {"window updates"}))
def test_the_same_frames_slowly_are_no_flood(name: str) -> None:
    server = open_server()
    for i in range(150):
        server.receive(FLOODS[name](i), i * 0.25)


def test_resets_that_we_were_made_to_send_count_also_before_data_of_ours() -> None:
    server = open_server()
    server.receive(request_frames(1) + request_frames(3) + frame(3, (8).to_bytes(4), stream=3), 0.0)
    server.send_headers(1, 200)
    server.send_data(1, bytes(5_000_000))
    wider = frame(8, (4_096).to_bytes(4)) + frame(8, (4_096).to_bytes(4), stream=1)
    with pytest.raises(RemoteProtocolError, match="move nothing"):
        send_all(server, (frame(0, b"x", stream=3) + wider for _ in range(150)))


def test_seventeen_requests_at_once_are_too_many() -> None:
    server = open_server()
    for i in range(MAX_STREAMS):
        server.receive(request_frames(2 * i + 1), 0.0)
    with pytest.raises(RemoteProtocolError):
        server.receive(request_frames(2 * MAX_STREAMS + 1), 0.0)
    assert last_frame_is_goaway(server)


def test_a_body_over_a_mebibyte_is_refused() -> None:
    pair = Pair()
    with pytest.raises(RemoteProtocolError) as caught:
        pair.request(body=bytes(MAX_BODY + 1))
    assert caught.value.status == 413


def test_many_unfinished_bodies_are_refused_together() -> None:
    server = open_server()
    requests = (
        request_frames(stream, end=False) + frame(0, bytes(16_384), stream=stream) * 60
        for stream in (1, 3, 5)
    )
    with pytest.raises(RemoteProtocolError) as caught:
        send_all(server, requests)
    assert caught.value.status == 413


def test_long_headers_are_refused() -> None:
    server = open_server()
    bomb = b"\x40\x01a\x7f\x81\x7e" + bytes(16_384 - 128)
    with pytest.raises(RemoteProtocolError):
        server.receive(request_frames(1, extra=bomb), 0.0)
    assert last_frame_is_goaway(server)


def test_an_hpack_bomb_is_refused() -> None:
    server = open_server()
    # One long header goes into the dynamic table; then a byte each repeats it.
    entry = b"\x40\x01a\x7f\xa1\x1e" + b"x" * 4000
    with pytest.raises(RemoteProtocolError):
        server.receive(request_frames(1, extra=entry + b"\xbe" * 1000), 0.0)
    assert last_frame_is_goaway(server)


@settings(max_examples=150)
@given(
    st.lists(st.tuples(st.integers(0, 11), st.integers(0, 255), st.integers(0, 5), st.binary(max_size=40)))
)
def test_hostile_frames_raise_nothing_but_a_remote_error(frames: list[tuple[int, int, int, bytes]]) -> None:
    server = open_server()
    wire = (frame(kind, payload, flags=flags, stream=stream) for kind, flags, stream, payload in frames)
    try:
        send_all(server, wire)
    except RemoteProtocolError:
        assert last_frame_is_goaway(server)


def test_the_preface_of_something_else_is_refused() -> None:
    with pytest.raises(RemoteProtocolError):
        Http2(Role.SERVER, 0.0).receive(b"GET / HTTP/1.1\r\n\r\n", 0.0)


def test_goaway_ends_every_stream() -> None:
    pair = Pair()
    stream = pair.request()
    pair.client.close()
    pair.exchange()
    assert pair.at_server[-1] == GoneAway(0)
    assert not pair.server.send_headers(stream, 200)
    assert pair.server.receive(b"anything", 0.0) == []


def test_an_answer_before_the_request_s_end_resets_the_rest() -> None:
    server = open_server()
    server.receive(request_frames(1, end=False), 0.0)
    server.send_headers(1, 413, end=True)
    assert server.data_to_send().endswith(frame(3, bytes(4), stream=1))


def test_our_own_mistakes_are_ours() -> None:
    pair = Pair()
    stream = pair.request()
    with pytest.raises(LocalProtocolError):
        pair.server.send_request("GET", "/")
    with pytest.raises(LocalProtocolError):
        pair.client.send_headers(pair.client.send_request("POST", "/", b"x"), 200)
    pair.server.send_headers(stream, 200)
    pair.server.send_data(stream, bytes(5_000_000), end=True)
    with pytest.raises(LocalProtocolError):
        pair.server.send_data(stream, b"after the end")


def test_a_client_keeps_to_the_server_s_number_of_streams() -> None:
    pair = Pair()
    for _ in range(MAX_STREAMS):
        pair.client.send_request("POST", "/")
    with pytest.raises(LocalProtocolError):
        pair.client.send_request("POST", "/")


@pytest.mark.parametrize("status", [b"", b"ok", b"\xff"])
def test_a_response_without_a_status_is_the_server_s_fault(status: bytes) -> None:
    client = Http2(Role.CLIENT, 0.0)
    client.send_request("GET", "/")
    head = b"\x08" + bytes([len(status)]) + status
    with pytest.raises(RemoteProtocolError):
        client.receive(SETTINGS + frame(1, head, flags=5, stream=1), 0.0)
