"""What every resolver must do; each adapter's test file makes names that have addresses, or none."""

from collections.abc import Callable

import pytest

from engine.ports import LookupFailed, Resolver

Zone = Callable[..., None]
"""`zone("home.example.org", "192.0.2.9", …)`: from now on the name has these addresses; none: it exists without any."""


class ResolverSuite:
    async def test_both_families_are_found(self, resolver: Resolver, zone: Zone) -> None:
        zone("home.example.org", "192.0.2.9", "2001:db8::9", "192.0.2.10")
        found = await resolver.look_up("home.example.org")
        assert set(found.addresses) == {"192.0.2.9", "192.0.2.10", "2001:db8::9"}
        assert found.seconds > 0

    @pytest.mark.parametrize("address", ["192.0.2.9", "2001:db8::9"])
    async def test_one_family_is_enough(self, resolver: Resolver, zone: Zone, address: str) -> None:
        zone("home.example.org", address)
        assert (await resolver.look_up("home.example.org")).addresses == (address,)

    async def test_case_does_not_matter(self, resolver: Resolver, zone: Zone) -> None:
        zone("home.example.org", "192.0.2.9")
        assert (await resolver.look_up("HOME.Example.org")).addresses == ("192.0.2.9",)

    async def test_what_changed_is_found_changed(self, resolver: Resolver, zone: Zone) -> None:
        zone("home.example.org", "192.0.2.9")
        await resolver.look_up("home.example.org")
        zone("home.example.org", "192.0.2.10")
        assert (await resolver.look_up("home.example.org")).addresses == ("192.0.2.10",)

    async def test_a_name_that_does_not_exist_fails_with_words(self, resolver: Resolver) -> None:
        with pytest.raises(LookupFailed, match="no such name"):
            await resolver.look_up("nobody.example.org")

    async def test_a_name_without_addresses_fails_with_words(self, resolver: Resolver, zone: Zone) -> None:
        zone("home.example.org")
        with pytest.raises(LookupFailed, match="no address"):
            await resolver.look_up("home.example.org")
