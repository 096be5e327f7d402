"""What a policy leaves of a WireGuard-only peer: ranges, tags, the internet; and nothing by accident."""

import json

import pytest

from engine.policy.compiled import Policy
from engine.policy.permit import permitted
from engine.policy.policy import Permit
from engine.policy.subjects import Device, Person
from engine.policy.text.reading import read

OWN = ("100.96.0.1", "fd7a:115c:a1e0:2::1")
SITE = ("192.168.0.0/16", "10.9.0.0/24")
ALL = ("0.0.0.0/0", "::/0")


def permit(*grants: dict[str, object]) -> Permit:
    """What a policy of these grants lets Alice's laptop send to."""
    owners = {"tag:site": ["alice@example.com"]}
    policy = Policy(read(json.dumps({"grants": list(grants), "tagOwners": owners})))
    laptop = Device(id=1, user=1, ipv4="100.64.0.1", ipv6="fd7a:115c:a1e0::1")
    return policy.stand(policy.identify(laptop, Person(id=1, logins=("alice@example.com",)))).permit


def grant(target: str, *, ip: str = "*", source: str = "alice@example.com") -> dict[str, object]:
    return {"src": [source], "dst": [target], "ip": [ip]}


def test_a_range_leaves_what_lies_in_it() -> None:
    assert permitted(SITE, OWN, (), permit(grant("192.168.7.0/24"))) == ("192.168.7.0/24",)
    assert permitted(SITE, OWN, (), permit(grant("192.0.0.0/8"))) == ("192.168.0.0/16",)
    assert permitted(SITE, OWN, (), permit(grant("172.16.0.0/12"))) is None


def test_a_tag_of_the_peer_leaves_all_but_default_routes() -> None:
    assert permitted((*SITE, *ALL), OWN, ("tag:site",), permit(grant("tag:site"))) == SITE
    assert permitted(SITE, OWN, (), permit(grant("tag:site"))) is None


def test_only_the_internet_leaves_default_routes() -> None:
    assert permitted(ALL, OWN, (), permit(grant("autogroup:internet"))) == ALL
    assert permitted(ALL, OWN, (), permit(grant("1.0.0.0/8"))) is None


@pytest.mark.parametrize("target", ["*", "autogroup:member", "autogroup:tagged", "autogroup:self"])
def test_no_wildcard_and_no_autogroup_speaks_of_such_a_peer(target: str) -> None:
    source = "*" if target == "*" else "autogroup:member"
    assert permitted((*SITE, *ALL), OWN, (), permit(grant(target, source=source))) is None


def test_its_own_address_alone_shows_it_with_nothing_behind_it() -> None:
    assert permitted(SITE, OWN, (), permit(grant("100.96.0.1"))) == ()


def test_a_source_that_is_somebody_else_permits_nothing() -> None:
    assert permitted(SITE, OWN, (), permit(grant("192.168.0.0/16", source="bob@example.com"))) is None


def test_ports_are_noticed() -> None:
    assert permit(grant("192.168.0.0/16", ip="tcp:443")).has_ports
    assert not permit(grant("192.168.0.0/16")).has_ports
