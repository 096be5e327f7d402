"""The entries of acls and grants: destinations, ports, protocols, capabilities, and what is refused."""

import json
from typing import Any, Final

import pytest

from engine.policy.document import ALL_PORTS, Acl, Document, Grant, Kind, Ports, Selector, Traffic
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


def acl(**fields: Any) -> Acl:
    (found,) = document(acls=[{"action": "accept", "src": ["*"], "dst": ["*:*"]} | fields]).acls or ()
    return found


def grant(**fields: Any) -> Grant:
    (found,) = document(grants=[{"src": ["*"], "dst": ["*"], "ip": ["*"]} | fields]).grants or ()
    return found


def sources(*texts: str) -> list[tuple[Kind, str]]:
    return [(selector.kind, selector.value) for selector in grant(src=list(texts)).sources]


def ports(text: str) -> Ports:
    ((_, found),) = acl(dst=[f"*:{text}"]).destinations
    return found


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("*", ALL_PORTS),
        ("22", ((22, 22),)),
        ("1-65535", ((1, 65535),)),
        ("80-80", ((80, 80),)),
        ("443,80,8000-8100", ((443, 443), (80, 80), (8000, 8100))),
        (" 22 , 23 - 24 ", ((22, 22), (23, 24))),
        ("0022", ((22, 22),)),
        ("22,*", ((22, 22), (0, 65535))),
    ],
)
def test_ports_are_understood(text: str, wanted: Ports) -> None:
    assert ports(text) == wanted


@pytest.mark.parametrize(
    "text",
    [
        "",
        "0",
        "0-80",
        "65536",
        "80-65536",
        "-1",
        "1-",
        "-",
        "80-79",
        "22,",
        ",22",
        "ssh",
        "2 2",
        "+22",
        "22.0",
        "٢٢",
        "1-2-3",
    ],
)
def test_what_is_no_port_is_refused(text: str) -> None:
    assert kind_of(acls=[{"action": "accept", "src": ["*"], "dst": [f"tag:a:{text}"]}]) == "bad-port"
    assert kind_of(grants=[{"src": ["*"], "dst": ["*"], "ip": [f"tcp:{text}"]}]) == "bad-port"


@pytest.mark.parametrize(
    "text", ["*", "tag", "autogroup:self", "tag:a", "web", "10.0.0.0/8", "alice@example.com"]
)
def test_an_acl_destination_needs_ports(text: str) -> None:
    assert kind_of(acls=[{"action": "accept", "src": ["*"], "dst": [text]}]) == "bad-port"


@pytest.mark.parametrize(
    ("text", "selector", "wanted"),
    [
        ("fd7a::7:80", "fd7a::7", 80),
        ("[fd7a::7]:80", "fd7a::7", 80),
        ("fd7a::/64:80", "fd7a::/64", 80),
        (" web :80", "100.64.0.7", 80),
        ("10.0.0.1-10.0.0.9:80", "10.0.0.1-10.0.0.9", 80),
        ("user:*@example.com:80", "example.com", 80),
    ],
)
def test_an_acl_destination_is_cut_at_its_last_colon(text: str, selector: str, wanted: int) -> None:
    assert [(found.value, numbers) for found, numbers in acl(dst=[text]).destinations] == [
        (selector, ((wanted, wanted),))
    ]


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("tcp", 6),
        ("UDP", 17),
        ("icmp", 1),
        ("ipv6-icmp", 58),
        ("sctp", 132),
        ("fc", 133),
        ("47", 47),
        ("255", 255),
        ("*", None),
        ("", None),
        (None, None),
    ],
)
def test_protocols_are_names_and_numbers(text: str | None, wanted: int | None) -> None:
    assert acl(proto=text).protocol == wanted


@pytest.mark.parametrize("text", ["tpc", "0", "256", "-1", "6.0", "tcp,udp", "9" * 5_000])
def test_what_is_no_protocol_is_refused(text: str) -> None:
    assert kind_of(acls=[{"action": "accept", "src": ["*"], "dst": ["*:*"], "proto": text}]) == "bad-protocol"
    assert kind_of(grants=[{"src": ["*"], "dst": ["*"], "ip": [f"{text}:*"]}]) == "bad-protocol"


