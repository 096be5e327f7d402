"""What is wrong with all WireGuard-only peers: once each, the worst first."""

import json

import pytest

from engine.domain.commands import (
    DisablePeer,
    ExpireNode,
    RecordExport,
    ReportLookup,
    SetDerpMap,
    SetMasqueradePool,
    UpdatePeer,
)
from engine.domain.events import HostAnswer, PeerEndpointsResolved
from engine.domain.values import PeerId
from projections.history import doctor
from projections.history.causes import Causes
from projections.history.doctor import examine
from projections.history.findings import SEVERITY, severity
from projections.history.places import has_coordinates
from tests.kit.reasons import Folded, Theatre, codes
from tests.kit.scenario import peer_id
from tests.unit.projections.history.test_why import LOCATION, RELAY, happens, theatre

PLACED = {"suggestExitNode": True, "location": LOCATION}


def test_a_tailnet_in_order_has_nothing_to_be_said_of_it() -> None:
    assert theatre().doctor() == []
    assert Theatre().doctor() == []


def test_what_is_so_of_a_peer_or_a_node_is_said_once_however_many_are_connected() -> None:
    at = theatre()
    for number, name in enumerate(("phone", "tablet"), start=2):
        at.node(name)
        at.connect(number, RELAY, f"10.64.0.{number + 1}", f"fd00::{number + 1}")
    at.when(DisablePeer(peer=RELAY))
    at.when(ExpireNode(node=2))
    said = at.doctor()
    assert [finding.code for finding in said] == ["node.expired", "peer.disabled"]
    assert said[1].text.endswith("; 3 nodes are connected")
    at.types(said[1].fix)
    at.types(said[0].fix)
    assert at.doctor() == []


def test_the_worst_stands_first() -> None:
    at = theatre(allowed_ips=("0.0.0.0/0",))
    at.peer("idle")
    at.when(DisablePeer(peer=RELAY))
    said = at.doctor()
    assert [SEVERITY[finding.verdict] for finding in said] == sorted(SEVERITY[f.verdict] for f in said)
    assert said == sorted(said, key=severity)
    assert {f.verdict for f in said} == {"blocks", "warn", "note"}


def test_a_disabled_peer_that_nobody_is_connected_to_is_no_matter() -> None:
    at = theatre()
    at.peer("gone")
    at.when(DisablePeer(peer=peer_id(2)))
    assert at.doctor() == []
    at.peer("idle")
    (finding,) = at.doctor()
    assert (finding.code, finding.verdict) == ("peer.unconnected", "note")
    assert "(idle)" in finding.text


def test_many_idle_peers_are_counted_and_some_are_named() -> None:
    at = theatre()
    for number in range(12):
        at.peer(f"idle{number}")
    (finding,) = at.doctor()
    assert finding.text.endswith("and 2 more")


def test_a_derp_map_without_coordinates_is_said_once_and_only_if_somebody_has_a_location() -> None:
    at = theatre(extra_config=PLACED)
    at.peer("second", extra_config=PLACED)
    at.connect(1, peer_id(2), "10.64.0.3", "fd00::3")
    assert codes(at.doctor(), "warn") == {"derp.coordinates"}
    assert len(at.doctor()) == 1
    node = {"Name": "1a", "RegionID": 1, "HostName": "relay.example"}
    region = {"RegionID": 1, "RegionCode": "got", "RegionName": "G", "Nodes": [node], "Latitude": 57.7}
    at.when(SetDerpMap(derp_map={"Regions": {"1": region}}))
    assert at.doctor() == []


def test_coordinates_are_found_in_any_case() -> None:
    assert not has_coordinates(b'{"Regions":{"1":null}}')
    assert not has_coordinates(b'{"Regions":{"1":{"Latitude":0}}}')
    assert has_coordinates(json.dumps({"regions": {"1": {"longitude": 11.9}}}).encode())


def test_a_city_code_in_two_countries_is_said_once_and_to_whom_it_concerns() -> None:
    at = theatre(extra_config={"location": LOCATION})
    elsewhere = LOCATION | {"country": "Guatemala", "countryCode": "GT"}
    at.peer("other", extra_config={"location": elsewhere})
    assert codes(at.doctor(), "warn") == {"location.city"}
    assert "location.city" not in codes(at.why(1, RELAY), "warn"), "its node sees only one of the two"
    at.connect(1, peer_id(2), "10.64.0.3", "fd00::3")
    assert "location.city" in codes(at.why(1, RELAY), "warn")
    at.when(UpdatePeer(peer=RELAY, extra_config={"location": LOCATION | {"cityCode": "GBG"}}))
    assert at.doctor() == []


def test_a_masquerade_pool_is_said_to_be_full_before_it_is() -> None:
    at = Theatre()
    at.peer("relay", allowed_ips=("10.0.0.0/8",))
    at.when(SetMasqueradePool(peer=RELAY, ipv4="192.168.9.0/28"))  # 13 addresses: no gateway, no edges
    for number in range(1, 13):
        at.node(f"node{number}")
        at.connect(number, RELAY)
        assert ("pool.nearly" in codes(at.doctor(), "warn")) is (number >= 12)
    (finding,) = at.doctor()
    assert finding.text.startswith("12 of the 13 addresses of 192.168.9.0/28")
    at.types(finding.fix.replace("PREFIX", "192.168.8.0/24"))
    assert at.doctor() == []


