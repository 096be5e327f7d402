"""Nodes, WireGuard-only peers and patches in their wire form."""

import msgspec
import pytest

from engine.contracts.netmap import ConnectionExtra
from engine.contracts.soft import SoftFact
from engine.domain.events import ExtraConfig, Location
from engine.domain.values import Millis, NodeId, PeerId
from frontends.control.fragment import Fragment
from frontends.control.render import patch, peer_node, self_node, wireguard_node
from frontends.wire.tailcfg.node import Node
from tests.unit.control.objects import external, node

BASE = "tail.example.com"
CONNECTION = ConnectionExtra(peer=PeerId(100_000_001), ipv4_masq="10.9.0.9", ipv6_masq="fd09::9")


def wireguard(capver: int = 142, **fields: object) -> Node:
    found = wireguard_node(external(100_000_001, **fields), CONNECTION, BASE, capver)
    assert found is not None
    return found


def test_an_unknown_node_is_offline_with_explicit_empties() -> None:
    sent = msgspec.json.decode(Fragment(peer_node(node(1, "u1"), None, BASE, ("all",))).data)
    assert (sent["Online"], sent["Endpoints"], sent["DERP"]) == (False, [], "127.3.3.40:0")
    assert sent["DiscoKey"] == "discokey:" + "0" * 64
    assert sent["Name"] == "host1.tail.example.com."
    assert "LastSeen" not in sent


def test_only_an_offline_node_has_a_time_of_last_seen() -> None:
    fact = SoftFact(
        node=NodeId(1), origin="f", generation=1, sequence=1, last_seen=Millis(1_700_000_000_000), home_derp=9
    )
    assert peer_node(node(1, "u1"), fact, BASE, ("all",)).last_seen == "2023-11-14T22:13:20Z"
    online = msgspec.structs.replace(fact, online=True)
    assert peer_node(node(1, "u1"), online, BASE, ("all",)).last_seen is None
    assert peer_node(node(1, "u1"), online, BASE, ("all",)).derp == "127.3.3.40:9"


def test_a_tagged_node_belongs_to_the_tagged_devices() -> None:
    assert peer_node(node(1, "t:tag:a"), None, BASE, ("all",)).user == 2_147_455_555


def test_an_expired_node_has_a_past_expiry_and_is_in_no_set() -> None:
    value = node(1, "u1", expired=True)
    assert self_node(value, BASE, (), ()).key_expiry == "2023-11-14T22:13:20Z"
    assert peer_node(value, None, BASE, ("all",)).expired
    assert peer_node(value, None, BASE, ("all",)).cap_map == {}


def test_a_node_may_do_what_everybody_may_and_what_its_class_may() -> None:
    """The base set is the hosted service's: policy vectors, README."""
    names = ("file-sharing", "ssh", "tailnet-lock")
    base = {f"https://tailscale.com/cap/{name}": None for name in names}
    base |= dict.fromkeys(("probe-udp-lifetime", "ssh-behavior-v1", "ssh-env-vars", "store-appc-routes"))
    whole = base | {"default-auto-update": (False,)}
    assert self_node(node(1, "u1"), BASE, (), ()).cap_map == whole
    assert self_node(node(1, "u1"), BASE, ("funnel",), ()).cap_map == whole | {"funnel": None}


def test_a_peer_carries_the_sets_of_its_class_and_nothing_that_its_own_client_may_do() -> None:
    found = peer_node(node(1, "u1"), None, BASE, ("a", "b"))
    assert found.cap_map == {"netmap.internal/set/a": None, "netmap.internal/set/b": None}


def test_a_node_without_ipv4_shows_none_to_itself_nor_to_others() -> None:
    own = self_node(node(1, "u1"), BASE, ("disable-ipv4",), ())
    other = peer_node(node(1, "u1"), None, BASE, (), has_ipv4=False)
    for shown in (own, other):
        assert shown.addresses == shown.allowed_ips == ("fd7a:115c:a1e0::1/128",)


def test_a_router_knows_all_its_routes_and_of_which_it_is_the_primary() -> None:
    value = node(1, "u1", routes=("10.0.0.0/8", "fd00::/64"), exit_routes=("0.0.0.0/0", "::/0"))
    own = self_node(value, BASE, (), ("fd00::/64",))
    assert own.allowed_ips is not None
    assert own.allowed_ips[2:] == ("10.0.0.0/8", "fd00::/64", "0.0.0.0/0", "::/0")
    assert own.primary_routes == ("fd00::/64",)
    gone = self_node(msgspec.structs.replace(value, expired=True), BASE, (), ("fd00::/64",))
    assert (gone.allowed_ips, gone.primary_routes) == (gone.addresses, None)


def test_an_exit_node_has_default_routes_and_is_suggested_while_its_key_is_good() -> None:
    """Routes that depend on the viewer are no part of what all viewers share."""
    value = node(1, "u1", routes=("10.0.0.0/8",), exit_routes=("0.0.0.0/0", "::/0"))
    found = peer_node(value, None, BASE, ())
    assert found.allowed_ips == (*found.addresses, "0.0.0.0/0", "::/0")
    assert (found.primary_routes, found.cap_map) == (None, {"suggest-exit-node": None})
    gone = peer_node(msgspec.structs.replace(value, expired=True), None, BASE, ())
    assert (gone.allowed_ips, gone.cap_map) == (gone.addresses, {})


