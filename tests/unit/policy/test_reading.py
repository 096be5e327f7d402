"""A policy as a whole: its keys, the sorts of their values, its names, its limits, and what is said besides."""

import json
from typing import Any

import pytest

from engine.policy.document import Acl, Condition, Document, Kind, NodeAttribute, RouteApprover, Selector
from engine.policy.faults import PolicyFault
from engine.policy.reading import read


def user(name: str) -> Selector:
    return Selector(kind=Kind.USER, value=name)


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


def test_groups_have_logins_in_lower_case_once_each() -> None:
    members = ["Alice@Example.com", " alice@example.com", "bob@", "carol"]
    found = document(groups={"group:eng": members, "group:none": [], "group:sec@example.com": None})
    assert found.groups == {
        "group:eng": ("alice@example.com", "bob@", "carol"),
        "group:none": (),
        "group:sec@example.com": (),
    }


@pytest.mark.parametrize(
    ("groups", "kind"),
    [
        ({"eng": []}, "group-name"),
        ({"group:": []}, "group-name"),
        ({"group:еng": []}, "group-name"),
        ({"group:a b": []}, "group-name"),
        ({"group:a": ["group:b"], "group:b": []}, "group-nested"),
        ({"group:a": ["tag:x"]}, "group-member"),
        ({"group:a": ["*"]}, "group-member"),
        ({"group:a": ["10.0.0.1"]}, "group-member"),
        ({"group:a": ["autogroup:member"]}, "group-member"),
        ({"group:a": ["user:*@example.com"]}, "group-member"),
        ({"group:a": ["a@b@c"]}, "group-member"),
        ({"group:a": [""]}, "group-member"),
        ({"group:a": ["a\u202e@example.com"]}, "group-member"),
        ({"group:a": [f"u{number}@" for number in range(10_001)]}, "too-many"),
    ],
)
def test_a_group_that_can_be_none_is_refused(groups: dict[str, list[str]], kind: str) -> None:
    assert fault(groups=groups).kind == kind


def test_of_groups_in_groups_the_last_by_name_is_told() -> None:
    found = fault(groups={"group:c": [], "group:b": ["group:c"], "group:a": ["group:b"]})
    assert '"group:b"' in found.message
    assert '"group:c"' in found.message


def test_hosts_are_addresses_prefixes_and_ranges() -> None:
    hosts = {"a": "100.64.0.1", "b_1": " 10.0.0.9/8 ", "c.d-e": "fd7a::/48", "f": "10.0.0.0-10.0.0.255"}
    found = document(hosts=hosts)
    assert {name: host.value for name, host in found.hosts.items()} == {
        "a": "100.64.0.1",
        "b_1": "10.0.0.0/8",
        "c.d-e": "fd7a::/48",
        "f": "10.0.0.0/24",
    }
    assert [warning for warning in found.warnings if "10.0.0.9/8 has host bits" in warning] == list(
        found.warnings
    )


@pytest.mark.parametrize(
    ("hosts", "kind"),
    [
        ({"a": "x"}, "bad-address"),
        ({"a": "tag:x"}, "bad-address"),
        ({"10.0.0.1": "10.0.0.1"}, "host-name"),
        ({"10.0.0.0/8": "10.0.0.1"}, "host-name"),
        ({"": "10.0.0.1"}, "host-name"),
        ({"a:b": "10.0.0.1"}, "host-name"),
        ({"a@": "10.0.0.1"}, "host-name"),
        ({"ho\u0455t": "10.0.0.1"}, "host-name"),
    ],
)
def test_a_host_that_can_be_none_is_refused(hosts: dict[str, str], kind: str) -> None:
    assert fault(hosts=hosts).kind == kind


def test_owners_of_tags_are_users_groups_roles_and_tags_even_in_circles() -> None:
    owners = [
        "Alice@example.com",
        "bob",
        "group:a",
        "autogroup:admin",
        "autogroup:member",
        "tag:b",
        "user:*@example.com",
    ]
    found = document(
        groups={"group:a": []}, tagOwners={"tag:a": owners, "tag:b": ["tag:a", "tag:b"], "tag:c": None}
    )
    assert found.tag_owners == {
        "tag:a": (
            user("alice@example.com"),
            user("bob"),
            Selector(kind=Kind.GROUP, value="group:a"),
            Selector(kind=Kind.ROLE, value="admin"),
            Selector(kind=Kind.MEMBER),
            tag("tag:b"),
            Selector(kind=Kind.DOMAIN, value="example.com"),
        ),
        "tag:b": (tag("tag:a"), tag("tag:b")),
        "tag:c": (),
    }


