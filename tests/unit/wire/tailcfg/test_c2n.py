"""Pings on the wire."""

from frontends.wire.codec import decode, encode
from frontends.wire.tailcfg.c2n import PingRequest, PingResponse


def test_a_request_to_the_node_is_carried_as_base64() -> None:
    request = PingRequest(
        url="https://unused/c2n/x", url_is_noise=True, types="c2n", payload=b"GET /echo HTTP/1.1\r\n\r\n"
    )
    assert encode(request) == (
        b'{"URL":"https://unused/c2n/x","URLIsNoise":true,"Types":"c2n","Payload":"R0VUIC9lY2hvIEhUVFAvMS4xDQoNCg=="}'
    )


def test_an_answer_is_read() -> None:
    answer = decode(b'{"Type":"disco","IP":"100.64.0.7","LatencySeconds":0.01,"PeerAPIPort":1}', PingResponse)
    assert (answer.type, answer.ip, answer.latency_seconds, answer.peer_api_port) == (
        "disco",
        "100.64.0.7",
        0.01,
        1,
    )
