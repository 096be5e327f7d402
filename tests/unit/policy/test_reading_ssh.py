"""The entries of ssh, and destinations of SSH tests that can never be any."""

import json
from typing import Any, Final

import pytest

from engine.policy.document import Check, Document, Kind, SshRule
from engine.policy.faults import PolicyFault
from engine.policy.text.reading import read

NAMES: Final[dict[str, Any]] = {
    "groups": {"group:eng": ["alice@example.com"]},
    "hosts": {"web": "100.64.0.7", "net": "10.1.0.0/16"},
    "tagOwners": {"tag:a": []},
    "postures": {"posture:ok": ["node:os IS SET"]},
    "ipsets": {"ipset:x": ["10.0.0.0/8"]},
}
RULE: Final[dict[str, Any]] = {"action": "accept", "src": ["group:eng"], "dst": ["tag:a"], "users": ["root"]}


def document(**sections: Any) -> Document:
    return read(json.dumps(NAMES | sections, ensure_ascii=False), domains=["example.com"])


def rule(**fields: Any) -> SshRule:
    (found,) = document(ssh=[{key: value for key, value in (RULE | fields).items() if value != "absent"}]).ssh
    return found


def kind_of(**fields: Any) -> str:
    with pytest.raises(PolicyFault) as caught:
        rule(**fields)
    return caught.value.kind


def test_a_rule_is_read() -> None:
    found = rule(action=" check", users=[" root", "\tubuntu", "autogroup:nonroot", "localpart:*@example.com"])
    assert found.is_check
    assert [(selector.kind, selector.value) for selector in found.sources] == [(Kind.GROUP, "group:eng")]
    assert [(selector.kind, selector.value) for selector in found.destinations] == [(Kind.TAG, "tag:a")]
    assert found.users == ("root", "ubuntu", "autogroup:nonroot", "localpart:*@example.com")
    assert (found.accept_env, found.check_seconds, found.postures) == (None, None, ())
    assert not rule().is_check
    assert rule(srcPosture=["posture:ok"]).postures == ("posture:ok",)


@pytest.mark.parametrize(
    "name", ["مستخدم", "tag:x", "localpart:foo", "localpart:foo@other.com", "autogroup:member", "**"]
)
def test_other_users_are_literal_names(name: str) -> None:
    assert rule(users=[name]).users == (name,)


@pytest.mark.parametrize(
    ("fields", "kind"),
    [
        ({"action": "absent"}, "ssh-action-missing"),
        ({"action": None}, "ssh-action-missing"),
        ({"action": " "}, "ssh-action-missing"),
        ({"action": "ACCEPT"}, "ssh-action-invalid"),
        ({"action": "deny"}, "ssh-action-invalid"),
        ({"users": "absent"}, "ssh-users-missing"),
        ({"users": None}, "ssh-users-missing"),
        ({"users": []}, "ssh-users-missing"),
        ({"users": [""]}, "ssh-user-invalid"),
        ({"users": [" "]}, "ssh-user-invalid"),
        ({"users": ["root", "*"]}, "ssh-user-invalid"),
        ({"users": ["localpart:*@EXAMPLE.com"]}, "domain-not-associated"),
        ({"users": ["localpart:*@*"]}, "domain-not-associated"),
        ({"users": ["localpart:*@"]}, "domain-not-associated"),
        ({"acceptEnv": ["TERM", ""]}, "ssh-accept-env-empty"),
        ({"acceptEnv": "TERM"}, "wrong-type"),
        ({"dst": ["web"]}, "ssh-dst-host-alias"),
        ({"dst": ["host:web"]}, "ssh-dst-host-alias"),
        ({"dst": ["net"]}, "ssh-dst-host-alias"),
        ({"dst": ["*"]}, "misplaced-selector"),
        ({"dst": ["100.64.0.7"]}, "misplaced-selector"),
        ({"dst": ["ipset:x"]}, "misplaced-selector"),
        ({"dst": ["autogroup:internet"]}, "misplaced-selector"),
        ({"dst": ["autogroup:danger-all"]}, "misplaced-selector"),
        ({"dst": ["tag:none"]}, "unknown-tag"),
        ({"dst": ["tag:a:22"]}, "unknown-tag"),
        ({"dst": ["autogroup:self"], "src": ["tag:a"]}, "self-dst-needs-user-src"),
        ({"dst": ["autogroup:self"], "src": ["*"]}, "self-dst-needs-user-src"),
        ({"src": ["autogroup:self"]}, "self-in-src"),
        ({"src": ["tag:none"]}, "unknown-tag"),
        ({"src": ["user:*@example.org"]}, "domain-not-associated"),
        ({"recorder": ["tag:a"]}, "unsupported"),
        ({"enforceRecorder": True}, "unsupported"),
        ({"srcPosture": ["posture:none"]}, "unknown-posture"),
    ],
)
def test_a_rule_that_can_be_none_is_refused(fields: dict[str, Any], kind: str) -> None:
    assert kind_of(**fields) == kind


