"""Whom selectors speak of: one device at a time, and all at once."""

import itertools

import pytest

from engine.policy.document import Document, Kind, Selector
from engine.policy.matching import addresses, matches
from engine.policy.points import Masks, Point, Points, bits
from engine.policy.ranges import span_of
from engine.policy.subjects import Device, Person

OWNER = Person(id=1, logins=("alice@example.com", "alice", "alice@"), roles=("owner", "admin"))
MEMBER = Person(id=2, logins=("bob@example.org", "bob", "bob@"))
LAPTOP = Device(id=1, user=1, ipv4="100.64.0.1", ipv6="fd7a:115c:a1e0::1")
PHONE = Device(id=2, user=2, ipv4="100.64.0.2", ipv6="fd7a:115c:a1e0::2")
SERVER = Device(id=3, user=None, tags=("tag:a", "tag:b"), ipv4="100.64.0.3", routes=("10.0.0.0/8",))
PEOPLE, DEVICES = (OWNER, MEMBER), (LAPTOP, PHONE, SERVER)
DOCUMENT = Document(groups={"group:x": ("alice", "carol@example.com"), "group:y": ("bob@example.org",)})


def reach(text: str) -> Selector:
    version, first, last = span_of(text)
    return Selector(kind=Kind.RANGE, value=text, version=version, first=first, last=last)


WHO: list[tuple[Selector, set[int]]] = [
    (Selector(kind=Kind.ANY), {1, 2, 3}),
    (Selector(kind=Kind.DANGER_ALL), {1, 2, 3}),
    (Selector(kind=Kind.USER, value="alice@example.com"), {1}),
    (Selector(kind=Kind.USER, value="bob@"), {2}),
    (Selector(kind=Kind.USER, value="nobody@example.com"), set()),
    (Selector(kind=Kind.DOMAIN, value="example.org"), {2}),
    (Selector(kind=Kind.DOMAIN, value=""), set()),
    (Selector(kind=Kind.GROUP, value="group:x"), {1}),
    (Selector(kind=Kind.GROUP, value="group:none"), set()),
    (Selector(kind=Kind.TAG, value="tag:b"), {3}),
    (Selector(kind=Kind.TAG, value="tag:c"), set()),
    (Selector(kind=Kind.MEMBER), {1, 2}),
    (Selector(kind=Kind.TAGGED), {3}),
    (Selector(kind=Kind.SELF), set()),
    (Selector(kind=Kind.INTERNET), set()),
    (Selector(kind=Kind.ROLE, value="owner"), {1}),
    (Selector(kind=Kind.ROLE, value="auditor"), set()),
    (reach("100.64.0.2"), {2}),
    (reach("fd7a:115c:a1e0::2"), {2}),
    (reach("100.64.0.2-100.64.0.9"), {2, 3}),
    (reach("100.64.0.0/10"), {1, 2, 3}),
    (reach("fd7a:115c:a1e0::/48"), {1, 2}),
    (reach("10.0.0.0/8"), set()),
]


@pytest.mark.parametrize(("selector", "ids"), WHO, ids=lambda value: str(getattr(value, "value", value)))
def test_a_selector_speaks_of_these_devices(selector: Selector, ids: set[int]) -> None:
    by_id = {person.id: person for person in PEOPLE}
    found = {
        device.id for device in DEVICES if matches(DOCUMENT, selector, device, by_id.get(device.user or 0))
    }
    assert found == ids
    points = Points(
        PEOPLE,
        [
            Point(device, tuple(span_of(text)[:2] for text in (device.ipv4, device.ipv6) if text))
            for device in DEVICES
        ],
    )
    assert {DEVICES[bit].id for bit in bits(Masks(DOCUMENT, points).devices(selector))} == ids


def test_a_tagged_device_is_nobodys_whoever_is_said_to_be_its_user() -> None:
    assert not matches(DOCUMENT, Selector(kind=Kind.USER, value="alice"), SERVER, OWNER)
    assert not matches(DOCUMENT, Selector(kind=Kind.ROLE, value="owner"), SERVER, OWNER)


@pytest.mark.parametrize(
    ("selector", "texts"),
    [
        (
            Selector(kind=Kind.ANY),
            (
                "10.0.0.0/8",
                "100.115.94.0-100.127.255.255",
                "100.64.0.0-100.115.91.255",
                "fd7a:115c:a1e0::/48",
            ),
        ),
        (Selector(kind=Kind.DANGER_ALL), ("*",)),
        (Selector(kind=Kind.MEMBER), ("100.64.0.1", "100.64.0.2", "fd7a:115c:a1e0::1", "fd7a:115c:a1e0::2")),
        (Selector(kind=Kind.TAG, value="tag:a"), ("100.64.0.3",)),
        (reach("10.0.0.0/8"), ("10.0.0.0/8",)),
    ],
    ids=str,
)
def test_addresses_are_sorted_as_strings(selector: Selector, texts: tuple[str, ...]) -> None:
    assert addresses(DOCUMENT, selector, PEOPLE, DEVICES) == texts


def test_two_people_may_share_a_login() -> None:
    twin = Person(id=3, logins=("alice",))
    other = Device(id=4, user=3, ipv4="100.64.0.4")
    points = Points((*PEOPLE, twin), [Point(device, ()) for device in (*DEVICES, other)])
    found = Masks(DOCUMENT, points).devices(Selector(kind=Kind.USER, value="alice"))
    assert list(bits(found)) == [0, 3]


def test_as_a_source_any_is_the_tailnet_and_its_routes_as_a_destination_everything() -> None:
    places = [Point(None, (span_of(text)[:2],)) for text in ("10.1.2.3", "8.8.8.8", "100.99.0.1")]
    points = Points(PEOPLE, [Point(LAPTOP, ()), *places], SERVER.routes)
    masks, every = Masks(DOCUMENT, points), Selector(kind=Kind.ANY)
    assert list(bits(masks.source(every))) == [0, 1, 3]
    assert list(bits(masks.destination(every))) == [0, 1, 2, 3]
    assert list(bits(masks.source(Selector(kind=Kind.DANGER_ALL)))) == [0, 1, 2, 3]
    assert list(bits(masks.destination(Selector(kind=Kind.INTERNET)))) == [2]


def test_sources_with_a_posture_are_devices_that_fulfil_one() -> None:
    points = Points(PEOPLE, [Point(LAPTOP, ()), Point(PHONE, ()), Point(None, (span_of("10.0.0.1")[:2],))])
    masks = Masks(DOCUMENT, points)
    everybody = (Selector(kind=Kind.DANGER_ALL),)
    for postures, holding in itertools.product(((), ("p",), ("q", "p")), ({}, {"p": 0b101})):
        wanted = 0b111 if not postures else holding.get("p", 0) & 0b011
        assert masks.sources(everybody, postures, holding) == wanted
