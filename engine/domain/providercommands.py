"""What somebody wants done with providers and devices there; a part of `commands.py`."""

from typing import Annotated

import msgspec

from engine.domain.command import Command, Name, Ref, Text
from engine.domain.values import DeviceId, NodeKey

Quota = Annotated[int, msgspec.Meta(ge=1, le=10_000)]
"""Ten thousand: more devices than any account that is known may have."""


class AddProvider(Command, frozen=True, kw_only=True):
    """Let nodes be registered at a VPN provider, by an account there; the account number is never shown again."""

    name: Name
    kind: Name
    account: Text
    base_url: Text = ""
    quota: Quota = 5
    """Five devices: what an account at Mullvad may have."""

    def __repr__(self) -> str:
        """Return which provider it is about, without the account number."""
        return f"AddProvider(name={self.name!r}, kind={self.kind!r}, …)"


class UpdateProvider(Command, frozen=True, kw_only=True):
    """Change what is given of a provider; another address needs the account number again."""

    provider: Ref
    name: Name | None = None
    base_url: Text | None = None
    quota: Quota | None = None
    account: Text | None = None

    def __repr__(self) -> str:
        """Return which provider it is about, without the account number."""
        return f"UpdateProvider(provider={self.provider!r}, …)"


class RemoveProvider(Command, frozen=True, kw_only=True):
    """Remove a provider; with devices or relays only with `cascade`, which revokes nothing there."""

    provider: Ref
    cascade: bool = False


class EnrolNode(Command, frozen=True, kw_only=True):
    """Register a node at a provider; again, it is tried again now."""

    provider: Ref
    node: Ref


class WithdrawNode(Command, frozen=True, kw_only=True):
    """Revoke a node's registration at a provider; `cascade` ends the connections that live by it."""

    provider: Ref
    node: Ref
    cascade: bool = False


class ReportRegistered(Command, frozen=True, kw_only=True):
    """The engine's own word: the provider knows the key."""

    device: DeviceId
    turn: int
    node_key: NodeKey
    reference: Text
    ipv4: Text = ""
    ipv6: Text = ""


class ReportFailed(Command, frozen=True, kw_only=True):
    """The engine's own word: it was not done; one that lasts is not tried again by itself."""

    device: DeviceId
    turn: int
    code: Name
    word: Text = ""
    lasting: bool = False


class ReportRevoked(Command, frozen=True, kw_only=True):
    """The engine's own word: the provider knows the key no more."""

    device: DeviceId
    turn: int
    node_key: NodeKey