def test_a_wireguard_only_peer_is_jailed_nobodys_and_in_no_set() -> None:
    sent = msgspec.json.decode(Fragment(wireguard()).data)
    assert (sent["IsWireGuardOnly"], sent["IsJailed"], sent["Online"]) == (True, True, True)
    assert sent["User"] == 2_147_455_556
    assert "Cap" not in sent
    assert "DiscoKey" not in sent
    assert sent["CapMap"] == {}
    assert sent["AllowedIPs"][:2] == sent["Addresses"]
    assert sent["PrimaryRoutes"] == ["10.9.0.0/16", "fd09::/64"]
    assert sent["SelfNodeV4MasqAddrForThisPeer"] == "10.9.0.9"


@pytest.mark.parametrize("capver", [0, 59, 60, 76, 93])
def test_clients_that_cannot_jail_do_not_get_it(capver: int) -> None:
    assert wireguard_node(external(100_000_001), CONNECTION, BASE, capver) is None


def test_clients_that_do_not_translate_ipv6_get_no_ipv6_routes_but_the_default() -> None:
    old, new = wireguard(103), wireguard(104)
    assert old.self_node_v6_masq_addr_for_this_peer is None
    assert new.self_node_v6_masq_addr_for_this_peer == "fd09::9"
    assert "fd09::/64" not in old.allowed_ips
    assert "::/0" in old.allowed_ips
    assert "fd09::/64" in new.allowed_ips


def test_prefixes_are_masked_and_stand_once() -> None:
    found = wireguard(allowed_ips=("10.9.1.7/16", "10.9.0.0/16", "100.127.0.1/32"))
    assert found.allowed_ips[2:] == ("10.9.0.0/16",)


@pytest.mark.parametrize(
    ("left", "routes"), [(None, ("10.9.0.0/16", "fd09::/64")), (("10.9.8.0/24",), ("10.9.8.0/24",)), ((), ())]
)
def test_what_the_policy_left_of_its_routes_is_what_a_connected_node_gets(
    left: tuple[str, ...] | None, routes: tuple[str, ...]
) -> None:
    peer = external(100_000_001, allowed_ips=("10.9.0.0/16", "fd09::/64"))
    connection = msgspec.structs.replace(CONNECTION, allowed_ips=left)
    found = wireguard_node(peer, connection, BASE, 142)
    assert found is not None
    assert found.allowed_ips == found.addresses + routes
    assert found.primary_routes == (routes or None)


def test_location_resolvers_and_the_suggestion_are_relayed() -> None:
    place = Location(
        country="Sweden",
        country_code="SE",
        city="Malmö",
        city_code="MMA",
        latitude=1.0,
        longitude=2.0,
        priority=3,
    )
    extra = ExtraConfig(
        location=place, suggest_exit_node=True, exit_node_dns_resolvers=("10.64.0.1",), tags=("tag:x",)
    )
    sent = msgspec.json.decode(Fragment(wireguard(extra=extra)).data)
    assert sent["Hostinfo"]["Location"]["CountryCode"] == "SE"
    assert sent["ExitNodeDNSResolvers"] == [{"Addr": "10.64.0.1"}]
    assert sent["CapMap"] == {"suggest-exit-node": None}
    assert sent["Tags"] == ["tag:x"]


def test_a_change_of_soft_state_is_a_patch_that_can_clear() -> None:
    off = SoftFact(
        node=NodeId(1), origin="f", generation=1, sequence=1, last_seen=Millis(5), endpoints=("1.2.3.4:5",)
    )
    on = msgspec.structs.replace(off, online=True, endpoints=())
    change = patch(
        peer_node(node(1, "u1"), off, BASE, ("all",)), peer_node(node(1, "u1"), on, BASE, ("all",))
    )
    assert change is not None
    assert (change.online, change.last_seen, change.endpoints) == (True, "0001-01-01T00:00:00Z", ())


@pytest.mark.parametrize("field", ["name", "ipv4", "user", "expired"])
def test_a_change_that_no_patch_can_carry_needs_the_whole_node(field: str) -> None:
    value = {"name": "x", "ipv4": "100.64.9.9", "user": 7, "expired": True}[field]
    before = node(1, "u1")
    after = msgspec.structs.replace(before, **{field: value})
    assert patch(peer_node(before, None, BASE, ("all",)), peer_node(after, None, BASE, ("all",))) is None


def test_a_home_region_cannot_be_cleared_by_a_patch() -> None:
    fact = SoftFact(node=NodeId(1), origin="f", generation=1, sequence=1, home_derp=9)
    assert (
        patch(peer_node(node(1, "u1"), fact, BASE, ("all",)), peer_node(node(1, "u1"), None, BASE, ("all",)))
        is None
    )
