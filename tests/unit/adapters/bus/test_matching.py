"""Which endpoint answers: the first that matches, also when it is remembered."""

import pytest

from engine.adapters.bus.matching import KNOWN, first_match, matcher, matches
from engine.ports import Answer, Endpoint, Message


async def nothing(_message: Message) -> Answer:
    return Answer(b"")


def endpoint(subject: str) -> Endpoint:
    return Endpoint(name=subject, subject=subject, respond=nothing)


ENDPOINTS = tuple(map(endpoint, ("a.b", "a.*", "a.*.c", "a.>")))


@pytest.mark.parametrize(
    ("pattern", "subject", "is_match"),
    [
        ("a.b", "a.b", True),
        ("a.b", "a.c", False),
        ("a.*", "a.b", True),
        ("a.*", "a.b.c", False),
        ("a.>", "a.b.c", True),
        ("a.>", "a", False),
    ],
)
def test_what_matches(pattern: str, subject: str, is_match: bool) -> None:  # noqa: FBT001 (a parameter of the test)
    assert matches(pattern, subject) is is_match


@pytest.mark.parametrize(
    ("subject", "name"), [("a.b", "a.b"), ("a.x", "a.*"), ("a.x.c", "a.*.c"), ("a.x.y", "a.>"), ("b", None)]
)
def test_the_first_that_matches_answers_every_time(subject: str, name: str | None) -> None:
    found = matcher(ENDPOINTS)
    for _ in range(2):
        answering = found(subject)
        assert (answering and answering.name) == name
        assert answering is first_match(ENDPOINTS, subject)


def test_subjects_from_outside_are_not_remembered_for_ever() -> None:
    found = matcher(ENDPOINTS)
    for number in range(KNOWN * 2):
        assert found(f"a.{number}") is ENDPOINTS[1]
    assert found.cache_info().currsize == KNOWN  # type: ignore[attr-defined]


def test_services_do_not_share_what_they_remember() -> None:
    assert matcher(ENDPOINTS)("a.b") is ENDPOINTS[0]
    assert matcher(ENDPOINTS[1:])("a.b") is ENDPOINTS[1]
