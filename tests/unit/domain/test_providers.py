"""What a provider may be, what it may become, and when it goes."""

import pytest

from engine.domain.commands import UpdatePeer
from engine.domain.errors import Invalid
from engine.domain.providercommands import AddProvider, RemoveProvider, UpdateProvider
from engine.domain.providers import checked_account
from engine.domain.values import PeerId, ProviderId
from tests.kit.provided import SEALED, ProviderScene
from tests.kit.scenario import Scene, peer_id

OTHER = "sealed:v1:BBBB"


def add(**options: object) -> AddProvider:
    return AddProvider(**({"name": "mv", "kind": "mullvad", "account": SEALED} | options))  # type: ignore[arg-type]


def test_a_provider_is_added_with_what_its_kind_implies() -> None:
    scene = Scene()
    said = scene.when(add())
    assert said.result == {
        "id": 1,
        "name": "mv",
        "kind": "mullvad",
        "baseUrl": "https://api.mullvad.net",
        "quota": 5,
    }
    assert scene.tailnet.provided.providers[ProviderId(1)].account == SEALED
    assert scene.replay() == scene.tailnet


@pytest.mark.parametrize(
    ("options", "code"),
    [
        ({"kind": "openvpn"}, "provider.kind"),
        ({"name": "Mv"}, "provider.name"),
        ({"name": "7"}, "provider.name"),
        ({"name": "-a"}, "provider.name"),
        ({"account": "1234567890123456"}, "provider.account"),
        ({"kind": "http"}, "provider.url"),
        ({"base_url": "http://api.example"}, "provider.url"),
        ({"base_url": "ftp://api.example"}, "provider.url"),
        ({"base_url": "https://user@api.example"}, "provider.url"),
        ({"base_url": "https://u:p@api.example"}, "provider.url"),
        ({"base_url": "https://api.example/?a=1"}, "provider.url"),
        ({"base_url": "https://api.example/#a"}, "provider.url"),
        ({"base_url": "https://"}, "provider.url"),
        ({"base_url": "https://api.example:99999"}, "provider.url"),
        ({"base_url": "https://api.example/a b"}, "provider.url"),
        ({"base_url": "https://[::1"}, "provider.url"),
    ],
)
def test_what_cannot_be_a_provider_is_refused_without_repeating_secrets(
    options: dict[str, object], code: str
) -> None:
    refusal = Scene().refused(add(**options))
    assert refusal.code == code
    assert "1234567890123456" not in refusal.message + refusal.hint


@pytest.mark.parametrize(
    ("url", "kept"),
    [
        ("https://API.example/", "https://api.example"),
        ("https://api.example:8443/v2/", "https://api.example:8443/v2"),
        ("http://127.0.0.1:99", "http://127.0.0.1:99"),
        ("http://[::1]:99/x", "http://[::1]:99/x"),
    ],
)
def test_an_address_has_one_form(url: str, kept: str) -> None:
    assert Scene().when(add(kind="http", base_url=url)).result["baseUrl"] == kept


def test_two_providers_never_have_one_name_and_ids_are_not_used_again() -> None:
    scene = Scene()
    scene.when(add())
    assert scene.refused(add()).code == "provider.name_taken"
    scene.when(RemoveProvider(provider="mv"))
    assert scene.when(add()).result["id"] == 2


@pytest.mark.parametrize(
    ("given", "kept"),
    [("1234 5678 9012 3456\n", "1234567890123456"), (" a-b_c ", "a-b_c"), ("0" * 16, "0" * 16)],
)
def test_an_account_number_is_taken_as_providers_take_it(given: str, kept: str) -> None:
    assert checked_account(given) == kept


@pytest.mark.parametrize("given", ["", "  ", "a b", "ä", "x" * 129, "a\nb"])
def test_what_cannot_be_an_account_number_is_refused_and_not_repeated(given: str) -> None:
    with pytest.raises(Invalid) as caught:
        checked_account(given)
    assert caught.value.code == "provider.account"
    assert not given.strip() or given.strip() not in caught.value.message


