"""Host names in memory."""

import pytest

from engine.adapters.resolver.memory import MemoryResolver
from tests.contract.resolver_suite import ResolverSuite, Zone


class TestMemoryResolver(ResolverSuite):
    @pytest.fixture
    def resolver(self) -> MemoryResolver:
        return MemoryResolver()

    @pytest.fixture
    def zone(self, resolver: MemoryResolver) -> Zone:
        return resolver.tell
