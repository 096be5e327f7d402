"""What is one node's own: connections to WireGuard-only peers, and what an enforced policy leaves of them."""

import pytest

from engine.contracts.netmap import ConnectionExtra
from engine.domain.events import (
    ConnectionAdded,
    Event,
    ExtraConfig,
    NodeDeleted,
    NodeTagged,
    PeerBackendSet,
    PeerDisabled,
    PeerEnabled,
    PeerExpired,
    PeerRegistered,
    PeerSwitched,
    PeerUpdated,
    ResolversSet,
    UserCreated,
    UserDeleted,
    UserRoleSet,
    WireGuardDnsSet,
    WireGuardModeSet,
)
from engine.domain.values import Millis, NodeId, NodeKey, PeerId, StableId, UserId
from projections.netmap.view import view
from tests.kit.policy_stage import Stage
from tests.unit.projections.netmap.stages import Policy, acl, keys, ruled, stage, touched

RELAY = PeerId(100_000_001)
EXIT, SITE = ("0.0.0.0/0", "::/0"), ("10.9.0.0/16", "fd09::/64")
ENFORCE, BYPASS = WireGuardModeSet(mode="enforce"), WireGuardModeSet(mode="bypass")
INTERNET: Policy = {"src": ["ann@"], "dst": ["autogroup:internet"], "ip": ["*"]}


def relay(*allowed: str, tags: tuple[str, ...] = (), resolvers: tuple[str, ...] = ()) -> Event:
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
        extra=ExtraConfig(tags=tags, exit_node_dns_resolvers=resolvers),
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


def test_a_user_that_goes_takes_its_profile_with_it_and_nothing_else() -> None:
    there = beside({"grants": [INTERNET]}, *EXIT)
    there.tell(UserCreated(user=UserId(9), name="eve"))
    changes = there.tell(UserDeleted(user=UserId(9)))
    assert [(change.key, change.value) for change in changes] == [("user/9", None)]


def test_a_node_that_goes_takes_its_extras_with_it() -> None:
    there = beside({"grants": [INTERNET]}, *EXIT)
    changes = there.tell(NodeDeleted(node=NodeId(1)))
    assert [change.value for change in changes if change.key == "extras/1"] == [None]


# Resolvers -----------------------------------------------------------------------------------------------------

DEMOTE, KEEP = WireGuardDnsSet(mode="demote"), WireGuardDnsSet(mode="keep")
GLOBAL = ResolversSet(resolvers=("9.9.9.9",))
OWN = ("10.64.0.1",)


def demoted(there: Stage, number: int) -> bool:
    """Whether the tailnet's resolvers are a fall-back in what the node's client is told, and in what operators read."""
    dns = there.first(number)["DNSConfig"]
    netmap = view(there.state, NodeId(number))
    assert netmap is not None
    is_fallback = "FallbackResolvers" in dns
    assert dns["FallbackResolvers" if is_fallback else "Resolvers"] == [{"Addr": "9.9.9.9"}]
    assert ("Resolvers" in dns) is not is_fallback
    shown = (netmap.resolvers, netmap.fallback_resolvers)
    assert shown == (((), ("9.9.9.9",)) if is_fallback else (("9.9.9.9",), ()))
    return is_fallback


def test_demoting_touches_those_who_have_an_exit_with_resolvers_and_nobody_else() -> None:
    there = stage(None, relay(*EXIT, resolvers=OWN), connected(1), GLOBAL)
    assert not demoted(there, 1)
    assert touched(there.tell(DEMOTE)) == {"extras": 1}
    assert (demoted(there, 1), demoted(there, 2)) == (True, False)
    assert touched(there.tell(connected(2))) == {"extras": 1}
    assert demoted(there, 2)
    assert keys(there.tell(KEEP), "extras") == {"1", "2"}
    assert not demoted(there, 1)


@pytest.mark.parametrize(
    "peer",
    [relay(*SITE, resolvers=OWN), relay(*EXIT), relay("0.0.0.0/0", resolvers=OWN)],
    ids=["site", "none", "half"],
)
def test_a_peer_that_is_no_exit_or_has_no_resolvers_demotes_nothing(peer: Event) -> None:
    assert not demoted(stage(None, peer, connected(1), GLOBAL, DEMOTE), 1)


def test_an_exit_that_carries_nothing_demotes_nothing_and_does_again_when_it_is_back() -> None:
    there = stage(None, relay(*EXIT, resolvers=OWN), connected(1), GLOBAL, DEMOTE)
    enabled = PeerEnabled(peer=RELAY)
    for off in (
        PeerDisabled(peer=RELAY, parked_key=NodeKey("nodekey:" + "cd" * 32)),
        PeerExpired(peer=RELAY, at=Millis(1)),
    ):
        assert keys(there.tell(off), "extras") == {"1"}
        assert not demoted(there, 1)
        assert keys(there.tell(enabled), "extras") == {"1"}
        assert demoted(there, 1)


def test_an_exit_that_loses_its_resolvers_demotes_no_longer() -> None:
    there = stage(None, relay(*EXIT, resolvers=OWN), connected(1), GLOBAL, DEMOTE)
    key = NodeKey("nodekey:" + "ab" * 32)
    there.tell(PeerUpdated(peer=RELAY, public_key=key, allowed_ips=EXIT, endpoints=("192.0.2.1:51820",)))
    assert not demoted(there, 1)


def test_another_backend_demotes_if_that_one_has_resolvers() -> None:
    there = stage(None, relay(*EXIT), connected(1), GLOBAL, DEMOTE)
    assert not demoted(there, 1)
    key, where = NodeKey("nodekey:" + "ef" * 32), ("192.0.2.2:51820",)
    with_own = PeerSwitched(peer=RELAY, backend="b", public_key=key, endpoints=where, resolvers=OWN)
    assert keys(there.tell(with_own), "extras") == {"1"}
    assert demoted(there, 1)
    without = PeerBackendSet(peer=RELAY, backend="b", public_key=key, endpoints=where)
    assert keys(there.tell(without), "extras") == {"1"}
    assert not demoted(there, 1)


def test_where_nothing_is_demoted_a_switch_touches_the_peer_alone() -> None:
    there = stage(None, relay(*EXIT, resolvers=OWN), connected(1), GLOBAL)
    parked = PeerDisabled(peer=RELAY, parked_key=NodeKey("nodekey:" + "cd" * 32))
    assert touched(there.tell(parked)) == {"peer": 1}


def test_an_exit_that_the_policy_keeps_from_the_node_demotes_nothing() -> None:
    there = stage(
        {"grants": [INTERNET]},
        relay(*EXIT, resolvers=OWN),
        connected(1),
        connected(2),
        GLOBAL,
        DEMOTE,
        ENFORCE,
    )
    assert (demoted(there, 1), demoted(there, 2)) == (True, False)


def test_the_attribute_that_shows_apps_menu_of_exits_reaches_the_client() -> None:
    attribute = {"target": ["bob@"], "attr": ["mullvad"]}
    there = stage({"nodeAttrs": [attribute]}, relay(*EXIT), connected(1), connected(2))
    assert "mullvad" in there.first(2)["Node"]["CapMap"]
    assert "mullvad" not in there.first(1)["Node"]["CapMap"]