def test_commands_show_no_account_number() -> None:
    assert "1234" not in repr(add(account="1234")) + repr(UpdateProvider(provider=1, account="1234"))


def test_another_address_needs_the_account_number_again() -> None:
    scene = ProviderScene()
    moved = UpdateProvider(provider="mv", base_url="https://other.example")
    assert scene.refused(moved).code == "provider.account_needed"
    scene.when(UpdateProvider(provider="mv", base_url="https://other.example", account=OTHER))
    provider = scene.tailnet.provided.providers[ProviderId(1)]
    assert (provider.base_url, provider.account) == ("https://other.example", OTHER)
    assert not scene.happens(UpdateProvider(provider="mv", base_url="https://other.example", quota=2))


def test_a_change_keeps_the_rest_and_tries_what_failed_again() -> None:
    scene = ProviderScene()
    scene.node("a")
    scene.enrol(1)
    scene.fails(1, "provider.account", lasting=True)
    assert scene.happens(UpdateProvider(provider="mv", account=OTHER)) == ["ProviderUpdated", "DeviceRetried"]
    assert not scene.device(1).failure
    assert scene.when(UpdateProvider(provider=1, name="other")).result["name"] == "other"
    assert scene.refused(UpdateProvider(provider="mv", quota=3)).code == "provider.not_found"


def test_a_larger_quota_lets_those_in_who_wait_and_a_smaller_one_puts_nobody_out() -> None:
    scene = ProviderScene(quota=1)
    for name in ("a", "b", "c"):
        scene.enrol(scene.node(name))
    assert scene.states() == {1: "wanted", 2: "waiting", 3: "waiting"}
    scene.when(UpdateProvider(provider="mv", quota=2))
    assert scene.states() == {1: "wanted", 2: "wanted", 3: "waiting"}
    said = scene.when(UpdateProvider(provider="mv", quota=1))
    assert said.warnings[0].startswith("provider.quota: 2 devices")
    assert scene.states() == {1: "wanted", 2: "wanted", 3: "waiting"}


def test_a_provider_in_use_goes_only_with_all_that_hangs_on_it() -> None:
    scene = ProviderScene()
    scene.node("a")
    scene.enrol(1)
    scene.works(1)
    scene.connect(1, "exit")
    refusal = scene.refused(RemoveProvider(provider="mv"))
    assert refusal.code == "provider.in_use"
    assert "1(a)" in refusal.message
    said = scene.when(RemoveProvider(provider="mv", cascade=True))
    assert [warning.partition(":")[0] for warning in said.warnings] == [
        "provider.unrevoked",
        "provider.connections",
    ]
    provided = scene.tailnet.provided
    assert [*provided.providers, *provided.devices, *provided.relays, *scene.tailnet.connections] == []
    assert scene.replay() == scene.tailnet


def test_a_peer_becomes_a_relay_and_stops_being_one() -> None:
    scene = ProviderScene()
    scene.peer("plain")
    plain = peer_id(2)
    relays = scene.tailnet.provided.provider_of_peer
    assert plain not in relays
    assert scene.happens(UpdatePeer(peer="plain", provider="mv")) == ["PeerProviderSet"]
    assert relays[plain] == 1
    assert not scene.happens(UpdatePeer(peer="plain", provider=1))
    assert scene.happens(UpdatePeer(peer="plain", provider="")) == ["PeerProviderSet"]
    assert plain not in relays
    assert scene.refused(UpdatePeer(peer="plain", provider="nobody")).code == "provider.not_found"


def test_a_relay_stays_its_providers_while_a_connection_lives_by_it() -> None:
    scene = ProviderScene()
    scene.node("a")
    scene.enrol(1)
    scene.works(1)
    scene.connect(1, "exit")
    refusal = scene.refused(UpdatePeer(peer="exit", provider=""))
    assert (refusal.code, "1(a)" in refusal.message) == ("provider.connected", True)
    scene.when(UpdatePeer(peer="exit", endpoints=("203.0.113.9:51820",)))
    assert scene.tailnet.provided.provider_of_peer[PeerId(peer_id(1))] == 1
