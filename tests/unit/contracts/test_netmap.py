"""Netmap objects on their way: each under a key of its own, and the same when it arrives."""

from typing import get_args

import msgspec
import pytest

from engine.contracts.netmap import (
    Change,
    ClassObject,
    ClassSetObject,
    ConnectionExtra,
    Delta,
    EntryObject,
    ExtrasObject,
    NetmapObject,
    NodeObject,
    ProgramObject,
    RouteObject,
    SshRuleObject,
    SteeredRouters,
    TailnetObject,
    UserObject,
    WireGuardPeerObject,
    key_of,
)
from engine.domain.events import ExtraConfig
from engine.domain.values import (
    Epoch,
    MachineKey,
    Millis,
    NodeId,
    NodeKey,
    PeerId,
    Position,
    StableId,
    UserId,
)
from engine.policy.policy import Entry, Reach, SshRule, SshUse, Target, Within

OBJECTS: dict[str, NetmapObject] = {
    "node/7": NodeObject(
        id=NodeId(7),
        stable_id=StableId("n7"),
        name="a",
        user=UserId(1),
        machine_key=MachineKey("mkey:7"),
        node_key=NodeKey("nodekey:7"),
        ipv4="100.64.0.7",
        ipv6="fd7a::7",
        class_id="u1",
        created=Millis(1),
        advertised=("0.0.0.0/0", "10.0.0.0/8"),
        routes=("10.0.0.0/8",),
        exit_routes=("0.0.0.0/0",),
    ),
    "peer/100000001": WireGuardPeerObject(
        id=PeerId(100_000_001),
        stable_id=StableId("w1"),
        name="w",
        public_key=NodeKey("nodekey:9"),
        allowed_ips=("0.0.0.0/0",),
        endpoints=("192.0.2.1:1",),
        ipv4="100.96.0.1",
        ipv6="",
        created=Millis(1),
        extra=ExtraConfig(suggest_exit_node=True, tags=("tag:a",)),
    ),
    "user/1": UserObject(id=UserId(1), name="ann"),
    "set/s1": ClassSetObject(id="s1", classes=("t:tag:a", "u1"), is_source=True),
    "class/u1": ClassObject(
        id="u1",
        sees=("s1",),
        user=UserId(1),
        rules=(Reach(entry="e1", targets=(Target("", ((22, 22), (80, 443))),), own="s1"), Reach(entry="e2")),
        capabilities=("funnel",),
        ssh=(SshUse("r1", own=True),),
        local_names=(("r1", "ann"),),
    ),
    "entry/e1": EntryObject(
        entry=Entry(
            id="e1",
            sets=("s1",),
            literals=("10.0.0.0/8",),
            within=(Within("s1", 6, 0, (1 << 64) - 1),),
            whole="s2",
            is_anyone=True,
            protocol=6,
            grant='{"example.com/cap/a":[{"x":[1,null]}]}',
            is_conditional=True,
            via=("tag:a",),
        )
    ),
    "ssh/r1": SshRuleObject(
        rule=SshRule(
            id="r1",
            sets=("s1",),
            each=("s2",),
            users=(("*", "="), ("root", "")),
            is_check=True,
            accept_env=(),
            local=True,
            towards=("s1",),
        )
    ),
    "program": ProgramObject(entries=("e2", "e1")),
    "route/10.0.0.0/8": RouteObject(
        prefix="10.0.0.0/8",
        routers=(NodeId(7), NodeId(9)),
        sets=("s1",),
        steered=(SteeredRouters(("s2",), (NodeId(9),)),),
    ),
    "extras/7": ExtrasObject(
        node=NodeId(7),
        connections=(
            ConnectionExtra(peer=PeerId(100_000_001), ipv4_masq="10.64.0.9"),
            ConnectionExtra(peer=PeerId(100_000_002), allowed_ips=()),
        ),
    ),
    "tailnet": TailnetObject(
        base_domain="example.com", derp_map=msgspec.Raw(b'{"Regions":{"1":null}}'), auto_updates=True
    ),
}


def test_there_is_one_of_each_kind_here() -> None:
    assert {type(value) for value in OBJECTS.values()} == set(get_args(NetmapObject))


@pytest.mark.parametrize("key", OBJECTS)
def test_an_object_is_held_under_its_key(key: str) -> None:
    assert key_of(OBJECTS[key]) == key


@pytest.mark.parametrize("key", OBJECTS)
def test_an_object_arrives_in_a_delta_as_it_was_sent(key: str) -> None:
    changes = (Change(key=key, at=Position(2), value=OBJECTS[key]),)
    gone = Change(key="node/8", at=Position(2), value=None)
    sent = Delta(epoch=Epoch("e"), prev=Position(1), cur=Position(2), changes=(*changes, gone))
    text = msgspec.json.encode(sent)
    arrived = msgspec.json.decode(text, type=Delta)
    assert arrived == sent
    assert msgspec.json.encode(arrived) == text


def test_a_connection_of_which_nothing_is_left_is_not_one_of_which_all_is() -> None:
    nothing, everything = (ConnectionExtra(peer=PeerId(1), allowed_ips=left) for left in ((), None))
    for extra in (nothing, everything):
        text = msgspec.json.encode(ExtrasObject(node=NodeId(7), connections=(extra,)))
        (arrived,) = msgspec.json.decode(text, type=ExtrasObject).connections
        assert arrived == extra
    assert nothing != everything


def test_a_class_shows_ipv4_unless_it_may_not() -> None:
    own = ClassObject(id="u1", sees=(), capabilities=("funnel",))
    assert own.has_ipv4
    assert not msgspec.structs.replace(own, capabilities=("disable-ipv4", "funnel")).has_ipv4
