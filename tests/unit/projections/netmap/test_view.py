"""A node's netmap in JSON, as an operator reads it."""

from typing import Any

import msgspec
import pytest

from engine.domain.events import Event, LogStarted, NodeRoutesAdvertised, NodeRoutesApproved, UserCreated
from engine.domain.values import Epoch, NodeId, UserId
from projections.netmap.diff import diff
from projections.netmap.fold import fold
from projections.netmap.state import NetmapState
from projections.netmap.view import NodeNetmap, RuleView, SshView, TargetView, view
from tests.kit.histories import Step, history, records
from tests.kit.policy_stage import node_registered, policy_set

COURSE: list[Step] = [("user", 0, 0), ("user", 0, 0), ("node", 0, 0), ("node", 1, 0), ("peer", 0, 0)]


def netmap(course: list[Step], node: int = 1) -> NodeNetmap:
    state = NetmapState()
    for record in history(course):
        fold(state, record)
    found = view(state, NodeId(node))
    assert found is not None
    return found


def test_it_has_the_names_of_the_contract() -> None:
    whole = msgspec.json.decode(msgspec.json.encode(netmap([*COURSE, ("connect", 0, 0)])))
    assert set(whole) == {
        "position",
        "epoch",
        "self",
        "peers",
        "wireguardOnlyPeers",
        "rules",
        "ssh",
        "capabilities",
        "baseDomain",
        "derp",
        "resolvers",
        "fallbackResolvers",
    }
    assert whole["self"]["fqdn"] == "node1.netmap.internal"
    assert [peer["id"] for peer in whole["peers"]] == [2]
    assert whole["peers"][0]["userName"] == "user2"
    assert whole["wireguardOnlyPeers"][0]["ipv4MasqAddr"].startswith("10.64.1.")
    assert whole["rules"] == [
        {
            "sourceClasses": ["u1", "u2"],
            "sources": [
                "100.64.0.0-100.115.91.255",
                "100.115.94.0-100.127.255.255",
                "fd7a:115c:a1e0::/48",
            ],
            "targets": [{"to": "*", "ports": [[0, 65535]]}],
            "protocols": [],
            "capabilities": None,
        }
    ]
    assert (whole["ssh"], whole["capabilities"]) == ([], [])


def test_nobody_sees_a_wireguard_only_peer_without_a_connection() -> None:
    connected = [*COURSE, ("connect", 0, 0)]
    assert len(netmap(connected, 1).wireguard_only_peers) == 1
    assert netmap(connected, 2).wireguard_only_peers == ()


def test_a_disabled_wireguard_only_peer_stands_as_clients_get_it() -> None:
    connected: list[Step] = [*COURSE, ("connect", 0, 0)]
    (before,) = netmap(connected).wireguard_only_peers
    (parked,) = netmap([*connected, ("peer_switch", 0, 0)]).wireguard_only_peers
    (ended,) = netmap([*connected, ("peer_switch", 0, 1)]).wireguard_only_peers
    (again,) = netmap([*connected, ("peer_switch", 0, 0), ("peer_switch", 0, 2)]).wireguard_only_peers
    assert (parked.disabled, parked.expired) == (True, False)
    assert parked.public_key != before.public_key
    assert parked.endpoints == ("192.0.2.1:9",)
    assert (ended.disabled, ended.expired, ended.public_key) == (False, True, before.public_key)
    assert again == before


def test_an_expired_peer_is_there_and_marked() -> None:
    assert [peer.expired for peer in netmap([*COURSE, ("expire", 1, 0)]).peers] == [True]


def test_an_expired_node_is_told_its_own_self_node_and_nothing_else() -> None:
    found = netmap([*COURSE, ("connect", 0, 0), ("expire", 0, 0)])
    assert found.self_node.expired
    assert (found.peers, found.wireguard_only_peers, found.rules) == ((), (), ())
    assert (found.ssh, found.capabilities) == ((), ())


