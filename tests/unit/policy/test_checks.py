"""The tests that policies carry: which hold, which fail, and what people are told."""

import json
from collections.abc import Mapping
from typing import Any

import pytest

from engine.policy.checks.failures import failures, outcomes
from engine.policy.document import Check, Document
from engine.policy.faults import PolicyFault
from engine.policy.subjects import Device, Person
from engine.policy.text.reading import read
from tests.kit.policy_vectors import vectors

ALICE, BOB, CAROL = (
    Person(id=number, logins=(f"{name}@example.com", name, f"{name}@"), roles=roles)
    for number, name, roles in ((1, "alice", ("owner", "admin")), (2, "bob", ()), (3, "carol", ()))
)
PEOPLE = (ALICE, BOB, CAROL)
DEVICES = (
    Device(id=1, user=1, ipv4="100.64.0.1", ipv6="fd7a:115c:a1e0::1", facts={"node:os": "linux"}),
    Device(id=2, user=1, ipv4="100.64.0.2", ipv6="fd7a:115c:a1e0::2"),
    Device(id=3, user=2, ipv4="100.64.0.3", ipv6="fd7a:115c:a1e0::3"),
    Device(id=4, user=None, tags=("tag:web",), ipv4="100.64.0.4", ipv6="fd7a:115c:a1e0::4"),
    Device(
        id=5,
        user=None,
        tags=("tag:db", "tag:router"),
        ipv4="100.64.0.5",
        ipv6="fd7a:115c:a1e0::5",
        routes=("10.1.0.0/16",),
    ),
)
BASE: dict[str, Any] = {
    "groups": {"group:eng": ["alice@example.com", "bob@example.com"], "group:none": []},
    "tagOwners": {"tag:web": [], "tag:db": [], "tag:router": [], "tag:idle": []},
    "hosts": {"printer": "10.1.2.3", "site": "10.1.0.0/16", "server": "100.64.0.4"},
    "postures": {"posture:linux": ["node:os == 'linux'"]},
}
ACL = {"action": "accept"}
WEB = {**ACL, "src": ["group:eng"], "dst": ["tag:web:80,443"]}


def document(**fields: object) -> Document:
    whole = {"acls": [], **BASE, **fields}
    return read(json.dumps({name: value for name, value in whole.items() if value is not None}, indent=1))


def texts(**fields: object) -> list[str]:
    return [failed.text for failed in failures(document(**fields), PEOPLE, DEVICES)]


def of_test(entry: Mapping[str, object], *acls: object, **fields: object) -> list[str]:
    return texts(acls=acls, tests=[entry], **fields)


def of_ssh(entry: Mapping[str, object], *rules: Mapping[str, object], **fields: object) -> list[str]:
    whole = [{"action": "accept", "src": ["autogroup:member"], "users": ["ubuntu"], **rule} for rule in rules]
    return texts(ssh=whole, sshTests=[entry], **fields)


def test_a_failure_says_what_was_expected_and_what_would_happen() -> None:
    (failed,) = failures(
        document(tests=[{"src": "alice@example.com", "deny": ["tag:db:22"], "accept": ["tag:web:22"]}]),
        PEOPLE,
        DEVICES,
    )
    assert failed.text == "tests[0]: alice@example.com should reach tag:web:22 but no rule lets it"
    assert (failed.section, failed.index) == ("tests", 0)
    assert failed.line > 0


def test_a_denied_assertion_names_the_line_of_the_rule() -> None:
    text = json.dumps(
        {**BASE, "acls": [WEB], "tests": [{"src": "bob@example.com", "deny": ["tag:web:443"]}]}, indent=1
    )
    line = next(n for n, said in enumerate(text.splitlines(), 1) if '"action"' in said) - 1
    (failed,) = failures(read(text), PEOPLE, DEVICES)
    assert failed.text == (
        f"tests[0]: bob@example.com should not reach tag:web:443 but the rule in line {line} lets it"
    )


