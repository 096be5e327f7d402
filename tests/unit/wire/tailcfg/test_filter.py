"""Packet filter rules on the wire."""

from frontends.wire.codec import encode
from frontends.wire.tailcfg.filter import CapGrant, FilterRule, NetPortRange, PortRange


def test_a_rule_has_sources_and_ports() -> None:
    rule = FilterRule(
        src_ips=("cap:c1", "100.64.0.1"),
        dst_ports=(NetPortRange(ip="*"), NetPortRange(ip="100.64.0.2", ports=PortRange(22, 22))),
        ip_proto=(6,),
    )
    assert encode(rule) == (
        b'{"SrcIPs":["cap:c1","100.64.0.1"],"DstPorts":[{"IP":"*","Ports":{"First":0,"Last":65535}},'
        b'{"IP":"100.64.0.2","Ports":{"First":22,"Last":22}}],"IPProto":[6]}'
    )


def test_a_grant_carries_json() -> None:
    grant = CapGrant(
        dsts=("100.64.0.2/32",), cap_map={"example.com/cap/x": ({"role": "admin"},), "plain": None}
    )
    assert encode(FilterRule(src_ips=("*",), cap_grant=(grant,))) == (
        b'{"SrcIPs":["*"],"CapGrant":[{"Dsts":["100.64.0.2/32"],'
        b'"CapMap":{"example.com/cap/x":[{"role":"admin"}],"plain":null}}]}'
    )


def test_no_sources_are_an_empty_list() -> None:
    assert encode(FilterRule(src_ips=())) == b'{"SrcIPs":[]}'
