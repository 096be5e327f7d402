"""WireGuard-only peers over their life, in wire form: what a change of theirs is to a client that holds them."""

import pytest
from msgspec.structs import replace

from engine.contracts.netmap import ConnectionExtra, WireGuardPeerObject
from engine.contracts.told import FIRST_CAPVER
from engine.domain.connections import JAIL_CAPVER
from engine.domain.masquerade import V6_MASQ_CAPVER
from engine.domain.values import PeerId
from frontends.control.render import patch, wireguard_node
from frontends.wire import capver
from frontends.wire.tailcfg.node import Node
from tests.unit.control.objects import external

CONNECTION = ConnectionExtra(peer=PeerId(100_000_001), ipv4_masq="10.9.0.9")
PEER = external(100_000_001)


def shown(peer: WireGuardPeerObject = PEER, **terms: object) -> Node:
    found = wireguard_node(peer, replace(CONNECTION, **terms), "tail.example.com", 142)
    assert found is not None
    return found


def test_a_drained_peer_is_offline_and_nothing_else() -> None:
    """Scenario N29: a patch, so that the client's choice of exit is looked at again at once."""
    drained = shown(replace(PEER, drained=True))
    assert drained == replace(shown(), online=False)
    change = patch(shown(), drained)
    assert change is not None
    assert change.online is False
    back = patch(drained, shown())
    assert back is not None
    assert back.online is True


def test_a_key_or_an_endpoint_travels_as_a_patch() -> None:
    """Scenario N13."""
    key = "nodekey:" + "9" * 64
    change = patch(shown(), shown(replace(PEER, public_key=key, endpoints=("192.0.2.9:1",))))
    assert change is not None
    assert (change.key, change.endpoints) == (key, ("192.0.2.9:1",))


@pytest.mark.parametrize(
    "terms", [{"allowed_ips": ("10.9.1.0/24",)}, {"ipv4_masq": "10.9.0.8"}, {"jailed": False}]
)
def test_what_a_patch_cannot_say_travels_as_the_whole_peer(terms: dict[str, object]) -> None:
    """Scenario N13."""
    assert patch(shown(), shown(PEER, **terms)) is None


def test_a_name_changes_and_the_ids_do_not() -> None:
    """Scenario N12."""
    before, after = shown(), shown(replace(PEER, name="other"))
    assert patch(before, after) is None
    assert after.name == "other.tail.example.com."
    assert (after.id, after.stable_id, after.addresses) == (before.id, before.stable_id, before.addresses)


def test_a_part_is_all_that_is_routed() -> None:
    node = shown(allowed_ips=("10.9.1.0/24",))
    assert node.allowed_ips == (*node.addresses, "10.9.1.0/24")
    assert node.primary_routes == ("10.9.1.0/24",)


def test_the_jail_is_open_only_where_it_says_so() -> None:
    assert shown().is_jailed
    assert not shown(jailed=False).is_jailed


def test_the_versions_below_which_clients_are_told_less_are_those_of_the_ledger() -> None:
    found = (FIRST_CAPVER, JAIL_CAPVER, V6_MASQ_CAPVER)
    assert found == (capver.WIREGUARD_ONLY, capver.JAILED, capver.MASQUERADE_V6)
