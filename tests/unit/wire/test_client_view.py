"""The model client's merge rules are those of the real one (control-protocol §5.5)."""

import json
from typing import Any

import pytest

from tests.kit.client_view import ClientView, normal
from tests.kit.go_json import Rejected

Json = dict[str, Any]


def a_key(number: int, kind: str = "nodekey") -> str:
    return f"{kind}:{number:064x}"


def a_node(number: int, **fields: Any) -> Json:
    node = {
        "ID": number,
        "StableID": f"n{number}",
        "Name": f"h{number}.tail.example.com.",
        "User": 1,
        "Key": a_key(number),
        "DiscoKey": a_key(number, "discokey"),
        "Addresses": [f"100.64.0.{number}/32"],
        "AllowedIPs": [f"100.64.0.{number}/32"],
        "HomeDERP": 900,
        "Hostinfo": {"OS": "linux"},
        "Online": True,
    }
    node |= {name.rstrip("_"): value for name, value in fields.items()}
    return {name: value for name, value in node.items() if value is not ...}


REGION = {
    "RegionID": 900,
    "RegionCode": "l",
    "RegionName": "L",
    "Nodes": [{"Name": "a", "RegionID": 900, "HostName": "h"}],
}
FIRST = {
    "Node": a_node(1),
    "Peers": [a_node(2), a_node(3)],
    "DERPMap": {"Regions": {"900": REGION}},
    "PacketFilters": {
        "base": [{"SrcIPs": ["*"], "DstPorts": [{"IP": "*", "Ports": {"First": 0, "Last": 65535}}]}]
    },
    "UserProfiles": [{"ID": 1, "LoginName": "u", "DisplayName": "U"}],
    "DNSConfig": {"Proxied": True},
    "Domain": "example.com",
    "ControlTime": "2026-01-01T00:00:00Z",
}


def send(view: ClientView, **frame: Any) -> ClientView:
    view.apply(json.dumps(frame).encode())
    return view


def started(capver: int = 142, **fields: Any) -> ClientView:
    return send(ClientView(capver), **{**FIRST, **fields})


def test_the_first_frame_is_the_whole_truth_and_leaves_no_complaint() -> None:
    view = started()
    assert view.node == normal(a_node(1))
    assert view.peers == {2: normal(a_node(2)), 3: normal(a_node(3))}
    assert view.rules == FIRST["PacketFilters"]["base"]  # type: ignore[index]
    assert view.domain == "example.com"
    assert view.complaints() == []


def test_the_first_frame_must_have_the_node_but_a_keep_alive_may_come_before() -> None:
    view = send(ClientView(), KeepAlive=True)
    assert (view.keep_alives, view.frames) == (1, 0)
    with pytest.raises(Rejected, match="lacked node"):
        send(view, Peers=[a_node(2)])


def test_a_keep_alive_changes_nothing_else() -> None:
    view = send(started(), KeepAlive=True, PeersRemoved=[2], Domain="other")
    assert set(view.peers) == {2, 3}
    assert view.domain == "example.com"


def test_what_is_left_out_or_null_stays() -> None:
    view = send(started(), Peers=None, DNSConfig=None, Domain="", PacketFilter=None, Health=None)
    assert set(view.peers) == {2, 3}
    assert view.dns == {"Proxied": True}
    assert view.domain == "example.com"
    assert view.filters.keys() == {"base"}


def test_an_empty_list_of_peers_changes_nothing_and_a_full_one_replaces_all() -> None:
    assert set(send(started(), Peers=[]).peers) == {2, 3}
    view = send(started(), Peers=[a_node(4)], PeersRemoved=[4], PeersChanged=[a_node(5)])
    assert set(view.peers) == {4}


def test_peers_come_go_and_change() -> None:
    view = send(
        started(),
        PeersRemoved=[2, 77],
        PeersChanged=[a_node(4)],
        PeersChangedPatch=[{"NodeID": 3, "Online": False}],
    )
    assert set(view.peers) == {3, 4}
    assert view.peers[3]["Online"] is False


def test_removing_and_changing_one_peer_in_one_frame_loses_it() -> None:
    view = send(started(), PeersRemoved=[2], PeersChanged=[a_node(2, Online=False)])
    assert 2 not in view.peers


def test_removing_and_replacing_one_peer_in_one_frame_keeps_it() -> None:
    view = send(started(), PeersRemoved=[2], PeersChanged=[a_node(2, Name="new.tail.example.com.")])
    assert view.peers[2]["Name"] == "new.tail.example.com."


@pytest.mark.parametrize("field", ["Endpoints", "HomeDERP", "Online", "LastSeen", "KeySignature", "Cap"])
def test_a_whole_peer_that_fits_into_a_patch_cannot_clear(field: str) -> None:
    was = a_node(2, Endpoints=["192.0.2.1:1"], LastSeen="2026-01-01T00:00:00Z", KeySignature="AAAA", Cap=142)
    view = send(
        started(Peers=[was]), PeersChanged=[{name: value for name, value in was.items() if name != field}]
    )
    assert view.peers[2] == normal(was)


