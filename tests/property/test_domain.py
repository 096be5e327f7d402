"""Whatever is asked, in whatever order: a replay gives the same tailnet, and nothing is handed out twice."""

import contextlib
import hashlib
import json
from typing import Final

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from engine.domain.commands import (
    AddConnection,
    AddConnections,
    AddSelector,
    AdvertiseNode,
    ApproveRoutes,
    Command,
    CreateApiKey,
    CreateAuthKey,
    CreateUser,
    DeleteApiKey,
    DeleteNode,
    DeleteUser,
    DisablePeer,
    DrainPeer,
    EnablePeer,
    ExpireApiKey,
    ExpireAuthKey,
    ExpireNode,
    ExpirePeer,
    LogOutNode,
    MovePeer,
    RecordExport,
    RegisterNode,
    RegisterPeer,
    RemoveBackend,
    RemoveConnection,
    RemovePeer,
    RemoveSelector,
    RenameNode,
    RenamePeer,
    ReportLookup,
    RevertPolicy,
    SetAutoUpdates,
    SetBackend,
    SetBaseDomain,
    SetDomains,
    SetMasqueradePool,
    SetNodeExpiry,
    SetPolicy,
    SetPools,
    SetResolvers,
    SetUserRole,
    SetWireGuardDns,
    SetWireGuardMode,
    SwitchPeer,
    TagNode,
    TagPeer,
    UndrainPeer,
    UpdateConnection,
    UpdatePeer,
)
from engine.domain.decide import decide
from engine.domain.document import document_of
from engine.domain.errors import Refusal
from engine.domain.events import (
    ROLES,
    AuthKeyUsed,
    NodeRegistered,
    NodeRoutesAdvertised,
    NodeRoutesApproved,
    PeerRegistered,
)
from engine.domain.places import places_of
from engine.domain.prefixes import is_covered
from engine.domain.routes import QUIET_MILLIS, offered
from engine.domain.state import DEFAULT_ROUTES, Tailnet
from engine.domain.values import Millis
from engine.domain.wgcommands import ToldConnection
from tests.kit.scenario import START, Scene, machine_key, node_key, peer_id, peer_key

MACHINES: Final = ("a", "b", "c")
KEYS: Final = tuple(node_key(f"{name}{number}") for name in MACHINES for number in range(3))
HOSTED: Final = ("home.example.org:1+53", "1.2.3.7:1")
backends = st.sampled_from(["a", "a", "main"])
users = st.sampled_from([1, 2, "u1", "u2", 9])
nodes = st.sampled_from([1, 2, 3, 4, "x", "x-1", "100.64.0.2", peer_id(1)])
peers = st.sampled_from([peer_id(1), peer_id(2), peer_id(3), "p", "q", 1])
known = st.sampled_from(["p", "q"])
"""The peers that are there from the beginning."""
names = st.sampled_from(["p", "q", "x", "x-1", "y", "P"])
masq4 = st.sampled_from(["", "10.0.0.1", "10.0.0.2", "10.0.0.3/32", "100.64.0.1"])
masq6 = st.sampled_from(["", "fd00::1", "ff02:b::11", "fd7a:115c:a1e0::100"])
times = st.sampled_from([0, START - 1, START + 5_000, START + 50_000]).map(Millis)
# A pre-auth key is written `#1` here; the scene puts the secret of that key in its place.
auth_keys = st.sampled_from(["", "", "#1", "#2", "#3", "nonsense"])
POLICIES: Final = (
    "",
    "{",
    '{"acls": []}',
    json.dumps({"tagOwners": {"tag:a": ["u1@"]}, "autoApprovers": {"routes": {"10.0.0.0/8": ["tag:a"]}}}),
    json.dumps(
        {
            "groups": {"group:g": ["u1@"]},
            "tagOwners": {"tag:a": ["u2@", "tag:b"], "tag:b": ["autogroup:admin"]},
            "grants": [{"src": ["user:*@example.com"], "dst": ["*"], "ip": ["*"]}],
            "autoApprovers": {"routes": {"10.0.0.0/8": ["u1@"]}, "exitNode": ["tag:b", "u2@"]},
            "tests": [{"src": "u1@", "deny": ["tag:a:22"]}],
        }
    ),
)
DIGESTS: Final = [hashlib.sha256(text.encode()).hexdigest() for text in POLICIES]
tags = st.sampled_from([(), ("tag:a",), ("tag:b",), ("tag:a", "tag:b"), ("b",), ("tag:z",)])
routes = st.sampled_from(
    [
        (),
        ("10.0.0.0/8",),
        ("0.0.0.0/0", "::/0"),
        ("10.1.0.0/16", "10.0.0.0/8"),
        ("x", "100.64.0.0/10"),
        ("::/0",),
    ]
)

