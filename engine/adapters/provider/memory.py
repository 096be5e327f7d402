"""A provider in this process: for tests of what uses the port; it passes the contract suite as the others do."""

from typing import Final

from engine.domain.device import FULL
from engine.domain.values import NodeKey
from engine.providerports import ProviderClient, ProviderTrouble, Registered


class MemoryProvider:
    """The accounts of a provider; each has `quota` places.

    `troubles` are raised one after another, one for each call; `deaf` calls are done and then raise, as when an answer
    is lost on its way.
    """

    def __init__(self, *accounts: str, quota: int = 5) -> None:
        self.quota = quota
        self.accounts: Final[dict[str, dict[NodeKey, Registered]]] = {account: {} for account in accounts}
        self.troubles: Final[list[ProviderTrouble]] = []
        self.deaf = 0
        self.calls: Final[list[tuple[str, NodeKey]]] = []
        self._given = 0

    def client(self, kind: str, base_url: str) -> ProviderClient:  # noqa: ARG002 (there is one)
        """Return itself, whatever the kind."""
        return self

    async def register_key(self, account: str, key: NodeKey) -> Registered:
        """Let the provider know a key.

        Raises:
            ProviderTrouble: see `ProviderClient`.
        """
        known = self._called("register", account, key)
        if key not in known:
            if len(known) >= self.quota:
                raise ProviderTrouble(FULL, "as many as it may", lasting=True)
            self._given += 1
            known[key] = Registered(
                reference=f"m-{self._given}",
                ipv4=f"10.64.{self._given // 250}.{self._given % 250 + 2}",
                ipv6=f"fc00:bbbb::{self._given + 1:x}",
            )
        self._answer()
        return known[key]

    async def revoke(self, account: str, key: NodeKey, reference: str) -> None:  # noqa: ARG002 (the key says it)
        """Let the provider know a key no more.

        Raises:
            ProviderTrouble: see `ProviderClient`.
        """
        self._called("revoke", account, key).pop(key, None)
        self._answer()

    async def relays(self) -> bytes:
        """Return a list without any relay.

        Raises:
            ProviderTrouble: see `ProviderClient`.
        """
        if self.troubles:
            raise self.troubles.pop(0)
        return b'{"locations": {}, "wireguard": {"relays": []}}'

    def _called(self, verb: str, account: str, key: NodeKey) -> dict[NodeKey, Registered]:
        self.calls.append((verb, key))
        if self.troubles:
            raise self.troubles.pop(0)
        if account not in self.accounts:
            raise ProviderTrouble("provider.account", "no such account", lasting=True)
        return self.accounts[account]

    def _answer(self) -> None:
        if self.deaf:
            self.deaf -= 1
            raise ProviderTrouble("provider.timeout", "no answer")
