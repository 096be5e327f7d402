"""Which adapter a provider's kind means, within what the settings allow."""

from typing import Final

from engine.adapters.provider.http import HttpProvider
from engine.adapters.provider.mullvad import MullvadProvider
from engine.adapters.provider.web import Web
from engine.ports import Clock
from engine.providerports import ProviderClient, ProviderTrouble


class WebProviders:
    """The port `Providers`: one client for each address, which keeps the tokens that it was given."""

    def __init__(self, web: Web, clock: Clock) -> None:
        self._web: Final = web
        self._clock: Final = clock
        self._clients: Final[dict[tuple[str, str], ProviderClient]] = {}

    def client(self, kind: str, base_url: str) -> ProviderClient:
        """Return the client of a provider.

        Raises:
            ProviderTrouble: `provider.off`, `provider.host`, `provider.refused`.
        """
        self._web.refuse(base_url)
        found = self._clients.get((kind, base_url))
        if found is None:
            found = self._clients[kind, base_url] = self._made(kind, base_url)
        return found

    def _made(self, kind: str, base_url: str) -> ProviderClient:
        match kind:
            case "mullvad":
                return MullvadProvider(self._web, base_url, self._clock)
            case "http":
                return HttpProvider(self._web, base_url)
            case _:
                raise ProviderTrouble(
                    "provider.refused", "a kind that this version does not speak", lasting=True
                )