small_pools = st.builds(
    SetPools,
    nodes_v4=st.sampled_from(["100.64.0.0/29", "100.64.0.0/11", "100.64.0.0/28"]),
    nodes_v6=st.just("fd7a:115c:a1e0:1::/64"),
    peers_v4=st.sampled_from(["100.96.0.0/30", "100.96.0.0/14"]),
    peers_v6=st.just("fd7a:115c:a1e0:2::/64"),
)
registrations = st.builds(
    RegisterNode,
    machine_key=st.sampled_from(MACHINES).map(machine_key),
    node_key=st.sampled_from((*KEYS, peer_key("p"))),
    auth_key=auth_keys,
    user=st.none() | users,
    hostname=st.sampled_from(["x", "x", "y", ""]),
    ephemeral=st.booleans(),
    expiry=times,
    capver=st.sampled_from([0, 60, 106, 130]),
    request_tags=st.just(()) | tags,
    routes=st.none() | routes,
)
peer_registrations = st.builds(
    RegisterPeer,
    name=names,
    user=users,
    public_key=st.sampled_from([peer_key("p"), peer_key("q"), peer_key("r"), KEYS[0]]),
    allowed_ips=st.sampled_from([("0.0.0.0/0", "::/0"), ("192.0.2.0/24",), ("10.0.0.1/24", "::/0"), ()]),
    endpoints=st.sampled_from(
        [("1.2.3.4:1",), ("1.2.3.5:1",), ("1.2.3.4:1", "[2001:db8::1]:9"), ("x:1",), HOSTED]
    ),
)
connection = {"node": nodes, "peer": peers}
parts = st.sampled_from([None, None, (), ("192.0.2.0/25",), ("10.0.0.0/24", "::/0")])
selectors = st.sampled_from(["u1", "user:u2", "tag:a", "tag:b", "group:g"])
masqs = {"ipv4_masq_addr": masq4, "ipv6_masq_addr": masq6, "allowed_ips": parts}
commands: st.SearchStrategy[Command] = st.one_of(
    registrations,
    registrations,
    registrations,
    peer_registrations,
    st.builds(AddConnection, **connection, **masqs),
    st.builds(AddConnection, **connection, **masqs, jailed=st.booleans()),
    st.builds(
        AddConnections,
        nodes=st.lists(nodes, min_size=1, max_size=3).map(tuple),
        peers=st.lists(peers, min_size=1, max_size=2).map(tuple),
        ipv4_masq_addr=st.just("") | masq4,
        allowed_ips=parts,
        jailed=st.booleans(),
    ),
    st.builds(UpdateConnection, **connection, **masqs, jailed=st.none() | st.booleans()),
    st.builds(RemoveConnection, **connection),
    st.builds(RemovePeer, peer=peers, cascade=st.booleans()),
    st.builds(
        UpdatePeer,
        peer=peers,
        public_key=st.sampled_from([None, peer_key("p"), peer_key("s"), KEYS[0]]),
        allowed_ips=st.sampled_from(
            [None, ("0.0.0.0/0", "::/0"), ("192.0.2.0/24",), ("10.0.0.0/24", "::/0")]
        ),
        endpoints=st.sampled_from([None, ("1.2.3.4:1",), ("1.2.3.6:1",), HOSTED]),
        extra_config=st.sampled_from([None, {"tags": ["tag:a"]}, {"suggestExitNode": True}]),
        managed_by=st.sampled_from([None, "", "site", "Site"]),
    ),
    st.builds(RenamePeer, peer=peers, name=names),
    st.builds(TagPeer, peer=peers, tags=tags),
    st.builds(MovePeer, peer=peers, user=users),
    st.builds(
        ReportLookup,
        peer=known,
        host=st.sampled_from(["home.example.org", "other.example.org"]),
        addresses=st.sampled_from([(), ("1.2.3.5",), ("1.2.3.4", "2001:db8::1"), ("127.0.0.1",), ("x",)]),
        failure=st.sampled_from(["", "", "no such name"]),
    ),
    st.builds(
        SetBackend,
        peer=known,
        backend=backends,
        public_key=st.sampled_from([peer_key("t"), peer_key("v"), peer_key("w"), KEYS[0]]),
        endpoints=st.sampled_from([("1.2.3.9:1",), ("1.2.3.8:1",), ("1.2.3.8:2",), HOSTED]),
    ),
    st.builds(RemoveBackend, peer=known, backend=backends),
    st.builds(SwitchPeer, peer=known, backend=backends),
    st.builds(SwitchPeer, peer=known, backend=backends),
    st.builds(DrainPeer, peer=known),
    st.builds(UndrainPeer, peer=known),
    st.builds(AddSelector, selector=selectors, peer=peers, allowed_ips=parts, jailed=st.booleans()),
    st.builds(AddSelector, selector=selectors, peer=known),
    st.builds(RemoveSelector, selector=selectors, peer=known),
    st.builds(RecordExport, peer=peers),
    st.builds(
        RecordExport,
        peer=peers,
        connections=st.lists(
            st.builds(
                ToldConnection,
                node=nodes,
                public_key=st.sampled_from(["", *KEYS[:3]]),
                ipv4_masq_addr=st.sampled_from(["", "10.0.0.1", "10.0.0.9"]),
            ),
            max_size=2,
        ).map(tuple),
    ),
    st.builds(
        SetMasqueradePool,
        peer=peers,
        ipv4=st.sampled_from(["", "10.0.0.0/29", "10.0.0.0/30"]),
        ipv6=st.sampled_from(["", "fd00::/125"]),
    ),
    st.builds(DisablePeer, peer=peers),
    st.builds(ExpirePeer, peer=peers),
    st.builds(EnablePeer, peer=peers),
    st.builds(
        CreateUser,
        name=st.sampled_from(["u1", "U1", "u2", "u 3", "u3", "u4"]),
        email=st.sampled_from(["", "u@example.com"]),
        role=st.sampled_from(["", "owner", "x"]),
    ),
    st.builds(DeleteUser, user=st.sampled_from(["u3", "u4"]), cascade=st.booleans()),
    st.builds(SetUserRole, user=users, role=st.sampled_from([*ROLES, "x"])),
    st.builds(
        CreateAuthKey,
        user=users,
        reusable=st.booleans(),
        ephemeral=st.booleans(),
        tags=st.just(()) | tags,
        expires_in_seconds=st.sampled_from([0, 3, 60]),
    ),
    st.sampled_from(
        [CreateApiKey(), CreateApiKey(scope="export", peer="p"), ExpireApiKey(key=1), DeleteApiKey(key=1)]
    ),
    st.builds(ExpireAuthKey, key=st.sampled_from([1, 2, 3])),
    st.builds(
        LogOutNode,
        machine_key=st.sampled_from(MACHINES).map(machine_key),
        node_key=st.sampled_from(KEYS),
    ),
    st.builds(ExpireNode, node=nodes, because=st.sampled_from(["operator", "deadline"])),
    st.builds(SetNodeExpiry, node=nodes, expiry=times),
    st.builds(RenameNode, node=nodes, name=names),
    st.builds(DeleteNode, node=nodes),
    st.builds(TagNode, node=nodes, tags=tags),
    st.builds(ApproveRoutes, node=nodes, routes=routes),
    st.builds(
        AdvertiseNode,
        machine_key=st.sampled_from(MACHINES).map(machine_key),
        node_key=st.sampled_from(KEYS),
        routes=routes,
        request_tags=tags,
    ),
    st.builds(
        SetPolicy,
        text=st.sampled_from(POLICIES),
        force=st.booleans(),
        expected=st.none() | st.sampled_from(["", *DIGESTS]),
    ),
    st.builds(RevertPolicy, digest=st.sampled_from(DIGESTS)),
    st.builds(SetDomains, domains=st.sampled_from([(), ("example.com",), ("b.example",), ("x",)])),
    st.builds(SetAutoUpdates, on=st.booleans()),
    st.builds(SetWireGuardMode, mode=st.sampled_from(["bypass", "enforce", "x"])),
    st.builds(SetWireGuardDns, mode=st.sampled_from(["keep", "demote", "x"])),
    st.builds(SetResolvers, resolvers=st.sampled_from([(), ("1.1.1.1",), ("x",)])),
    st.builds(SetBaseDomain, domain=st.sampled_from(["a.b", "A.b"])),
    small_pools,
)
FIRST: Final = {name: {"machine_key": machine_key(name), "node_key": node_key(f"{name}0")} for name in "ab"}
"""The two nodes that are there from the beginning."""
keys = st.sampled_from(list(FIRST.values()))
policy_commands: st.SearchStrategy[Command] = st.one_of(
    st.builds(lambda own, **rest: AdvertiseNode(**own, **rest), keys, routes=routes, request_tags=tags),
    st.builds(lambda own, **rest: AdvertiseNode(**own, **rest), keys, routes=routes),
    st.builds(lambda own, **rest: RegisterNode(**own, **rest), keys, routes=routes),
    st.builds(ApproveRoutes, node=st.sampled_from([1, 2]), routes=routes),
    st.builds(TagNode, node=st.sampled_from([1, 2]), tags=tags),
    st.builds(SetPolicy, text=st.sampled_from(POLICIES), force=st.just(value=True)),
    st.builds(RevertPolicy, digest=st.sampled_from(DIGESTS)),
    st.builds(SetDomains, domains=st.sampled_from([(), ("example.com",), ("b.example",)])),
)
slow = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def play(sequence: list[Command]) -> Scene:
    """Send the commands, one second apart, checking after each what must always be true.

    They meet two users, two pre-auth keys, two nodes, two WireGuard-only peers, one with a pool and a backend to
    switch to, and a connection.
    """
    scene = Scene()
    scene.user("u1")
    scene.user("u2")
    secrets = [scene.auth_key("u1"), scene.auth_key("u2", reusable=True)]
    for name in ("a", "b"):
        scene.node(name, "u1", node_key=node_key(f"{name}0"), hostname="x")
    for name in ("p", "q"):
        scene.peer(name)
    scene.connect(1, "p", "10.0.0.1")
    scene.when(SetMasqueradePool(peer="q", ipv4="10.0.0.0/29"))
    scene.when(SetBackend(peer="q", backend="a", public_key=peer_key("u"), endpoints=("1.2.3.10:1",)))
    for command in sequence:
        scene.later(1_000)
        with contextlib.suppress(Refusal):
            decision = scene.when(revealed(command, secrets))
            secrets += [str(key) for key in decision.secret_result.values()]
        check(scene.tailnet)
    return scene