def test_ip_items_of_a_grant_are_gathered_by_protocol_in_order() -> None:
    items = ["tcp:80", "53", "udp:53", "tcp:443,8000-8100", "*", "6:1", "icmp:*", "*:9", " tcp : 22 "]
    assert grant(ip=items).traffic == (
        Traffic(protocol=6, ports=((80, 80), (443, 443), (8000, 8100), (1, 1), (22, 22))),
        Traffic(protocol=None, ports=((53, 53), (0, 65535), (9, 9))),
        Traffic(protocol=17, ports=((53, 53),)),
        Traffic(protocol=1, ports=ALL_PORTS),
    )
    assert grant(ip=["47"]).traffic == (Traffic(protocol=None, ports=((47, 47),)),)
    assert kind_of(grants=[{"src": ["*"], "dst": ["*"], "ip": ["icmp"]}]) == "bad-port"


def test_ports_for_a_protocol_without_any_are_warned_of() -> None:
    rules = {
        "acls": [{"action": "accept", "src": ["*"], "dst": ["*:*", "*:80"], "proto": "gre"}],
        "grants": [
            {"src": ["*"], "dst": ["*"], "ip": ["icmp:1"]},
            {"src": ["*"], "dst": ["*"], "ip": ["sctp:1", "gre:*"]},
        ],
    }
    assert [warning.split(":")[1] for warning in document(**rules).warnings] == [
        " packets of the protocol 47 have no ports",
        " packets of the protocol 1 have no ports",
    ]


@pytest.mark.parametrize("action", [None, "", "deny", "ACCEPT", "check"])
def test_an_acl_accepts_and_nothing_else(action: str | None) -> None:
    assert kind_of(acls=[{"action": action, "src": ["*"], "dst": ["*:*"]}]) == "acl-action"
    assert acl(action=" accept").sources == (ANY,)


@pytest.mark.parametrize(
    "text", ["alice@example.com", "group:eng", "autogroup:member", "autogroup:admin", "user:*@example.com"]
)
def test_users_reach_their_own_devices(text: str) -> None:
    assert acl(src=[text], dst=["autogroup:self:22"]).destinations[0][0].kind is Kind.SELF
    assert grant(src=[text], dst=["autogroup:self"]).destinations[0].kind is Kind.SELF


def test_in_acls_everybody_reaches_their_own_devices() -> None:
    assert acl(src=["*"], dst=["autogroup:self:*"]).sources == (ANY,)
    assert (
        kind_of(grants=[{"src": ["*"], "dst": ["autogroup:self"], "ip": ["*"]}]) == "self-dst-needs-user-src"
    )


@pytest.mark.parametrize(
    "text", ["tag:a", "autogroup:tagged", "100.64.0.7", "web", "autogroup:danger-all", "ipset:x"]
)
def test_what_is_no_user_has_no_devices_of_its_own(text: str) -> None:
    wanted = "self-dst-needs-user-src"
    source = ["autogroup:member", text]
    assert (
        kind_of(acls=[{"action": "accept", "src": source, "dst": ["tag:a:1", "autogroup:self:*"]}]) == wanted
    )
    assert kind_of(grants=[{"src": source, "dst": ["tag:a", "autogroup:self"], "ip": ["*"]}]) == wanted


@pytest.mark.parametrize("text", ["0.0.0.0/0", "::/0", "0.0.0.0-255.255.255.255", "10.1.1.1/0"])
def test_a_grant_to_all_addresses_is_refused_and_an_acl_is_not(text: str) -> None:
    assert kind_of(grants=[{"src": ["*"], "dst": [text], "ip": ["*"]}]) == "default-route-dst"
    assert len(acl(dst=[f"{text}:*"]).destinations) == 1