# Under a policy ------------------------------------------------------------------------------------------------


def under(policy: dict[str, Any], *more: Event, node: int = 1) -> NodeNetmap:
    """Node 1 is ann's, 2 is bob's, 3 has a tag: that node's netmap under the policy."""
    state = NetmapState()
    common = {"tagOwners": {"tag:a": ["ann@"]}}
    events = [
        LogStarted(epoch=Epoch("e")),
        *(UserCreated(user=UserId(n), name=name, role=role) for n, name, role in USERS),
        node_registered(1, 1, (), "100.64.0.1", "fd7a::1"),
        node_registered(2, 2, (), "100.64.0.2", "fd7a::2"),
        node_registered(3, 1, ("tag:a",), "100.64.0.3", "fd7a::3"),
        *more,
        policy_set(common | policy),
    ]
    for record in records(events):
        fold(state, record)
    found = view(state, NodeId(node))
    assert found is not None
    return found


USERS = ((1, "ann", "admin"), (2, "bob", "member"))


def acl(src: list[str], dst: list[str], **fields: object) -> dict[str, Any]:
    return {"action": "accept", "src": src, "dst": dst, **fields}


def test_a_rule_says_which_classes_and_ranges_may_send_where() -> None:
    found = under({"acls": [acl(["bob@", "10.0.0.0/8"], ["ann@:22,80-90"], proto="tcp")]})
    assert found.rules == (
        RuleView(
            source_classes=("u2",),
            sources=("10.0.0.0/8",),
            targets=(TargetView(to="self", ports=((22, 22), (80, 90))),),
            protocols=(6,),
        ),
    )
    assert [peer.id for peer in found.peers] == [2]


def test_who_may_send_to_its_own_devices_only_is_told_of_its_own_classes() -> None:
    policy = {"acls": [acl(["autogroup:member"], ["autogroup:self:*"])]}
    (rule,) = under(policy).rules
    assert (rule.source_classes, rule.sources) == (("u1",), ())
    assert under(policy).peers == ()


def test_anyone_is_a_star_and_a_grant_is_a_capability() -> None:
    app = {"example.com/cap/a": [{"x": 1}]}
    policy = {
        "grants": [
            {"src": ["autogroup:danger-all"], "dst": ["ann@"], "ip": ["udp:53"]},
            {"src": ["tag:a"], "dst": ["ann@"], "app": app},
        ]
    }
    anyone, grant = under(policy).rules
    assert (anyone.sources, anyone.protocols, anyone.capabilities) == (("*",), (17,), None)
    assert (grant.source_classes, grant.targets) == (("t:tag:a",), ())
    assert grant.capabilities is not None
    assert msgspec.json.decode(grant.capabilities) == app


def routes(number: int, *prefixes: str) -> tuple[Event, Event]:
    node = NodeId(number)
    return NodeRoutesAdvertised(node=node, routes=prefixes), NodeRoutesApproved(node=node, routes=prefixes)


def test_a_route_is_shown_on_its_first_router_to_whom_it_is_for() -> None:
    lan, exits = "192.168.7.0/24", ("0.0.0.0/0", "::/0")
    more = (*routes(3, lan, *exits), *routes(2, lan))
    policy = {"acls": [acl(["bob@"], ["192.168.7.0/24:*", "tag:a:*"])]}
    (peer,) = under(policy, *more, node=2).peers
    assert (peer.id, peer.routes) == (3, exits)
    assert under(policy, *more, node=2).self_node.routes == (lan,)
    seen = {peer.id: peer.routes for peer in under(policy, *more, node=3).peers}
    assert seen == {2: (lan,)}
    assert under(policy, *more, node=1).peers == ()


