"""The provider in memory."""

import pytest

from engine.adapters.provider.memory import MemoryProvider
from engine.domain.values import NodeKey
from engine.providerports import ProviderClient, ProviderTrouble
from tests.contract.provider_suite import ACCOUNT, OTHER, ProviderSuite, Side


class MemorySide:
    def __init__(self) -> None:
        self.provider = MemoryProvider(ACCOUNT, OTHER, quota=2)
        self.client: ProviderClient = self.provider

    def keys(self) -> set[NodeKey]:
        return set(self.provider.accounts[ACCOUNT])

    def breaks(self, times: int) -> None:
        self.provider.troubles.extend([ProviderTrouble("provider.busy", "status 503")] * times)

    def loses(self, times: int) -> None:
        self.provider.deaf = times


class TestMemoryProvider(ProviderSuite):
    @pytest.fixture
    def side(self) -> Side:
        return MemorySide()
