"""API keys."""

import hashlib
import re

import pytest

from engine.domain.apikeys import good_key, key_text, prefix_in
from engine.domain.commands import CreateApiKey, DeleteApiKey, ExpireApiKey
from engine.domain.decide import decide
from engine.domain.events import ApiKeyCreated
from engine.domain.values import NEVER, ApiKeyId, Millis
from tests.kit.scenario import HOUR, Scene, peer_id


@pytest.fixture
def scene() -> Scene:
    scene = Scene()
    scene.user()
    scene.node("laptop")
    scene.peer("exit")
    return scene


def made(scene: Scene, **options: object) -> str:
    command = CreateApiKey(**options)  # type: ignore[arg-type]
    return str(scene.when(command).secret_result["key"])


def digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def is_good(scene: Scene, text: str, now: int | None = None) -> bool:
    at = scene.now if now is None else Millis(now)
    return good_key(scene.tailnet, prefix_in(text) or "", digest(text), at) is not None


def test_the_key_is_told_once_and_the_log_has_its_digest(scene: Scene) -> None:
    decision = scene.when(CreateApiKey())
    text = str(decision.secret_result["key"])
    assert re.fullmatch(r"hskey-api-[0-9a-f]{12}-[0-9a-f]{64}", text)
    (event,) = decision.events
    assert isinstance(event, ApiKeyCreated)
    assert (event.digest, event.prefix) == (digest(text), text[10:22])
    assert text[23:] not in repr(event) + repr(decision.result)
    assert decision.result == {"id": 1, "prefix": event.prefix, "scope": "admin", "expiry": event.expiry}


def test_a_key_is_for_everything_and_good_for_90_days_unless_said_otherwise(scene: Scene) -> None:
    made(scene)
    key = scene.tailnet.api_keys[ApiKeyId(1)]
    assert (key.scope, key.peer, key.node) == ("admin", None, None)
    assert key.expiry == scene.now + 90 * 24 * HOUR


def test_a_resend_can_be_told_the_same_key_again(scene: Scene) -> None:
    given = scene.given()
    decision = decide(scene.tailnet, CreateApiKey(), given)
    assert decision.secret_result == {"key": key_text(given.secret)}
    assert given.secret not in key_text(given.secret)


def test_only_the_key_itself_is_good_and_only_until_it_ends(scene: Scene) -> None:
    text = made(scene, expires_in_seconds=60)
    other = text[:-1] + ("0" if text[-1] != "0" else "1")
    assert is_good(scene, text)
    assert not is_good(scene, other)
    assert not is_good(scene, "hskey-api-" + "0" * 12 + text[22:])
    assert is_good(scene, text, scene.now + 59_999)
    assert not is_good(scene, text, scene.now + 60_000)
    assert scene.happens(ExpireApiKey(key=1)) == ["ApiKeyExpired"]
    assert not is_good(scene, text)


def test_a_key_without_expiry_is_a_warning(scene: Scene) -> None:
    decision = scene.when(CreateApiKey(expires_in_seconds=0))
    assert decision.warnings[0].startswith("apikey.no_expiry: ")
    assert scene.tailnet.api_keys[ApiKeyId(1)].expiry == NEVER


def test_a_key_for_an_export_is_bound_to_a_peer_and_perhaps_to_a_node(scene: Scene) -> None:
    decision = scene.when(CreateApiKey(scope="export", peer="exit", node="laptop"))
    assert [text.partition(":")[0] for text in decision.warnings] == ["apikey.not_connected"]
    key = scene.tailnet.api_keys[ApiKeyId(1)]
    assert (key.scope, key.peer, key.node) == ("export", peer_id(1), 1)
    scene.connect("laptop", "exit", "10.0.0.1")
    assert scene.when(CreateApiKey(scope="export", peer="exit", node=1)).warnings == ()


@pytest.mark.parametrize(
    ("command", "code"),
    [
        (CreateApiKey(scope="root"), "apikey.scope"),
        (CreateApiKey(scope="export"), "apikey.peer_missing"),
        (CreateApiKey(scope="export", node=1), "apikey.peer_missing"),
        (CreateApiKey(peer="exit"), "apikey.unbound"),
        (CreateApiKey(node="laptop"), "apikey.unbound"),
        (CreateApiKey(scope="export", peer="nobody"), "peer.not_found"),
        (CreateApiKey(scope="export", peer="exit", node="nobody"), "node.not_found"),
    ],
)
def test_a_key_that_cannot_be_meant_is_refused(scene: Scene, command: CreateApiKey, code: str) -> None:
    assert scene.refused(command).code == code


def test_two_keys_never_begin_alike(scene: Scene) -> None:
    given = scene.given()
    for event in decide(scene.tailnet, CreateApiKey(), given).events:
        scene.tailnet.apply(event, scene.now)
    with pytest.raises(Exception, match="begins like that"):
        decide(scene.tailnet, CreateApiKey(), given)


@pytest.mark.parametrize("form", ["id", "prefix", "with head", "masked", "whole"])
def test_a_key_is_named_in_every_form_that_people_and_tools_have(scene: Scene, form: str) -> None:
    text = made(scene)
    forms: dict[str, int | str] = {
        "id": 1,
        "prefix": text[10:22],
        "with head": text[:22],
        "masked": text[:22] + "-***",
        "whole": text,
    }
    assert scene.happens(ExpireApiKey(key=forms[form])) == ["ApiKeyExpired"]
    assert scene.happens(ExpireApiKey(key=forms[form])) == []
    assert scene.happens(DeleteApiKey(key=forms[form])) == ["ApiKeyDeleted"]
    refusal = scene.refused(DeleteApiKey(key=forms[form]))
    assert (refusal.code, refusal.status) == ("apikey.not_found", 404)
    assert text[10:22] not in refusal.message


def test_a_wrong_key_with_a_right_beginning_names_nobody(scene: Scene) -> None:
    text = made(scene)
    assert scene.refused(ExpireApiKey(key=text[:23] + "0" * 64)).code == "apikey.not_found"


def test_a_prefix_of_digits_alone_is_no_id(scene: Scene) -> None:
    scene.tailnet.apply(
        ApiKeyCreated(key=ApiKeyId(7), prefix="000000000001", digest="0" * 64, scope="admin"), scene.now
    )
    scene.log.append(
        (ApiKeyCreated(key=ApiKeyId(7), prefix="000000000001", digest="0" * 64, scope="admin"), scene.now)
    )
    assert scene.when(ExpireApiKey(key="000000000001")).result["id"] == 7


def test_no_repr_has_the_key(scene: Scene) -> None:
    text = made(scene)
    assert text not in repr(ExpireApiKey(key=text)) + repr(DeleteApiKey(key=text))
    assert repr(ExpireApiKey(key=3)) == "ExpireApiKey(key=3)"


def test_the_id_of_a_deleted_key_is_not_used_again(scene: Scene) -> None:
    made(scene)
    scene.when(DeleteApiKey(key=1))
    assert scene.when(CreateApiKey()).result["id"] == 2
    assert scene.tailnet == scene.replay()