def test_what_two_peers_have_in_common_is_said_from_one_side() -> None:
    at = theatre(allowed_ips=("10.0.0.0/8",))
    at.types(f"netmap connection update --node-id 1 --wg-peer-id {RELAY} --ipv4-masq-addr 192.168.9.8")
    at.peer("site", allowed_ips=("10.9.0.0/16",))
    at.connect(1, peer_id(2), "192.168.9.9")
    assert [finding.code for finding in at.doctor()] == ["allowedips.overlap"]


def test_relays_by_the_hundred_are_examined_and_nothing_is_found_twice() -> None:
    at = Theatre()
    for number in range(5):
        at.node(f"node{number}")
    for number in range(60):
        at.peer(f"relay{number}", endpoints=(f"198.51.100.{number + 1}:51820",))
        for node in range(1, 6):
            at.connect(node, peer_id(number + 1), f"10.{number}.0.{node + 1}")
    said = at.doctor()
    assert {finding.code for finding in said} == {"masq.missing"}
    assert len({(finding.node, finding.peer) for finding in said}) == len(said) == 300


# Causes ------------------------------------------------------------------------------------------------------------


def test_what_is_gone_is_remembered_as_far_as_it_goes() -> None:
    at = theatre()
    for number in range(4):
        at.peer(f"short{number}")
        at.types(f"netmap wg remove short{number}")
    bounded = Causes(kept=2)
    replayed = Folded()
    for record in at.folded.log:
        bounded.take(record, replayed.state.tailnet)
        replayed.take([record])
    assert [bounded.gone("peer", peer_id(number)) is not None for number in (2, 3, 4, 5)] == [
        False,
        False,
        True,
        True,
    ]
    assert at.folded.causes.gone("peer", peer_id(2)) is not None
    assert bounded.gone_by_name("peer", "short0") is None


def test_an_update_is_the_cause_of_what_it_changes_only() -> None:
    at = theatre()
    before = at.folded.causes.of(("peer.allowed", RELAY))
    at.when(UpdatePeer(peer=RELAY, endpoints=("198.51.100.9:51820",)))
    position = at.folded.state.position
    causes = at.folded.causes
    assert causes.of(("peer.endpoints", RELAY)) == (position,)
    assert causes.of(("peer.allowed", RELAY)) == before != (position,)
    assert causes.of(("peer.endpoints", PeerId(RELAY + 1))) == ()


def test_connections_of_which_nothing_was_recorded_are_counted() -> None:
    at = theatre()
    (finding,) = at.doctor(besides="")
    assert (finding.code, finding.verdict) == ("farside.unrecorded", "note")
    assert finding.text.endswith("of 1 connections")
    at.when(RecordExport(peer=RELAY))
    assert at.doctor(besides="") == []


def test_what_is_wrong_with_a_node_is_told_of_each_although_their_connections_are_alike() -> None:
    at = theatre()
    for number, name in ((2, "phone"), (3, "tablet")):
        at.node(name, capver=103)
        at.connect(number, RELAY, f"10.64.0.{number + 1}", f"fd00::{number + 1}")
    assert [(finding.code, finding.node) for finding in at.doctor()] == [
        ("client.ipv6", 2),
        ("client.ipv6", 3),
    ]


def test_of_one_kind_so_many_are_told_and_the_rest_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    at = theatre()
    for number in range(2, 8):
        at.node(f"node{number}")
        at.connect(number, RELAY, f"10.64.0.{number + 1}")
    whole = examine(at.folded.scene(at.now))
    monkeypatch.setattr(doctor, "MAX_EACH", 4)
    report = examine(at.folded.scene(at.now))
    assert [f.node for f in report.findings if f.code == "masq.missing"] == [2, 3, 4, 5]
    assert report.more == {("warn", "masq.missing"): 2}
    assert (
        (report.count("warn"), report.count("note")) == (whole.count("warn"), whole.count("note")) == (6, 1)
    )
    assert whole.more == {}


def named_places() -> Theatre:
    """Node 1 connected to two peers that are at names."""
    at = theatre(endpoints=("one.example.org:51820",))
    at.peer("second", endpoints=("two.example.org:51820",))
    at.connect(1, peer_id(2), "10.64.0.3", "fd00::3")
    return at


def looked_up(at: Theatre, name: str, *addresses: str, failure: str = "") -> None:
    peer = {"one": RELAY, "two": peer_id(2)}[name]
    host = f"{name}.example.org"
    at.when(ReportLookup(peer=peer, host=host, addresses=addresses, failure=failure))


def test_names_that_are_not_found_are_told_with_what_was_wrong_and_those_that_fail_later_too() -> None:
    at = named_places()
    assert [finding.code for finding in at.doctor()] == ["endpoint.unresolved"] * 2
    looked_up(at, "one", "198.51.100.7")
    looked_up(at, "two", "198.51.100.7")
    (finding,) = at.doctor()
    assert (finding.code, finding.peer) == ("endpoint.unresolved", peer_id(2))
    assert "has the endpoint 198.51.100.7:51820 too" in finding.text, "why it was refused"
    looked_up(at, "two", "198.51.100.8")
    assert at.doctor() == []
    looked_up(at, "one", failure="no answer")
    (finding,) = at.doctor()
    assert (finding.code, finding.verdict) == ("endpoint.lookup", "warn")


def test_two_names_at_one_address_are_an_endpoint_in_common() -> None:
    """No lookup leaves it so; a log may."""
    at = named_places()
    looked_up(at, "one", "198.51.100.7")
    same = HostAnswer(host="two.example.org", addresses=("198.51.100.7",))
    happens(at, PeerEndpointsResolved(peer=peer_id(2), hosts=(same,)))
    assert "endpoint.shared" in codes(at.why(1, RELAY), "warn")
    assert [finding.code for finding in at.doctor()] == ["endpoint.shared"]