def test_a_whole_peer_with_an_empty_list_of_endpoints_clears_them() -> None:
    view = started(Peers=[a_node(2, Endpoints=["192.0.2.1:1"])])
    assert "Endpoints" not in send(view, PeersChanged=[a_node(2, Endpoints=[])]).peers[2]


def test_a_peer_that_came_without_online_does_not_learn_it_from_a_whole_peer() -> None:
    view = send(started(Peers=[a_node(2, Online=...)]), PeersChanged=[a_node(2, Online=True)])
    assert "Online" not in view.peers[2]
    assert send(view, OnlineChange={"2": True}).peers[2]["Online"] is True


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("Key", a_key(99)),
        ("DiscoKey", a_key(99, "discokey")),
        ("KeyExpiry", "2030-01-01T00:00:00Z"),
        ("Endpoints", ["192.0.2.9:9"]),
        ("HomeDERP", 901),
        ("Cap", 130),
        ("CapMap", {"suggest-exit-node": None}),
        ("Online", False),
        ("Name", "other.tail.example.com."),
        ("AllowedIPs", ["100.64.0.2/32", "10.0.0.0/8"]),
        ("Hostinfo", {"OS": "windows"}),
        ("IsJailed", True),
        ("SelfNodeV4MasqAddrForThisPeer", "10.64.0.1"),
    ],
)
def test_a_whole_peer_can_change_every_field(field: str, value: Any) -> None:
    changed = a_node(2, **{field: value})
    assert send(started(), PeersChanged=[changed]).peers[2] == normal(changed)


def test_a_key_expiry_and_a_cap_map_can_be_cleared() -> None:
    view = started(Peers=[a_node(2, KeyExpiry="2030-01-01T00:00:00Z", CapMap={"a": None})])
    assert send(view, PeersChanged=[a_node(2)]).peers[2] == normal(a_node(2))


def test_a_patch_changes_what_it_says_and_clears_what_it_can() -> None:
    view = started(Peers=[a_node(2, Endpoints=["192.0.2.1:1"], CapMap={"a": None})])
    send(
        view,
        PeersChangedPatch=[{"NodeID": 2, "DERPRegion": 901, "Endpoints": [], "CapMap": {}, "Key": a_key(9)}],
    )
    assert view.peers[2] == normal(a_node(2, HomeDERP=901, Key=a_key(9)))
    send(view, PeersChangedPatch=[{"NodeID": 2, "DERPRegion": 0, "Endpoints": None}])
    assert view.peers[2]["HomeDERP"] == 901


def test_what_is_said_of_a_stranger_is_remembered() -> None:
    view = send(started(), PeersChangedPatch=[{"NodeID": 9, "Online": True}], OnlineChange={"8": True})
    assert sorted(view.strangers) == [8, 9]
    assert set(view.peers) == {2, 3}


def test_a_stale_disco_key_is_not_taken_by_new_clients() -> None:
    seen = "2026-01-01T00:00:00.5Z"
    patch = {
        "NodeID": 2,
        "DiscoKey": a_key(9, "discokey"),
        "Online": False,
        "LastSeen": "2026-01-01T00:00:00Z",
    }
    for capver, taken in ((142, False), (131, True)):
        view = send(started(capver, Peers=[a_node(2, LastSeen=seen)]), PeersChangedPatch=[patch])
        assert (view.peers[2]["DiscoKey"] == a_key(9, "discokey")) is taken


def test_filters_have_names_and_are_in_force_by_sorted_name() -> None:
    one, two = {"SrcIPs": ["100.64.0.1"]}, {"SrcIPs": ["100.64.0.2"]}
    view = send(started(PacketFilters={"b": [one]}), PacketFilter=[two], PacketFilters={"a": [one, two]})
    assert view.rules == [one, two, one, two]
    assert send(view, PacketFilters={}).rules == [one, two, one, two]
    assert send(view, PacketFilters={"a": None}).rules == [one, two]
    assert send(view, PacketFilters={"*": [one]}).rules == [one, two]
    assert send(view, PacketFilters={"*": None, "c": [two]}).rules == [two]
    assert send(view, PacketFilters={"c": []}).rules == []
    assert view.complaints() == []


def test_messages_are_merged_and_health_is_replaced() -> None:
    message = {"Title": "t", "Text": "x", "Severity": "low"}
    view = send(started(Health=["bad"]), DisplayMessages={"a": message, "b": message})
    assert view.health == ["bad"]
    send(view, DisplayMessages={"a": None}, Health=[])
    assert set(view.messages) == {"b"}
    assert view.health == []
    assert send(view, DisplayMessages={"*": None}).messages == {}


def test_an_empty_dns_config_turns_everything_off() -> None:
    assert send(started(), DNSConfig={}).dns == {}


def test_a_derp_map_without_regions_keeps_them() -> None:
    view = send(started(), DERPMap={"HomeParams": {"RegionScore": {"900": 0.5}}})
    assert view.derp == {"Regions": {"900": REGION}, "HomeParams": {"RegionScore": {"900": 0.5}}}


