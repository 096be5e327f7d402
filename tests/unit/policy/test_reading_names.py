"""Groups, hosts, and tags with their owners: what they may be and what is refused."""

import json
from typing import Any

import pytest

from engine.policy.document import Document, Kind, Selector
from engine.policy.faults import PolicyFault
from engine.policy.text.reading import read


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