def revealed(command: Command, secrets: list[str]) -> Command:
    """Return the command with the secret that its `#1` stands for."""
    if not isinstance(command, RegisterNode) or not command.auth_key.startswith("#"):
        return command
    index = int(command.auth_key[1:]) - 1
    return replace(command, auth_key=secrets[index] if index < len(secrets) else "")


def check(tailnet: Tailnet) -> None:
    everyone = [*tailnet.nodes.values(), *tailnet.peers.values()]
    addresses = [node.ipv4 for node in tailnet.nodes.values()] + [
        node.ipv6 for node in tailnet.nodes.values()
    ]
    addresses += [peer.ipv4 for peer in tailnet.peers.values()] + [
        peer.ipv6 for peer in tailnet.peers.values()
    ]
    assert len(set(addresses)) == len(addresses) == len(tailnet.holders), "an address is held twice"
    names = [node.name for node in tailnet.nodes.values()] + [peer.name for peer in tailnet.peers.values()]
    assert len(set(names)) == len(everyone), "a name is held twice"
    keys = [node.node_key for node in tailnet.nodes.values()]
    for relay in tailnet.peers.values():
        keys += {relay.public_key} | {backend.public_key for backend in relay.backends}
        present = [backend for backend in relay.backends if backend.name == relay.backend]
        assert [backend.public_key for backend in present] == ([relay.public_key] if relay.backends else [])
    assert len(set(keys)) == len(keys), "a key is held twice"
    owners = [(node.machine_key, node.user) for node in tailnet.nodes.values()]
    assert len(set(owners)) == len(owners), "a machine has two nodes of one user"
    masquerades = [
        (connection.peer, address)
        for connection in tailnet.connections.values()
        for address in (connection.ipv4_masq, connection.ipv6_masq)
        if address
    ]
    assert len(set(masquerades)) == len(masquerades), "two nodes have one masquerade address at one peer"
    for (_, number), held in tailnet.connections.items():
        relay = tailnet.peers[number]
        mine = relay.allowed_ips if held.allowed_ips is None else held.allowed_ips
        assert all(is_covered(prefix, relay.allowed_ips) for prefix in mine), "a part that is outside"
        assert held.jailed or not DEFAULT_ROUTES & set(mine), "somebody who could speak as anybody may call"
    check_selectors(tailnet)
    check_exports(tailnet)
    for numbers in tailnet.peers_of_node.values():
        endpoints = [place for number in numbers for place in places_of(tailnet.peers[number])]
        assert len(set(endpoints)) == len(endpoints), "a node has two peers at one endpoint"
    for holder in tailnet.nodes.values():
        for kept in (holder.advertised, holder.approved):
            assert kept == offered(kept), "a route that is none, or out of order"
    assert sum(user.role == "owner" for user in tailnet.users.values()) <= 1, "two owners"
    if tailnet.policy is not None:
        assert tailnet.policies[tailnet.policy.digest] == tailnet.policy.text
        assert document_of(tailnet).acls != () or "acls" in tailnet.policy.text, (
            "a policy that cannot be read"
        )
    for node, peer in tailnet.connections:
        assert node in tailnet.nodes, "a connection of no node"
        assert peer in tailnet.peers, "a connection to no peer"


