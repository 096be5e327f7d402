"""Users."""

import pytest

from engine.domain.commands import CreateUser
from tests.kit.scenario import Scene


def test_a_user_has_an_id_and_a_name() -> None:
    decision = Scene().when(CreateUser(name="anna@example.com", display_name="Änna", email="a@b"))
    assert decision.result == {"id": 1, "name": "anna@example.com", "displayName": "Änna", "email": "a@b"}


@pytest.mark.parametrize("name", ["", "12", "an na", "-anna", "änna", "anna\n", "a/b"])
def test_what_cannot_be_a_name_is_refused(name: str) -> None:
    assert Scene().refused(CreateUser(name=name)).code == "user.name"


def test_names_are_unique_without_regard_to_case() -> None:
    scene = Scene()
    scene.user("anna")
    refusal = scene.refused(CreateUser(name="Anna"))
    assert (refusal.code, refusal.status) == ("user.taken", 409)
    assert scene.user("bert") == 2


def test_what_is_shown_is_printable() -> None:
    assert Scene().refused(CreateUser(name="anna", display_name="a\x1b[31m")).code == "user.text"
