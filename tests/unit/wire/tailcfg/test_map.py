"""The map conversation's types."""

import msgspec
import pytest

from frontends.wire.codec import decode, encode, fragment
from frontends.wire.errors import RemoteProtocolError
from frontends.wire.tailcfg.filter import FilterRule
from frontends.wire.tailcfg.map import Debug, DisplayMessage, Kind, MapRequest, MapResponse, UserProfile
from frontends.wire.tailcfg.node import PeerChange

AS_SENT = (
    b'{"Version":142,"Compress":"zstd","KeepAlive":true,"NodeKey":"nodekey:%s","DiscoKey":"discokey:%s","Stream":true,'
    b'"Hostinfo":{"OS":"linux"},"Endpoints":["192.0.2.9:41641"],"EndpointTypes":[1],"DebugFlags":["netstack"]}'
    % (b"ab" * 32, b"cd" * 32)
)

NAMES = """KeepAlive PingRequest PopBrowserURL Node DERPMap Peers PeersChanged PeersRemoved PeersChangedPatch OnlineChange
DNSConfig Domain CollectServices PacketFilter PacketFilters UserProfiles Health DisplayMessages SSHPolicy ControlTime
Debug"""


def test_a_real_client_s_request_is_read() -> None:
    request = decode(AS_SENT, MapRequest)
    assert request.kind is Kind.LONG_POLL
    assert request.compress == "zstd"
    assert request.endpoints == ("192.0.2.9:41641",)


FLAGS = [
    ({"stream": True, "omit_peers": False}, Kind.LONG_POLL),
    ({"stream": True}, Kind.LONG_POLL),
    ({"omit_peers": True}, Kind.LITE),
    ({"stream": False, "omit_peers": False}, Kind.FETCH),
    ({}, Kind.FETCH),
]


@pytest.mark.parametrize(("flags", "kind"), FLAGS)
def test_two_flags_say_what_a_request_is_for(flags: dict[str, bool], kind: Kind) -> None:
    request = MapRequest(version=142, node_key="nodekey:" + "ab" * 32)
    assert msgspec.structs.replace(request, **flags).kind is kind


@pytest.mark.parametrize(
    ("was", "becomes"),
    [
        (b'"Stream":true', b'"Stream":"true"'),
        (b"discokey:cd", b"discokey:c"),
        (b'"DiscoKey":"discokey:' + b"cd" * 32, b'"DiscoKey":"'),
        (b'["192.0.2.9:41641"]', b'"192.0.2.9:41641"'),
        (b'["192.0.2.9:41641"]', b"[" + b'"",' * 1000 + b'""]'),
        (b'{"OS":"linux"}', b'{"OS":1}'),
    ],
)
def test_a_request_of_wrong_types_is_refused(was: bytes, becomes: bytes) -> None:
    assert was in AS_SENT
    with pytest.raises(RemoteProtocolError):
        decode(AS_SENT.replace(was, becomes, 1), MapRequest)


def test_absent_and_empty_are_two_things() -> None:
    assert encode(MapResponse()) == b"{}"
    assert encode(MapResponse(packet_filters={"base": (), "gone": None}, health=(), peers=())) == (
        b'{"Peers":[],"PacketFilters":{"base":[],"gone":null},"Health":[]}'
    )


def test_fragments_and_integer_keys_are_written_as_clients_read_them() -> None:
    response = MapResponse(
        peers_changed_patch=(fragment(PeerChange(node_id=7, online=True)),),
        online_change={7: False},
        packet_filters={"a": (fragment(FilterRule(src_ips=("*",))),)},
        user_profiles=(fragment(UserProfile(id=1, login_name="u")),),
        display_messages={"m": DisplayMessage(title="t", text="x", severity="low"), "*": None},
        debug=Debug(disable_log_tail=True),
    )
    assert encode(response) == (
        b'{"PeersChangedPatch":[{"NodeID":7,"Online":true}],"OnlineChange":{"7":false},'
        b'"PacketFilters":{"a":[{"SrcIPs":["*"]}]},"UserProfiles":[{"ID":1,"LoginName":"u"}],'
        b'"DisplayMessages":{"m":{"Title":"t","Text":"x","Severity":"low"},"*":null},"Debug":{"DisableLogTail":true}}'
    )


def test_the_names_are_those_of_tailcfg() -> None:
    assert set(MapResponse.__struct_encode_fields__) == set(NAMES.split())