def check_exports(tailnet: Tailnet) -> None:
    """A connection is stale exactly while what the far side was told last is not what holds."""
    for (number, _), held in tailnet.connections.items():
        told, now = held.exported, tailnet.nodes[number].node_key
        if told is None:
            assert not held.masq_stale_since
            assert bool(held.key_stale_since) is (held.former_key is not None)
            assert held.former_key != now
        else:
            addresses = (told.ipv4_masq, told.ipv6_masq)
            assert bool(held.masq_stale_since) is (addresses != (held.ipv4_masq, held.ipv6_masq))
            assert bool(held.key_stale_since) is (told.node_key != now)


def check_selectors(tailnet: Tailnet) -> None:
    """Every connection by selector is one that a selector of its peer speaks of."""
    groups = document_of(tailnet).groups
    for (number, peer), held in tailnet.connections.items():
        if held.selector:
            assert held.selector in {selector.selector for selector in tailnet.peers[peer].selectors}
            node = tailnet.nodes[number]
            owner = tailnet.users[node.user].name
            if held.selector.startswith("tag:"):
                assert held.selector in node.tags
            else:
                assert not node.tags
                assert held.selector == f"user:{owner}" or f"{owner}@" in groups[held.selector]


@slow
@given(st.lists(commands, min_size=10, max_size=60))
def test_a_replay_gives_the_same_tailnet(sequence: list[Command]) -> None:
    scene = play(sequence)
    assert scene.replay() == scene.tailnet


