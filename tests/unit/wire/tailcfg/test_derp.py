"""DERP maps."""

import pytest

from frontends.wire.codec import decode, encode
from frontends.wire.errors import LocalProtocolError, RemoteProtocolError
from frontends.wire.tailcfg.derp import DERPMap, check, legacy

GOOD = (
    b'{"Regions":{"900":{"RegionID":900,"RegionCode":"lab","RegionName":"Lab","Nodes":[{"Name":"900a","RegionID":900,'
    b'"HostName":"derp.example.com","IPv6":"none","STUNPort":-1}]}},"omitDefaultRegions":true}'
)


def test_a_good_map_passes_and_is_written_as_it_was() -> None:
    derp_map = decode(GOOD, DERPMap)
    check(derp_map)
    text = encode(derp_map)
    assert decode(text, DERPMap) == derp_map
    assert b'"omitDefaultRegions":true' in text
    assert b'"900":{"RegionID":900' in text


@pytest.mark.parametrize(
    ("was", "becomes", "says"),
    [
        (b'"Regions":{', b'"Later":{', "at least one region"),
        (b'{"900":', b'{"901":', "region 901: its RegionID"),
        (b'"Name":"900a","RegionID":900', b'"Name":"900a","RegionID":1', "RegionID of its nodes"),
        (b'"Name":"900a"', b'"Name":""', "a name of its own"),
    ],
)
def test_a_map_that_hurts_clients_is_refused(was: bytes, becomes: bytes, says: str) -> None:
    with pytest.raises(LocalProtocolError, match=says):
        check(decode(GOOD.replace(was, becomes), DERPMap))


def test_a_region_without_nodes_is_refused() -> None:
    empty = GOOD[: GOOD.index(b'[{"Name"')] + b"[]}}}"
    with pytest.raises(LocalProtocolError, match="at least one node"):
        check(decode(empty, DERPMap))


def test_two_nodes_of_one_name_are_refused() -> None:
    node = GOOD[GOOD.index(b'{"Name"') : GOOD.index(b"]}}")]
    with pytest.raises(LocalProtocolError, match="a name of its own"):
        check(decode(GOOD.replace(node, node + b"," + node), DERPMap))


def test_a_null_region_is_no_map_at_all() -> None:
    with pytest.raises(RemoteProtocolError):
        decode(b'{"Regions":{"900":null}}', DERPMap)


def test_the_old_form_of_a_home_region_is_an_address() -> None:
    assert legacy(900) == "127.3.3.40:900"
