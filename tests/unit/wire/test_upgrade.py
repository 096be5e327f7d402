"""The upgrade, through h11 on both sides."""

import base64

import h11
import pytest

from frontends.wire.errors import RemoteProtocolError
from frontends.wire.upgrade import (
    PATH,
    SWITCHING,
    check_switched,
    decode_handshake,
    is_upgrade_path,
    read_initiation,
    request_headers,
)

INITIATION = bytes(range(101))
# Bytes of a real client (control-protocol §3.2), with our initiation.
AS_SEEN = (
    b"POST /ts2021 HTTP/1.1\r\nHost: 127.0.0.1:8080\r\nUser-Agent: Go-http-client/1.1\r\nContent-Length: 0\r\n"
    b"Connection: upgrade\r\nUpgrade: tailscale-control-protocol\r\nX-Tailscale-Handshake: "
    + base64.b64encode(INITIATION)
    + b"\r\n\r\n"
)


def read(request: bytes) -> bytes:
    server = h11.Connection(h11.SERVER)
    server.receive_data(request)
    event = server.next_event()
    assert isinstance(event, h11.Request)
    assert is_upgrade_path(event.target)
    return read_initiation(event.method, list(event.headers))


def test_the_initiation_of_a_real_client_is_read() -> None:
    assert read(AS_SEEN) == INITIATION


def test_our_own_client_s_request_is_read() -> None:
    client = h11.Connection(h11.CLIENT)
    request = client.send(h11.Request(method="POST", target=PATH, headers=request_headers("h", INITIATION)))
    assert request is not None
    assert read(request) == INITIATION


def test_the_upgrade_is_compared_without_case() -> None:
    assert read(AS_SEEN.replace(b"Upgrade: tailscale", b"upgrade: Tailscale")) == INITIATION


@pytest.mark.parametrize(
    ("was", "becomes", "status"),
    [
        (b"POST", b"GET", 405),
        (b"Upgrade: tailscale-control-protocol\r\n", b"", 426),
        (b"tailscale-control-protocol", b"websocket", 400),
        (b"X-Tailscale-Handshake", b"X-Other", 400),
        (b"AAECAwQF", b"AAECAwQ", 400),
        (b"AAECAwQF", b"AAECAwQ*", 400),
        (b"Y2Q=\r", b"Y2QA\r", 400),
        (b"Y2Q=\r", b"Y===\r", 400),
        (b"Host: 127.0.0.1:8080", b"Host: h\r\nUpgrade: tailscale-control-protocol", 400),
        (b"Host: 127.0.0.1:8080", b"Host: h\r\nX-Tailscale-Handshake: AAAA", 400),
    ],
)
def test_anything_else_is_refused_with_a_status(was: bytes, becomes: bytes, status: int) -> None:
    assert was in AS_SEEN
    with pytest.raises(RemoteProtocolError) as caught:
        read(AS_SEEN.replace(was, becomes, 1))
    assert caught.value.status == status


def test_url_safe_base64_is_refused() -> None:
    with pytest.raises(RemoteProtocolError):
        decode_handshake(base64.urlsafe_b64encode(b"\xff" * 101))


@pytest.mark.parametrize(
    ("target", "answer"), [(b"/ts2021", True), (b"/ts2021?x=1", True), (b"/ts20212", False)]
)
def test_the_path_is_known_whatever_its_query(target: bytes, answer: bool) -> None:  # noqa: FBT001
    assert is_upgrade_path(target) is answer


def test_the_answer_is_what_the_real_client_takes() -> None:
    client = h11.Connection(h11.CLIENT)
    client.send(h11.Request(method="POST", target=PATH, headers=request_headers("h", INITIATION)))
    client.send(h11.EndOfMessage())
    client.receive_data(SWITCHING + b"\x02\x00\x30")
    event = client.next_event()
    assert isinstance(event, h11.InformationalResponse)
    check_switched(event.status_code, list(event.headers))
    assert client.next_event() is h11.PAUSED
    assert client.trailing_data[0] == b"\x02\x00\x30"
    assert b"Content-Length" not in SWITCHING
    assert b"\r\nUpgrade: tailscale-control-protocol\r\n" in SWITCHING


@pytest.mark.parametrize(
    ("status", "headers"),
    [
        (200, {b"upgrade": b"tailscale-control-protocol", b"connection": b"upgrade"}),
        (101, {b"upgrade": b"Tailscale-Control-Protocol", b"connection": b"upgrade"}),
        (101, {b"upgrade": b"tailscale-control-protocol"}),
        (101, {}),
    ],
)
def test_the_client_refuses_another_answer(status: int, headers: dict[bytes, bytes]) -> None:
    with pytest.raises(RemoteProtocolError):
        check_switched(status, headers.items())