def test_danger_all_is_no_destination() -> None:
    assert (
        kind_of(grants=[{"src": ["*"], "dst": ["autogroup:danger-all"], "ip": ["*"]}]) == "danger-all-in-dst"
    )
    assert (
        kind_of(acls=[{"action": "accept", "src": ["*"], "dst": ["autogroup:danger-all:*"]}])
        == "danger-all-in-dst"
    )


def test_a_grant_grants_something() -> None:
    empties: list[dict[str, Any]] = [{}, {"ip": []}, {"app": {}}, {"ip": None, "app": None}]
    for empty in empties:
        assert kind_of(grants=[{"src": ["*"], "dst": ["*"]} | empty]) == "grant-empty"


def test_capabilities_are_kept_untouched() -> None:
    text = """{"grants": [{"src": ["*"], "dst": ["*"], "app": {
        "example.com/cap/x": [{"b": 1.0, "a": [12345678901234567890, "\\u00e9"]}, /* no */ ],
        "tailscale.com/cap/drive": [], "my-company.internal/a/b/c": null}}]}"""
    (found,) = read(text).grants or ()
    assert {name: bytes(value).decode() for name, value in found.app.items()} == {
        "example.com/cap/x": '[{"b":1.0,"a":[12345678901234567890,"é"]}]',
        "tailscale.com/cap/drive": "[]",
        "my-company.internal/a/b/c": "null",
    }
    assert found.traffic == ()


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("https://tailscale.com/cap/drive", "cap-name-form"),
        ("example.com", "cap-name-form"),
        ("example.com/", "cap-name-form"),
        ("/cap/x", "cap-name-form"),
        ("", "cap-name-form"),
        ("example.com/a b", "cap-name-form"),
        ("example.com/http://x", "cap-name-form"),
        ("tailscale.com/cap/ingress", "cap-name-reserved"),
        ("tailscale.com/cap/funnel", "cap-name-reserved"),
        ("tailscale.com/cap/relay-target", "cap-name-reserved"),
        ("Tailscale.com/cap/drive", "cap-name-reserved"),
    ],
)
def test_a_capability_that_cannot_be_granted_is_refused(name: str, kind: str) -> None:
    assert kind_of(grants=[{"src": ["*"], "dst": ["*"], "app": {name: []}}]) == kind


def test_no_capability_on_the_internet() -> None:
    rule = {"src": ["*"], "dst": ["autogroup:internet"], "ip": ["*"]}
    assert kind_of(grants=[rule | {"app": {"example.com/x": []}}]) == "app-to-internet"
    assert grant(dst=["autogroup:internet"]).destinations == (Selector(kind=Kind.INTERNET),)


def test_via_names_tags() -> None:
    assert grant(via=["tag:a", " tag:b"]).via == ("tag:a", "tag:b")
    for text, kind in {
        "autogroup:tagged": "via-not-tag",
        "web": "via-not-tag",
        "*": "via-not-tag",
        "tag:none": "unknown-tag",
    }.items():
        assert kind_of(grants=[{"src": ["*"], "dst": ["10.0.0.0/8"], "ip": ["*"], "via": [text]}]) == kind


def test_a_rule_names_its_postures() -> None:
    assert acl(srcPosture=["posture:ok"]).postures == ("posture:ok",)
    assert grant(srcPosture=["posture:ok"]).postures == ("posture:ok",)


def test_a_rule_without_sources_or_destinations_is_read_and_warned_of() -> None:
    found = document(acls=[{"action": "accept", "dst": ["*:*"]}], grants=[{"src": ["*"], "ip": ["*"]}])
    assert [rule.sources for rule in found.acls or ()] == [()]
    assert [rule.destinations for rule in found.grants or ()] == [()]
    assert [warning.removeprefix("line 1: ") for warning in found.warnings] == [
        "an acl without src does nothing",
        "a grant without dst does nothing",
    ]
    assert document(grants=[{"src": [], "dst": [], "ip": ["*"]}]).warnings == ()
