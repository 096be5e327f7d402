"""What is one node's own: connections to WireGuard-only peers, and what an enforced policy leaves of them."""

import pytest

from engine.contracts.netmap import ConnectionExtra
from engine.domain.events import (
    ConnectionAdded,
    Event,
    ExtraConfig,
    NodeDeleted,
    NodeTagged,
    PeerRegistered,
    UserRoleSet,
    WireGuardModeSet,
)
from engine.domain.values import NodeId, NodeKey, PeerId, StableId, UserId
from projections.netmap.view import view
from tests.kit.policy_stage import Stage
from tests.unit.projections.netmap.stages import Policy, acl, keys, ruled, stage, touched

RELAY = PeerId(100_000_001)
EXIT, SITE = ("0.0.0.0/0", "::/0"), ("10.9.0.0/16", "fd09::/64")
ENFORCE, BYPASS = WireGuardModeSet(mode="enforce"), WireGuardModeSet(mode="bypass")
INTERNET: Policy = {"src": ["ann@"], "dst": ["autogroup:internet"], "ip": ["*"]}


def relay(*allowed: str, tags: tuple[str, ...] = ()) -> Event:
    return PeerRegistered(
        peer=RELAY,
        stable_id=StableId("w"),
        name="relay",
        user=UserId(1),
        public_key=NodeKey("nodekey:" + "ab" * 32),
        allowed_ips=allowed,
        endpoints=("192.0.2.1:51820",),
        ipv4="100.96.0.1",
        ipv6="fd7a:115c:a1e0:2::1",
        extra=ExtraConfig(tags=tags),
    )


def connected(number: int) -> Event:
    return ConnectionAdded(node=NodeId(number), peer=RELAY, ipv4_masq="10.64.0.9", ipv6_masq="fd64::9")


def beside(policy: Policy | None, *allowed: str, tags: tuple[str, ...] = (), mode: Event = ENFORCE) -> Stage:
    """Node 1, ann's, and node 2, bob's, are connected to the relay."""
    return stage(policy, relay(*allowed, tags=tags), connected(1), connected(2), mode)


def left(there: Stage, number: int) -> tuple[str, ...] | str | None:
    """What is left of the relay's allowed IPs for a node: None is all, a text says that it is not shown."""
    connections = there.state.extras(NodeId(number)).connections
    return connections[0].allowed_ips if connections else "not shown"


def test_where_connections_alone_decide_a_policy_takes_nothing() -> None:
    there = beside({"acls": []}, *EXIT, *SITE, mode=BYPASS)
    assert (left(there, 1), left(there, 2)) == (None, None)
    extra = ConnectionExtra(peer=RELAY, ipv4_masq="10.64.0.9", ipv6_masq="fd64::9")
    assert there.state.extras(NodeId(1)).connections == (extra,)
    assert left(there, 3) == "not shown"


@pytest.mark.parametrize("policy", [None, {"acls": [acl("*", "*:*")]}, {"acls": [acl("ann@", "bob@:*")]}])
def test_neither_everything_nor_people_speak_of_a_relay(policy: Policy | None) -> None:
    assert left(beside(policy, *EXIT, *SITE), 1) == "not shown"


def test_the_internet_is_the_way_to_default_routes_and_to_nothing_else() -> None:
    there = beside({"grants": [INTERNET]}, *EXIT, *SITE)
    assert (left(there, 1), left(there, 2)) == (EXIT, "not shown")


def test_a_range_leaves_what_lies_in_it_and_no_default_route() -> None:
    there = beside({"acls": [acl("ann@", "10.9.8.0/24:*"), acl("ann@", "0.0.0.0/1:*")]}, *EXIT, *SITE)
    assert left(there, 1) == ("10.9.0.0/16", "10.9.8.0/24")
    there = beside({"acls": [acl("ann@", "10.9.8.0/24:*")]}, *EXIT, *SITE)
    assert left(there, 1) == ("10.9.8.0/24",)


def test_a_tag_of_the_relay_leaves_all_but_default_routes() -> None:
    there = beside({"acls": [acl("ann@", "tag:a:*")]}, *EXIT, *SITE, tags=("tag:a",))
    assert (left(there, 1), left(there, 2)) == (SITE, "not shown")


def test_its_own_address_shows_it_without_any_route() -> None:
    there = beside({"acls": [acl("ann@", "100.96.0.1:*")]}, *EXIT)
    assert left(there, 1) == ()
    netmap = view(there.state, NodeId(1))
    assert netmap is not None
    assert [peer.allowed_ips for peer in netmap.wireguard_only_peers] == [()]


def test_the_mode_touches_the_extras_of_those_connected_and_back() -> None:
    there = beside({"grants": [INTERNET]}, *EXIT, mode=BYPASS)
    assert keys(there.tell(ENFORCE), "extras") == {"1", "2"}
    changes = there.tell(BYPASS)
    assert touched(changes) == {"extras": 2}
    assert (left(there, 1), left(there, 2)) == (None, None)


def test_a_connection_that_comes_is_cut_at_once() -> None:
    there = stage({"grants": [INTERNET]}, relay(*EXIT, *SITE), ENFORCE)
    assert touched(there.tell(connected(1))) == {"extras": 1}
    assert left(there, 1) == EXIT
    assert there.tell(connected(2)) == ()  # nothing is left of it: there is nothing to hold


def test_a_policy_that_takes_effect_is_looked_at_for_everybody_who_is_connected() -> None:
    there = beside({"grants": [INTERNET]}, *EXIT)
    changes = there.tell(ruled({"grants": [INTERNET | {"src": ["bob@"]}]}))
    assert keys(changes, "extras") == {"1", "2"}
    assert (left(there, 1), left(there, 2)) == ("not shown", EXIT)


def test_who_becomes_another_to_the_policy_is_looked_at_anew() -> None:
    there = beside({"grants": [INTERNET, INTERNET | {"src": ["tag:b"]}]}, *EXIT)
    there.tell(NodeTagged(node=NodeId(1), tags=("tag:a",)))
    assert left(there, 1) == "not shown"
    assert keys(there.tell(NodeTagged(node=NodeId(2), tags=("tag:b",))), "extras") == {"2"}
    assert left(there, 2) == EXIT


def test_whose_user_has_another_role_is_looked_at_anew() -> None:
    there = beside({"grants": [INTERNET | {"src": ["autogroup:admin"]}]}, *EXIT)
    assert (left(there, 1), left(there, 2)) == (EXIT, "not shown")
    there.tell(UserRoleSet(user=UserId(2), role="admin"), UserRoleSet(user=UserId(1), role="member"))
    assert (left(there, 1), left(there, 2)) == ("not shown", EXIT)


def test_a_node_that_goes_takes_its_extras_with_it() -> None:
    there = beside({"grants": [INTERNET]}, *EXIT)
    changes = there.tell(NodeDeleted(node=NodeId(1)))
    assert [change.value for change in changes if change.key == "extras/1"] == [None]
