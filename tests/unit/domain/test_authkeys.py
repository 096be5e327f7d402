"""Pre-auth keys."""

import hashlib
import re

import pytest

from engine.domain.authkeys import secret_text
from engine.domain.commands import CreateAuthKey, ExpireAuthKey
from engine.domain.decide import decide
from engine.domain.events import AuthKeyCreated
from engine.domain.values import NEVER, AuthKeyId
from tests.kit.scenario import HOUR, Scene


@pytest.fixture
def scene() -> Scene:
    scene = Scene()
    scene.user()
    return scene


def test_a_key_is_one_off_and_good_for_an_hour_unless_said_otherwise(scene: Scene) -> None:
    scene.auth_key()
    key = scene.tailnet.auth_keys[AuthKeyId(1)]
    assert (key.reusable, key.ephemeral, key.tags) == (False, False, ())
    assert key.expiry == scene.now + HOUR


def test_the_secret_is_told_once_and_the_log_has_its_digest(scene: Scene) -> None:
    decision = scene.when(CreateAuthKey(user="anna"))
    secret = str(decision.secret_result["key"])
    assert re.fullmatch(r"nmkey-1-[0-9a-f]{32}", secret)
    (event,) = decision.events
    assert isinstance(event, AuthKeyCreated)
    assert event.digest == hashlib.sha256(secret.encode()).hexdigest()
    assert event.prefix == secret[:12]
    assert secret not in repr(event) + repr(decision.result)
    assert decision.result["id"] == 1


def test_a_resend_can_be_told_the_same_secret_again(scene: Scene) -> None:
    given = scene.given()
    decision = decide(scene.tailnet, CreateAuthKey(user=1), given)
    assert decision.secret_result == {"key": secret_text(AuthKeyId(1), given.secret)}


def test_a_key_without_expiry_is_a_warning(scene: Scene) -> None:
    decision = scene.when(CreateAuthKey(user=1, expires_in_seconds=0))
    assert decision.warnings[0].startswith("authkey.no_expiry: ")
    assert scene.tailnet.auth_keys[AuthKeyId(1)].expiry == NEVER


def test_a_key_of_nobody_or_with_a_wrong_tag_is_refused(scene: Scene) -> None:
    assert scene.refused(CreateAuthKey(user="bert")).code == "user.not_found"
    assert scene.refused(CreateAuthKey(user=1, tags=("ci",))).code == "tag.syntax"


def test_a_key_is_ended_by_id_or_by_itself_once(scene: Scene) -> None:
    first, _ = scene.auth_key(), scene.auth_key()
    assert scene.happens(ExpireAuthKey(key=first)) == ["AuthKeyExpired"]
    assert scene.happens(ExpireAuthKey(key=1)) == []
    assert scene.happens(ExpireAuthKey(key="2")) == ["AuthKeyExpired"]
    unknown = "nmkey-3-" + "0" * 32
    refusal = scene.refused(ExpireAuthKey(key=unknown))
    assert (refusal.code, refusal.status) == ("authkey.not_found", 404)
    assert unknown not in refusal.message
    assert scene.refused(ExpireAuthKey(key=3)).code == "authkey.not_found"
