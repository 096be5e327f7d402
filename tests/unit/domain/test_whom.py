"""People and devices as policies know them."""

import pytest

from engine.domain.aggregates import Node, User
from engine.domain.commands import CreateUser, ExpireNode, SetUserRole, TagNode
from engine.domain.values import NodeId, UserId
from engine.domain.whom import device_of, devices_of, facts_of, people_of, person_of
from tests.kit.scenario import Scene, machine_key, node_key, registration


def user(name: str, email: str = "", role: str = "member") -> User:
    return User(id=UserId(1), name=name, email=email, role=role)


@pytest.mark.parametrize(
    ("name", "email", "logins"),
    [
        ("Anna", "", ("anna", "anna@")),
        ("anna", "Anna@Example.com", ("anna@example.com", "anna", "anna@")),
        ("anna@example.com", "anna@example.com", ("anna@example.com", "anna@example.com@")),
    ],
)
def test_a_user_goes_by_several_names(name: str, email: str, logins: tuple[str, ...]) -> None:
    assert person_of(user(name, email)).logins == logins


@pytest.mark.parametrize(
    ("role", "roles"),
    [("member", ()), ("owner", ("owner", "admin")), ("admin", ("admin",)), ("it-admin", ("it-admin",))],
)
def test_the_owner_is_an_admin_too_and_a_member_nothing(role: str, roles: tuple[str, ...]) -> None:
    assert person_of(user("anna", role=role)).roles == roles


def test_everybody_is_there_expired_or_not_and_the_tagged_belong_to_nobody() -> None:
    scene = Scene()
    scene.user("anna")
    scene.when(CreateUser(name="bert"))
    scene.when(SetUserRole(user="bert", role="owner"))
    scene.node("laptop", "anna")
    scene.node("server", "bert")
    scene.when(ExpireNode(node=1))
    scene.when(TagNode(node=2, tags=("tag:b", "tag:a")))
    laptop, server = devices_of(scene.tailnet)
    assert (laptop.id, laptop.user, laptop.tags, laptop.ipv4) == (1, 1, (), "100.64.0.1")
    assert (server.id, server.user, server.tags) == (2, None, ("tag:a", "tag:b"))
    assert [person.roles for person in people_of(scene.tailnet)] == [(), ("owner", "admin")]


def node(**fields: object) -> Node:
    known = {
        "id": NodeId(1),
        "stable_id": "n1",
        "machine_key": machine_key("a"),
        "node_key": node_key("a"),
        "user": UserId(1),
        "name": "a",
        "hostname": "a",
        "ipv4": "100.64.0.1",
        "ipv6": "fd7a:115c:a1e0:1::1",
    }
    return Node(**(known | fields))  # type: ignore[arg-type]


def test_what_is_offered_and_approved_is_routed() -> None:
    both = node(
        advertised=("0.0.0.0/0", "10.0.0.0/8", "192.168.1.0/24", "::/0"),
        approved=("10.0.0.0/8", "172.16.0.0/12", "::/0"),
    )
    device = device_of(Scene().tailnet, both)
    assert (device.routes, device.is_exit) == (("10.0.0.0/8",), True)
    offered = node(advertised=("0.0.0.0/0", "10.0.0.0/8"), approved=("::/0",))
    device = device_of(Scene().tailnet, offered)
    assert (device.routes, device.is_exit) == ((), False)


@pytest.mark.parametrize(
    ("os", "version", "client", "facts"),
    [
        (
            "macOS",
            "14.5",
            "1.92.5-tabc-gdef",
            {
                "node:os": "macos",
                "node:osVersion": "14.5",
                "node:tsVersion": "1.92.5",
                "node:tsReleaseTrack": "stable",
            },
        ),
        (
            "iOS",
            "",
            "1.93.10",
            {"node:os": "ios", "node:tsVersion": "1.93.10", "node:tsReleaseTrack": "unstable"},
        ),
        ("linux", "", "", {"node:os": "linux"}),
        ("", "", "1.92", {}),
        ("", "", "v1.92.5", {}),
        ("", "", "1.92.5.7", {}),
    ],
)
def test_facts_are_what_the_client_reported(
    os: str, version: str, client: str, facts: dict[str, object]
) -> None:
    assert facts_of(node(os=os, os_version=version, client_version=client)) == facts


def test_what_the_client_reports_is_kept() -> None:
    scene = Scene()
    scene.user("anna")
    scene.node("laptop", os="linux", os_version="6.1\x1b", client_version="1.92.5-t1")
    held = scene.tailnet.nodes[NodeId(1)]
    assert (held.os_version, held.client_version) == ("6.1", "1.92.5-t1")
    scene.later(60_000)
    again = registration("laptop", os="linux", os_version="6.2", client_version="1.92.5-t1")
    assert scene.happens(again) == ["NodeReregistered"]
    assert scene.happens(registration("laptop", os="linux")) == []
    held = scene.tailnet.nodes[NodeId(1)]
    assert (held.os_version, held.client_version) == ("6.2", "1.92.5-t1")