def test_only_those_who_are_concerned_are_named() -> None:
    entry = {"src": "group:eng", "accept": ["tag:web:22"]}
    rule = {**ACL, "src": ["alice@example.com"], "dst": ["tag:web:22"]}
    assert of_test(entry, rule) == [
        "tests[0]: group:eng should reach tag:web:22 but no rule lets bob@example.com (100.64.0.3)"
    ]
    (text,) = of_test({"src": "group:eng", "deny": ["tag:web:22"]}, rule)
    assert text.endswith("lets alice@example.com (100.64.0.1)")


@pytest.mark.parametrize(
    ("source", "target", "holds"),
    [
        ("alice@example.com", "tag:web:80", True),
        ("alice@", "tag:web:80", True),
        ("alice@example.com", "tag:web:81", False),
        ("carol@example.com", "tag:web:80", False),
        ("group:eng", "tag:web:443", True),
        ("autogroup:owner", "tag:web:443", True),
        ("alice@example.com", "host:server:80", True),
        ("autogroup:member", "100.64.0.4:80", True),
        ("100.64.0.3", "[fd7a:115c:a1e0::4]:80", True),
        ("fd7a:115c:a1e0::3", "fd7a:115c:a1e0::4:80", True),
        ("100.64.0.9", "tag:web:80", False),
        ("tag:web", "tag:web:80", False),
        ("  bob@example.com ", " tag:web:80 ", True),
    ],
)
def test_accept_and_deny_are_each_others_opposite(source: str, target: str, *, holds: bool) -> None:
    assert (of_test({"src": source, "accept": [target]}, WEB) == []) is holds
    assert (of_test({"src": source, "deny": [target]}, WEB) == []) is not holds


@pytest.mark.parametrize(
    ("rule", "test", "holds"),
    [
        ("", "", True),
        ("", "tcp", True),
        ("", "sctp", False),
        ("tcp", "", True),
        ("tcp", "udp", False),
        ("tcp", "6", True),
        ("132", "sctp", True),
        ("sctp", "", False),
    ],
)
def test_protocols(rule: str, test: str, *, holds: bool) -> None:
    acl = {**WEB, "proto": rule} if rule else WEB
    assert (
        of_test({"src": "alice@example.com", "proto": test, "accept": ["tag:web:80"]}, acl) == []
    ) is holds


def test_an_address_need_not_be_a_devices_and_via_changes_nothing() -> None:
    grant = {"src": ["bob@example.com"], "dst": ["site"], "ip": ["tcp:631"], "via": ["tag:router"]}
    entry = {"src": "bob@example.com", "accept": ["printer:631"], "deny": ["printer:80", "10.2.0.1:631"]}
    assert texts(acls=None, grants=[grant], tests=[entry]) == []


def test_a_range_as_a_source_is_all_of_its_addresses() -> None:
    half = {**ACL, "src": ["10.1.0.0/17"], "dst": ["tag:web:80"]}
    rest = {**ACL, "src": ["10.1.128.0/17"], "dst": ["tag:web:80"]}
    entry = {"src": "site", "accept": ["tag:web:80"]}
    assert of_test(entry, half) == ["tests[0]: site should reach tag:web:80 but no rule lets 10.1.128.0"]
    assert of_test(entry, half, rest) == []
    assert of_test({"src": "site", "deny": ["tag:web:80"]}, half) != []


def test_everything_is_only_reached_by_a_rule_for_everything() -> None:
    entry = {"src": "alice@example.com", "accept": ["*:80"]}
    assert of_test(entry, WEB) != []
    assert of_test(entry, {**ACL, "src": ["*"], "dst": ["*:80"]}) == []
    assert of_test({"src": "alice@example.com", "deny": ["*:80"]}, WEB) != []
    assert of_test({"src": "carol@example.com", "deny": ["*:80"]}, WEB) == []
    assert of_test({"src": "*", "accept": ["tag:web:80"]}, {**ACL, "src": ["*"], "dst": ["tag:web:*"]}) == []
    assert of_test({"src": "*", "accept": ["tag:web:80"]}, WEB) != []


