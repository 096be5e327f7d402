"""What every provider's client must do; each adapter's test file gives a client, and a hand on the provider's side."""

import asyncio
from typing import Protocol

import pytest

from engine.domain.device import FULL
from engine.domain.values import NodeKey
from engine.providerports import ProviderClient, ProviderTrouble
from tests.kit.scenario import node_key

ACCOUNT = "4815162342108108"
OTHER = "1111222233334444"
ONE, TWO, THREE = node_key("one"), node_key("two"), node_key("three")


class Side(Protocol):
    """The provider's side: two accounts, `ACCOUNT` and `OTHER`, with two places each."""

    client: ProviderClient

    def keys(self) -> set[NodeKey]:
        """The keys that `ACCOUNT` has there."""
        ...

    def breaks(self, times: int) -> None:
        """Let the next calls go wrong before they are done."""
        ...

    def loses(self, times: int) -> None:
        """Let the answers of the next calls that change something be lost, though they are done."""
        ...


class ProviderSuite:
    async def test_a_key_gets_addresses_and_the_same_ones_each_time(self, side: Side) -> None:
        first = await side.client.register_key(ACCOUNT, ONE)
        assert first.reference
        assert first.ipv4.startswith("10.")
        assert ":" in first.ipv6
        assert "/" not in first.ipv4 + first.ipv6
        assert await side.client.register_key(ACCOUNT, ONE) == first
        assert side.keys() == {ONE}

    async def test_two_keys_have_nothing_in_common(self, side: Side) -> None:
        one = await side.client.register_key(ACCOUNT, ONE)
        two = await side.client.register_key(ACCOUNT, TWO)
        assert one.reference != two.reference
        assert {one.ipv4, one.ipv6}.isdisjoint({two.ipv4, two.ipv6})
        assert await side.client.register_key(ACCOUNT, ONE) == one

    async def test_many_at_once_are_as_many_one_after_another(self, side: Side) -> None:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(side.client.register_key(ACCOUNT, key)) for key in (ONE, TWO)]
        assert len({task.result().ipv4 for task in tasks}) == 2
        assert side.keys() == {ONE, TWO}

    async def test_a_full_account_is_told_from_what_passes_by_itself(self, side: Side) -> None:
        for key in (ONE, TWO):
            await side.client.register_key(ACCOUNT, key)
        with pytest.raises(ProviderTrouble) as caught:
            await side.client.register_key(ACCOUNT, THREE)
        assert (caught.value.reason, caught.value.lasting) == (FULL, True)
        await side.client.register_key(ACCOUNT, TWO)
        await side.client.register_key(OTHER, THREE)

    async def test_a_revoked_key_makes_room(self, side: Side) -> None:
        one = await side.client.register_key(ACCOUNT, ONE)
        await side.client.register_key(ACCOUNT, TWO)
        await side.client.revoke(ACCOUNT, ONE, one.reference)
        assert side.keys() == {TWO}
        await side.client.register_key(ACCOUNT, THREE)

    async def test_to_revoke_what_is_not_there_is_well(self, side: Side) -> None:
        one = await side.client.register_key(ACCOUNT, ONE)
        for _ in range(2):
            await side.client.revoke(ACCOUNT, ONE, one.reference)
        await side.client.revoke(ACCOUNT, TWO, "")
        assert side.keys() == set()

    async def test_a_key_is_revoked_without_the_providers_id_of_it(self, side: Side) -> None:
        await side.client.register_key(ACCOUNT, ONE)
        await side.client.register_key(ACCOUNT, TWO)
        await side.client.revoke(ACCOUNT, ONE, "")
        assert side.keys() == {TWO}

    async def test_an_unknown_account_lasts_and_is_not_repeated(self, side: Side) -> None:
        for call in (
            side.client.register_key("9999888877776666", ONE),
            side.client.revoke("9999888877776666", ONE, ""),
        ):
            with pytest.raises(ProviderTrouble) as caught:
                await call
            assert (caught.value.reason, caught.value.lasting) == ("provider.account", True)
            assert "9999" not in f"{caught.value} {caught.value.word} {caught.value!r}"

    async def test_what_breaks_passes_and_the_same_call_then_works(self, side: Side) -> None:
        side.breaks(1)
        with pytest.raises(ProviderTrouble) as caught:
            await side.client.register_key(ACCOUNT, ONE)
        assert not caught.value.lasting
        assert ACCOUNT not in f"{caught.value} {caught.value.word}"
        await side.client.register_key(ACCOUNT, ONE)
        side.breaks(1)
        with pytest.raises(ProviderTrouble):
            await side.client.revoke(ACCOUNT, ONE, "")
        assert side.keys() == {ONE}

    async def test_an_answer_that_was_lost_is_given_again(self, side: Side) -> None:
        side.loses(1)
        with pytest.raises(ProviderTrouble) as caught:
            await side.client.register_key(ACCOUNT, ONE)
        assert not caught.value.lasting
        assert side.keys() == {ONE}
        again = await side.client.register_key(ACCOUNT, ONE)
        assert side.keys() == {ONE}
        side.loses(1)
        with pytest.raises(ProviderTrouble):
            await side.client.revoke(ACCOUNT, ONE, again.reference)
        await side.client.revoke(ACCOUNT, ONE, again.reference)
        assert side.keys() == set()

    async def test_a_list_of_relays_comes_as_it_is(self, side: Side) -> None:
        assert b"wireguard" in await side.client.relays()

    async def test_who_speaks_of_it_says_no_secret(self, side: Side) -> None:
        await side.client.register_key(ACCOUNT, ONE)
        assert ACCOUNT not in repr(side.client)
