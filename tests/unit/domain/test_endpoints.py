"""What a WireGuard endpoint may be: the endpoints' row of the table of refusals (scenario N14)."""

import pytest

from engine.domain.endpoints import MAX_ENDPOINTS, parse_endpoints, refuse_loops
from engine.domain.errors import Invalid


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("localhost:51820", "endpoint.host"),
        ("relay.local:51820", "endpoint.host"),
        ("a..example.org:51820", "endpoint.host"),
        ("0x7f.1:51820", "endpoint.host"),
        ("-a.example.org:51820", "endpoint.host"),
        ("bücher.example.org:51820", "endpoint.host"),
        ("user@host.example.org:51820", "endpoint.host"),
        ("a" * 64 + ".example.org:51820", "endpoint.host"),
        ("http://host.example.org:51820", "endpoint.syntax"),
        ("192.0.2.1:1+", "endpoint.syntax"),
        ("192.0.2.1:1+0", "endpoint.port"),
        ("home.example.org:70000", "endpoint.port"),
        ("192.0.2.1", "endpoint.syntax"),
        ("192.0.2.1:", "endpoint.syntax"),
        ("192.0.2.1:http", "endpoint.syntax"),
        ("192.0.2.1:-1", "endpoint.syntax"),
        ("192.0.2.256:1", "endpoint.syntax"),
        ("192.0.2.01:1", "endpoint.syntax"),
        ("2001:db8::1:51820", "endpoint.syntax"),
        ("[192.0.2.1]:51820", "endpoint.syntax"),
        ("[2001:db8::1]", "endpoint.syntax"),
        ("192.0.2.1:0", "endpoint.port"),
        ("192.0.2.1:65536", "endpoint.port"),
        ("0.0.0.0:1", "endpoint.address"),
        ("[::]:1", "endpoint.address"),
        ("127.0.0.1:1", "endpoint.address"),
        ("[::1]:1", "endpoint.address"),
        ("224.0.0.1:1", "endpoint.address"),
        ("[ff02::1]:1", "endpoint.address"),
        ("255.255.255.255:1", "endpoint.address"),
        ("240.0.0.1:1", "endpoint.address"),
        ("[::ffff:192.0.2.1]:1", "endpoint.address"),
        ("169.254.169.254:80", "endpoint.address"),
        ("[fe80::1]:1", "endpoint.address"),
        ("[2001:db8::1%eth0]:1", "endpoint.address"),
        ("100.64.0.1:1", "endpoint.tailnet"),
        ("[fd7a:115c:a1e0::1]:1", "endpoint.tailnet"),
        ("10.0.0.5:51820", "endpoint.loop"),
    ],
)
def test_what_no_client_can_send_to_is_refused(text: str, code: str) -> None:
    with pytest.raises(Invalid) as caught:
        parse_endpoints([text], ["10.0.0.0/24", "0.0.0.0/0"])
    assert caught.value.code == code
    assert caught.value.field == "endpoints"
    assert text in caught.value.message


def test_at_least_one_endpoint_is_needed() -> None:
    with pytest.raises(Invalid) as caught:
        parse_endpoints([], [])
    assert caught.value.code == "endpoint.none"


@pytest.mark.parametrize(
    ("text", "warning"),
    [
        ("1.2.3.4:51820", "endpoint.no_ipv6"),
        ("10.0.1.1:51820", "endpoint.private"),
        ("172.16.0.1:1", "endpoint.private"),
        ("192.168.1.1:1", "endpoint.private"),
        ("[fd00::1]:1", "endpoint.private"),
        ("[fd00:ec2::254]:1", "endpoint.metadata"),
        ("[fe80::1%eth0]:1", "endpoint.zone"),
        ("[2001:db8::1]:51820", "endpoint.no_ipv4"),
    ],
)
def test_what_only_some_can_reach_is_accepted_with_a_warning(text: str, warning: str) -> None:
    endpoints, warnings = parse_endpoints([text], [])
    assert endpoints == (text,)
    assert warning in [said.partition(":")[0] for said in warnings]


def test_endpoints_that_everybody_can_reach_are_no_warning() -> None:
    assert parse_endpoints(["1.2.3.4:51820", "[2001:db8::1]:51820"], [])[1] == []


def test_endpoints_are_kept_canonical_once_and_in_order() -> None:
    endpoints, warnings = parse_endpoints(
        ["[2001:DB8:0:0::1]:51820", " 1.2.3.4:51820", "[2001:db8::1]:51820"], []
    )
    assert endpoints == ("[2001:db8::1]:51820", "1.2.3.4:51820")
    assert [said.partition(":")[0] for said in warnings] == ["endpoint.duplicate"]


def test_a_host_name_is_kept_as_given_in_lower_case() -> None:
    endpoints, warnings = parse_endpoints(["Home.Example.ORG.:51820", "1.2.3.4:1"], ["10.0.0.0/24"])
    assert endpoints == ("home.example.org:51820", "1.2.3.4:1")
    assert warnings == []


def test_several_ports_of_one_place_are_an_endpoint_each() -> None:
    endpoints, warnings = parse_endpoints(["1.2.3.4:51820+53+443", "[2001:db8::1]:1+2", "a.b:1+53+1"], [])
    assert endpoints == (
        *("1.2.3.4:51820", "1.2.3.4:53", "1.2.3.4:443"),
        *("[2001:db8::1]:1", "[2001:db8::1]:2"),
        *("a.b:1", "a.b:53"),
    )
    assert [said.partition(":")[0] for said in warnings] == ["endpoint.duplicate"]


def test_the_number_of_endpoints_is_bounded_ports_counted() -> None:
    whole = "1.2.3.4:" + "+".join(str(port) for port in range(1, MAX_ENDPOINTS + 1))
    assert len(parse_endpoints([whole], [])[0]) == MAX_ENDPOINTS
    with pytest.raises(Invalid) as caught:
        parse_endpoints([whole, "1.2.3.4:99"], [])
    assert caught.value.code == "endpoint.many"


def test_canonical_endpoints_inside_the_tunnel_are_refused_and_names_passed_over() -> None:
    refuse_loops(["10.0.0.5:1", "a.example.org:1"], ["0.0.0.0/0", "10.1.0.0/24"])
    with pytest.raises(Invalid) as caught:
        refuse_loops(["a.example.org:1", "[fd00::1]:1"], ["fd00::/64"])
    assert caught.value.code == "endpoint.loop"
