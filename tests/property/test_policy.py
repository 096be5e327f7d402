"""Under random policies over random tailnets every client is told exactly what the naive evaluator says: after each single
change, from the differences alone, with sources as addresses and as capabilities."""

import os
from collections.abc import Iterator
from ipaddress import ip_address
from typing import Any, Final

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from engine.domain.events import ConnectionAdded, ConnectionUpdated, Event, PeerRegistered, PeerUpdated
from engine.domain.values import NodeId, NodeKey, PeerId, StableId, UserId
from frontends.control.session import End, Session
from tests.kit.client_view import ClientView
from tests.kit.naive_policy import NodeView, evaluate, lets_in, settled
from tests.kit.naive_select import literal
from tests.kit.naive_world import Node, Policy, User, World, any_overlap
from tests.kit.policy_rules import ROUTE_RANGES
from tests.kit.policy_stage import NEW, OLD, TIME, Stage
from tests.kit.policy_steps import settled_world, staged, steps, switch
from tests.kit.policy_worlds import mutations, scenes

Json = dict[str, Any]
FAST: Final = settings(
    max_examples=int(os.environ.get("NETMAP_EXAMPLES", "15")),
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
CAP: Final = "cap:"


class Client:
    """A session and what its client holds."""

    def __init__(self, stage: Stage, number: int, capver: int) -> None:
        self.stage = stage
        self.session = Session(NodeId(number), capver)
        self.view = ClientView(capver)
        whole = self.session.first(stage.view, stage.lists, TIME)
        assert not isinstance(whole, End)
        self.view.apply(whole.head + b"".join(whole.peers) + whole.tail)

    def catch_up(self) -> Json:
        text = self.session.next(self.stage.view, TIME)
        assert not isinstance(text, End)
        return {} if text is None else self.view.apply(text)

    def told(self) -> NodeView:
        """What the client holds, in the evaluator's words."""
        me, peers = self.view.node or {}, self.view.peers
        return NodeView(
            packet_filter=self.view.rules,
            peers={n: sorted(set(p["AllowedIPs"]) - set(p["Addresses"])) for n, p in peers.items()},
            peer_caps={n: caps for n, p in peers.items() if (caps := _public(p.get("CapMap", {})))},
            primary_routes=sorted(me.get("PrimaryRoutes", ())),
            addresses=sorted(me["Addresses"]),
            ssh_rules=[_ssh(rule) for rule in (self.view.ssh or {})["rules"]],
            caps=me["CapMap"],
        )


def _public(caps: Json) -> Json:
    return {name: value for name, value in caps.items() if not name.startswith("netmap.internal/")}


def _ssh(rule: Json) -> Json:
    found = {
        "action": "accept" if rule["action"].get("accept") else "check",
        "principals": [principal["nodeIP"] for principal in rule["principals"]],
        "users": rule["sshUsers"],
    }
    return found | ({"accept_env": rule["acceptEnv"]} if rule.get("acceptEnv") is not None else {})


def wanted(view: NodeView) -> NodeView:
    """The evaluator's view with what is free in one order."""
    return NodeView(
        packet_filter=settled(view.packet_filter),
        peers={number: sorted(prefixes) for number, prefixes in view.peers.items()},
        peer_caps=view.peer_caps,
        primary_routes=sorted(view.primary_routes),
        addresses=sorted(view.addresses),
        ssh_rules=view.ssh_rules,
        caps=view.caps,
    )


def check(clients: dict[int, Client], scene: tuple[World, Policy]) -> None:
    right = evaluate(*scene)
    assert clients.keys() == right.keys()
    for number, client in clients.items():
        found = client.told()
        expected = wanted(right[number])
        for part in NodeView.__dataclass_fields__:
            mine, theirs = getattr(found, part), getattr(expected, part)
            if part == "packet_filter":
                mine = settled(mine)
            assert mine == theirs, (number, part)


@FAST
@given(scenes())
def test_every_client_is_told_what_the_naive_evaluator_says(scene: tuple[World, Policy]) -> None:
    world, policy = settled_world(scene[0]), scene[1]
    stage = staged(world, policy)
    check({node.id: Client(stage, node.id, OLD) for node in world.nodes}, (world, policy))


@FAST
@given(st.data())
def test_after_each_change_every_client_holds_exactly_its_entitlement(data: st.DataObject) -> None:
    world, policy = data.draw(scenes())
    world = settled_world(world)
    stage = staged(world, policy)
    clients = {node.id: Client(stage, node.id, OLD) for node in world.nodes}
    for _ in range(data.draw(st.integers(1, 6))):
        after, now = data.draw(mutations(world, policy))
        after = settled_world(after)
        stage.tell(*steps((world, policy), (after, now)))
        switch(stage, after.nodes)
        world, policy = after, now
        known = {node.id for node in world.nodes}
        clients = {number: client for number, client in clients.items() if number in known}
        for client in clients.values():
            client.catch_up()
        fresh = known - clients.keys()
        clients |= {number: Client(stage, number, OLD) for number in fresh}
        check(clients, (world, policy))


# Two forms of one filter ---------------------------------------------------------------------------------------------


def resolved(client: Client, world: World) -> list[Json]:
    """A filter by name as a client applies it: a capability stands for the addresses of the peers that carry it."""
    carriers: dict[str, list[str]] = {}
    for peer in client.view.peers.values():
        for name in peer.get("CapMap", {}):
            carriers.setdefault(name, []).extend(text.partition("/")[0] for text in peer["Addresses"])
    found = []
    for rule in client.view.rules:
        sources: list[str] = []
        for text in rule["SrcIPs"]:
            sources += carriers.get(text.removeprefix(CAP), []) if text.startswith(CAP) else [text]
        found.append({**rule, "SrcIPs": sources})
    return found


def packets(world: World, node: Node, peers: dict[int, Json]) -> Iterator[tuple[str, str]]:
    """Sources that can come in through a peer, and destinations that may be this node's or behind it."""
    inside = [*node.addresses, *(_some(route) for route in node.routes), "8.8.8.8"]
    for peer in peers.values():
        for prefix in peer["AllowedIPs"]:
            for destination in inside:
                yield _some(prefix), destination


def _some(prefix: str) -> str:
    """An address of a prefix, not its first if it has another."""
    text, _, length = prefix.partition("/")
    address = ip_address(text)
    return str(address if length in {"32", "128"} else address + 5)


@FAST
@given(scenes())
def test_both_forms_of_a_filter_decide_alike(scene: tuple[World, Policy]) -> None:
    world, policy = settled_world(scene[0]), scene[1]
    stage = staged(world, policy)
    for node in world.nodes:
        old, new = Client(stage, node.id, OLD), Client(stage, node.id, NEW)
        by_address, by_name = old.view.rules, resolved(new, world)
        for source, destination in packets(world, node, new.view.peers):
            if source.startswith("0.0.0.") or source == "::5":
                continue  # out of an exit route comes what no tailnet address is
            for port in (22, 80, 443):
                for proto in (1, 6, 17):
                    asked = (source, destination, port, proto)
                    assert lets_in(by_address, *asked) == lets_in(by_name, *asked), (node.id, asked)


# WireGuard-only peers ------------------------------------------------------------------------------------------------

RELAY: Final = PeerId(100_000_001)
UNCLAIMED: Final = (
    "100.64.77.77",
    "100.101.102.103",
    "fd7a:115c:a1e0::dead",
    "100.96.0.1",
    "8.8.8.8",
    "10.1.2.3",
)


def connected(world: World) -> Iterator[Event]:
    """A relay with default routes, and a connection of every node to it."""
    yield PeerRegistered(
        peer=RELAY,
        stable_id=StableId("wg1"),
        name="relay",
        user=UserId(world.users[0].id),
        public_key=NodeKey("nodekey:" + "ab" * 32),
        allowed_ips=("0.0.0.0/0", "::/0"),
        endpoints=("192.0.2.7:51820",),
        ipv4="100.96.0.1",
        ipv6="fd7a:115c:a1e0:2::1",
    )
    for node in world.nodes:
        yield ConnectionAdded(node=NodeId(node.id), peer=RELAY, ipv4_masq="10.64.0.9")


def through_the_relay(client: Client, world: World) -> Iterator[str]:
    """Addresses that only the relay owns at this client: nobody whom it sees has a narrower claim to them."""
    peers = [peer for number, peer in client.view.peers.items() if number != RELAY]
    claims = [prefix for peer in peers for prefix in peer["AllowedIPs"] if not prefix.endswith("/0")]
    own = (client.view.node or {})["AllowedIPs"]
    hidden = [address for node in world.nodes for address in node.addresses]
    routed = [_some(route) for node in world.nodes for route in node.approved if not route.endswith("/0")]
    for address in (*UNCLAIMED, *hidden, *routed):
        if not any_overlap([address], [*claims, *own]):
            yield address


@pytest.mark.parametrize("capver", [OLD, NEW])
@FAST
@given(scenes())
def test_nothing_that_a_relay_makes_up_is_ever_a_source(capver: int, scene: tuple[World, Policy]) -> None:
    world, policy = settled_world(scene[0]), scene[1]
    stage = staged(world, policy)
    stage.tell(*connected(world))
    for node in world.nodes:
        client = Client(stage, node.id, capver)
        assert RELAY in client.view.peers
        sources = [text for rule in resolved(client, world) for text in rule["SrcIPs"]]
        made_up = [address for address in through_the_relay(client, world) if any_overlap(sources, [address])]
        assert not made_up, (node.id, made_up)


def test_without_that_care_it_would_be() -> None:
    world = World((User(1, "a@example.com"),), (Node(1, "n1", 1, (), "100.64.0.1", "fd7a:115c:a1e0::1"),), ())
    stage = staged(world, None)
    client = Client(stage, 1, OLD)
    sources = [text for rule in client.view.rules for text in rule["SrcIPs"]]
    assert any_overlap(sources, [UNCLAIMED[0]])  # no relay, no care: ranges stand as they are
    stage.tell(*connected(world))
    client.catch_up()
    assert not any_overlap([text for rule in client.view.rules for text in rule["SrcIPs"]], [UNCLAIMED[0]])


SITE: Final = PeerId(100_000_002)


def calling(world: World, prefixes: tuple[str, ...]) -> Iterator[Event]:
    """A site without default routes, which may call every node."""
    yield PeerRegistered(
        peer=SITE,
        stable_id=StableId("wg2"),
        name="site",
        user=UserId(world.users[0].id),
        public_key=NodeKey("nodekey:" + "cd" * 32),
        allowed_ips=prefixes,
        endpoints=("192.0.2.8:51820",),
        ipv4="100.96.0.2",
        ipv6="fd7a:115c:a1e0:2::2",
    )
    for node in world.nodes:
        yield ConnectionAdded(node=NodeId(node.id), peer=SITE, ipv4_masq="10.64.0.9", jailed=False)


def is_named(policy: Policy, address: str) -> bool:
    """Whether a rule that says who may send where names a range with the address as its source."""
    rules = [] if policy is None else [*(policy.get("acls") or ()), *(policy.get("grants") or ())]
    named = [
        literal(policy or {}, text.strip())
        for rule in rules
        for text in rule["src"]
        if _is_literal(policy, text)
    ]
    return any_overlap(named, [address])


def _is_literal(policy: Policy, text: str) -> bool:
    bare = text.strip()
    is_host = bare in (policy or {}).get("hosts", {})
    return is_host or not (bare == "*" or "@" in bare or bare.startswith(("autogroup:", "group:", "tag:")))


@pytest.mark.parametrize("capver", [OLD, NEW])
@FAST
@given(scenes(), st.sampled_from([*ROUTE_RANGES, "10.88.0.0/16"]))
def test_who_calls_through_a_peer_is_a_source_only_where_a_range_is_named(
    capver: int, scene: tuple[World, Policy], prefix: str
) -> None:
    world, policy = settled_world(scene[0]), scene[1]
    stage = staged(world, policy)
    stage.tell(*calling(world, (prefix, "10.99.0.0/24")))
    for node in world.nodes:
        client = Client(stage, node.id, capver)
        assert client.view.peers[SITE]["AllowedIPs"]
        for address in (_some(prefix), "10.99.0.7", "100.96.0.2", "fd7a:115c:a1e0:2::2"):
            for rule in resolved(client, world):
                if any_overlap(rule["SrcIPs"], [address]):
                    assert is_named(policy, address), (node.id, address, rule)
                    assert "CapGrant" not in rule, (node.id, address, rule)


@pytest.mark.parametrize("capver", [OLD, NEW])
def test_who_calls_is_let_in_by_the_rule_that_names_it_and_by_no_other(capver: int) -> None:
    """Scenario N18, and E17 of the reference."""
    world = World(
        (User(1, "a@example.com"),),
        (
            Node(1, "n1", 1, (), "100.64.0.1", "fd7a:115c:a1e0::1"),
            Node(2, "n2", 1, (), "100.64.0.2", "fd7a:115c:a1e0::2"),
        ),
        (),
    )
    rules = [{"src": ["*", "10.99.0.0/25"], "dst": ["100.64.0.1"], "ip": ["tcp:8000"]}]
    caps = [{"src": ["10.99.0.0/24"], "dst": ["*"], "app": {"example.com/cap/x": [{}]}}]
    stage = staged(world, {"grants": [*rules, *caps]})
    stage.tell(*calling(world, ("10.99.0.0/24",)))
    found = resolved(Client(stage, 1, capver), world)
    where = [rule for rule in found if any_overlap(rule["SrcIPs"], ["10.99.0.7"])]
    assert [rule["DstPorts"][0]["Ports"] for rule in where] == [{"First": 8000, "Last": 8000}]
    assert "100.64.0.2" in where[0]["SrcIPs"]
    for stranger in ("10.99.0.200", "100.96.0.2", "100.64.77.77"):
        assert not [rule for rule in found if any_overlap(rule["SrcIPs"], [stranger])], stranger


@pytest.mark.parametrize("capver", [OLD, NEW])
def test_a_session_follows_who_may_call_and_with_what(capver: int) -> None:
    """Scenario E31b of the reference, and what a change of the peer's allowed IPs means to a filter that names them."""
    world = World((User(1, "a@example.com"),), (Node(1, "n1", 1, (), "100.64.0.1", "fd7a:115c:a1e0::1"),), ())
    stage = staged(world, {"grants": [{"src": ["10.99.0.0/16"], "dst": ["*"], "ip": ["*"]}]})
    stage.tell(*calling(world, ("10.99.0.0/24",)))
    client = Client(stage, 1, capver)

    def let_in() -> list[str]:
        sources = [text for rule in client.view.rules for text in rule["SrcIPs"]]
        return [address for address in ("10.99.0.7", "10.99.1.7") if any_overlap(sources, [address])]

    assert let_in() == ["10.99.0.7"]
    connection: Json = {"node": NodeId(1), "peer": SITE, "ipv4_masq": "10.64.0.9"}
    stage.tell(ConnectionUpdated(**connection, jailed=True))
    client.catch_up()
    assert client.view.peers[SITE]["IsJailed"]
    assert let_in() == []
    stage.tell(ConnectionUpdated(**connection, jailed=False, allowed_ips=("10.99.0.128/25",)))
    client.catch_up()
    assert let_in() == []
    stage.tell(ConnectionUpdated(**connection, jailed=False))
    stage.tell(
        PeerUpdated(
            peer=SITE,
            public_key=NodeKey("nodekey:" + "ef" * 32),
            allowed_ips=("10.99.1.0/24",),
            endpoints=("192.0.2.8:51820",),
        )
    )
    client.catch_up()
    assert let_in() == ["10.99.1.7"]
    assert not client.view.peers[SITE].get("IsJailed")