def test_without_rules_everything_is_open_and_with_none_in_the_list_nothing() -> None:
    entry = {"src": "alice@example.com", "accept": ["tag:db:5432"]}
    assert texts(acls=None, tests=[entry]) == []
    assert of_test(entry) != []


def test_self_is_the_source_users_own() -> None:
    own = {**ACL, "src": ["autogroup:member"], "dst": ["autogroup:self:22"]}
    assert of_test({"src": "group:eng", "accept": ["autogroup:self:22"]}, own) == []
    assert (
        of_test({"src": "alice@example.com", "accept": ["100.64.0.2:22"], "deny": ["100.64.0.3:22"]}, own)
        == []
    )
    assert of_test({"src": "alice@example.com", "accept": ["autogroup:self:80"]}, own) != []
    assert of_test({"src": "alice@example.com", "deny": ["autogroup:self:22"]}, own) != []
    assert of_test({"src": "tag:web", "accept": ["autogroup:self:22"]}, own) != []
    assert of_test({"src": "tag:web", "deny": ["autogroup:self:22"]}, own) != []


def test_who_has_no_device_is_tested_as_if() -> None:
    rules = (WEB, {**ACL, "src": ["carol@example.com"], "dst": ["tag:idle:9"]})
    assert (
        of_test({"src": "carol@example.com", "accept": ["tag:idle:9"], "deny": ["tag:web:80"]}, *rules) == []
    )
    assert of_test({"src": "tag:idle", "accept": ["tag:web:80"]}, *rules) != []
    (text,) = of_test({"src": "carol@example.com", "accept": ["tag:web:80"]}, *rules)
    assert text.endswith("no rule lets it")
    # no test sees another one's stand-in
    entries = [
        {"src": "carol@example.com", "deny": ["tag:web:80"]},
        {"src": "autogroup:member", "accept": ["tag:web:80"]},
    ]
    assert texts(acls=rules, tests=entries) == []


def test_a_posture_is_what_the_entry_says() -> None:
    rule = {**WEB, "srcPosture": ["posture:linux"]}
    entry = {"src": "alice@example.com", "accept": ["tag:web:80"]}
    (text,) = of_test(entry, rule)
    assert "srcPostureAttrs" in text
    assert of_test({**entry, "srcPostureAttrs": {"node:os": "linux"}}, rule) == []
    assert of_test({**entry, "srcPostureAttrs": {"node:os": "windows"}}, rule) != []
    assert of_test(entry, WEB, defaultSrcPosture=["posture:linux"]) != []
    assert of_test({"src": "alice@example.com", "deny": ["tag:web:80"]}, rule) == []


MALFORMED: list[dict[str, object]] = [
    {"accept": ["tag:web:80"]},
    {"src": "", "accept": ["tag:web:80"]},
    {"src": 7, "accept": ["tag:web:80"]},
    {"src": "nobody@example.com", "accept": ["tag:web:80"]},
    {"src": "autogroup:self", "deny": ["tag:db:80"]},
    {"src": "autogroup:internet", "deny": ["tag:db:80"]},
    {"src": "autogroup:bogus", "deny": ["tag:db:80"]},
    {"src": "user:*@example.org", "deny": ["tag:db:80"]},
    {"src": "group:none", "deny": ["tag:db:80"]},
    {"src": "bob@example.com"},
    {"src": "bob@example.com", "accept": [], "deny": None},
    {"src": "bob@example.com", "accept": "tag:web:80"},
    {"src": "bob@example.com", "accept": [80]},
    {"src": "bob@example.com", "proto": "icmp", "deny": ["tag:db:80"]},
    {"src": "bob@example.com", "proto": [6], "deny": ["tag:db:80"]},
    {"src": "bob@example.com", "srcPostureAttrs": ["x"], "deny": ["tag:db:80"]},
    {"src": "bob@example.com", "srcPostureAttrs": {"node:os": None}, "deny": ["tag:db:80"]},
    *(
        dict[str, object](src="bob@example.com", deny=[target])
        for target in (
            "tag:db",
            "tag:nope:80",
            "group:nope:80",
            "nope:80",
            "nobody@example.com:80",
            "autogroup:internet:80",
            "autogroup:danger-all:80",
            "tag:db:*",
            "tag:db:80,443",
            "tag:db:80-90",
            "tag:db:0",
            "tag:db:65536",
            "tag:db:ssh",
            "tag:db:-1",
            "10.9.0.0/16:80",
            "10.9.0.1/32:80",
            "site:80",
        )
    ),
]


