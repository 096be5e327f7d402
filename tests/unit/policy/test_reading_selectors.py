"""Selectors in all their forms, and what is said of those that are none."""

import json
from typing import Any, Final

import pytest

from engine.policy.document import Acl, Document, Grant, Kind, Selector
from engine.policy.faults import PolicyFault
from engine.policy.text.reading import read

NAMES: Final[dict[str, Any]] = {
    "groups": {"group:eng": ["alice@example.com"]},
    "hosts": {"web": "100.64.0.7", "Net": "10.1.0.0/16", "web.example.com": "fd7a::7"},
    "tagOwners": {"tag:a": [], "tag:b": []},
    "ipsets": {"ipset:x": ["10.0.0.0/8", "192.0.2.1"], "ipset:none": []},
    "postures": {"posture:ok": ["node:os IS SET"]},
}
ANY: Final = Selector(kind=Kind.ANY)


def document(**sections: Any) -> Document:
    return read(json.dumps(NAMES | sections), domains=["example.com", "Example.net"])


def kind_of(**sections: Any) -> str:
    with pytest.raises(PolicyFault) as caught:
        document(**sections)
    return caught.value.kind


def hint_of(**sections: Any) -> str:
    with pytest.raises(PolicyFault) as caught:
        document(**sections)
    return caught.value.hint


def acl(**fields: Any) -> Acl:
    (found,) = document(acls=[{"action": "accept", "src": ["*"], "dst": ["*:*"]} | fields]).acls or ()
    return found


def grant(**fields: Any) -> Grant:
    (found,) = document(grants=[{"src": ["*"], "dst": ["*"], "ip": ["*"]} | fields]).grants or ()
    return found


def sources(*texts: str) -> list[tuple[Kind, str]]:
    return [(selector.kind, selector.value) for selector in grant(src=list(texts)).sources]


@pytest.mark.parametrize(
    ("text", "kind", "value"),
    [
        ("*", Kind.ANY, ""),
        (" tag:a\t", Kind.TAG, "tag:a"),
        ("group:eng", Kind.GROUP, "group:eng"),
        ("Alice@Example.com", Kind.USER, "alice@example.com"),
        ("bob@", Kind.USER, "bob@"),
        ("alice@github", Kind.USER, "alice@github"),
        ("user:*@example.com", Kind.DOMAIN, "example.com"),
        ("user:*@Example.net", Kind.DOMAIN, "Example.net"),
        ("web", Kind.RANGE, "100.64.0.7"),
        ("host:web", Kind.RANGE, "100.64.0.7"),
        ("Net", Kind.RANGE, "10.1.0.0/16"),
        ("web.example.com", Kind.RANGE, "fd7a::7"),
        ("100.64.0.7", Kind.RANGE, "100.64.0.7"),
        ("100.64.0.7/32", Kind.RANGE, "100.64.0.7"),
        ("FD7A:0::7", Kind.RANGE, "fd7a::7"),
        ("fd7a::7/128", Kind.RANGE, "fd7a::7"),
        ("10.1.2.3/16", Kind.RANGE, "10.1.0.0/16"),
        ("0.0.0.0/0", Kind.RANGE, "0.0.0.0/0"),
        ("10.0.0.1-10.0.0.9", Kind.RANGE, "10.0.0.1-10.0.0.9"),
        ("10.0.0.0 - 10.0.0.255", Kind.RANGE, "10.0.0.0/24"),
        ("10.0.0.1-10.0.0.1", Kind.RANGE, "10.0.0.1"),
        ("0.0.0.0-255.255.255.255", Kind.RANGE, "0.0.0.0/0"),
        ("fd7a::-fd7a::ffff", Kind.RANGE, "fd7a::/112"),
        ("autogroup:member", Kind.MEMBER, ""),
        ("autogroup:tagged", Kind.TAGGED, ""),
        ("autogroup:danger-all", Kind.DANGER_ALL, ""),
        ("autogroup:network-admin", Kind.ROLE, "network-admin"),
    ],
)
def test_a_selector_is_understood(text: str, kind: Kind, value: str) -> None:
    assert sources(text) == [(kind, value)]


def test_equal_ranges_are_equal_selectors_however_written() -> None:
    found = grant(src=["10.1.0.0/16", "10.1.9.9/16", "10.1.0.0-10.1.255.255", "Net"]).sources
    assert set(found) == {
        Selector(kind=Kind.RANGE, value="10.1.0.0/16", first=0x0A010000, last=0x0A01FFFF, version=4)
    }