def test_who_is_steered_is_shown_a_route_on_the_router_that_it_is_steered_to() -> None:
    lan = "192.168.7.0/24"
    grant = {"src": ["ann@"], "dst": [lan], "ip": ["*"], "via": ["tag:a"]}
    policy = {"acls": [acl(["ann@"], ["bob@:*"])], "grants": [grant]}
    more = (*routes(2, lan), *routes(3, lan))
    assert {peer.id: peer.routes for peer in under(policy, *more).peers} == {2: (), 3: (lan,)}


def test_ssh_says_who_may_open_a_shell_as_whom() -> None:
    rules = [
        {"action": "accept", "src": ["tag:a"], "dst": ["tag:a"], "users": ["root"]},
        {"action": "check", "src": ["bob@"], "dst": ["tag:a"], "users": ["autogroup:nonroot"]},
    ]
    found = under({"ssh": rules}, node=3).ssh
    assert found == (
        SshView(action="check", source_classes=("u2",), users={"*": "=", "root": ""}, own_only=False),
        SshView(action="accept", source_classes=("t:tag:a",), users={"root": "root"}, own_only=False),
    )
    assert under({"ssh": rules}, node=2).ssh == ()


def test_capabilities_are_the_policys_and_the_roles() -> None:
    policy = {"acls": [], "nodeAttrs": [{"target": ["bob@", "tag:a"], "attr": ["randomize-client-port"]}]}
    assert under(policy).capabilities == ("https://tailscale.com/cap/is-admin",)
    assert under(policy, node=2).capabilities == ("randomize-client-port",)
    assert under(policy, node=3).capabilities == (
        "https://tailscale.com/cap/is-owner",
        "randomize-client-port",
    )


def test_the_policy_lets_apps_show_their_menu_of_exits() -> None:
    """Desktop apps show exits with a location in a menu that only nodes with this attribute have."""
    policy = {"acls": [], "nodeAttrs": [{"target": ["bob@"], "attr": ["mullvad"]}]}
    assert under(policy, node=2).capabilities == ("mullvad",)
    assert "mullvad" not in under(policy).capabilities


# Differences ---------------------------------------------------------------------------------------------------


def test_the_diff_of_two_policies_names_the_rules_and_the_peers_that_it_shows() -> None:
    one = {"acls": [acl(["bob@"], ["ann@:22"])]}
    two = {"acls": [acl(["tag:a"], ["ann@:22"])]}
    found = diff(under(one), under(two))
    assert found.others == ("rules",)
    assert [peer.id for peer in found.peers.added] == [3]
    assert [peer.id for peer in found.peers.removed] == [2]


@pytest.mark.parametrize(
    ("name", "more"),
    [
        ("ssh", {"ssh": [{"action": "accept", "src": ["tag:a"], "dst": ["tag:a"], "users": ["root"]}]}),
        ("capabilities", {"nodeAttrs": [{"target": ["tag:a"], "attr": ["funnel"]}]}),
    ],
)
def test_the_diff_names_everything_that_a_policy_says_of_a_node(name: str, more: dict[str, Any]) -> None:
    found = diff(under({"acls": []}, node=3), under({"acls": []} | more, node=3))
    assert found.others == (name,)


def test_a_node_that_is_not_there_has_no_netmap() -> None:
    assert view(NetmapState(), NodeId(1)) is None


def test_the_diff_names_what_came_what_went_and_what_changed() -> None:
    before = netmap(COURSE)
    more: list[Step] = [*COURSE, ("connect", 0, 0), ("node", 1, 0), ("rename", 1, 1), ("settings", 2, 0)]
    found = diff(before, netmap(more))
    assert [peer.id for peer in found.peers.added] == [3]
    assert [pair.after.name for pair in found.peers.changed] == ["node2x1"]
    assert [peer.id for peer in found.wireguard_only_peers.added] == [100_000_001]
    assert "baseDomain" in found.others


def test_the_diff_of_equal_views_is_empty() -> None:
    found = diff(netmap(COURSE), netmap(COURSE))
    assert (found.peers.added, found.peers.removed, found.peers.changed, found.others) == ((), (), (), ())