@pytest.mark.parametrize("entry", MALFORMED, ids=str)
def test_an_entry_that_is_not_well_made_fails(entry: dict[str, object]) -> None:
    # the document is made by hand: some of these are refused before
    bare = Document(
        groups={"group:none": ()},
        tag_owners=document().tag_owners,
        hosts=document().hosts,
        acls=(),
        tests=(Check(entry=entry, line=3),),
    )
    (failed,) = failures(bare, PEOPLE, DEVICES)
    assert failed.line == 3


def test_every_entry_has_an_outcome() -> None:
    good = {"src": "alice@example.com", "accept": ["tag:web:80"]}
    bad = {"src": "alice@example.com", "deny": ["tag:web:80", "tag:web:443"]}
    shell = {"src": "alice@example.com", "dst": ["tag:web"], "deny": ["root"]}
    first, second, third = outcomes(
        document(acls=[WEB], tests=[good, bad], sshTests=[shell]), PEOPLE, DEVICES
    )
    assert (first.failures, len(second.failures), third.failures) == ((), 2, ())
    assert (first.text, third.section) == ("alice@example.com; accept tag:web:80", "sshTests")


# Shells


def shell(**asked: object) -> dict[str, object]:
    return {"src": "alice@example.com", "dst": ["tag:web"], **asked}


def test_a_shell_is_let_in_by_its_name() -> None:
    rule = {"dst": ["tag:web"], "users": ["ubuntu", "root"]}
    assert of_ssh(shell(accept=["ubuntu", "root"], deny=["admin"]), rule) == []
    assert of_ssh(shell(deny=["root"]), rule) != []
    assert of_ssh(shell(accept=["admin"]), rule) == [
        (
            "sshTests[0]: alice@example.com should get a shell at tag:web as admin but no rule lets "
            "alice@example.com (100.64.0.1) do so at tag:web (100.64.0.4)"
        )
    ]


def test_nonroot_is_everybody_but_root() -> None:
    rule = {"dst": ["tag:web"], "users": ["autogroup:nonroot"]}
    assert of_ssh(shell(accept=["anybody"], deny=["root"]), rule) == []


def test_a_local_part_is_its_users_own() -> None:
    rule = {"dst": ["tag:web"], "users": ["localpart:*@example.com"]}
    fields = {"domains": ("example.com",)}
    text = json.dumps(
        {
            "acls": [],
            **BASE,
            "ssh": [{"action": "accept", "src": ["autogroup:member"], **rule}],
            "sshTests": [shell(accept=["alice"], deny=["bob", "root"])],
        }
    )
    assert failures(read(text, **fields), PEOPLE, DEVICES) == ()


def test_a_check_is_also_an_accept_but_not_the_other_way() -> None:
    check = {"action": "check", "dst": ["tag:web"]}
    accept = {"dst": ["tag:web"]}
    assert of_ssh(shell(check=["ubuntu"], accept=["ubuntu"]), check) == []
    assert of_ssh(shell(check=["ubuntu"]), accept) != []
    assert of_ssh(shell(deny=["ubuntu"]), check) != []


def test_a_shell_is_tried_at_every_device_and_from_every_address() -> None:
    rule = {"src": ["alice@example.com"], "dst": ["tag:web"]}
    assert of_ssh(shell(dst=["tag:web", "tag:db"], accept=["ubuntu"]), rule) != []
    assert of_ssh(shell(src="group:eng", accept=["ubuntu"]), rule) != []
    assert of_ssh(shell(src="100.64.0.1", dst=["100.64.0.4"], accept=["ubuntu"]), rule) == []
    assert of_ssh(shell(dst=["100.64.0.99"], accept=["ubuntu"]), rule) != []
    assert of_ssh(shell(dst=["100.64.0.99"], deny=["ubuntu"]), rule) == []