def test_an_ip_set_becomes_its_ranges_in_place() -> None:
    assert sources("tag:a", "ipset:x", "ipset:none", "tag:b") == [
        (Kind.TAG, "tag:a"),
        (Kind.RANGE, "10.0.0.0/8"),
        (Kind.RANGE, "192.0.2.1"),
        (Kind.TAG, "tag:b"),
    ]
    found = acl(dst=["ipset:x:80"]).destinations
    assert [(selector.value, numbers) for selector, numbers in found] == [
        ("10.0.0.0/8", ((80, 80),)),
        ("192.0.2.1", ((80, 80),)),
    ]


def test_what_is_shared_in_is_nobody_and_said_so() -> None:
    found = document(grants=[{"src": ["autogroup:shared", "tag:a"], "dst": ["*"], "ip": ["*"]}])
    assert [selector.value for rule in found.grants or () for selector in rule.sources] == ["tag:a"]
    assert any("autogroup:shared" in warning for warning in found.warnings)


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("", "bad-address"),
        ("%bogus%", "bad-address"),
        ("none", "bad-address"),
        ("host:none", "bad-address"),
        ("net", "bad-address"),
        ("1.2.3", "bad-address"),
        ("1.2.3.4.5", "bad-address"),
        ("01.2.3.4", "bad-address"),
        ("1.2.3.4/33", "bad-address"),
        ("1.2.3.4/255.0.0.0", "bad-address"),
        ("1.2.3.4/", "bad-address"),
        ("1.2.3.4/-1", "bad-address"),
        ("fe80::1%eth0", "bad-address"),
        ("::ffff:1.2.3.4", "bad-address"),
        ("1.2.3.4-1.2.3.3", "bad-address"),
        ("1.2.3.4-::1", "bad-address"),
        ("1.2.3.4-5", "bad-address"),
        ("10.0.0.0/8-11.0.0.0/8", "bad-address"),
        ("١.٢.٣.٤", "bad-address"),
        ("*@example.com", "bad-address"),
        ("@example.com", "bad-address"),
        ("a b@example.com", "bad-address"),
        ("a@b@c", "bad-address"),
        ("user:alice@example.com", "bad-address"),
        ("user:*", "bad-address"),
        ("user:*@example.org", "domain-not-associated"),
        ("user:*@EXAMPLE.com", "domain-not-associated"),
        ("user:*@", "domain-not-associated"),
        ("TAG:a", "bad-address"),
        ("tag:A", "unknown-tag"),
        ("tag:", "unknown-tag"),
        ("tag:\u0430", "unknown-tag"),
        ("group:none", "unknown-group"),
        ("ipset:nil", "unknown-ipset"),
        ("svc:web", "unsupported"),
        ("autogroup:none", "bad-address"),
        ("autogroup:", "bad-address"),
        ("autogroup:nonroot", "bad-address"),
        ("autogroup:self", "self-in-src"),
        ("autogroup:internet", "misplaced-selector"),
        ("x" * 100_000, "bad-address"),
        ("9" * 100_000, "bad-address"),
    ],
)
def test_a_source_that_can_be_none_is_refused(text: str, kind: str) -> None:
    assert kind_of(grants=[{"src": ["*", text], "dst": ["*"], "ip": ["*"]}]) == kind
    assert kind_of(acls=[{"action": "accept", "src": [text], "dst": ["*:*"]}]) == kind


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("tag:aa", 'did you mean "tag:a"?'),
        ("tag:a:22", 'write "tag:a": no port can stand here'),
        ("group:eng:22,80", 'write "group:eng": no port can stand here'),
        ("web:22", 'write "web": no port can stand here'),
        ("10.0.0.1:*", 'write "10.0.0.1": no port can stand here'),
        ("wep", 'did you mean "web"?'),
        ("carol", 'add "carol" to hosts, or write carol@ if it is a user'),
        ("autogroup:members", 'did you mean "autogroup:member"?'),
        ("*@example.com", 'write "user:*@example.com" for all of a domain'),
        ("user:*@example.ORG", "its domains, in this spelling: Example.net, example.com"),
    ],
)
def test_what_to_write_instead_is_said(text: str, hint: str) -> None:
    assert hint_of(grants=[{"src": ["*"], "dst": [text], "ip": ["*"]}]) == hint


def test_a_fault_points_at_the_selector() -> None:
    text = '{"grants": [\n  {"src": ["*",\n    "tag:none"], "dst": ["*"], "ip": ["*"]}]}'
    with pytest.raises(PolicyFault) as caught:
        read(text)
    assert (caught.value.line, caught.value.column) == (3, 5)
    assert str(caught.value) == 'tag not found: "tag:none"'