@pytest.mark.parametrize(
    ("owners", "kind"),
    [
        ({"a": []}, "tag-name"),
        ({"tag:": []}, "tag-name"),
        ({"tag:1a": []}, "tag-name"),
        ({"tag:a b": []}, "tag-name"),
        ({"tag:a_b": []}, "tag-name"),
        ({"tag:\u0455erver": []}, "tag-name"),
        ({"tag:server\u0456": []}, "tag-name"),
        ({"tag:a": ["tag:none"]}, "unknown-tag"),
        ({"tag:a": ["group:none"]}, "unknown-group"),
        ({"tag:a": ["user:*@example.org"]}, "domain-not-associated"),
        ({"tag:a": ["*"]}, "misplaced-selector"),
        ({"tag:a": ["10.0.0.1"]}, "misplaced-selector"),
        ({"tag:a": ["autogroup:tagged"]}, "misplaced-selector"),
        ({"tag:a": ["autogroup:none"]}, "bad-address"),
        ({"tag:a": [""]}, "bad-address"),
    ],
)
def test_a_tag_that_can_be_none_is_refused(owners: dict[str, list[str]], kind: str) -> None:
    assert fault(tagOwners=owners).kind == kind


def test_a_tag_that_no_device_can_have_is_warned_of() -> None:
    (warning,) = document(tagOwners={"tag:Server": []}).warnings
    assert "tag:Server" in warning


def test_approvers_of_routes_and_exits() -> None:
    routes = {"10.0.0.7/8": ["tag:a", "alice@example.com"], "192.0.2.1": ["tag:a"], "::/0": ["group:a"]}
    approvers = {"routes": routes, "exitNode": ["tag:a", "bob"], "services": {"svc:x": ["tag:a"]}}
    found = document(groups={"group:a": []}, tagOwners={"tag:a": []}, autoApprovers=approvers)
    assert found.route_approvers == (
        RouteApprover(prefix="10.0.0.0/8", approvers=(tag("tag:a"), user("alice@example.com"))),
        RouteApprover(prefix="192.0.2.1/32", approvers=(tag("tag:a"),)),
        RouteApprover(prefix="::/0", approvers=(Selector(kind=Kind.GROUP, value="group:a"),)),
    )
    assert found.exit_approvers == (tag("tag:a"), user("bob"))
    assert [("services" in warning, "host bits" in warning) for warning in found.warnings] == [
        (True, False),
        (False, True),
    ]


@pytest.mark.parametrize(
    ("approvers", "kind"),
    [
        ({"routes": {"x": []}}, "bad-address"),
        ({"routes": {"10.0.0.0-10.0.0.2": []}}, "bad-address"),
        ({"routes": {"10.0.0.0/8": ["tag:none"]}}, "unknown-tag"),
        ({"exitNode": ["*"]}, "misplaced-selector"),
        ({"exitNode": ["group:none"]}, "unknown-group"),
    ],
)
def test_approvers_that_can_be_none_are_refused(approvers: dict[str, Any], kind: str) -> None:
    assert fault(autoApprovers=approvers).kind == kind


def test_attributes_of_devices() -> None:
    found = document(
        tagOwners={"tag:a": []},
        nodeAttrs=[
            {"target": ["tag:a", " * "], "attr": ["funnel", "nextdns:abc", "https://x/y?z=1"]},
            {"target": [], "attr": ["x"]},
            {"target": ["autogroup:admin"]},
            {
                "target": ["*"],
                "app": {"tailscale.com/app-connectors": [{"name": "x"}]},
                "ipPool": ["100.81.0.0/16"],
            },
        ],
        disableIPv4=True,
    )
    first, empty, idle, app, last = found.node_attributes
    assert first.targets == (tag("tag:a"), Selector(kind=Kind.ANY))
    assert first.names == ("funnel", "nextdns:abc", "https://x/y?z=1")
    assert (empty.targets, empty.names) == ((), ("x",))
    assert (idle.targets, idle.names) == ((Selector(kind=Kind.ROLE, value="admin"),), ())
    assert {name: bytes(value) for name, value in app.app.items()} == {
        "tailscale.com/app-connectors": b'[{"name":"x"}]'
    }
    assert last == NodeAttribute(targets=(Selector(kind=Kind.ANY),), names=("disable-ipv4",), line=1)
    assert any("ipPool" in warning for warning in found.warnings)


