"""Who owns a tag, and whose routes nobody needs to approve by hand."""

import json

import pytest

from engine.policy.approval import approves, owns
from engine.policy.document import Document, Kind, RouteApprover, Selector
from engine.policy.subjects import Device, Person
from engine.policy.text.reading import read
from tests.kit.policy_vectors import vectors

ANNA = Person(id=1, logins=("anna@example.com", "anna", "anna@"), roles=("owner", "admin"))
BOB = Person(id=2, logins=("bob", "bob@"))
TAG = Selector(kind=Kind.TAG, value="tag:router")
MEMBER = Selector(kind=Kind.MEMBER)


def user(login: str) -> Selector:
    return Selector(kind=Kind.USER, value=login)


def owned_by(*owners: Selector) -> Document:
    return Document(groups={"group:eng": ("bob", "carl")}, tag_owners={"tag:x": owners})


@pytest.mark.parametrize(
    ("owner", "anna", "bob"),
    [
        (user("anna@example.com"), True, False),
        (user("bob@"), False, True),
        (Selector(kind=Kind.GROUP, value="group:eng"), False, True),
        (Selector(kind=Kind.GROUP, value="group:none"), False, False),
        (MEMBER, True, True),
        (Selector(kind=Kind.ROLE, value="admin"), True, False),
        (Selector(kind=Kind.ROLE, value="auditor"), False, False),
        (Selector(kind=Kind.DOMAIN, value="example.com"), True, False),
        (Selector(kind=Kind.DOMAIN, value="bob"), False, False),
        (Selector(kind=Kind.TAGGED), False, False),
        (Selector(kind=Kind.ANY), False, False),
        (TAG, False, False),
    ],
)
def test_an_owner_is_named_by_login_group_role_or_domain(owner: Selector, *, anna: bool, bob: bool) -> None:
    document = owned_by(owner)
    assert owns(document, "tag:x", person=ANNA) is anna
    assert owns(document, "tag:x", person=BOB) is bob
    assert not owns(document, "tag:y", person=ANNA), "a tag that is not defined is nobody's"


def test_a_device_owns_what_its_tags_own_and_nothing_of_its_users() -> None:
    document = owned_by(TAG, user("anna"))
    assert owns(document, "tag:x", tags=("tag:router",))
    assert not owns(document, "tag:x", tags=("tag:y",))
    assert not owns(owned_by(MEMBER), "tag:x", tags=("tag:router",))


def test_without_owners_nobody_owns_a_tag() -> None:
    assert not owns(owned_by(), "tag:x", person=ANNA)


def device(*tags: str) -> Device:
    return Device(id=1, user=None if tags else 1, tags=tags)


ROUTES = Document(
    route_approvers=(
        RouteApprover(prefix="10.0.0.0/8", approvers=(TAG,)),
        RouteApprover(prefix="10.1.0.0/16", approvers=(user("anna"),)),
        RouteApprover(prefix="fd00::/8", approvers=(MEMBER,)),
        RouteApprover(prefix="0.0.0.0/0", approvers=(TAG,)),
        RouteApprover(prefix="::/0", approvers=(TAG,)),
    ),
    exit_approvers=(Selector(kind=Kind.TAG, value="tag:exit"),),
)


@pytest.mark.parametrize(
    ("tags", "prefix", "expected"),
    [
        (("tag:router",), "10.0.0.0/8", True),
        (("tag:router",), "10.2.3.0/24", True),
        (("tag:other",), "10.2.3.0/24", False),
        (("tag:router",), "8.0.0.0/6", True),  # inside 0.0.0.0/0, which is no exit route here
        (("tag:router",), "0.0.0.0/0", False),
        (("tag:router",), "::/0", False),
        (("tag:exit",), "0.0.0.0/0", True),
        (("tag:exit",), "::/0", True),
        (("tag:exit",), "192.168.0.0/16", False),
        ((), "10.1.2.0/24", True),
        ((), "10.0.0.0/15", False),
        ((), "10.2.0.0/16", False),
        ((), "fd00:1::/64", True),
        (("tag:exit",), "10.1.2.0/24", False),  # anna registered it, and it is not hers any more
    ],
)
def test_a_route_is_approved_inside_a_prefix_for_who_is_named(
    tags: tuple[str, ...], prefix: str, *, expected: bool
) -> None:
    assert approves(ROUTES, device(*tags), prefix, person=ANNA) is expected


def test_a_policy_without_approvers_approves_nothing() -> None:
    assert not approves(Document(), device(), "10.0.0.0/8", person=ANNA)


def test_every_recorded_route_is_approved_or_not_as_it_was() -> None:
    asked = 0
    for name, vector in vectors().items():
        if not vector["expect"]["accept"] or "peers-dropped" in vector.get("notes", ()):
            continue
        document = read(json.dumps(vector["policy"]), domains=vector["tailnet"]["domains"])
        people = {
            user["name"]: Person(id=user["id"], logins=(user["email"].lower(),), roles=tuple(user["roles"]))
            for user in vector["users"]
        }
        for node in vector["nodes"]:
            person = people.get(node.get("user"))
            found = Device(
                id=node["id"], user=None if person is None else person.id, tags=tuple(node.get("tags", ()))
            )
            offers = node.get("advertised_routes", ())
            approved = [route for route in offers if approves(document, found, route, person=person)]
            assert sorted(approved) == sorted(node.get("approved_routes", ())), (name, node["name"])
            asked += len(offers)
    assert asked > 3_000
