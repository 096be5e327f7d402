"""What operators read of providers and devices."""

import msgspec

from projections.inventory import lists
from projections.inventory.devices import devices, providers
from tests.kit.provided import SEALED, ProviderScene


def scene() -> ProviderScene:
    made = ProviderScene()
    for name in ("a", "b", "c", "d"):
        made.enrol(made.node(name))
    made.works(1)
    made.fails(2)
    return made


def test_a_provider_says_how_many_places_are_taken_and_who_waits() -> None:
    (row,) = providers(scene().tailnet)
    assert (row.name, row.quota, row.used, row.waiting, row.failing, row.relays) == ("mv", 2, 2, 2, 1, 1)


def test_a_device_says_what_becomes_of_it() -> None:
    made = scene()
    first, second, third, fourth = devices(made.tailnet)
    assert (first.state, first.node_name, first.provider_name) == ("registered", "a", "mv")
    assert first.ipv4
    assert (second.failure, second.attempts, second.next_try) == ("provider.unreachable", 1, made.now + 1_000)
    assert [(row.state, row.ahead) for row in (third, fourth)] == [("waiting", 0), ("waiting", 1)]


def test_no_row_has_the_account_number_not_even_sealed() -> None:
    made = scene()
    shown = msgspec.json.encode(
        [*providers(made.tailnet), *devices(made.tailnet), *lists.peers(made.tailnet)]
    )
    assert SEALED.encode() not in shown


def test_a_relay_says_whose_it_is() -> None:
    made = scene()
    made.peer("plain")
    assert [row.provider for row in lists.peers(made.tailnet)] == ["mv", ""]
