"""What a subject says of who speaks."""

from engine.contracts import subjects
from engine.domain.values import DEFAULT_TAILNET


def test_a_subject_names_its_frontend() -> None:
    assert subjects.frontend_of(subjects.soft(DEFAULT_TAILNET, "f1", "state")) == "f1"
    assert subjects.frontend_of(subjects.registration(DEFAULT_TAILNET, "f2", "register")) == "f2"


def test_a_subject_of_nobody_in_particular_names_none() -> None:
    for subject in (
        subjects.map_delta(DEFAULT_TAILNET),
        subjects.query(DEFAULT_TAILNET, "a", "b"),
        "a.b",
        "",
    ):
        assert subjects.frontend_of(subject) is None
