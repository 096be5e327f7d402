"""A policy as a whole: its keys, the sorts of their values, its names, its limits, and what is said besides."""

import json
from typing import Any

import pytest

from engine.policy.document import Acl, Document, Kind, Selector
from engine.policy.faults import PolicyFault
from engine.policy.text.reading import read


def tag(name: str) -> Selector:
    return Selector(kind=Kind.TAG, value=name)


def document(**policy: Any) -> Document:
    return read(json.dumps(policy), domains=["example.com"])


def fault(**policy: Any) -> PolicyFault:
    with pytest.raises(PolicyFault) as caught:
        document(**policy)
    return caught.value


def test_an_empty_policy_has_neither_acls_nor_grants_and_an_empty_list_is_not_absent() -> None:
    assert read("{}") == Document()
    found = document(acls=[], grants=[])
    assert (found.acls, found.grants) == ((), ())


def test_a_policy_with_comments_is_read_and_its_rules_have_their_lines() -> None:
    found = read(
        """// ours
        {
            "tagOwners": {"tag:a": []}, /* nobody */
            "acls": [
                {"action": "accept", "src": ["*"], "dst": ["*:*"]},

                { // the second
                    "action": "accept", "src": ["tag:a"], "dst": ["tag:a:22"],
                },
            ],
            "grants": [{"src": ["*"], "dst": ["*"], "ip": ["*"]}],
            "ssh": [
                {"action": "check", "src": ["*"], "dst": ["tag:a"], "users": ["root"]}],
            "nodeAttrs": [{"target": ["*"], "attr": ["x"]}],
            "tests": [{"src": "tag:a"},
                      {"src": "tag:a", "accept": ["tag:a:22"]}],
        }"""
    )
    assert [acl.line for acl in found.acls or ()] == [5, 7]
    assert [grant.line for grant in found.grants or ()] == [11]
    assert [rule.line for rule in found.ssh] == [13]
    assert [attribute.line for attribute in found.node_attributes] == [14]
    assert [(test.entry, test.line) for test in found.tests] == [
        ({"src": "tag:a"}, 15),
        ({"src": "tag:a", "accept": ["tag:a:22"]}, 16),
    ]


def test_keys_are_taken_in_any_case() -> None:
    found = read(
        '{"ACLs": [{"Action": "accept", "Users": ["*"], "Ports": ["*:*"]}], "TagOwners": {"tag:a": []}}'
    )
    assert found.acls is not None
    assert len(found.acls) == 1
    assert found.tag_owners == {"tag:a": ()}


@pytest.mark.parametrize(
    ("text", "key", "hint"),
    [
        ('{"grnats": []}', "grnats", '"grants"'),
        ('{"acls": [{"action": "accept", "source": ["*"], "dst": []}]}', "source", "src"),
        ('{"grants": [{"ip": ["*"], "srcPostures": []}]}', "srcPostures", '"srcPosture"'),
        ('{"ssh": [{"user": ["root"]}]}', "user", '"users"'),
        ('{"nodeAttrs": [{"targets": ["*"]}]}', "targets", '"target"'),
        ('{"autoApprovers": {"route": {}}}', "route", '"routes"'),
    ],
)
def test_a_key_that_nobody_knows_is_refused_and_a_near_one_is_named(text: str, key: str, hint: str) -> None:
    with pytest.raises(PolicyFault) as caught:
        read(text)
    assert caught.value.kind == "unknown-key"
    assert f'"{key}"' in caught.value.message
    assert hint in caught.value.hint
    assert caught.value.column == text.index(f'"{key}"') + 1


@pytest.mark.parametrize("text", ['{"acls": [], "ACLs": []}', '{"acls": [{"src": ["*"], "users": ["*"]}]}'])
def test_two_keys_for_one_thing_are_refused(text: str) -> None:
    with pytest.raises(PolicyFault) as caught:
        read(text)
    assert caught.value.kind == "duplicate-key"


