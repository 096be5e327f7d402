"""Scalars of the wire."""

import pytest

from frontends.wire.tailcfg.text import MAX_ENDPOINTS, endpoints


def test_good_endpoints_are_kept_in_order_each_once() -> None:
    sent = ["192.0.2.9:41641", "[2001:db8::1]:41641", "192.0.2.9:41641", "[2001:DB8:0::2]:1", "127.0.0.1:5"]
    assert endpoints(sent) == ("192.0.2.9:41641", "[2001:db8::1]:41641", "[2001:db8::2]:1", "127.0.0.1:5")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "192.0.2.9",
        "192.0.2.9:",
        "192.0.2.9:0",
        "192.0.2.9:65536",
        "192.0.2.9:99999999999999999999",
        "192.0.2.9:0000099999",
        "192.0.2.9:" + "0" * 5_000 + "1",
        "192.0.2.9:+1",
        "192.0.2.9:\u0661",
        "192.0.2.09:1",
        "host:1",
        "2001:db8::1:41641",
        "[192.0.2.9]:1",
        "[fe80::1]:1",
        "[fe80::1%eth0]:1",
        "[2001:db8::1%eth0]:1",
        "0.0.0.0:1",
        "[::]:1",
        "224.0.0.1:1",
        "192.0.2.9:1\n",
    ],
)
def test_an_endpoint_of_no_use_to_peers_is_left_out(text: str) -> None:
    assert endpoints([text, "192.0.2.9:1"]) == ("192.0.2.9:1",)


def test_endpoints_are_capped() -> None:
    assert len(endpoints(f"192.0.2.9:{port}" for port in range(1, 1000))) == MAX_ENDPOINTS
