"""What the hosted service answered, 531 times: refusals by their class, netmaps in full, through the whole of our own way.

The first frame of each node at a capability version that knows addresses only is compared: filter rules and SSH rules in order,
everything else as the vectors' README says. What the recordings do not have is left out here too: endpoints, keys, profiles.
"""

import json
from collections import Counter
from collections.abc import Mapping
from typing import Any, Final

import pytest

from engine.domain.events import PolicySet
from engine.policy.checks.failures import failures
from engine.policy.faults import PolicyFault
from engine.policy.subjects import Device, Person
from engine.policy.text.reading import read
from tests.kit.policy_stage import NEW, OLD, Stage, vector_events
from tests.kit.policy_vectors import vectors

COUNTS: Final = {
    "acl": 134,
    "grant": 165,
    "routes": 66,
    "ssh": 78,
    "sshtest": 23,
    "policytest": 30,
    "nodeattrs": 35,
}
EXIT: Final = {"0.0.0.0/0", "::/0"}


def names(*, accepted: bool) -> list[str]:
    return [name for name, vector in vectors().items() if vector["expect"]["accept"] is accepted]


def test_every_recording_is_here() -> None:
    counts = Counter(vector["family"] for vector in vectors().values())
    print(dict(counts))  # noqa: T201 (the report)
    assert counts == COUNTS


def verdict(vector: Mapping[str, Any]) -> str | None:
    """Return the class of the refusal, None for a policy that is accepted."""
    try:
        document = read(json.dumps(vector["policy"]), domains=vector["tailnet"]["domains"])
    except PolicyFault as fault:
        return fault.kind
    people = [
        Person(id=u["id"], logins=(u["email"].lower(), u["name"]), roles=tuple(u["roles"]))
        for u in vector["users"]
    ]
    numbers = {u["name"]: u["id"] for u in vector["users"]}
    devices = [
        Device(
            id=n["id"],
            user=numbers.get(n["user"]),
            tags=tuple(n["tags"]),
            ipv4=n["ipv4"],
            ipv6=n["ipv6"],
            routes=tuple(r for r in n["approved_routes"] if r not in EXIT),
            is_exit=bool(EXIT & set(n["approved_routes"])),
        )
        for n in vector["nodes"]
    ]
    return "test-failed" if failures(document, people, devices) else None


@pytest.mark.parametrize("name", names(accepted=False))
def test_a_policy_that_the_service_refused_is_refused_for_the_same_reason(name: str) -> None:
    vector = vectors()[name]
    assert verdict(vector) == vector["expect"]["error"]["class"]


@pytest.mark.parametrize("name", names(accepted=True))
def test_a_policy_that_the_service_accepted_is_accepted(name: str) -> None:
    assert verdict(vectors()[name]) is None


def told(frame: Mapping[str, Any], vector: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a first frame says, in the words of the vectors."""
    label = {node["id"]: node["name"] for node in vector["nodes"]}
    me, peers = frame["Node"], frame.get("Peers", [])
    caps = {label[p["ID"]]: _caps(p) for p in peers if _caps(p)}
    return {
        "packet_filter": frame["PacketFilters"]["netmap"],
        "peers": {label[p["ID"]]: sorted(set(p["AllowedIPs"]) - set(p["Addresses"])) for p in peers},
        "peer_caps": caps,
        "primary_routes": sorted(me.get("PrimaryRoutes", [])),
        "addresses": sorted(me["Addresses"]),
        "ssh_rules": [_ssh(rule) for rule in frame["SSHPolicy"]["rules"]],
        "caps": me["CapMap"],
    }


def _caps(peer: Mapping[str, Any]) -> dict[str, Any]:
    return {k: v for k, v in peer.get("CapMap", {}).items() if not k.startswith("netmap.internal/")}


def _ssh(rule: Mapping[str, Any]) -> dict[str, Any]:
    found = {
        "action": "accept" if rule["action"].get("accept") else "check",
        "principals": [principal["nodeIP"] for principal in rule["principals"]],
        "users": rule["sshUsers"],
    }
    return found | ({"accept_env": rule["acceptEnv"]} if "acceptEnv" in rule else {})


def wanted(vector: Mapping[str, Any], node: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a vector expects of a node, whole."""
    expect = vector["expect"]["nodes"][node["name"]]
    own = sorted(f"{a}/{128 if ':' in a else 32}" for a in (node["ipv4"], node["ipv6"]))
    found = {
        "packet_filter": expect["packet_filter"],
        "peer_caps": expect.get("peer_caps", {}),
        "primary_routes": sorted(expect.get("primary_routes", [])),
        "addresses": sorted(expect.get("addresses", own)),
        "ssh_rules": expect.get("ssh_rules", []),
    }
    if "peers" in expect:
        found["peers"] = {name: sorted(routes) for name, routes in expect["peers"].items()}
    else:
        del found["primary_routes"], found["peer_caps"]
    if "caps" in expect:
        found["caps"] = expect["caps"]
    return found


def ordered(value: Any, *, as_sets: bool = False) -> Any:
    """Return rules with the lists sorted that the README compares as sorted lists; DstPorts stay in order."""
    rules = json.loads(json.dumps(value))
    for rule in rules:
        rule["SrcIPs"] = sorted(set(rule["SrcIPs"])) if as_sets else sorted(rule["SrcIPs"])
    return rules


@pytest.mark.parametrize("name", names(accepted=True))
def test_every_node_is_told_what_the_service_told_it(name: str) -> None:
    vector = vectors()[name]
    if "nodes" not in vector["expect"]:
        assert "decision-only" in vector["notes"]
        return
    stage = Stage(*vector_events(vector))
    stage.online(node["id"] for node in vector["nodes"])
    for node in vector["nodes"]:
        if node["name"] not in vector["expect"]["nodes"]:
            assert "some-nodes-not-recorded" in vector["notes"]
            continue
        found, expected = told(stage.first(node["id"], OLD), vector), wanted(vector, node)
        as_sets = "adjacent-sources" in vector.get("notes", ())
        for part in expected:
            mine, theirs = found[part], expected[part]
            if part == "packet_filter":
                mine, theirs = ordered(mine, as_sets=as_sets), ordered(theirs, as_sets=as_sets)
            assert mine == theirs, (node["name"], part)


def test_the_comparison_can_fail() -> None:
    vector = vectors()["acl-a12"]
    node = vector["nodes"][7]
    stage = Stage(*vector_events(vector))
    assert isinstance(vector_events(vector)[-1], PolicySet)
    right = told(stage.first(node["id"], OLD), vector)
    assert right["packet_filter"] == wanted(vector, node)["packet_filter"]
    wrong = Stage(*vector_events(vector)[:-1])
    assert told(wrong.first(node["id"], OLD), vector)["packet_filter"] != right["packet_filter"]
    assert told(stage.first(node["id"], NEW), vector)["packet_filter"] != right["packet_filter"]
