"""DNS on the wire."""

from frontends.wire.codec import encode
from frontends.wire.tailcfg.dns import DNSConfig, DNSRecord, Resolver


def test_an_empty_config_is_an_empty_object() -> None:
    assert encode(DNSConfig()) == b"{}"


def test_a_suffix_without_resolvers_keeps_its_empty_list() -> None:
    config = DNSConfig(
        resolvers=(Resolver(addr="192.0.2.53", use_with_exit_node=True),),
        routes={"tail.example.com": ()},
        domains=("tail.example.com",),
        proxied=True,
        extra_records=(DNSRecord(name="a.example.com", value="192.0.2.1"),),
    )
    assert encode(config) == (
        b'{"Resolvers":[{"Addr":"192.0.2.53","UseWithExitNode":true}],"Routes":{"tail.example.com":[]},'
        b'"Domains":["tail.example.com"],"Proxied":true,"ExtraRecords":[{"Name":"a.example.com","Value":"192.0.2.1"}]}'
    )
