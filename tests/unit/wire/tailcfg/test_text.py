"""Scalars of the wire."""

import pytest

from frontends.wire.errors import RemoteProtocolError
from frontends.wire.tailcfg.text import MAX_ENDPOINTS, endpoints, prefixes


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


def test_prefixes_are_masked_and_written_anew() -> None:
    sent = ["10.0.0.5/24", "10.0.0.0/24", "0.0.0.0/0", "::/0", "2001:DB8::1/64"]
    assert prefixes(sent) == ("10.0.0.0/24", "0.0.0.0/0", "::/0", "2001:db8::/64")


@pytest.mark.parametrize(
    "text",
    ["", "10.0.0.0", "10.0.0.0/33", "10.0.0.0/255.0.0.0", "10.0.0/8", "fe80::%eth0/64", "x/1", "10.0.0.0/ 8"],
)
def test_what_is_no_prefix_is_refused(text: str) -> None:
    with pytest.raises(RemoteProtocolError):
        prefixes([text])


def test_a_thousand_routes_are_enough() -> None:
    with pytest.raises(RemoteProtocolError):
        prefixes(f"10.{i // 256}.{i % 256}.0/24" for i in range(1001))
