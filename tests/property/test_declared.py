"""Whatever files say, and whatever was there: carried out once, there is nothing left to do."""

import json
from typing import Any, Final

from hypothesis import HealthCheck, assume, event, given, settings
from hypothesis import strategies as st

from engine.domain.errors import Refusal
from frontends.cli.declared.present import dump
from frontends.cli.declared.reading import Fault
from tests.kit.declaring import planned, there
from tests.kit.scenario import Scene, peer_key

NAMES: Final = ("p", "q", "r")
NODES: Final = ("a", "b", "c")
EXPECTED: Final = frozenset({"connection.overlap"})
"""Two peers with one prefix on one node: what files can say, and nothing can do."""
slow = settings(max_examples=40, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))


@st.composite
def peer(draw: st.DrawFn, name: str) -> dict[str, Any]:
    number = NAMES.index(name) + 1
    site = [f"10.{number}.0.0/16", f"fd00:{number}::/32"]
    found: dict[str, Any] = {
        "name": draw(st.sampled_from([name, name, f"{name}-new"])),
        "user": draw(st.sampled_from(["anna", "1", "bert"])),
        "publicKey": peer_key(draw(st.sampled_from([name, name, f"{name}2"]))),
        "allowedIps": draw(
            st.sampled_from([["0.0.0.0/0", "::/0"], site, ["172.16.0.0/12"], [*site, "172.16.0.0/12"]])
        ),
        "endpoints": draw(
            st.sampled_from([[f"192.0.2.{number}:1"], [f"192.0.2.{number}:1", f"[2001:db8::{number}]:2"]])
        ),
        "masqPool": draw(
            st.sampled_from([{"ipv4": "10.200.0.0/28"}, {"ipv4": "10.200.0.0/28", "ipv6": "fd00:200::/64"}])
        ),
    }
    optional = {
        "extraConfig": st.sampled_from(
            [{"suggestExitNode": True}, {"exitNodeDNSResolvers": ["10.64.0.1"]}, {}]
        ),
        "tags": st.sampled_from([["tag:a"], ["tag:b", "tag:a"], []]),
        "drained": st.booleans(),
        "disabled": st.just(value=False),
    }
    for field, values in optional.items():
        if draw(st.booleans()):
            found[field] = draw(values)
    return found


@st.composite
def file(draw: st.DrawFn) -> dict[str, Any]:
    peers = [draw(peer(name)) for name in draw(st.lists(st.sampled_from(NAMES), unique=True))]
    connections = []
    for one in peers:
        is_site = "0.0.0.0/0" not in one["allowedIps"]
        addresses = draw(st.permutations(["10.201.0.1", "10.201.0.2", "10.201.0.3"]))
        for node in draw(st.lists(st.sampled_from(NODES), unique=True)):
            pair: dict[str, Any] = {"node": node, "peer": one["name"]}
            if draw(st.booleans()):
                pair["ipv4MasqAddr"] = addresses.pop()
            if is_site and draw(st.booleans()):
                pair["allowedIps"] = one["allowedIps"][:1]
            if is_site and draw(st.booleans()):
                pair["jailed"] = draw(st.booleans())
            connections.append(pair)
    selectors = [
        {"selector": draw(st.sampled_from(["user:bert", "tag:t"])), "peer": one["name"]}
        for one in peers
        if draw(st.booleans())
    ]
    return {"managedBy": "site", "peers": peers, "connections": connections, "selectors": selectors}


def begun() -> Scene:
    scene = Scene()
    scene.user("anna")
    scene.user("bert")
    for name in NODES:
        scene.node(name, "bert" if name == "c" else "anna")
    return scene


def done(scene: Scene, said: dict[str, Any], *, prune: bool, expected: frozenset[str] = EXPECTED) -> int:
    """Carry it out; an example that is no plan, or that the engine refuses, is none."""
    try:
        found = planned(scene, json.dumps(said), prune=prune)
        for step in found.steps:
            scene.when(step.command)
    except Fault as fault:
        event(f"fault {fault.code}")
        assume(condition=False)
        raise
    except Refusal as refusal:
        event(f"refusal {refusal.code}")
        assume(refusal.code not in expected)
        raise
    return len(found.steps)


@slow
@given(file())
def test_from_nothing_one_pass_is_enough(said: dict[str, Any]) -> None:
    scene = begun()
    done(scene, said, prune=False)
    assert planned(scene, json.dumps(said), prune=True).steps == ()


@slow
@given(file(), file())
def test_from_another_file_one_pass_is_enough(before: dict[str, Any], said: dict[str, Any]) -> None:
    scene = begun()
    done(scene, before, prune=False)
    done(scene, said, prune=True)
    after = planned(scene, json.dumps(said), prune=True)
    assert (after.steps, after.left) == ((), ())
    names = {one["name"] for one in said["peers"]}
    assert {held.name for held in scene.tailnet.peers.values()} == names


@slow
@given(file(), file())
def test_what_no_file_owns_stays(before: dict[str, Any], said: dict[str, Any]) -> None:
    scene = begun()
    done(scene, {**before, "managedBy": "other"}, prune=False)
    others = dict(scene.tailnet.peers)
    done(scene, said, prune=True, expected=EXPECTED | {"connection.endpoint"})
    for number, held in others.items():
        assert scene.tailnet.peers.get(number) == held


@slow
@given(file(), st.none() | st.just("site"))
def test_a_dump_changes_nothing(said: dict[str, Any], mark: str | None) -> None:
    scene = begun()
    done(scene, said, prune=False)
    text = dump(there(scene.tailnet), mark)
    after = planned(scene, text, prune=mark is not None)
    assert (after.steps, after.left) == ((), ())
    again = begun()
    for step in planned(again, text).steps:
        again.when(step.command)
    assert planned(again, text).steps == ()
