"""The ports of VPN providers; the rules of `ports.py` hold here.

Rule 1: an account number and a key of one account are spoken of; how often the same is asked makes no difference.
"""

from typing import Protocol

import msgspec

from engine.domain.values import NodeKey
from engine.ports import Fault


class Registered(msgspec.Struct, frozen=True, kw_only=True):
    """A key as a provider knows it: its own id of it, and the addresses that packets of this key must come from."""

    reference: str
    ipv4: str = ""
    ipv6: str = ""


class ProviderTrouble(Fault):
    """A provider did not do what it was asked; `reason` is a stable word, `word` what it said, without secrets.

    One that is `lasting` is not worth another try before somebody has done something: the account is full or unknown,
    outside calls are off.
    """

    code = "provider.trouble"
    told = "the provider did not do what it was asked"

    def __init__(self, reason: str, word: str = "", *, lasting: bool = False) -> None:
        super().__init__(f"{reason}: {word}")
        self.reason = reason
        self.word = word
        self.lasting = lasting


class ProviderClient(Protocol):
    """One provider of VPN relays, where an account may have a number of devices: keys with addresses."""

    async def register_key(self, account: str, key: NodeKey) -> Registered:
        """Let the provider know a key; one that it knows already has the addresses that it had.

        Raises:
            ProviderTrouble: it is not known there, or nobody knows (then ask again).
        """
        ...

    async def revoke(self, account: str, key: NodeKey, reference: str) -> None:
        """Let the provider know a key no more; one that it does not know is well. `reference` may be empty.

        Raises:
            ProviderTrouble: it may still be known there.
        """
        ...

    async def relays(self) -> bytes:
        """Return the provider's list of relays, as `netmap wg import-relays` reads it; bounded.

        Raises:
            ProviderTrouble: there was none.
        """
        ...


class Providers(Protocol):
    """All providers that can be spoken to from here."""

    def client(self, kind: str, base_url: str) -> ProviderClient:
        """Return the client of a provider; kinds and addresses are those that the log has.

        Raises:
            ProviderTrouble: it may not be called.
        """
        ...
