"""What a subject says of who speaks."""

from engine.contracts import subjects
from engine.domain.values import DEFAULT_TAILNET


def test_a_subject_names_its_frontend() -> None:
    assert subjects.frontend_of(subjects.soft(DEFAULT_TAILNET, "f1", "state")) == "f1"
    assert subjects.frontend_of(subjects.registration(DEFAULT_TAILNET, "f2", "register")) == "f2"


def test_a_subject_names_its_actor() -> None:
    assert subjects.actor_of(subjects.command_as(DEFAULT_TAILNET, "operator", "peer", "remove")) == "operator"
    by_key = subjects.command_by_key(DEFAULT_TAILNET, "0123456789ab", "peer", "remove")
    assert subjects.actor_of(by_key) == "api-0123456789ab"
    assert subjects.prefix_of("api-0123456789ab") == "0123456789ab"
    assert subjects.prefix_of("operator") is None


def test_who_is_no_api_key_is_nobody() -> None:
    for prefix in ("cmd", "0123456789aB", "0123456789abc", "*"):
        by_key = subjects.command_by_key(DEFAULT_TAILNET, prefix, "peer", "remove")
        assert subjects.actor_of(by_key) is None
    assert subjects.actor_of("netmap.v1.default.as.api.cmd.peer.remove") is None


def test_a_subject_of_nobody_in_particular_names_none() -> None:
    for subject in (
        subjects.map_delta(DEFAULT_TAILNET),
        subjects.query(DEFAULT_TAILNET, "a", "b"),
        "a.b",
        "",
    ):
        assert subjects.frontend_of(subject) is None