@slow
@given(st.lists(commands, min_size=10, max_size=60))
def test_ids_are_never_used_again_and_one_off_keys_open_once(sequence: list[Command]) -> None:
    scene = play(sequence)
    events = [event for event, _ in scene.log]
    node_ids = [event.node for event in events if isinstance(event, NodeRegistered)]
    peer_ids = [event.peer for event in events if isinstance(event, PeerRegistered)]
    assert node_ids == sorted(set(node_ids))
    assert peer_ids == sorted(set(peer_ids))
    used = [event.key for event in events if isinstance(event, AuthKeyUsed)]
    one_off = [key for key in used if not scene.tailnet.auth_keys[key].reusable]
    assert len(set(one_off)) == len(one_off)


@slow
@given(st.lists(policy_commands, min_size=10, max_size=40))
def test_an_approval_is_an_operators_or_is_only_added_and_a_client_is_not_heard_too_often(
    sequence: list[Command],
) -> None:
    scene = Scene()
    for name in ("u1", "u2"):
        scene.user(name)
    for name in ("a", "b"):
        scene.node(name, "u1", node_key=node_key(f"{name}0"))
    scene.when(SetDomains(domains=("example.com",)))
    last: dict[int, int] = {}
    for command in sequence:
        scene.later(QUIET_MILLIS // 3)
        before = dict(scene.tailnet.nodes)
        with contextlib.suppress(Refusal):
            for event in scene.when(command).events:
                if isinstance(event, NodeRoutesApproved) and not isinstance(command, ApproveRoutes):
                    held = before[event.node].approved if event.node in before else ()
                    assert set(held) < set(event.routes)
                if isinstance(event, NodeRoutesAdvertised):
                    assert scene.now - last.get(event.node, 0) >= QUIET_MILLIS
                    last[event.node] = scene.now
        check(scene.tailnet)


@slow
@given(st.lists(commands, min_size=10, max_size=40), st.data())
def test_events_that_are_lost_or_out_of_order_never_raise(
    sequence: list[Command], data: st.DataObject
) -> None:
    log = play(sequence).log
    tailnet = Tailnet()
    for event, at in data.draw(st.permutations(log)):
        tailnet.apply(event, at)


@slow
@given(st.lists(commands, min_size=1, max_size=40), commands)
def test_a_decision_changes_nothing_and_is_the_same_each_time(sequence: list[Command], last: Command) -> None:
    scene = play(sequence)
    given_ = scene.given()
    answers = []
    for _ in range(2):
        try:
            answers.append(repr(decide(scene.tailnet, last, given_)))
        except Refusal as refusal:
            answers.append(refusal.code + refusal.message)
    assert answers[0] == answers[1]
    assert scene.tailnet == scene.replay()


def test_the_commands_of_these_properties_reach_every_event() -> None:
    """A property that never meets a connection proves nothing of connections."""
    met: set[str] = set()

    @settings(max_examples=600, deadline=None, database=None, derandomize=True)
    @given(st.lists(commands, min_size=40, max_size=60))
    def collect(sequence: list[Command]) -> None:
        met.update(type(event).__name__ for event, _ in play(sequence).log)

    collect()
    assert met >= {
        "NodeRegistered", "NodeReregistered", "NodeExpired", "NodeExpirySet", "NodeRenamed", "NodeDeleted",
        "PeerRegistered", "PeerRemoved", "PeerDisabled", "PeerExpired", "PeerEnabled",
        "PeerUpdated", "PeerRenamed", "PeerTagged", "PeerMoved", "PeerDrained", "PeerUndrained", "PeerPoolSet",
        "SelectorAdded", "SelectorRemoved",
        "PeerEndpointsResolved", "PeerBackendSet", "PeerBackendRemoved", "PeerSwitched",
        "ConnectionAdded", "ConnectionUpdated", "ConnectionRemoved", "ConnectionExported", "ConnectionStale",
        "AuthKeyCreated", "AuthKeyUsed", "AuthKeyExpired", "PoolsSet", "BaseDomainSet",
        "ApiKeyCreated", "ApiKeyExpired", "ApiKeyDeleted",
        "UserCreated", "UserRoleSet", "UserDeleted", "NodeTagged", "NodeRoutesAdvertised", "NodeRoutesApproved",
        "PolicySet", "DomainsSet", "WireGuardModeSet", "AutoUpdatesSet",
        "ResolversSet", "WireGuardDnsSet",
    }  # fmt: skip