@pytest.mark.parametrize(
    "text",
    [
        "[]",
        '"x"',
        '{"acls": {}}',
        '{"acls": null}',
        '{"grants": null}',
        '{"acls": ["x"]}',
        '{"acls": [{"action": 1}]}',
        '{"acls": [{"action": "accept", "src": "*"}]}',
        '{"acls": [{"action": "accept", "src": [1]}]}',
        '{"acls": [{"action": "accept", "proto": 6}]}',
        '{"grants": [{"app": []}]}',
        '{"grants": [{"app": {"example.com/x": {}}}]}',
        '{"groups": []}',
        '{"groups": {"group:a": "x@"}}',
        '{"hosts": {"a": ["10.0.0.1"]}}',
        '{"tagOwners": ["tag:a"]}',
        '{"ssh": [{"action": "check", "users": "root"}]}',
        '{"ssh": [{"action": "check", "users": ["root"], "checkPeriod": 1}]}',
        '{"nodeAttrs": [{"target": "*"}]}',
        '{"autoApprovers": []}',
        '{"autoApprovers": {"routes": []}}',
        '{"postures": {"posture:a": "node:os IS SET"}}',
        '{"ipsets": {"ipset:a": {}}}',
        '{"tests": ["x"]}',
        '{"sshTests": {}}',
        '{"randomizeClientPort": "true"}',
        '{"disableIPv4": 1}',
        '{"derpMap": []}',
        '{"OneCGNATRoute": true}',
    ],
)
def test_a_value_of_the_wrong_sort_is_refused(text: str) -> None:
    with pytest.raises(PolicyFault) as caught:
        read(text)
    assert caught.value.kind == "wrong-type"
    assert "must be" in caught.value.message
    assert caught.value.line == 1


def test_null_is_as_good_as_absent_elsewhere() -> None:
    names = [
        "groups",
        "hosts",
        "tagOwners",
        "ssh",
        "nodeAttrs",
        "autoApprovers",
        "tests",
        "sshTests",
        "ipsets",
    ]
    names += [
        "postures",
        "defaultSrcPosture",
        "randomizeClientPort",
        "disableIPv4",
        "OneCGNATRoute",
        "derpMap",
    ]
    assert document(**dict.fromkeys(names)) == Document()


def test_switches_of_the_whole_tailnet() -> None:
    found = document(
        randomizeClientPort=True, disableIPv4=False, OneCGNATRoute="mac-always", derpMap={"Regions": {}}
    )
    assert found.randomize_client_port
    assert found.node_attributes == ()
    assert [warning.split(" has no effect")[0] for warning in found.warnings] == [
        "line 1: OneCGNATRoute",
        "line 1: derpMap",
    ]
    assert fault(OneCGNATRoute="always").kind == "bad-value"


def test_warnings_are_few_whatever_the_text() -> None:
    found = document(hosts={f"h{number}": "10.0.0.1/8" for number in range(1_000)})
    assert len(found.warnings) == 101


@pytest.mark.parametrize(
    "policy",
    [
        {"acls": [{"action": "accept", "src": [], "dst": []}] * 10_001},
        {"grants": [{"src": ["*"] * 1_001, "dst": ["*"], "ip": ["*"]}]},
        {"grants": [{"src": ["*"], "dst": ["*"] * 1_001, "ip": ["*"]}]},
        {"grants": [{"src": ["*"], "dst": ["*"], "ip": ["1"] * 1_001}]},
        {"acls": [{"action": "accept", "src": ["*"], "dst": ["*:" + "1," * 1_000 + "1"]}]},
        {"postures": {"posture:x": ["node:os IS SET"] * 101}},
        {"postures": {"posture:x": ["node:os IN [" + "1," * 1_001 + "]"]}},
        {"hosts": {f"h{number}": "10.0.0.1" for number in range(10_001)}},
        {"ipsets": {"ipset:a": [f"10.0.{n // 100}.{n % 100 * 2}" for n in range(1_000)] + ["11.0.0.0"]}},
    ],
)
def test_what_is_too_many_is_refused(policy: dict[str, Any]) -> None:
    assert fault(**policy).kind == "too-many"


def test_a_small_text_cannot_mean_millions() -> None:
    wide = {"ipset:a": [f"10.0.{n // 100}.{n % 100 * 2}" for n in range(999)]}
    rule = {"src": ["ipset:a"], "dst": ["ipset:a"], "ip": ["*"]}
    assert document(ipsets=wide, grants=[rule] * 50).grants
    assert fault(ipsets=wide, grants=[rule] * 150).kind == "too-many"
    many = wide | {f"ipset:b{n}": ["ipset:a"] for n in range(200)}
    assert fault(ipsets=many).kind == "too-many"


def test_rules_and_names_are_checked_wherever_they_stand_in_the_text() -> None:
    found = read(
        '{"acls": [{"action": "accept", "src": ["tag:a"], "dst": ["h:1"]}], "hosts": {"h": "10.0.0.1"}, "tagOwners": {"tag:a": []}}'
    )
    host = Selector(kind=Kind.RANGE, value="10.0.0.1", first=0x0A000001, last=0x0A000001, version=4)
    assert found.acls == (Acl(sources=(tag("tag:a"),), destinations=((host, ((1, 1),)),), line=1),)
