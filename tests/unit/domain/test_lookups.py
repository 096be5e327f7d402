"""What looking a host name up says: only what changed is told, and failing keeps the last good (scenario N27)."""

import pytest

from engine.domain.commands import AddConnection, ReportLookup, SetBackend, UpdatePeer
from engine.domain.lookups import MAX_ADDRESSES
from engine.domain.places import MAX_PLACES, answer_for, hosts_of, places_of
from tests.kit.scenario import START, Scene, peer_id, peer_key

HOME = "home.example.org"
EXIT = peer_id(1)


@pytest.fixture
def scene() -> Scene:
    """Node 1 (laptop), and the exit 100000001 at a host name and an address."""
    scene = Scene()
    scene.user()
    scene.node("laptop")
    scene.peer("exit", endpoints=(f"{HOME}:51820+53", "198.51.100.1:1"))
    return scene


def found(*addresses: str, peer: int = EXIT, host: str = HOME, failure: str = "") -> ReportLookup:
    return ReportLookup(peer=peer, host=host, addresses=addresses, failure=failure)


def places(scene: Scene, peer: int = EXIT) -> tuple[str, ...]:
    return places_of(scene.tailnet.peers[peer_id(peer - EXIT + 1)])


def test_a_name_that_was_never_found_is_no_place_and_the_sender_is_told() -> None:
    scene = Scene()
    scene.user()
    said = scene.peer("exit", endpoints=(f"{HOME}:51820",))
    assert [text.partition(":")[0] for text in said.warnings] == ["endpoint.unresolved"]
    assert scene.tailnet.peers[EXIT].endpoints == (f"{HOME}:51820",)
    assert places(scene) == ()


def test_each_address_is_a_place_for_each_port_in_the_order_of_the_endpoints(scene: Scene) -> None:
    assert scene.happens(found("2001:db8::1", "192.0.2.9", "192.0.2.10")) == ["PeerEndpointsResolved"]
    first = ("192.0.2.9:51820", "192.0.2.10:51820", "[2001:db8::1]:51820")
    second = ("192.0.2.9:53", "192.0.2.10:53", "[2001:db8::1]:53")
    assert places(scene) == (*first, *second, "198.51.100.1:1")
    assert scene.tailnet.peers[EXIT].endpoints[0] == f"{HOME}:51820"


def test_an_answer_in_another_order_is_no_change(scene: Scene) -> None:
    scene.when(found("192.0.2.9", "192.0.2.10"))
    assert scene.happens(found("192.0.2.10", "192.0.2.9", "192.0.2.10")) == []
    assert scene.happens(found("192.0.2.10")) == ["PeerEndpointsResolved"]


def test_a_failure_keeps_the_last_good_and_is_told_once(scene: Scene) -> None:
    scene.when(found("192.0.2.9"))
    scene.later(1_000)
    assert scene.happens(found(failure="no such name")) == ["PeerEndpointsResolved"]
    scene.later(1_000)
    assert scene.happens(found(failure="no answer")) == []
    held = answer_for(scene.tailnet.peers[EXIT], HOME)
    assert held is not None
    assert (held.addresses, held.changed) == (("192.0.2.9",), START)
    assert (held.failing_since, held.failure) == (START + 1_000, "no such name")
    assert places(scene)[0] == "192.0.2.9:51820"


def test_the_same_answer_after_failing_ends_the_failure_only(scene: Scene) -> None:
    scene.when(found("192.0.2.9"))
    scene.when(found(failure="no answer"))
    scene.later(1_000)
    assert scene.happens(found("192.0.2.9")) == ["PeerEndpointsResolved"]
    held = answer_for(scene.tailnet.peers[EXIT], HOME)
    assert held is not None
    assert (held.failing_since, held.failure, held.changed) == (0, "", START)


@pytest.mark.parametrize(
    "address",
    [
        *("127.0.0.1", "::1", "0.0.0.0", "224.0.0.1", "169.254.169.254", "fe80::1", "100.64.0.1"),
        *("fd7a:115c:a1e0::1", "::ffff:192.0.2.1", "fd00:ec2::254", "x", "255.255.255.255"),
    ],
)
def test_an_address_that_could_not_be_typed_is_not_taken_from_an_answer(scene: Scene, address: str) -> None:
    scene.when(found("192.0.2.9"))
    scene.when(found(address))
    held = answer_for(scene.tailnet.peers[EXIT], HOME)
    assert held is not None
    assert held.addresses == ("192.0.2.9",)
    assert address in held.failure
    assert scene.happens(found(address, "192.0.2.10")) == ["PeerEndpointsResolved"]
    assert places(scene)[0] == "192.0.2.10:51820"


