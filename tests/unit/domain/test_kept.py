"""A tailnet's tables, written down and read again."""

import msgspec
from hypothesis import given, settings

from engine.domain.kept import DERIVED, LEFT_OUT, ProvidedTables, Tables, tables_of, tailnet_of
from engine.domain.provided import Provided
from engine.domain.state import Tailnet
from tests.kit.histories import Step, history, steps


def told(course: list[Step]) -> Tailnet:
    tailnet = Tailnet()
    for record in history(course):
        tailnet.apply(record.event, record.envelope.at)
    return tailnet


def again(tailnet: Tailnet) -> Tailnet:
    data = msgspec.msgpack.encode(tables_of(tailnet))
    return tailnet_of(msgspec.msgpack.decode(data, type=Tables))


def without_former_keys(tailnet: Tailnet) -> Tailnet:
    other = tailnet.draft()
    other.retired_keys, other.retired_by_node = {}, {}
    return other


def test_every_table_of_a_tailnet_is_written_derived_or_left_out_on_purpose() -> None:
    assert set(vars(Tailnet())) == {*Tables.__struct_fields__, *LEFT_OUT, *DERIVED}
    assert set(vars(Provided())) == {*ProvidedTables.__struct_fields__}


@settings(max_examples=100, deadline=None)
@given(steps(longest=60))
def test_what_comes_back_is_what_was_written(course: list[Step]) -> None:
    tailnet = told(course)
    assert again(tailnet) == without_former_keys(tailnet)


def test_former_keys_do_not_come_back() -> None:
    tailnet = told([("user", 0, 0), ("node", 0, 0), ("again", 0, 1)])
    assert tailnet.retired_keys
    assert not again(tailnet).retired_keys


def test_addresses_of_ipv6_come_back_whole() -> None:
    tailnet = again(told([("user", 0, 0), ("node", 0, 0), ("peer", 0, 0)]))
    assert max(tailnet.holders) > 2**64
    assert tailnet.addresses_for_node() != ("", "")