def test_a_shell_at_ones_own_devices() -> None:
    rule = {"dst": ["autogroup:self"]}
    assert of_ssh(shell(dst=["autogroup:self", "alice@example.com"], accept=["ubuntu"]), rule) == []
    assert of_ssh(shell(dst=["bob@example.com"], deny=["ubuntu"]), rule) == []
    assert of_ssh(shell(src="tag:db", dst=["autogroup:self"], deny=["ubuntu"]), rule) != []
    assert of_ssh(shell(src="tag:db", dst=["tag:idle"], deny=["ubuntu"]), rule) == []


def test_a_local_part_also_lets_in_at_ones_own_devices() -> None:
    # a source that is no destination gets its own user's rules, as recorded
    rule = {
        "action": "accept",
        "src": ["alice@example.com"],
        "dst": ["tag:web"],
        "users": ["localpart:*@example.com"],
    }
    whole = {"acls": [], **BASE, "ssh": [rule]}
    entry = shell(dst=["alice@example.com"], accept=["alice"])
    assert (
        failures(read(json.dumps({**whole, "sshTests": [entry]}), domains=("example.com",)), PEOPLE, DEVICES)
        == ()
    )


def test_a_posture_of_a_shell_is_what_the_entry_says() -> None:
    rule = {"dst": ["tag:web"], "srcPosture": ["posture:linux"]}
    assert of_ssh(shell(accept=["ubuntu"]), rule) != []
    assert of_ssh(shell(accept=["ubuntu"], srcPostureAttrs={"node:os": "linux"}), rule) == []
    plain = {"dst": ["tag:web"]}
    assert of_ssh(shell(accept=["ubuntu"]), plain, defaultSrcPosture=["posture:linux"]) == []


@pytest.mark.parametrize(
    "entry",
    [
        shell(),
        shell(accept=[""]),
        shell(dst=[], accept=["root"]),
        shell(dst=["autogroup:internet"], deny=["root"]),
        shell(dst=["10.0.0.0/8"], deny=["root"]),
        shell(dst=["site"], deny=["root"]),
        shell(dst=["*"], deny=["root"]),
        shell(dst=["tag:web:22"], deny=["root"]),
        shell(dst=["tag:nope"], deny=["root"]),
        shell(src="group:none", deny=["root"]),
    ],
    ids=str,
)
def test_a_shells_entry_that_is_not_well_made_fails(entry: dict[str, object]) -> None:
    bare = Document(
        groups={"group:none": ()},
        tag_owners=document().tag_owners,
        hosts=document().hosts,
        ssh_tests=(Check(entry=entry, line=3),),
    )
    (failed,) = failures(bare, PEOPLE, DEVICES)
    assert (failed.section, failed.line) == ("sshTests", 3)


# Every recorded policy


def test_tests_hold_in_every_recorded_policy_that_was_accepted_and_fail_where_it_was_refused_for_them() -> (
    None
):
    for name, vector in vectors().items():
        accepted = vector["expect"]["accept"]
        try:
            found = read(json.dumps(vector["policy"]), domains=vector["tailnet"]["domains"])
        except PolicyFault:
            assert not accepted, name
            continue
        assert (failures(found, *_tailnet(vector)) == ()) is accepted, name


def _tailnet(vector: dict[str, Any]) -> tuple[list[Person], list[Device]]:
    people = [
        Person(id=user["id"], logins=(user["email"], user["name"]), roles=tuple(user["roles"]))
        for user in vector["users"]
    ]
    ids = {user["name"]: user["id"] for user in vector["users"]}
    devices = [
        Device(
            id=node["id"],
            user=ids.get(node["user"]),
            tags=tuple(node["tags"]),
            ipv4=node["ipv4"],
            ipv6=node["ipv6"],
            routes=tuple(route for route in node["approved_routes"] if not route.endswith("/0")),
        )
        for node in vector["nodes"]
    ]
    return people, devices
