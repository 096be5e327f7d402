"""Nodes on the wire."""

from frontends.wire.codec import decode, encode
from frontends.wire.tailcfg.node import PATCH_FIELD, TRAVEL, Node, PeerChange, Travel

NODE = Node(
    id=7,
    stable_id="n7",
    name="web.tail.example.com.",
    user=3,
    key="nodekey:" + "ab" * 32,
    addresses=("100.64.0.7/32",),
    allowed_ips=("100.64.0.7/32",),
)
NODE_NAMES = """ID StableID Name User Sharer Key KeyExpiry KeySignature Machine DiscoKey Addresses AllowedIPs Endpoints DERP
HomeDERP Hostinfo Created Cap Tags PrimaryRoutes LastSeen Online MachineAuthorized CapMap UnsignedPeerAPIOnly
Expired SelfNodeV4MasqAddrForThisPeer SelfNodeV6MasqAddrForThisPeer IsWireGuardOnly IsJailed
ExitNodeDNSResolvers"""
PATCH_NAMES = """NodeID DERPRegion Cap CapMap Endpoints Key KeySignature DiscoKey Online LastSeen KeyExpiry"""


def test_every_field_of_a_node_has_a_way_to_travel() -> None:
    assert TRAVEL.keys() == set(Node.__struct_fields__)


def test_every_patched_field_has_a_place_in_the_patch_and_the_other_way_round() -> None:
    assert PATCH_FIELD.keys() == {name for name, travel in TRAVEL.items() if travel is Travel.AS_PATCH}
    assert {*PATCH_FIELD.values(), "node_id"} == set(PeerChange.__struct_fields__)


def test_a_minimal_node_has_what_every_client_needs() -> None:
    assert encode(NODE) == (
        b'{"ID":7,"StableID":"n7","Name":"web.tail.example.com.","User":3,"Key":"nodekey:'
        + b"ab" * 32
        + b'",'
        b'"Addresses":["100.64.0.7/32"],"AllowedIPs":["100.64.0.7/32"],"Hostinfo":{}}'
    )


def test_the_names_are_those_of_tailcfg() -> None:
    assert set(Node.__struct_encode_fields__) == set(NODE_NAMES.split())
    assert set(PeerChange.__struct_encode_fields__) == set(PATCH_NAMES.split())


def test_an_empty_list_is_not_an_absent_one() -> None:
    assert encode(PeerChange(node_id=7)) == b'{"NodeID":7}'
    assert encode(PeerChange(node_id=7, endpoints=(), cap_map={}, online=False)) == (
        b'{"NodeID":7,"CapMap":{},"Endpoints":[],"Online":false}'
    )
    assert decode(b'{"NodeID":7,"Endpoints":null,"CapMap":{}}', PeerChange) == PeerChange(
        node_id=7, cap_map={}
    )


def test_a_node_reads_back() -> None:
    again = decode(encode(NODE), Node)
    assert encode(again) == encode(NODE)
