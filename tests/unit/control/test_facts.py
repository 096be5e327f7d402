"""What a client says of itself, as a fact."""

from typing import Any

import msgspec
import pytest

from engine.contracts.soft import SoftFact
from engine.domain.values import Millis, NodeId
from frontends.control.facts import Mark, gone, seeded, told
from frontends.wire.codec import decode
from frontends.wire.errors import RemoteProtocolError
from frontends.wire.tailcfg.map import MapRequest

KEY = "nodekey:" + "1" * 64
DISCO = "discokey:" + "2" * 64
ONE = NodeId(1)
MARK = Mark("f1", 10, 1)
HOST = {"OS": "linux", "Hostname": "a", "NetInfo": {"PreferredDERP": 7}}


def request(**fields: Any) -> MapRequest:
    return decode(msgspec.json.encode({"Version": 142, "NodeKey": KEY, **fields}), MapRequest)


def known() -> SoftFact:
    return told(None, ONE, request(DiscoKey=DISCO, Endpoints=["192.0.2.1:1"], Hostinfo=HOST), MARK)


def test_a_lite_update_tells_everything() -> None:
    fact = known()
    assert (fact.disco_key, fact.endpoints, fact.home_derp, fact.capver) == (DISCO, ("192.0.2.1:1",), 7, 142)
    assert msgspec.json.decode(fact.hostinfo) == {"OS": "linux", "Hostname": "a"}


def test_a_lite_update_without_net_info_keeps_the_region() -> None:
    again = told(known(), ONE, request(DiscoKey=DISCO, Hostinfo={"OS": "linux"}), Mark("f1", 10, 2))
    assert again.home_derp == 7
    zero = told(known(), ONE, request(Hostinfo={"NetInfo": {"PreferredDERP": 0}}), Mark("f1", 10, 2))
    assert zero.home_derp == 7


def test_a_streaming_request_never_overwrites() -> None:
    other = request(
        Stream=True, DiscoKey="discokey:" + "3" * 64, Endpoints=["192.0.2.9:9"], Hostinfo={"OS": "x"}
    )
    fact = seeded(known(), ONE, other, Mark("f1", 11, 2))
    assert fact.online
    assert (fact.disco_key, fact.endpoints, fact.hostinfo) == (DISCO, ("192.0.2.1:1",), known().hostinfo)


def test_a_streaming_request_seeds_what_is_unknown() -> None:
    fact = seeded(None, ONE, request(Stream=True, DiscoKey=DISCO, Hostinfo=HOST), MARK)
    assert (fact.disco_key, fact.home_derp, fact.online) == (DISCO, 7, True)


def test_a_hostinfo_of_other_types_is_refused() -> None:
    with pytest.raises(RemoteProtocolError):
        request(Hostinfo={"OS": 5})
    with pytest.raises(RemoteProtocolError):
        told(None, ONE, request(Hostinfo={"Hostname": "x" * 20_000}), MARK)


def test_peers_are_not_told_what_a_host_offers_to_route() -> None:
    fact = told(None, ONE, request(Hostinfo={"OS": "linux", "RoutableIPs": ["10.0.0.0/8", "nonsense"]}), MARK)
    assert bytes(fact.hostinfo) == b'{"OS":"linux"}'


def test_unusable_endpoints_are_left_out() -> None:
    sent = ["[fe80::1]:1", "[fe80::1%eth0]:1", "10.0.0.1:0", "no", "192.0.2.1:1", "192.0.2.1:1"]
    assert told(None, ONE, request(Endpoints=sent), MARK).endpoints == ("192.0.2.1:1",)


def test_who_is_gone_was_there_until_then() -> None:
    fact = gone(seeded(known(), ONE, request(Stream=True), MARK), Mark("f1", 11, 3), Millis(99))
    assert (fact.online, fact.last_seen, fact.disco_key) == (False, 99, DISCO)


def test_the_exit_that_a_client_uses_is_told_and_kept_from_peers() -> None:
    fact = told(known(), ONE, request(Hostinfo=HOST | {"ExitNodeID": "wg100000001"}), Mark("f1", 10, 2))
    assert fact.exit_node == "wg100000001"
    assert b"wg100000001" not in bytes(fact.hostinfo)
    assert told(fact, ONE, request(Endpoints=[]), Mark("f1", 10, 3)).exit_node == "wg100000001"
    assert told(fact, ONE, request(Hostinfo=HOST), Mark("f1", 10, 3)).exit_node == ""


@pytest.mark.parametrize("text", ["x" * 65, "a b", "a\n", "\u00e9"])
def test_what_can_be_no_stable_id_is_no_exit(text: str) -> None:
    assert told(None, ONE, request(Hostinfo=HOST | {"ExitNodeID": text}), MARK).exit_node == ""