@pytest.mark.parametrize(
    ("entry", "kind"),
    [
        ({"target": ["autogroup:self"]}, "internal-error"),
        ({"target": ["autogroup:internet"]}, "misplaced-selector"),
        ({"target": ["autogroup:danger-all"]}, "misplaced-selector"),
        ({"target": ["tag:none"]}, "unknown-tag"),
        ({"target": ["%bogus%"]}, "bad-address"),
        ({"target": ["*"], "attr": [""]}, "attr-empty"),
        ({"target": ["*"], "ipPool": ["x"]}, "bad-address"),
        ({"target": ["*"], "ipPool": ["100.100.100.0/24"]}, "ip-pool-reserved"),
        ({"target": ["*"], "ipPool": ["100.100.0.0/16"]}, "ip-pool-reserved"),
        ({"target": ["*"], "ipPool": ["100.81.0.0/16", "100.100.100.100"]}, "ip-pool-reserved"),
    ],
)
def test_attributes_that_can_be_none_are_refused(entry: dict[str, Any], kind: str) -> None:
    assert fault(nodeAttrs=[entry]).kind == kind


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


def test_postures() -> None:
    conditions = [
        "node:os == 'macos'",
        'node:tsVersion>="1.60"',
        "custom:tier  NOT  IN ['a, ]', \"b\", 3, true , ]",
        "custom:score < -1.5",
        "ip:country IS SET",
        "custom:x NOT SET",
        "custom:on != false",
    ]
    found = document(postures={"posture:ok": conditions}, defaultSrcPosture=[" posture:ok"])
    assert found.postures == {
        "posture:ok": (
            Condition(attribute="node:os", operator="==", values=("macos",)),
            Condition(attribute="node:tsVersion", operator=">=", values=("1.60",)),
            Condition(attribute="custom:tier", operator="NOT IN", values=("a, ]", "b", 3.0, True)),
            Condition(attribute="custom:score", operator="<", values=(-1.5,)),
            Condition(attribute="ip:country", operator="IS SET"),
            Condition(attribute="custom:x", operator="NOT SET"),
            Condition(attribute="custom:on", operator="!=", values=(False,)),
        )
    }
    assert found.default_postures == ("posture:ok",)
    assert found.warnings == ()


@pytest.mark.parametrize(
    "condition",
    [
        "",
        "node:os",
        "node:os ==",
        "node:os = 'macos'",
        "node:os == macos",
        "node:os == 'macos' 'linux'",
        "node:os == ['macos']",
        "node:os IN 'macos'",
        "node:os IN []",
        "node:os IN ['a' 'b']",
        "node:os IN [,]",
        "node:os IN ['a',,'b']",
        "node:os IS SET 'x'",
        "node:os == 'macos",
        "os == 'macos'",
        "node:osIN ['a']",
        "node:os == 1.2.3",
    ],
)
def test_what_is_no_condition_is_refused(condition: str) -> None:
    assert fault(postures={"posture:x": [condition]}).kind == "bad-posture"


@pytest.mark.parametrize(
    ("policy", "kind"),
    [
        ({"postures": {"x": ["node:os IS SET"]}}, "posture-name"),
        ({"postures": {"posture:x": []}}, "bad-posture"),
        ({"defaultSrcPosture": ["posture:x"]}, "unknown-posture"),
        (
            {"grants": [{"src": ["*"], "dst": ["*"], "ip": ["*"], "srcPosture": ["posture:x"]}]},
            "unknown-posture",
        ),
    ],
)
def test_postures_that_can_be_none_are_refused(policy: dict[str, Any], kind: str) -> None:
    assert fault(**policy).kind == kind


def test_an_attribute_that_no_client_reports_is_warned_of() -> None:
    (warning,) = document(postures={"posture:x": ["node:osversion == '1'"]}).warnings
    assert "node:osversion" in warning
    assert "node:osVersion" in warning


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