def test_a_private_address_is_taken_as_a_site_has_no_other(scene: Scene) -> None:
    scene.when(found("192.168.1.1", "fd00::1"))
    assert places(scene)[:2] == ("192.168.1.1:51820", "[fd00::1]:51820")


def test_an_answer_inside_the_tunnel_is_refused() -> None:
    scene = Scene()
    scene.user()
    scene.peer("site", endpoints=(f"{HOME}:1",), allowed_ips=("192.0.2.0/24",))
    scene.when(found("192.0.2.9"))
    held = answer_for(scene.tailnet.peers[EXIT], HOME)
    assert held is not None
    assert (held.addresses, "allowed IPs" in held.failure) == ((), True)


def test_an_answer_that_another_peer_of_a_node_has_is_refused_as_a_whole(scene: Scene) -> None:
    scene.peer("other", endpoints=("192.0.2.9:53",))
    scene.connect("laptop", "exit", "10.64.0.1")
    scene.connect("laptop", "other", "10.64.0.1")
    scene.when(found("192.0.2.9", "192.0.2.10"))
    held = answer_for(scene.tailnet.peers[EXIT], HOME)
    assert held is not None
    assert held.addresses == ()
    assert held.failure.startswith("connection.endpoint")


def test_two_peers_at_one_name_are_not_for_one_node(scene: Scene) -> None:
    said = scene.peer("other", endpoints=(f"{HOME}:53",))
    assert "endpoint.shared" in {text.partition(":")[0] for text in said.warnings}
    scene.connect("laptop", "exit", "10.64.0.1")

    refused = scene.refused(AddConnection(node="laptop", peer="other", ipv4_masq_addr="10.64.0.1"))
    assert refused.code == "connection.endpoint"


def test_an_answer_for_a_name_that_is_gone_is_nothing_and_what_was_known_goes_with_it(scene: Scene) -> None:
    scene.when(found("192.0.2.9"))
    assert scene.happens(found("192.0.2.9", host="other.example.org")) == []
    scene.when(UpdatePeer(peer="exit", endpoints=("198.51.100.1:1",)))
    assert scene.tailnet.peers[EXIT].resolved == ()
    assert scene.happens(found("192.0.2.10")) == []


def test_what_is_known_of_a_name_stays_when_other_things_change(scene: Scene) -> None:
    scene.when(found("192.0.2.9"))
    scene.when(UpdatePeer(peer="exit", endpoints=(f"{HOME}:99",)))
    assert places(scene) == ("192.0.2.9:99",)


def test_allowed_ips_may_not_close_around_what_a_name_has(scene: Scene) -> None:
    scene.when(found("192.0.2.9"))
    refused = scene.refused(UpdatePeer(peer="exit", allowed_ips=("192.0.2.0/24",)))
    assert refused.code == "endpoint.loop"


def test_names_of_backends_are_known_beforehand(scene: Scene) -> None:
    command = SetBackend(peer="exit", backend="b", public_key=peer_key("b"), endpoints=("b.example.org:1",))
    scene.when(command)
    assert hosts_of(scene.tailnet.peers[EXIT]) == (HOME, "b.example.org")
    before = places(scene)
    assert scene.happens(found("192.0.2.7", host="b.example.org")) == ["PeerEndpointsResolved"]
    assert places(scene) == before


def test_addresses_and_places_are_bounded() -> None:
    scene = Scene()
    scene.user()
    scene.peer("exit", endpoints=(f"{HOME}:{'+'.join(str(port) for port in range(1, 17))}",))
    scene.when(found(*(f"192.0.2.{number}" for number in range(1, 20))))
    held = answer_for(scene.tailnet.peers[EXIT], HOME)
    assert held is not None
    assert len(held.addresses) == MAX_ADDRESSES
    assert len(places(scene)) == MAX_PLACES


def test_the_index_of_names_follows(scene: Scene) -> None:
    assert scene.tailnet.peers_by_host == {HOME: {EXIT}}
    scene.when(UpdatePeer(peer="exit", endpoints=("198.51.100.1:1",)))
    assert scene.tailnet.peers_by_host == {}