def test_sources_and_destinations_may_be_empty_or_absent() -> None:
    absent: list[Any] = [[], None, "absent"]
    for nothing in absent:
        found = rule(src=nothing, dst=nothing)
        assert (found.sources, found.destinations) == ((), ())


def test_a_recorder_that_is_not_used_is_no_reason_to_refuse() -> None:
    assert rule(recorder=[], enforceRecorder=False) == rule()


@pytest.mark.parametrize(
    ("period", "seconds"),
    [
        (None, None),
        ("always", 0),
        ("0s", 0),
        ("0", 0),
        ("30m", 1_800),
        ("1h30m", 5_400),
        ("1.5h", 5_400),
        (" 20h ", 72_000),
        ("90s", 90),
        ("1500ms", 1),
        ("168h", 604_800),
        ("604800000000000ns", 604_800),
        ("167h59m60s", 604_800),
        (".5m", 30),
        ("1.m", 60),
    ],
)
def test_how_often_a_check_is_asked_for(period: str | None, seconds: int | None) -> None:
    assert rule(action="check", checkPeriod=period).check_seconds == seconds


@pytest.mark.parametrize(
    "period",
    [
        "",
        "abc",
        "1",
        "1d",
        "1h 30m",
        "-1h",
        "1hh",
        "h",
        "168h1ns",
        "168h0m1s",
        "200h",
        "9" * 20 + "h",
        "9" * 30 + "h",
        "٣h",
        "1e2s",
    ],
)
def test_what_is_no_period_is_refused(period: str) -> None:
    assert kind_of(action="check", checkPeriod=period) == "ssh-check-period"


def test_a_period_without_a_check_is_warned_of() -> None:
    found = document(ssh=[RULE | {"checkPeriod": "1h"}, RULE | {"action": "check", "checkPeriod": "1h"}])
    assert [rule.check_seconds for rule in found.ssh] == [3600, 3600]
    assert len(found.warnings) == 1


def test_what_the_environment_may_bring_is_kept_as_written() -> None:
    assert rule(acceptEnv=["LC_*", "**", " X"]).accept_env == ("LC_*", "**", " X")
    assert rule(acceptEnv=[]).accept_env == ()
    assert rule(acceptEnv=None).accept_env is None


def test_tests_are_taken_as_they_are_written() -> None:
    entries: list[dict[str, Any]] = [
        {"src": "", "dst": ["web", "100.64.0.7", "nobody@", "none", 1], "x": [1.5, None]},
        {"dst": "tag:a"},
    ]
    found = document(sshTests=entries, tests=entries)
    assert found.ssh_tests == tuple(Check(entry=entry, line=1) for entry in entries)
    assert found.tests == found.ssh_tests


@pytest.mark.parametrize(
    ("destination", "kind"),
    [
        ("autogroup:internet", "sshtest-dst-element"),
        ("10.0.0.0/8", "sshtest-dst-element"),
        (" 100.64.0.7/32", "sshtest-dst-element"),
        ("fd7a::/48", "sshtest-dst-element"),
        ("tag:none", "sshtest-dst-tag"),
        ("tag:a:22", "sshtest-dst-tag"),
    ],
)
def test_a_destination_of_an_ssh_test_that_can_be_none_is_refused(destination: str, kind: str) -> None:
    with pytest.raises(PolicyFault) as caught:
        document(sshTests=[{"src": "alice@example.com", "dst": ["tag:a", destination], "accept": ["root"]}])
    assert caught.value.kind == kind
    document(tests=[{"src": "alice@example.com", "accept": [destination]}])
