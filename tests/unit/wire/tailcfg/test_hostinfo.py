"""Hostinfo, from one client to its peers."""

import msgspec
import pytest

from frontends.wire.codec import decode
from frontends.wire.errors import RemoteProtocolError
from frontends.wire.tailcfg.hostinfo import Hostinfo, NetInfo, for_peers

AS_SENT = b"""{"IPNVersion":"1.102.3-t","BackendLogID":"secret-log-id","OS":"linux","OSVersion":"6.1","Container":false,
"Distro":"debian","Desktop":false,"Hostname":"web","GoArch":"amd64","RoutableIPs":["10.0.0.0/24","0.0.0.0/0","::/0"],
"RequestTags":["tag:web"],"Services":[{"Proto":"peerapi4","Port":51234}],"NetInfo":{"MappingVariesByDestIP":null,
"WorkingIPv6":false,"HavePortMap":true,"PreferredDERP":900,"DERPLatency":{"900-v4":0.01}},"sshHostKeys":["ssh-ed25519 A"],
"Userspace":true,"AppConnector":false,"TPM":{"Manufacturer":"x"},"Later":{"deep":[1]}}"""


def test_a_server_reads_what_it_needs() -> None:
    info = decode(AS_SENT, Hostinfo)
    assert (info.hostname, info.os, info.ipn_version, info.home_derp) == ("web", "linux", "1.102.3-t", 900)
    assert info.routable_ips == ("10.0.0.0/24", "0.0.0.0/0", "::/0")
    assert info.request_tags == ("tag:web",)
    assert info.services is not None
    assert (info.services[0].proto, info.services[0].port) == ("peerapi4", 51234)
    assert info.userspace is True
    assert info.app_connector is False
    assert info.has_ssh


def test_peers_are_told_what_they_need_and_not_what_is_ours() -> None:
    told = msgspec.json.decode(for_peers(decode(AS_SENT, Hostinfo)))
    assert told["OS"] == "linux"
    assert told["Hostname"] == "web"
    assert told["Services"] == [{"Proto": "peerapi4", "Port": 51234}]
    assert told["sshHostKeys"] == ["ssh-ed25519 A"]
    assert told["Userspace"] is True
    assert told["AppConnector"] is False
    assert told["NetInfo"]["WorkingIPv6"] is False
    assert not told.keys() & {"BackendLogID", "RequestTags", "RoutableIPs", "TPM", "Later"}


@pytest.mark.parametrize(
    "poison",
    [
        b'{"OS":5}',
        b'{"Userspace":"true"}',
        b'{"Services":[{"Proto":"peerapi4","Port":65536}]}',
        b'{"Services":[{"Proto":"peerapi4","Port":-1}]}',
        b'{"NetInfo":{"PreferredDERP":9223372036854775808}}',
        b'{"NetInfo":{"DERPLatency":{"1":"x"}}}',
        b'{"Location":{"Latitude":"x"}}',
        b'{"Location":{"Priority":2147483648}}',
        b'{"RoutableIPs":"10.0.0.0/8"}',
        b'{"NetInfo":[]}',
        b"[]",
    ],
)
def test_what_would_break_every_peer_is_refused(poison: bytes) -> None:
    with pytest.raises(RemoteProtocolError):
        decode(poison, Hostinfo)


def test_what_go_would_match_in_another_case_is_not_relayed() -> None:
    assert bytes(for_peers(decode(b'{"os":5,"HOSTNAME":[],"Hostname":"a"}', Hostinfo))) == b'{"Hostname":"a"}'


def test_a_long_hostinfo_is_refused() -> None:
    with pytest.raises(RemoteProtocolError) as caught:
        for_peers(Hostinfo(hostname="x" * 20_000))
    assert caught.value.status == 413


def test_an_empty_host_is_an_object_and_has_no_home() -> None:
    assert bytes(for_peers(Hostinfo())) == b"{}"
    assert Hostinfo().home_derp == 0
    assert not Hostinfo().has_ssh


@pytest.mark.parametrize("region", [-1, 65_536, 2**31, 2**63 - 1])
def test_a_home_that_can_be_no_region_is_not_known_yet(region: int) -> None:
    """Clients of 32 bits discard every frame with a number that is no int of theirs."""
    assert Hostinfo(net_info=NetInfo(preferred_derp=region)).home_derp == 0