@pytest.mark.parametrize(
    ("capver", "node", "region", "allowed"),
    [
        (102, a_node(2, DERP="127.3.3.40:7"), 7, ["100.64.0.2/32"]),
        (142, a_node(2, DERP="127.3.3.40:7"), 900, ["100.64.0.2/32"]),
        (102, a_node(2), None, ["100.64.0.2/32"]),
        (102, a_node(2, AllowedIPs=..., DERP="127.3.3.40:7"), 7, []),
        (142, a_node(2, AllowedIPs=...), 900, ["100.64.0.2/32"]),
        (142, a_node(2, AllowedIPs=[]), 900, []),
    ],
)
def test_old_clients_read_other_fields(
    capver: int, node: Json, region: int | None, allowed: list[str]
) -> None:
    peer = started(capver, Peers=[node]).peers[2]
    assert peer.get("HomeDERP") == region
    assert peer["AllowedIPs"] == allowed


@pytest.mark.parametrize(
    "fields",
    [
        {"Key": ""},
        {"DiscoKey": ""},
        {"Key": ...},
        {"StableID": ""},
        {"Addresses": ["100.64.0.2"]},
        {"Addresses": ["100.64.0.2/24"]},
        {"AllowedIPs": ["10.0.0.0"]},
        {"Endpoints": ["192.0.2.1"]},
        {"Endpoints": ["2001:db8::1:1"]},
        {"KeyExpiry": "2030-01-01T00:00:00"},
        {"KeyExpiry": ""},
        {"LastSeen": 5},
        {"ID": "2"},
        {"ID": 0},
        {"ID": 2**53},
        {"User": None},
        {"Online": "true"},
        {"CapMap": {"a": True}},
        {"CapMap": ["a"]},
        {"Hostinfo": {"OS": 5}},
        {"Hostinfo": {"Services": [{"Proto": "peerapi4", "Port": 70_000}]}},
        {"Hostinfo": {"Location": {"Country": "Germany"}}},
        {"HomeDerp": 1},
        {"Tags": "tag:a"},
        {"SelfNodeV4MasqAddrForThisPeer": "10.0.0.1/32"},
        {"ExitNodeDNSResolvers": ["10.64.0.1"]},
    ],
)
def test_one_bad_field_of_one_peer_rejects_the_frame(fields: Json) -> None:
    with pytest.raises(Rejected):
        started(Peers=[a_node(2, **fields)])


@pytest.mark.parametrize(
    "frame",
    [
        {"PacketFilters": {"a": [{"SrcIPs": ["10.0.0.5/24"]}]}},
        {"PacketFilters": {"a": [{"SrcIPs": ["cap:"]}]}},
        {
            "PacketFilters": {
                "a": [{"SrcIPs": ["*"], "DstPorts": [{"IP": "cap:x", "Ports": {"First": 0, "Last": 1}}]}]
            }
        },
        {
            "PacketFilters": {
                "a": [{"SrcIPs": ["*"], "DstPorts": [{"IP": "*", "Ports": {"First": 0, "Last": 65536}}]}]
            }
        },
        {"PacketFilters": {"a": [{"SrcIPs": ["*"], "SrcBits": [1]}]}},
        {"DERPMap": {"Regions": {"900": None}}},
        {"DERPMap": {"Regions": {"900": {**REGION, "Nodes": []}}}},
        {"DERPMap": {"Regions": {"901": REGION}}},
        {"OnlineChange": {"2": None}},
        {"OnlineChange": {"x": True}},
        {"PeersChangedPatch": [{"Online": True}]},
        {"PeersRemoved": ["2"]},
        {"CollectServices": "true"},
        {"ControlTime": "2026-01-01T00:00:00"},
        {"DNSConfig": {"Resolvers": [{}]}},
        {"SSHPolicy": {"Rules": []}},
        {"NoSuchField": 1},
    ],
)
def test_a_bad_frame_is_rejected(frame: Json) -> None:
    view = started()
    with pytest.raises(Rejected):
        send(view, **frame)


@pytest.mark.parametrize(
    "text", [b"", b"[]", b"{", b'{"KeepAlive":true,"KeepAlive":true}', b'{"Seq":NaN}', b"\xff"]
)
def test_what_is_not_one_json_object_is_rejected(text: bytes) -> None:
    with pytest.raises(Rejected):
        ClientView().apply(text)


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"DERPMap": None}, "no DERP region"),
        ({"PacketFilters": None}, "no packet filter"),
        ({"UserProfiles": []}, "has no profile"),
        ({"Peers": [a_node(1, Key=a_key(9))]}, "its own peer"),
        ({"Peers": [a_node(2, Name="h2")]}, "no trailing dot"),
        ({"Peers": [a_node(2), a_node(3, Key=a_key(2))]}, "stands twice"),
        ({"Peers": [a_node(i, AllowedIPs=["10.0.0.0/8"]) for i in (2, 3)]}, "belongs to two peers"),
    ],
)
def test_what_a_client_takes_but_cannot_work_with_is_told(fields: Json, says: str) -> None:
    assert any(says in complaint for complaint in started(**fields).complaints())
