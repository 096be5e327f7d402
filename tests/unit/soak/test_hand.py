"""What a client of the soak writes down of a frame is what the frame did: nothing slips through its hands."""

import json
from typing import Any

import pytest

from engine.domain.values import FIRST_PEER_ID
from tests.kit.client_view import ClientView
from tests.soak.hand import Filter, Hand
from tests.soak.records import Entry, Framed, sender

Json = dict[str, Any]
RELAY = FIRST_PEER_ID + 1
ALL = [{"SrcIPs": ["*"], "DstPorts": [{"IP": "*", "Ports": {"First": 0, "Last": 65_535}}]}]
SERVER = {"Name": "a", "RegionID": 900, "HostName": "h"}
REGION = {"RegionID": 900, "RegionCode": "l", "RegionName": "L", "Nodes": [SERVER]}


def a_node(number: int, **fields: Any) -> Json:
    return {
        "ID": number,
        "StableID": f"n{number}",
        "Name": f"h{number}.tail.example.com.",
        "User": 1,
        "Key": f"nodekey:{number:064x}",
        "Addresses": [f"100.64.0.{number % 250}/32"],
        "AllowedIPs": [f"100.64.0.{number % 250}/32"],
        "Online": True,
        **fields,
    }


def entry(number: int, how: str = "peer", name: str = "", tags: str = "") -> Entry:
    return Entry(number, (how, f"nodekey:{number:064x}", name or f"h{number}", tags, f"100.64.0.{number}"))


FIRST: Json = {
    "Node": a_node(1),
    "Peers": [a_node(2), a_node(3)],
    "DERPMap": {"Regions": {"900": REGION}},
    "PacketFilters": {"base": ALL},
    "UserProfiles": [{"ID": 1, "LoginName": "u", "DisplayName": "U"}],
    "ControlTime": "2026-01-01T00:00:00Z",
}


class Session:
    """A client's view and hand, which take the same frames."""

    def __init__(self, watchwords: tuple[str, ...] = (), **fields: Any) -> None:
        self.view = ClientView()
        self.hand = Hand(7, watchwords)
        self.first = self.send(**{**FIRST, **fields})

    def send(self, **frame: Any) -> Framed:
        raw = json.dumps(frame).encode()
        return self.hand.take(self.view, raw, self.view.apply(raw), at=5)


def test_the_first_frame_puts_the_node_its_peers_and_who_may_send() -> None:
    line = Session().first
    assert (line.client, line.at, line.is_first, line.gone) == (7, 5, True, ())
    assert {*line.put} == {entry(1, "self"), entry(2), entry(3), sender(2), sender(3)}
    assert (line.astray, line.strangers, line.watchwords, line.complaints) == ((), (), (), ())


@pytest.mark.parametrize(
    ("frame", "put", "gone"),
    [
        ({"PeersChanged": [a_node(4)]}, {entry(4), sender(4)}, set()),
        ({"PeersRemoved": [2]}, set(), {2, -2}),
        ({"Peers": [a_node(2)]}, set(), {3, -3}),
        ({"PeersChanged": [a_node(2, Name="x.tail.example.com.")]}, {entry(2, name="x")}, set()),
        ({"PeersChanged": [a_node(2, Tags=["tag:b", "tag:a"])]}, {entry(2, tags="tag:a,tag:b")}, set()),
        ({"Node": a_node(1, Name="me.tail.example.com.")}, {entry(1, "self", "me")}, set()),
        ({"PeersChangedPatch": [{"NodeID": 2, "Online": False}]}, set(), set()),
        ({"PacketFilters": {"base": []}}, set(), {-2, -3}),
        (
            {"PacketFilters": {"base": [{**ALL[0], "SrcIPs": ["100.64.0.3"]}]}},
            set(),
            {-2},
        ),
        ({"KeepAlive": False, "OnlineChange": {"2": False}}, set(), set()),
    ],
)
def test_a_frame_is_told_by_what_it_changes(frame: Json, put: set[Entry], gone: set[int]) -> None:
    line = Session().send(**frame)
    assert ({*line.put}, {*line.gone}, line.is_first) == (put, gone, False)
    assert line.complaints == ()


def test_a_key_that_a_patch_changes_is_seen() -> None:
    key = f"nodekey:{9:064x}"
    line = Session().send(PeersChangedPatch=[{"NodeID": 2, "Key": key}])
    assert line.put == (Entry(2, ("peer", key, "h2", "", "100.64.0.2")),)


def test_a_wireguard_only_peer_has_its_masquerade_address_and_no_word_in_the_filter() -> None:
    relay = a_node(RELAY, IsWireGuardOnly=True, SelfNodeV4MasqAddrForThisPeer="10.0.0.1")
    line = Session().send(PeersChanged=[relay])
    assert line.put == (Entry(RELAY, ("wireguard", f"nodekey:{RELAY:064x}", "", "10.0.0.1", "")),)


def test_what_a_frame_may_not_say_is_told() -> None:
    session = Session(("canary",))
    assert session.send(PeersRemoved=[9]).strangers == (9,)
    assert session.send(PeersChangedPatch=[{"NodeID": 9, "Online": True}]).astray == (9,)
    assert session.send(OnlineChange={"9": True}).astray == (9,)
    assert session.send(PeersRemoved=[3], PeersChanged=[a_node(3)]).astray == (3,)  # clients lose it
    assert session.send(Domain="canary.example.com").watchwords == ("canary",)


@pytest.mark.parametrize(
    ("frame", "complaint"),
    [
        ({"PeersChanged": [a_node(4, Key=a_node(2)["Key"])]}, "Key nodekey:"),
        ({"PeersChanged": [a_node(4, Name="h2.tail.example.com.")]}, "Name h2"),
        ({"PeersChanged": [a_node(4, AllowedIPs=["100.64.0.2/32"])]}, "route 100.64.0.2/32"),
        ({"PeersChanged": [a_node(4, Name="h4")]}, "no trailing dot"),
        ({"PeersChanged": [a_node(4, User=8)]}, "has no profile"),
        ({"PeersChanged": [a_node(1, Key="nodekey:" + "b" * 64)]}, "its own peer"),
        ({"PacketFilters": {"*": None}}, "no packet filter"),
    ],
)
def test_what_a_client_could_not_work_with_is_complained_about(frame: Json, complaint: str) -> None:
    line = Session().send(**frame)
    assert complaint in " ".join(line.complaints)


def test_a_name_that_changes_hands_within_a_frame_is_no_fault() -> None:
    names = {2: "h3", 3: "h2"}
    changed = [a_node(number, Name=f"{name}.tail.example.com.") for number, name in names.items()]
    assert Session().send(PeersChanged=changed).complaints == ()
    assert (
        Session().send(PeersRemoved=[2], PeersChanged=[a_node(4, Name="h2.tail.example.com.")]).complaints
        == ()
    )


@pytest.mark.parametrize(
    ("sources", "admits"),
    [
        (["*"], True),
        (["100.64.0.2"], True),
        (["100.64.0.3"], False),
        (["100.64.0.0/30"], True),
        (["100.64.0.1-100.64.0.2"], True),
        (["100.64.0.3-100.64.0.9"], False),
        (["cap:a"], True),
        (["cap:b"], False),
        ([], False),
    ],
)
def test_a_filter_admits_whom_a_rule_names(sources: list[str], admits: bool) -> None:  # noqa: FBT001
    peer = a_node(2, CapMap={"a": None})
    assert Filter([{"SrcIPs": sources}]).admits(peer) is admits
